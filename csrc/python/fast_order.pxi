# Medians and quantiles of one small array over one axis or all.

cdef enum:
    MOST_QUERIES = 16  # quantiles of one call

cdef class OrderCall(Entry):
    """Fast entry of an order statistic: one exact small ndarray, one axis or all, nothing unusual.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    scale : float
        What a quantile is divided by; 0 for a median, which has none.
    skip_nan : bool
        Whether NaN do not count.
    """
    cdef double scale
    cdef bint skip_nan
    cdef object single, double  # dtypes of results

    def __init__(self, general, scale, skip_nan):
        Entry.__init__(self, general)
        self.scale = scale
        self.skip_nan = skip_nan
        self.single = numpy.dtype(numpy.float32)
        self.double = numpy.dtype(numpy.float64)

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None
        cdef Py_ssize_t given = len(args), wanted = 1 if self.scale == 0 else 2
        cdef bint keepdims = False
        cdef OrderQuery query
        cdef double q[MOST_QUERIES]
        query.median = self.scale == 0
        query.q = q
        query.count = 1
        query.skip_nan = self.skip_nan
        if wanted <= given <= wanted + 1 and cnp.PyArray_CheckExact(args[0]):
            if given > wanted:
                axis = args[wanted]
            for key, value in kwargs.items():
                if key == "axis" and given == wanted:
                    axis = value
                elif key == "keepdims" and (value is True or value is False):
                    keepdims = value
                else:
                    return self.general(*args, **kwargs)
            if query.median or self._read(args[1], query, q):
                result = self._run(args[0], axis, keepdims, query,
                                   query.median or type(args[1]) not in (list, tuple))
                if result is not NotImplemented:
                    return result
        return self.general(*args, **kwargs)

    cdef bint _read(self, object wanted, OrderQuery& query, double* q) except -1:
        """Read one quantile or a sequence of them; False for what NumPy would not make float64."""
        cdef bint floating = self.scale != 1  # of a division; else one of them must be
        cdef Py_ssize_t i
        if type(wanted) not in (list, tuple):
            return self._number(wanted, q, &floating) and floating
        query.count = <int>min(len(wanted), MOST_QUERIES + 1)
        if not 1 <= query.count <= MOST_QUERIES:
            return False
        for i in range(query.count):
            if not self._number(wanted[i], q + i, &floating):
                return False
        return floating

    cdef bint _number(self, object value, double* q, bint* floating) except -1:
        if PyFloat_CheckExact(value):
            q[0] = PyFloat_AsDouble(value) / self.scale
            floating[0] = True
        elif PyLong_CheckExact(value) and 0 <= value <= self.scale:
            q[0] = <double>value / self.scale
        else:
            return False
        return 0 <= q[0] <= 1

    cdef object _run(self, cnp.ndarray array, object axis, bint keepdims, const OrderQuery& query,
                     bint weak):
        cdef cnp.ndarray target
        cdef int axes = cnp.PyArray_NDIM(array), number = cnp.PyArray_TYPE(array)
        cdef int i, kept = 0, chosen
        cdef int result = cnp.NPY_FLOAT if weak and number == cnp.NPY_FLOAT else cnp.NPY_DOUBLE
        cdef uint64_t reduced
        cdef double scalar = 0
        cdef void* out = &scalar
        cdef cnp.npy_intp shape[MAX_AXES + 1]
        cdef int64_t out_strides[MAX_AXES]
        cdef int64_t query_stride = 0
        if (number >= TYPE_NUMBERS or number == cnp.NPY_BOOL or _element[number] < 0 or axes == 0
                or PyArray_ISBYTESWAPPED(array) or cnp.PyArray_SIZE(array) > SMALL):
            return NotImplemented
        if axis is None:
            reduced = (<uint64_t>1 << axes) - 1 if axes < 64 else ~<uint64_t>0
        elif PyLong_CheckExact(axis) and -axes <= axis < axes:
            chosen = axis
            reduced = <uint64_t>1 << (chosen + axes if chosen < 0 else chosen)
        else:
            return NotImplemented
        if not weak:
            shape[kept] = query.count
            kept += 1
        for i in range(axes):
            out_strides[i] = 0
            if not reduced >> i & 1:
                shape[kept] = cnp.PyArray_DIM(array, i)
                kept += 1
            elif keepdims:
                shape[kept] = 1
                kept += 1
        if kept > MAX_AXES:
            return NotImplemented
        if kept > 0:
            target = new_array(kept, shape, result, 4 if result == cnp.NPY_FLOAT else 8)
            out = cnp.PyArray_DATA(target)
            kept = 0
            if not weak:
                query_stride = cnp.PyArray_STRIDE(target, 0)
                kept = 1
            for i in range(axes):
                if not reduced >> i & 1:
                    out_strides[i] = cnp.PyArray_STRIDE(target, kept)
                    kept += 1
                else:
                    kept += keepdims
        if not order_fast(cnp.PyArray_DATA(array), axes, <const int64_t*>cnp.PyArray_DIMS(array),
                          <const int64_t*>cnp.PyArray_STRIDES(array), <DType>_element[number], reduced,
                          query, <DType>_element[result], out, out_strides, query_stride):
            return NotImplemented
        if kept > 0:
            return target
        return PyArray_Scalar(out, self.single if result == cnp.NPY_FLOAT else self.double, None)


cdef class TopkCall(Entry):
    """Fast entry of `topk`: one small exact ndarray.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    kind : type
        The named tuple of the result.
    """
    cdef object kind

    def __init__(self, general, kind):
        Entry.__init__(self, general)
        self.kind = kind

    def __call__(self, *args, **kwargs):
        cdef object result, k = None, axis = -1
        cdef Py_ssize_t given = len(args)
        cdef bint largest = True
        if 1 <= given <= 3 and cnp.PyArray_CheckExact(args[0]):
            if given > 1:
                k = args[1]
            if given > 2:
                axis = args[2]
            for key, value in kwargs.items():
                if key == "k" and given < 2:
                    k = value
                elif key == "axis" and given < 3:
                    axis = value
                elif key == "largest" and (value is True or value is False):
                    largest = value
                else:
                    return self.general(*args, **kwargs)
            if PyLong_CheckExact(k) and PyLong_CheckExact(axis):
                result = self._run(args[0], k, axis, largest)
                if result is not NotImplemented:
                    return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, object k, object axis, bint largest):
        cdef cnp.ndarray values, indices
        cdef int axes = cnp.PyArray_NDIM(array), number = cnp.PyArray_TYPE(array), i, along
        cdef cnp.npy_intp shape[MAX_AXES]
        if (number >= TYPE_NUMBERS or _element[number] < 0 or PyArray_ISBYTESWAPPED(array)
                or not 0 < cnp.PyArray_SIZE(array) <= SMALL or not -axes <= axis < axes):
            return NotImplemented
        along = axis if axis >= 0 else axis + axes
        if not 1 <= k <= cnp.PyArray_DIM(array, along):
            return NotImplemented
        for i in range(axes):
            shape[i] = cnp.PyArray_DIM(array, i)
        shape[along] = k
        values = cnp.PyArray_SimpleNew(axes, shape, number)
        indices = cnp.PyArray_SimpleNew(axes, shape, cnp.NPY_INT64)
        topk_fast(cnp.PyArray_DATA(array), axes, <const int64_t*>cnp.PyArray_DIMS(array),
                  <const int64_t*>cnp.PyArray_STRIDES(array), <DType>_element[number], along, k, largest,
                  cnp.PyArray_DATA(values), cnp.PyArray_DATA(indices),
                  <const int64_t*>cnp.PyArray_STRIDES(values), <const int64_t*>cnp.PyArray_STRIDES(indices))
        return named_tuple(self.kind, (values, indices))
