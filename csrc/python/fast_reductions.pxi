# Reductions of one array over one axis or all.

cdef enum:
    TYPE_NUMBERS = 24  # NumPy's own, '?' to 'V' and 'e'

# NumPy type number to the core's DType, -1 where there is none; filled from the catalogue.
cdef int _element[TYPE_NUMBERS]


def set_element_types(codes):
    """Say in which order the core has its element types: their codes."""
    import numpy
    for number in range(TYPE_NUMBERS):
        _element[number] = -1
    for char in "?bhilqBHILQfd":
        dtype = numpy.dtype(char)
        code = "?" if char == "?" else f"{dtype.kind}{dtype.itemsize}"
        _element[dtype.num] = codes.index(code)


cdef bint _not_finite(const void* data, int number, Py_ssize_t count):
    """Whether there is a NaN or an infinity in contiguous results."""
    cdef Py_ssize_t i
    if number == cnp.NPY_FLOAT:
        for i in range(count):
            if (<const float*>data)[i] - (<const float*>data)[i] != 0:
                return True
    elif number == cnp.NPY_DOUBLE:
        for i in range(count):
            if (<const double*>data)[i] - (<const double*>data)[i] != 0:
                return True
    return False


cdef bint _nan_at(cnp.ndarray array, Py_ssize_t index):
    """Whether element `index` of a 1-d array is a NaN."""
    cdef const char* at = <const char*>cnp.PyArray_DATA(array) + index * cnp.PyArray_STRIDE(array, 0)
    cdef double x
    cdef float narrow
    if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT:
        memcpy(&narrow, at, sizeof(narrow))
        return narrow != narrow
    memcpy(&x, at, sizeof(x))
    return x != x


cdef class ReductionCall(Entry):
    """Fast entry of a reduction: one exact ndarray, one axis or all, nothing unusual.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    reducer, finish, component : int
        The core's numbers of the reducer, of what becomes of its state, and from which component on.
    finite : bool
        Whether the general function is asked where a result is not finite, or the index of a NaN: it may
        warn or raise.
    positional : int
        Positional arguments that mean the array and the axis: 1 or 2.
    takes_out : bool
        Whether the function has a parameter `out`.
    results : dict of str to dtype
        Element code to the dtype of the result; codes that are missing are not for the fast path.
    """
    cdef int reducer, finish, component
    cdef bint finite, takes_out
    cdef Py_ssize_t positional
    cdef int result_type[TYPE_NUMBERS]     # NumPy type number of the result, -1: not here
    cdef int result_element[TYPE_NUMBERS]
    cdef Py_ssize_t result_size[TYPE_NUMBERS]
    cdef object result_dtype               # NumPy type number to dtype

    def __init__(self, general, reducer, finish, component, results, finite, positional,
                 takes_out):
        import numpy
        Entry.__init__(self, general)
        self.reducer = reducer
        self.finish = finish
        self.component = component
        self.finite = finite
        self.positional = positional
        self.takes_out = takes_out
        self.result_dtype = {}
        for number in range(TYPE_NUMBERS):
            self.result_type[number] = -1
        for char in "?bhilqBHILQfd":
            dtype = numpy.dtype(char)
            result = results.get("?" if char == "?" else f"{dtype.kind}{dtype.itemsize}")
            if result is not None:
                self.result_type[dtype.num] = result.num
                self.result_element[dtype.num] = _element[result.num]
                self.result_size[dtype.num] = result.itemsize
                self.result_dtype[dtype.num] = result

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None, out = None
        cdef Py_ssize_t given = len(args)
        cdef bint keepdims = False
        if 1 <= given <= self.positional:
            if given == 2:
                axis = args[1]
            for key, value in kwargs.items():
                if key == "axis" and given == 1:
                    axis = value
                elif key == "out" and self.takes_out:
                    out = value
                elif key == "keepdims" and (value is True or value is False):
                    keepdims = value
                else:
                    return self.general(*args, **kwargs)
            result = self._run(args[0], axis, keepdims, out)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef bint _reduce(self, cnp.ndarray array, int number, uint64_t reduced, void* out,
                      const int64_t* out_strides) except -1:
        cdef const void* data = cnp.PyArray_DATA(array)
        cdef int axes = cnp.PyArray_NDIM(array)
        cdef const int64_t* shape = <const int64_t*>cnp.PyArray_DIMS(array)
        cdef const int64_t* strides = <const int64_t*>cnp.PyArray_STRIDES(array)
        cdef DType element = <DType>_element[number], result = <DType>self.result_element[number]
        cdef ReducerId reducer = <ReducerId>self.reducer
        cdef Finish finish = <Finish>self.finish
        cdef bint done
        if cnp.PyArray_SIZE(array) <= SMALL:
            done = reduce_fast(data, axes, shape, strides, element, reduced, out, out_strides, result,
                               reducer, finish, self.component, 0.0)
        else:
            with nogil:
                done = reduce_fast(data, axes, shape, strides, element, reduced, out, out_strides,
                                   result, reducer, finish, self.component, 0.0)
        return done

    cdef bint _doubtful(self, cnp.ndarray array, int64_t scalar, int number):
        if self.component > 0:
            return cnp.PyArray_NDIM(array) != 1 or _nan_at(array, scalar)
        return _not_finite(&scalar, self.result_type[number], 1)

    cdef object _run(self, object x, object axis, bint keepdims, object out):
        cdef cnp.ndarray array, target
        cdef int axes, i, kept = 0, number, chosen
        cdef uint64_t reduced
        cdef int64_t scalar = 0  # room for any element
        cdef cnp.npy_intp shape[MAX_AXES]
        cdef int64_t out_strides[MAX_AXES]
        cdef bint done
        if not cnp.PyArray_CheckExact(x):
            return NotImplemented
        array = x
        number = cnp.PyArray_TYPE(array)
        axes = cnp.PyArray_NDIM(array)
        if (number >= TYPE_NUMBERS or self.result_type[number] < 0 or PyArray_ISBYTESWAPPED(array)
                or axes == 0):
            return NotImplemented
        if axis is None:
            reduced = (<uint64_t>1 << axes) - 1 if axes < 64 else ~<uint64_t>0
        elif PyLong_CheckExact(axis):
            chosen = axis if -axes <= axis < axes else -axes - 1
            if chosen < -axes:
                return NotImplemented
            reduced = <uint64_t>1 << (chosen + axes if chosen < 0 else chosen)
        else:
            return NotImplemented
        for i in range(axes):
            if reduced >> i & 1:
                if keepdims:
                    shape[kept] = 1
                    kept += 1
                out_strides[i] = 0
            else:
                shape[kept] = cnp.PyArray_DIM(array, i)
                kept += 1
        if self.finite and kept > 0 and (self.component > 0 or cnp.PyArray_SIZE(array) > SMALL):
            return NotImplemented  # what is looked at twice must be small
        if out is None:
            if kept == 0:
                done = self._reduce(array, number, reduced, &scalar, out_strides)
                if not done or (self.finite and self._doubtful(array, scalar, number)):
                    return NotImplemented
                return PyArray_Scalar(&scalar, self.result_dtype[number], None)
            target = new_array(kept, shape, self.result_type[number], self.result_size[number])
        else:
            if not cnp.PyArray_CheckExact(out):
                return NotImplemented
            target = out
            if (cnp.PyArray_TYPE(target) != self.result_type[number] or PyArray_ISBYTESWAPPED(target)
                    or not cnp.PyArray_ISWRITEABLE(target) or cnp.PyArray_NDIM(target) != kept
                    or not cnp.PyArray_IS_C_CONTIGUOUS(target) or not cnp.PyArray_IS_C_CONTIGUOUS(array)
                    or not _apart(array, target) or cnp.PyArray_BYTES(array) == cnp.PyArray_BYTES(target)):
                return NotImplemented
            for i in range(kept):
                if cnp.PyArray_DIM(target, i) != shape[i]:
                    return NotImplemented
        kept = 0
        for i in range(axes):
            if reduced >> i & 1:
                kept += keepdims
            else:
                out_strides[i] = cnp.PyArray_STRIDE(target, kept)
                kept += 1
        done = self._reduce(array, number, reduced, cnp.PyArray_DATA(target), out_strides)
        if done and self.finite and _not_finite(cnp.PyArray_DATA(target), self.result_type[number],
                                               cnp.PyArray_SIZE(target)):
            return NotImplemented
        return target if done else NotImplemented
