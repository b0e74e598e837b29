# Programs: run over arrays, and calls that repeat one.

def run(program, inputs, outputs, shape):
    """Run `program` (a `_core.Program`) over `shape`; the element types must be the program's.

    `inputs` and `outputs` are sequences of ndarrays that broadcast to `shape` (an output with a trailing
    axis of 1 takes a row value). Outputs overlapping inputs is the caller's matter.
    """
    cdef const Program* compiled = program_at(program.address)
    cdef int64_t extents[MAX_AXES]
    cdef int64_t strides[MAX_OPERANDS][MAX_AXES]
    cdef ProgramOperand operands[MAX_OPERANDS]
    cdef int axes = len(shape), count = 0, axis
    cdef cnp.ndarray array
    if len(outputs) != compiled.outputs() or len(inputs) != compiled.inputs():
        raise ValueError("ufuse: the program takes another number of operands")
    for axis in range(axes):
        extents[axis] = shape[axis]
    for operand in (*outputs, *inputs):
        array = operand
        _broadcast_strides(array, axes, extents, strides[count])
        set_operand(operands[count], cnp.PyArray_BYTES(array), strides[count], PyArray_ISBYTESWAPPED(array))
        count += 1
    with nogil:
        run_program(compiled, axes, extents, operands, count)


cdef class FastCall:
    """What repeats the last call of a fused function."""
    cdef tuple guards                 # (globals or cell, name, value): what the trace has seen there

    cdef object run(self, tuple args, object out):
        """Result, or NotImplemented where the general call must see to it."""
        return NotImplemented

    cdef bint holds(self):
        cdef tuple guard
        for guard in self.guards:
            if guard[1] is None:
                try:
                    if guard[0].cell_contents is not guard[2]:
                        return False
                except ValueError:  # no longer assigned
                    return False
            elif (<dict>guard[0]).get(guard[1]) is not guard[2]:
                return False
        return True


@cython.final
cdef class FastProgram(FastCall):
    """A compiled program with the argument types it was compiled for: what a fast call is checked against."""
    cdef object owner
    cdef const Program* program
    cdef int inputs, outputs
    cdef int types[MAX_OPERANDS]      # NumPy type numbers: outputs, then inputs
    cdef Py_ssize_t itemsizes[MAX_OPERANDS]
    cdef int axes[MAX_OPERANDS]       # of each input; LinearCall does not look

    def __cinit__(self, program, output_dtypes, input_dtypes, input_axes):
        cdef int k = 0
        self.owner = program
        self.guards = ()
        self.program = program_at(program.address)
        self.outputs = len(output_dtypes)
        self.inputs = len(input_dtypes)
        if self.outputs + self.inputs > MAX_OPERANDS:
            raise ValueError(f"ufuse: more than {MAX_OPERANDS} operands")
        for dtype in (*output_dtypes, *input_dtypes):
            self.types[k] = dtype.num
            self.itemsizes[k] = dtype.itemsize
            k += 1
        for k in range(self.inputs):
            self.axes[k] = input_axes[k]

    def guarded(self, guards):
        """A copy that holds only while each variable of `guards` is bound to the same object.

        `guards` are tuples (globals, name, value) or (cell, None, value).
        """
        cdef FastProgram copy = FastProgram.__new__(FastProgram, self.owner, (), (), ())
        cdef int k
        copy.inputs, copy.outputs = self.inputs, self.outputs
        for k in range(self.inputs + self.outputs):
            copy.types[k], copy.itemsizes[k] = self.types[k], self.itemsizes[k]
        for k in range(self.inputs):
            copy.axes[k] = self.axes[k]
        copy.guards = tuple(guards)
        return copy

    cdef object run(self, tuple args, object out):
        return _run_fast(self, args, out)


cdef object _run_fast(FastProgram fast, tuple args, object out):
    """Result of the fast path, or NotImplemented where the general one must see to it."""
    cdef int64_t extents[MAX_AXES]
    cdef int64_t strides[MAX_OPERANDS][MAX_AXES]
    cdef ProgramOperand operands[MAX_OPERANDS]
    cdef int axes = 0, k, axis, missing
    cdef int64_t size = 1, extent
    cdef cnp.ndarray array, target
    if len(args) != fast.inputs or fast.outputs != 1:
        return NotImplemented
    for k in range(fast.inputs):
        operand = args[k]
        if not cnp.PyArray_CheckExact(operand):
            return NotImplemented
        array = operand
        if (cnp.PyArray_TYPE(array) != fast.types[1 + k] or PyArray_ISBYTESWAPPED(array)
                or cnp.PyArray_NDIM(array) != fast.axes[k]):
            return NotImplemented
        axes = max(axes, cnp.PyArray_NDIM(array))
    if axes == 0:
        return NotImplemented  # a NumPy scalar comes back
    for axis in range(axes):
        extents[axis] = 1
    for k in range(fast.inputs):
        array = args[k]
        missing = axes - cnp.PyArray_NDIM(array)
        for axis in range(missing, axes):
            extent = cnp.PyArray_DIM(array, axis - missing)
            if extent != extents[axis]:
                if extents[axis] == 1:
                    extents[axis] = extent
                elif extent != 1:
                    return NotImplemented
    for axis in range(axes):
        size *= extents[axis]
    if out is None:
        target = new_array(axes, <cnp.npy_intp*>extents, fast.types[0], fast.itemsizes[0])
    else:
        if not cnp.PyArray_CheckExact(out):
            return NotImplemented
        target = out
        if (cnp.PyArray_TYPE(target) != fast.types[0] or PyArray_ISBYTESWAPPED(target)
                or not cnp.PyArray_ISWRITEABLE(target) or cnp.PyArray_NDIM(target) != axes
                or not cnp.PyArray_IS_C_CONTIGUOUS(target)):
            return NotImplemented
        for axis in range(axes):
            if cnp.PyArray_DIM(target, axis) != extents[axis]:
                return NotImplemented
        for k in range(fast.inputs):
            array = args[k]
            if not cnp.PyArray_IS_C_CONTIGUOUS(array) or not _apart(array, target):
                return NotImplemented
    _broadcast_strides(target, axes, extents, strides[0])
    set_operand(operands[0], cnp.PyArray_BYTES(target), strides[0], False)
    for k in range(fast.inputs):
        array = args[k]
        _broadcast_strides(array, axes, extents, strides[1 + k])
        set_operand(operands[1 + k], cnp.PyArray_BYTES(array), strides[1 + k], False)
    if size <= SMALL:
        run_program(fast.program, axes, extents, operands, 1 + fast.inputs)
    else:
        with nogil:
            run_program(fast.program, axes, extents, operands, 1 + fast.inputs)
    return target


cdef class ProgramCall:
    """Base of callables that end in a program: calls like the last one skip Python.

    A subclass defines ``_general_call(args, kwargs)`` and, where a call of this kind can be repeated by
    the program or contraction alone, sets ``_fast`` to its `FastCall`.
    """
    cdef public FastCall _fast
    cdef object __weakref__

    def __call__(self, *args, **kwargs):
        cdef FastCall fast = self._fast
        cdef object result = NotImplemented
        if fast is not None and fast.holds():
            if not kwargs:
                result = fast.run(args, None)
            elif len(kwargs) == 1 and "out" in kwargs:
                result = fast.run(args, kwargs["out"])
            if result is not NotImplemented:
                return result
        return self._general_call(args, kwargs)
