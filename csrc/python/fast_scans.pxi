# Running sums and products.

cdef class ScanCall(Entry):
    """Fast entry of a running sum or product: one contiguous ndarray, one axis or all.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    scan : int
        The core's number of the scan.
    results : dict of str to dtype
        Element code to the dtype of the result; codes that are missing are not for the fast path.
    """
    cdef int scan
    cdef int result_type[TYPE_NUMBERS]  # NumPy type number of the result, -1: not here

    def __init__(self, general, scan, results):
        Entry.__init__(self, general)
        self.scan = scan
        for number in range(TYPE_NUMBERS):
            self.result_type[number] = -1
        for dtype, code in element_dtypes():
            result = results.get(code)
            if result is not None:
                self.result_type[dtype.num] = result.num

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None
        cdef Py_ssize_t given = len(args)
        if 1 <= given <= 2 and cnp.PyArray_CheckExact(args[0]):
            if given == 2:
                axis = args[1]
            for key, value in kwargs.items():
                if key == "axis" and given == 1:
                    axis = value
                else:
                    return self.general(*args, **kwargs)
            result = self._run(args[0], axis)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, object axis):
        cdef cnp.ndarray target
        cdef Scan s
        cdef int axes = cnp.PyArray_NDIM(array), number = cnp.PyArray_TYPE(array), result
        cdef cnp.npy_intp size = cnp.PyArray_SIZE(array), step
        if (number >= TYPE_NUMBERS or self.result_type[number] < 0 or PyArray_ISBYTESWAPPED(array)
                or axes == 0 or size == 0 or not cnp.PyArray_IS_C_CONTIGUOUS(array)):
            return NotImplemented
        result = self.result_type[number]
        if axis is None or axes == 1:
            if axis is not None and not (PyLong_CheckExact(axis) and -1 <= axis < 1):
                return NotImplemented
            target = new_array(1, &size, result, 4 if result == cnp.NPY_FLOAT else 8)
            step = cnp.PyArray_ITEMSIZE(array)
            s.axes = 1
            s.axis = 0
            s.shape = <const int64_t*>&size
            s.in_strides = <const int64_t*>&step
        else:
            if not PyLong_CheckExact(axis) or not -axes <= axis < axes:
                return NotImplemented
            target = new_array(axes, cnp.PyArray_DIMS(array), result,
                               4 if result == cnp.NPY_FLOAT else 8)
            s.axes = axes
            s.axis = axis if axis >= 0 else axis + axes
            s.shape = <const int64_t*>cnp.PyArray_DIMS(array)
            s.in_strides = <const int64_t*>cnp.PyArray_STRIDES(array)
        s.scan = <ScanId>self.scan
        s.input = cnp.PyArray_BYTES(array)
        s.in_type = <DType>_element[number]
        s.out = cnp.PyArray_BYTES(target)
        s.out_strides = <const int64_t*>cnp.PyArray_STRIDES(target)
        s.out_type = <DType>_element[result]
        if size < SMALL:
            run_scan(s)
        else:
            with nogil:
                run_scan(s)
        return target
