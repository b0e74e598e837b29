# Softmax and its logarithm.

cdef class SoftmaxCall(Entry):
    """Fast entry of softmax: one contiguous ndarray of native floats, one axis or all.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    logarithm : bool
        Whether it is the logarithm.
    """
    cdef bint logarithm

    def __init__(self, general, logarithm):
        Entry.__init__(self, general)
        self.logarithm = logarithm

    def __call__(self, *args, **kwargs):
        cdef object result, axis = None, out = None
        cdef Py_ssize_t given = len(args)
        if 1 <= given <= 3 and cnp.PyArray_CheckExact(args[0]):
            if given > 1:
                axis = args[1]
            if given > 2:
                out = args[2]
            for key, value in kwargs.items():
                if key == "axis" and given < 2:
                    axis = value
                elif key == "out" and given < 3:
                    out = value
                else:
                    return self.general(*args, **kwargs)
            result = self._run(args[0], axis, out)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, object axis, object out):
        cdef cnp.ndarray target
        cdef Softmax s
        cdef int axes = cnp.PyArray_NDIM(array), number = cnp.PyArray_TYPE(array), chosen
        cdef int64_t size = cnp.PyArray_SIZE(array), count = size
        if ((number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE) or PyArray_ISBYTESWAPPED(array)
                or axes == 0 or size == 0 or not cnp.PyArray_IS_C_CONTIGUOUS(array)):
            return NotImplemented
        if axis is None:
            s.reduced = (<uint64_t>1 << axes) - 1 if axes < 64 else ~<uint64_t>0
        elif PyLong_CheckExact(axis) and -axes <= axis < axes:
            chosen = axis
            chosen = chosen + axes if chosen < 0 else chosen
            s.reduced = <uint64_t>1 << chosen
            count = cnp.PyArray_DIM(array, chosen)
        else:
            return NotImplemented
        if not softmax_by_line(count, size):
            return NotImplemented
        if out is None:
            target = new_array(axes, cnp.PyArray_DIMS(array), number, cnp.PyArray_ITEMSIZE(array))
        elif not cnp.PyArray_CheckExact(out):
            return NotImplemented
        else:
            target = out
            if (cnp.PyArray_TYPE(target) != number or PyArray_ISBYTESWAPPED(target)
                    or not cnp.PyArray_SAMESHAPE(array, target) or not cnp.PyArray_ISCARRAY(target)
                    or not _apart(array, target)):
                return NotImplemented
        s.axes = axes
        s.shape = <const int64_t*>cnp.PyArray_DIMS(array)
        s.input = cnp.PyArray_BYTES(array)
        s.in_strides = <const int64_t*>cnp.PyArray_STRIDES(array)
        s.out = cnp.PyArray_BYTES(target)
        s.out_strides = <const int64_t*>cnp.PyArray_STRIDES(target)
        s.dtype = <DType>_element[number]
        s.logarithm = self.logarithm
        if size < SMALL:
            softmax(s)
        else:
            with nogil:
                softmax(s)
        return target
