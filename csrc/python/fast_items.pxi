# A fused function over the items of lists: those laid out alike wait for each other, and run in one loop.

cdef bint _alike(object operand, cnp.ndarray first) noexcept:
    """Whether an array has the type, shape and strides of the first one."""
    cdef cnp.ndarray array
    cdef int axis
    if not cnp.PyArray_CheckExact(operand):
        return False
    array = operand
    if (cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(first) or PyArray_ISBYTESWAPPED(array)
            or cnp.PyArray_NDIM(array) != cnp.PyArray_NDIM(first)):
        return False
    for axis in range(cnp.PyArray_NDIM(array)):
        if (cnp.PyArray_DIM(array, axis) != cnp.PyArray_DIM(first, axis)
                or cnp.PyArray_STRIDE(array, axis) != cnp.PyArray_STRIDE(first, axis)):
            return False
    return True


@cython.final
cdef class ItemLoop:
    """Calls of a program that were asked for and have not run yet, all of one layout.

    Their results are arrays of their own: views of one block take 58 ns each instead of 82, and keep all
    of it as long as one of them is there.

    Arrays are kept alive by the lists that they are in, and by `kept`: so no list may change.
    """
    cdef FastCall call
    cdef ProgramCall function
    cdef FastProgram fast
    cdef FastScalars scalars          # None: every argument is an array
    cdef list arguments               # of each input: a list with one for each item, or the array for all
    cdef int kinds[MAX_OPERANDS]
    cdef bint walked[MAX_OPERANDS]
    cdef CallLayout layout
    cdef cnp.ndarray target           # the first one's result, or None: nothing waits
    cdef tuple first                  # its inputs
    cdef list kept                    # arrays made of numbers
    cdef vector[char*] data           # of each call: the output's, then the inputs'
    cdef bint fresh                   # results are new arrays
    cdef unsigned in_place            # bit k: the output is in the place of input k
    cdef bint any_taken
    cdef Py_ssize_t last              # item that waits

    cdef bint begin(self, ProgramCall function, FastCall call, list arguments, tuple walked):
        """Take a `FastProgram` or `FastScalars`; False where it is not for such arguments."""
        cdef int k, place
        self.function, self.call, self.kept, self.arguments = function, call, [], []
        if isinstance(call, FastProgram):
            self.fast, self.scalars = call, None
        else:
            self.scalars = call
            self.fast = self.scalars.fast
        if self.fast.outputs != 1 or len(arguments) != (
                self.fast.inputs if self.scalars is None else self.scalars.arguments):
            return False
        for k in range(self.fast.inputs):
            place = k if self.scalars is None else self.scalars.places[k]
            self.kinds[k] = FROM_ARRAY if self.scalars is None else self.scalars.kinds[k]
            self.walked[k] = walked[place]
            operand = arguments[place]
            if self.kinds[k] != FROM_ARRAY and not self.walked[k]:
                operand = self.scalars.converted(k, operand)
                if operand is None:
                    return False
            self.arguments.append(operand)
        return True

    cdef object taken(self, Py_ssize_t item, object out):
        """Result of a call, to be computed by `flush`; None where the general call must see to it."""
        cdef PyObject* inputs[MAX_OPERANDS]
        cdef int k
        cdef list made = None
        for k in range(self.fast.inputs):
            operand = <object>PyList_GET_ITEM(self.arguments, k)
            if self.walked[k]:
                operand = <object>PyList_GET_ITEM(operand, item)
                if self.kinds[k] != FROM_ARRAY:
                    operand = self.scalars.converted(k, operand)
                    if operand is None:
                        return None
                    if made is None:
                        made = []
                    made.append(operand)
            inputs[k] = <PyObject*>operand
        result = None
        if self.target is not None:
            result = self.added(inputs, out)
            if result is None:
                self.flush()
        if result is None:
            result = self.opened(inputs, out)
        self.last = item
        if made is not None:
            self.kept += made
        return result

    cdef object added(self, PyObject* const* inputs, object out):
        """The result of one more call laid out as those that wait; None of another one."""
        cdef int k
        cdef cnp.ndarray array, target
        cdef unsigned in_place = 0
        if self.fresh != (out is None):
            return None
        for k in range(self.fast.inputs):
            if not _alike(<object>inputs[k], <cnp.ndarray>PyTuple_GET_ITEM(self.first, k)):
                return None
        if out is None:
            target = new_array(self.layout.axes, <cnp.npy_intp*>self.layout.extents, self.fast.types[0],
                               self.fast.itemsizes[0])
        else:
            if not _alike(out, self.target) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out):
                return None
            target = out
            for k in range(self.fast.inputs):
                array = <object>inputs[k]
                if not _apart(array, target):
                    return None
                in_place |= <unsigned>(cnp.PyArray_DATA(array) == cnp.PyArray_DATA(target)) << k
            if in_place != self.in_place:
                return None
        self.data.push_back(cnp.PyArray_BYTES(target))
        for k in range(self.fast.inputs):
            self.data.push_back(cnp.PyArray_BYTES(<cnp.ndarray>inputs[k]))
        return target

    cdef object opened(self, PyObject* const* inputs, object out):
        """The result of the first call of its layout."""
        cdef int k
        cdef tuple first
        target = _laid_out(self.fast, inputs, out, &self.layout)
        if target is NotImplemented:
            return None
        first = PyTuple_New(self.fast.inputs)
        self.in_place = 0
        for k in range(1 + self.fast.inputs):
            self.data.push_back(self.layout.data[k])
            if k == 0:
                continue
            operand = <object>inputs[k - 1]
            Py_INCREF(operand)
            PyTuple_SET_ITEM(first, k - 1, operand)
            self.in_place |= <unsigned>(self.layout.data[k] == self.layout.data[0]) << (k - 1)
        self.first, self.target, self.fresh, self.any_taken = first, target, out is None, True
        return target

    cdef int flush(self) except -1:
        """Run what waits, in its order."""
        cdef ProgramOperand operands[MAX_OPERANDS]
        cdef int k, count = 1 + self.fast.inputs
        cdef int64_t items = <int64_t>(self.data.size()) // count
        cdef const Program* program = self.fast.program
        cdef unsigned errors
        if self.target is None:
            return 0
        self.target = None
        for k in range(count):
            set_operand(operands[k], self.layout.data[k], self.layout.strides[k], False)
        if items * self.layout.size <= SMALL:
            errors = run_program_items(program, self.layout.axes, self.layout.extents, operands, count,
                                       self.data.data(), items, self.fresh)
        else:
            with nogil:
                errors = run_program_items(program, self.layout.axes, self.layout.extents, operands, count,
                                           self.data.data(), items, self.fresh)
        try:
            if errors and self.fast.source is not None:
                self.report(errors, items, count)
        finally:
            self.data.clear()
            self.kept.clear()
        return 0

    cdef int report(self, unsigned errors, int64_t items, int count) except -1:
        """Have each item looked at that may have floating-point errors."""
        cdef int64_t item
        cdef int k
        cdef list arrays
        for item in range(items):
            arrays = []
            for k in range(count):
                arrays.append(cnp.PyArray_New(
                    numpy.ndarray, self.layout.axes, <cnp.npy_intp*>self.layout.extents, self.fast.types[k],
                    <cnp.npy_intp*>self.layout.strides[k], self.data[item * count + k], 0,
                    cnp.NPY_ARRAY_WRITEABLE if k == 0 else 0, None))
            try:
                _report(self.fast.source, arrays[1:], arrays[:1], errors, (<object>self.function)._label,
                        items == 1)
            except Exception as error:
                error.add_note(f"{(<object>self.function)._label}.map: item {self.last - items + 1 + item}")
                raise
        return 0


def map_items(ProgramCall function, general, list arguments, tuple walked, Py_ssize_t count, outs):
    """Call a fused function on each item.

    Parameters
    ----------
    function : ProgramCall
    general : callable
        Does the call on item number i in any case.
    arguments : list
        Of the function: those `walked` are lists of `count`, which nobody else has.
    walked : tuple of bool
    outs : list or None
        An array for each result, or None for a new one.

    Returns
    -------
    list
    """
    cdef ItemLoop loop = None
    cdef FastCall call
    cdef Py_ssize_t item
    cdef list results = []
    cdef object out = None
    for item in range(count):
        if loop is None or not loop.any_taken:
            call = function._fast
            if loop is None or call is not loop.call:
                loop = None
                if isinstance(call, (FastProgram, FastScalars)) and call.holds():
                    loop = ItemLoop()
                    if not loop.begin(function, call, arguments, walked):
                        loop = None
        if outs is not None:
            out = outs[item]
        result = None
        if loop is not None:
            result = loop.taken(item, out)
        if result is None:
            if loop is not None:
                loop.flush()
            result = general(item)
            if loop is not None and not loop.call.holds():
                loop = None
        results.append(result)
    if loop is not None:
        loop.flush()
    return results
