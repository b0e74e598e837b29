# Reductions of a moving window.

cdef class WindowCall(Entry):
    """Fast entry of `move_reduce`: one contiguous exact ndarray, no output given.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    operations : dict of str to int
        Names of the operations, and the core's numbers of them.
    """
    cdef dict operations

    def __init__(self, general, operations):
        Entry.__init__(self, general)
        self.operations = operations

    def __call__(self, *args, **kwargs):
        cdef object result, least = None, axis = -1, ddof = 0, number
        cdef Py_ssize_t given = len(args)
        if (3 <= given <= 5 and cnp.PyArray_CheckExact(args[0]) and PyLong_CheckExact(args[1])
                and type(args[2]) is str):
            if given > 3:
                least = args[3]
            if given > 4:
                axis = args[4]
            for key, value in kwargs.items():
                if key == "min_count" and given < 4:
                    least = value
                elif key == "axis" and given < 5:
                    axis = value
                elif key == "ddof" and args[2] in ("var", "std"):
                    ddof = value
                else:
                    return self.general(*args, **kwargs)
            number = self.operations.get(args[2])
            if least is None:
                least = args[1]
            if (number is not None and PyLong_CheckExact(least) and PyLong_CheckExact(axis)
                    and (PyLong_CheckExact(ddof) or PyFloat_CheckExact(ddof)) and abs(ddof) < 1e15):
                result = self._run(args[0], args[1], number, least, axis, ddof)
                if result is not NotImplemented:
                    return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, object window, int operation, object least, object axis,
                     double ddof):
        cdef cnp.ndarray target
        cdef WindowReduction r
        cdef int axes = cnp.PyArray_NDIM(array), number = cnp.PyArray_TYPE(array), result
        if (number >= TYPE_NUMBERS or _element[number] < 0 or PyArray_ISBYTESWAPPED(array)
                or cnp.PyArray_SIZE(array) == 0 or not cnp.PyArray_IS_C_CONTIGUOUS(array)
                or not -axes <= axis < axes):
            return NotImplemented
        r.axis = axis if axis >= 0 else axis + axes
        if not 1 <= window <= cnp.PyArray_DIM(array, r.axis) or not 1 <= least <= window:
            return NotImplemented
        result = cnp.NPY_FLOAT if number == cnp.NPY_FLOAT else cnp.NPY_DOUBLE
        target = new_array(axes, cnp.PyArray_DIMS(array), result, 4 if result == cnp.NPY_FLOAT else 8)
        r.op = <WindowOp>operation
        r.x = cnp.PyArray_BYTES(array)
        r.dtype = <DType>_element[number]
        r.out = cnp.PyArray_BYTES(target)
        r.result = <DType>_element[result]
        r.axes = axes
        r.shape = <const int64_t*>cnp.PyArray_DIMS(array)
        r.strides = <const int64_t*>cnp.PyArray_STRIDES(array)
        r.out_strides = <const int64_t*>cnp.PyArray_STRIDES(target)
        r.window = window
        r.min_count = least
        r.ddof = ddof
        if cnp.PyArray_SIZE(array) < SMALL:
            move_reduce(r, active_tier())
        else:
            with nogil:
                move_reduce(r, active_tier())
        return target
