# Segments and groups.

cdef enum:
    MOST_PARTS = 4096  # of a small array; more of them are no matter of a microsecond

cdef class PartsEntry(Entry):
    """Fast entry of `segment_reduce` or `group_reduce`: a small exact ndarray, no output given.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    groups : bool
        Whether the parts are groups, and not segments.
    operations : dict of str to dict
        By name and element code, what an operation runs: reducer, element type, finish, component,
        dtype of the result, and whether an empty part is for the general function.
    """
    cdef bint groups
    cdef dict operations  # by name, and number of the NumPy type

    def __init__(self, general, groups, operations):
        Entry.__init__(self, general)
        self.groups = groups
        numbers = {code: dtype.num for dtype, code in element_dtypes()}
        self.operations = {
            name: {
                numbers[code]: (reducer, _element[numbers[element]], finish, component, result.num, all_needed)
                for code, (reducer, element, finish, component, result, all_needed) in rows.items()
            }
            for name, rows in operations.items()
        }

    def __call__(self, *args, **kwargs):
        cdef object result, axis = 0, op = "sum", stops = None, count = None
        cdef Py_ssize_t given = len(args)
        # Where the operation comes: after the stops, or before the number of groups.
        cdef Py_ssize_t named = 2 if self.groups else 3
        if (2 <= given <= 4 and cnp.PyArray_CheckExact(args[0]) and cnp.PyArray_CheckExact(args[1])):
            if given > named:
                op = args[named]
            if self.groups and given == 4:
                count = args[3]
            if not self.groups and given > 2:
                stops = args[2]
            for key, value in kwargs.items():
                if key == "axis":
                    axis = value
                elif key == "op" and given <= named:
                    op = value
                elif key == "num_groups" and self.groups and given < 4:
                    count = value
                elif key == "stops" and not self.groups and given == 2:
                    stops = value
                else:
                    return self.general(*args, **kwargs)
            if type(op) is str and PyLong_CheckExact(axis):
                result = self._run(args[0], args[1], stops, count, axis, self.operations.get(op))
                if result is not NotImplemented:
                    return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, cnp.ndarray parts, object stops, object num_groups, object axis,
                     object operation):
        cdef cnp.ndarray target
        cdef PartsCall call
        cdef ValueArray labels
        cdef int axes = cnp.PyArray_NDIM(array), number = cnp.PyArray_TYPE(array), i, result
        cdef int part_type = cnp.PyArray_TYPE(parts)
        cdef int64_t count
        cdef cnp.npy_intp shape[MAX_AXES]
        cdef const int64_t* ends = NULL
        if (operation is None or number >= TYPE_NUMBERS or _element[number] < 0 or PyArray_ISBYTESWAPPED(array)
                or not 0 < cnp.PyArray_SIZE(array) <= SMALL or not -axes <= axis < axes
                or cnp.PyArray_NDIM(parts) != 1 or PyArray_ISBYTESWAPPED(parts)):
            return NotImplemented
        row = (<dict>operation).get(number)
        if row is None:
            return NotImplemented
        call.axis = axis if axis >= 0 else axis + axes
        if self.groups:
            if (part_type >= TYPE_NUMBERS or part_type == cnp.NPY_BOOL or _element[part_type] < 0
                    or cnp.PyArray_DIM(parts, 0) != cnp.PyArray_DIM(array, call.axis)):
                return NotImplemented
            labels.data = cnp.PyArray_BYTES(parts)
            labels.size = cnp.PyArray_DIM(parts, 0)
            labels.stride = cnp.PyArray_STRIDE(parts, 0)
            labels.dtype = <DType>_element[part_type]
            if num_groups is None:
                if not largest_value(labels, count) or count >= MOST_PARTS:
                    return NotImplemented
                count += 1
            elif PyLong_CheckExact(num_groups) and 1 <= num_groups <= MOST_PARTS:
                count = num_groups
            else:
                return NotImplemented
        else:
            if part_type != cnp.NPY_INT64 or not cnp.PyArray_IS_C_CONTIGUOUS(parts):
                return NotImplemented
            count = cnp.PyArray_DIM(parts, 0)
            if not 0 < count <= MOST_PARTS:
                return NotImplemented
            if stops is not None:
                if (not cnp.PyArray_CheckExact(stops) or cnp.PyArray_TYPE(stops) != cnp.NPY_INT64
                        or cnp.PyArray_NDIM(stops) != 1 or cnp.PyArray_DIM(stops, 0) != count
                        or PyArray_ISBYTESWAPPED(stops) or not cnp.PyArray_IS_C_CONTIGUOUS(stops)):
                    return NotImplemented
                ends = <const int64_t*>cnp.PyArray_DATA(stops)
        result = row[4]
        for i in range(axes):
            shape[i] = cnp.PyArray_DIM(array, i)
        shape[call.axis] = count
        target = cnp.PyArray_SimpleNew(axes, shape, result)
        call.data = cnp.PyArray_BYTES(array)
        call.axes = axes
        call.shape = <const int64_t*>cnp.PyArray_DIMS(array)
        call.strides = <const int64_t*>cnp.PyArray_STRIDES(array)
        call.dtype = <DType>_element[number]
        call.reducer = <ReducerId><int>row[0]
        call.element = <DType><int>row[1]
        call.finish = <Finish><int>row[2]
        call.component = row[3]
        call.result = <DType>_element[result]
        call.out = cnp.PyArray_BYTES(target)
        call.out_strides = <const int64_t*>cnp.PyArray_STRIDES(target)
        call.all_needed = row[5]
        if self.groups:
            if groups_fast(call, count, labels.data, labels.dtype, &labels.stride):
                return target
        elif segments_fast(call, count, <const int64_t*>cnp.PyArray_DATA(parts), ends):
            return target
        return NotImplemented
