# Layouts of arrays: what a call that is repeated is compared with.

DEF FAST_AXES = 8

cdef struct Layout:
    int axes
    int type
    int64_t shape[FAST_AXES]
    int64_t strides[FAST_AXES]


cdef bint _read_layout(cnp.ndarray array, Layout* layout) noexcept:
    cdef int axis
    layout.axes = cnp.PyArray_NDIM(array)
    layout.type = cnp.PyArray_TYPE(array)
    if layout.axes > FAST_AXES or PyArray_ISBYTESWAPPED(array):
        return False
    for axis in range(layout.axes):
        layout.shape[axis] = cnp.PyArray_DIM(array, axis)
        layout.strides[axis] = cnp.PyArray_STRIDE(array, axis)
    return True


cdef bint _has_layout(cnp.ndarray array, const Layout* layout) noexcept:
    cdef int axis
    if (cnp.PyArray_NDIM(array) != layout.axes or cnp.PyArray_TYPE(array) != layout.type
            or PyArray_ISBYTESWAPPED(array)):
        return False
    for axis in range(layout.axes):
        if (cnp.PyArray_DIM(array, axis) != layout.shape[axis]
                or cnp.PyArray_STRIDE(array, axis) != layout.strides[axis]):
            return False
    return True


cdef bint _bounds_apart(cnp.ndarray a, const Layout* layout, cnp.ndarray out, const Layout* to) noexcept:
    """Whether the memory between the first and the last byte of two arrays is disjoint."""
    cdef int64_t low[2]
    cdef int64_t high[2]
    cdef int64_t step
    cdef int axis
    low[0] = high[0] = <int64_t>cnp.PyArray_BYTES(a)
    low[1] = high[1] = <int64_t>cnp.PyArray_BYTES(out)
    for axis in range(layout.axes):
        step = (layout.shape[axis] - 1) * layout.strides[axis]
        if step < 0:
            low[0] += step
        else:
            high[0] += step
    for axis in range(to.axes):
        step = (to.shape[axis] - 1) * to.strides[axis]
        if step < 0:
            low[1] += step
        else:
            high[1] += step
    return (high[0] + cnp.PyArray_ITEMSIZE(a) <= low[1]) or (high[1] + cnp.PyArray_ITEMSIZE(out) <= low[0])
