# Reductions of one array over one axis or all.

cdef enum:
    TYPE_NUMBERS = 24  # NumPy's own, '?' to 'V' and 'e'
    SEVERAL = 2048     # up to so many elements, several reads cost less than the general way's one
    MOST_PLANS = 256

# NumPy type number to the core's DType, -1 where there is none; filled from the catalogue.
cdef int _element[TYPE_NUMBERS]


def element_dtypes():
    """Each of NumPy's dtypes that the core has, with its element code; some are the same under two names."""
    for char in "?bhilqBHILQfd":
        dtype = numpy.dtype(char)
        yield dtype, "?" if char == "?" else f"{dtype.kind}{dtype.itemsize}"


def set_element_types(codes):
    """Say in which order the core has its element types: their codes."""
    for number in range(TYPE_NUMBERS):
        _element[number] = -1
    for dtype, code in element_dtypes():
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
    takes_out, takes_ddof : bool
        Whether the function has a parameter of that name.
    results : dict of str to dtype
        Element code to the dtype of the result; codes that are missing are not for the fast path.
    """
    cdef int reducer, finish, component
    cdef bint finite, takes_out, takes_ddof
    cdef Py_ssize_t positional
    cdef str selector                      # parameter after the array that chooses among `variants`
    cdef dict variants                     # its value to the entry of that reducer
    cdef int result_type[TYPE_NUMBERS]     # NumPy type number of the result, -1: not here
    cdef int result_element[TYPE_NUMBERS]
    cdef Py_ssize_t result_size[TYPE_NUMBERS]
    cdef object result_dtype               # NumPy type number to dtype

    def __init__(self, general, reducer, finish, component, results, finite, positional,
                 takes_out, takes_ddof):
        Entry.__init__(self, general)
        self.reducer = reducer
        self.finish = finish
        self.component = component
        self.finite = finite
        self.positional = positional
        self.takes_out = takes_out
        self.takes_ddof = takes_ddof
        self.selector = None
        self.variants = None
        self.result_dtype = {}
        for number in range(TYPE_NUMBERS):
            self.result_type[number] = -1
        for dtype, code in element_dtypes():
            result = results.get(code)
            if result is not None:
                self.result_type[dtype.num] = result.num
                self.result_element[dtype.num] = _element[result.num]
                self.result_size[dtype.num] = result.itemsize
                self.result_dtype[dtype.num] = result

    def choose(self, selector, variants):
        """Let the parameter `selector`, the second one, choose the entry by its value; None is this one."""
        self.selector = selector
        self.variants = variants

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None, out = None, choice = None
        cdef ReductionCall chosen = self
        cdef Py_ssize_t given = len(args), before = 1 if self.selector is None else 2
        cdef bint keepdims = False
        cdef double ddof = 0.0
        if 1 <= given <= before or given == before + 1 == self.positional:
            if given > before:
                axis = args[before]
            if before == 2 and given > 1:
                choice = args[1]
            for key, value in kwargs.items():
                if key == "axis" and given <= before:
                    axis = value
                elif key == "out" and self.takes_out:
                    out = value
                elif key == "keepdims" and (value is True or value is False):
                    keepdims = value
                elif key == "ddof" and self.takes_ddof and type(value) in (int, float) and abs(value) < 1e15:
                    ddof = value
                elif key == self.selector and given == 1:
                    choice = value
                else:
                    return self.general(*args, **kwargs)
            if choice is not None:
                if type(choice) not in (int, float) or choice not in self.variants:
                    return self.general(*args, **kwargs)
                chosen = self.variants[choice]
            result = chosen._run(args[0], axis, keepdims, out, ddof)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef bint _reduce(self, cnp.ndarray array, int number, uint64_t reduced, void* out,
                      const int64_t* out_strides, double ddof) except -1:
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
                               reducer, finish, self.component, ddof)
        else:
            with nogil:
                done = reduce_fast(data, axes, shape, strides, element, reduced, out, out_strides,
                                   result, reducer, finish, self.component, ddof)
        return done

    cdef bint _doubtful(self, cnp.ndarray array, int64_t scalar, int number):
        if self.component > 0:
            return cnp.PyArray_NDIM(array) != 1 or _nan_at(array, scalar)
        return _not_finite(&scalar, self.result_type[number], 1)

    cdef object _run(self, object x, object axis, bint keepdims, object out, double ddof):
        cdef cnp.ndarray array, target
        cdef int axes, i, kept = 0, number, chosen
        cdef uint64_t reduced
        cdef int64_t scalar = 0  # room for any element
        cdef double count = 1
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
                count *= <double>cnp.PyArray_DIM(array, i)
                if keepdims:
                    shape[kept] = 1
                    kept += 1
                out_strides[i] = 0
            else:
                shape[kept] = cnp.PyArray_DIM(array, i)
                kept += 1
        if ddof != 0 and not count > ddof:
            return NotImplemented  # no degree of freedom: there is a warning
        if self.finite and kept > 0 and (self.component > 0 or cnp.PyArray_SIZE(array) > SMALL):
            return NotImplemented  # what is looked at twice must be small
        if out is None:
            if kept == 0:
                done = self._reduce(array, number, reduced, &scalar, out_strides, ddof)
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
        done = self._reduce(array, number, reduced, cnp.PyArray_DATA(target), out_strides, ddof)
        if done and self.finite and _not_finite(cnp.PyArray_DATA(target), self.result_type[number],
                                               cnp.PyArray_SIZE(target)):
            return NotImplemented
        return target if done else NotImplemented


cdef class AverageCall(Entry):
    """Fast entry of `average`: a mean, or weights of the type and shape of an array of one axis.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    mean : ReductionCall
        What an average without weights is.
    """
    cdef ReductionCall mean

    def __init__(self, general, mean):
        Entry.__init__(self, general)
        self.mean = mean

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None, weights = None
        cdef Py_ssize_t given = len(args)
        cdef bint keepdims = False
        if 1 <= given <= 3 and cnp.PyArray_CheckExact(args[0]):
            if given > 1:
                axis = args[1]
            if given > 2:
                weights = args[2]
            for key, value in kwargs.items():
                if key == "axis" and given < 2:
                    axis = value
                elif key == "weights" and given < 3:
                    weights = value
                elif key == "keepdims" and (value is True or value is False):
                    keepdims = value
                elif key != "returned" or value is not False:
                    return self.general(*args, **kwargs)
            if weights is None:
                result = self.mean._run(args[0], axis, keepdims, None, 0.0)
            elif keepdims or not cnp.PyArray_CheckExact(weights):
                result = NotImplemented
            else:
                result = self._weighted(args[0], axis, weights)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _weighted(self, cnp.ndarray array, object axis, cnp.ndarray weights):
        cdef WeightedSum s
        cdef int number = cnp.PyArray_TYPE(array)
        cdef int64_t none = 0
        cdef double total = 0, product = 0
        cdef float single
        if ((number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE) or cnp.PyArray_TYPE(weights) != number
                or PyArray_ISBYTESWAPPED(array) or PyArray_ISBYTESWAPPED(weights)
                or cnp.PyArray_NDIM(array) != 1 or cnp.PyArray_NDIM(weights) != 1
                or cnp.PyArray_SIZE(weights) != cnp.PyArray_SIZE(array)
                or not 0 < cnp.PyArray_SIZE(array) <= SMALL
                or not (axis is None or (PyLong_CheckExact(axis) and -1 <= axis < 1))):
            return NotImplemented
        s.axes = 1
        s.shape = <const int64_t*>cnp.PyArray_DIMS(array)
        s.reduced = 1
        s.values.data = cnp.PyArray_BYTES(array)
        s.values.dtype = <DType>_element[number]
        s.values.strides = <const int64_t*>cnp.PyArray_STRIDES(array)
        s.weights.data = cnp.PyArray_BYTES(weights)
        s.weights.dtype = <DType>_element[number]
        s.weights.strides = <const int64_t*>cnp.PyArray_STRIDES(weights)
        s.sums = <char*>&product
        s.sum_strides = &none
        s.totals = <char*>&total
        s.total_strides = &none
        weighted_sum(s)
        if total == 0:
            return NotImplemented
        product /= total
        if number == cnp.NPY_DOUBLE:
            return PyArray_Scalar(&product, self.mean.result_dtype[number], None)
        single = <float>product
        return PyArray_Scalar(&single, self.mean.result_dtype[number], None)


cdef class SeveralCall(Entry):
    """Fast entry of several reductions of one small array: a named tuple of what each gives.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    plan : callable
        From the value of the parameter `key` to the type of the result and the entries of its fields, or
        None where the general function must be asked.
    key : str or None
        The parameter after the array, where there is one before the axis.
    default : object
        Value of the key where it is not given.
    """
    cdef object plan, key, default
    cdef dict plans

    def __init__(self, general, plan, key, default):
        Entry.__init__(self, general)
        self.plan = plan
        self.key = key
        self.default = default
        self.plans = {}

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None, chosen = self.default
        cdef Py_ssize_t given = len(args), before = 1 if self.key is None else 2
        cdef bint keepdims = False
        if 1 <= given <= before + 1 and cnp.PyArray_CheckExact(args[0]):
            if given > before:
                axis = args[before]
            if before == 2 and given > 1:
                chosen = args[1]
            for key, value in kwargs.items():
                if key == "axis" and given <= before:
                    axis = value
                elif key == "keepdims" and (value is True or value is False):
                    keepdims = value
                elif before == 2 and given == 1 and key == self.key:
                    chosen = value
                else:
                    return self.general(*args, **kwargs)
            if cnp.PyArray_SIZE(args[0]) <= SEVERAL:
                result = self._run(args[0], chosen, axis, keepdims)
                if result is not NotImplemented:
                    return result
        return self.general(*args, **kwargs)

    cdef object _run(self, object x, object chosen, object axis, bint keepdims):
        cdef tuple parts
        cdef object kind, found
        cdef Py_ssize_t i
        if type(chosen) is list:
            chosen = tuple(chosen)
        if chosen is not None and type(chosen) not in (str, tuple, int):
            return NotImplemented  # 2.0 and True are equal to plans, but no orders
        try:
            planned = self.plans.get(chosen)
        except TypeError:  # not hashable: no name
            return NotImplemented
        if planned is None:
            planned = self.plan(chosen)
            if planned is None or not all(isinstance(part, ReductionCall) for part in planned[1]):
                return NotImplemented
            if len(self.plans) >= MOST_PLANS:
                self.plans.clear()
            self.plans[chosen] = planned
        kind, parts = planned
        results = PyTuple_New(len(parts))
        for i in range(len(parts)):
            found = (<ReductionCall>parts[i])._run(x, axis, keepdims, None, 0.0)
            if found is NotImplemented:
                return NotImplemented
            Py_INCREF(found)
            PyTuple_SET_ITEM(results, i, found)
        return named_tuple(kind, results)
