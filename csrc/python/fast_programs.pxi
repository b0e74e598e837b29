# Programs: run over arrays, and calls that repeat one.

def set_report(report, judge):
    """Have `report` called after a call with floating-point errors, and `judge` after a ufunc's loop.

    Both take the `Program`, lists of its inputs and outputs and the errors that are suspected, `report` the
    name of the function besides. `judge` returns which of them there are.
    """
    global _report, _judge
    _report, _judge = report, judge


def take_errors():
    """The floating-point errors suspected of this thread since they were last taken."""
    errors = float_errors()
    clear_float_errors()
    return errors


def run(program, inputs, outputs, shape, bint settled=False):
    """Run `program` (a `_core.Program`) over `shape`; the element types must be the program's.

    Returns the floating-point errors that are suspected (`float_errors.Errors`); where `settled`, without most
    of those that no result speaks for.

    `inputs` and `outputs` are sequences of ndarrays that broadcast to `shape` (an output with a trailing
    axis of 1 takes a row value). Outputs overlapping inputs is the caller's matter.
    """
    cdef const Program* compiled = program_at(program.address)
    cdef int64_t extents[MAX_AXES]
    cdef int64_t strides[MAX_OPERANDS][MAX_AXES]
    cdef ProgramOperand operands[MAX_OPERANDS]
    cdef int axes = len(shape), count = 0, axis
    cdef cnp.ndarray array
    cdef unsigned errors
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
        errors = run_program(compiled, axes, extents, operands, count, settled)
    return errors


cdef class ProgramCall


cdef class FastCall:
    """What repeats the last call of a fused function."""
    cdef tuple guards                 # (globals or cell, name, value): what the trace has seen there

    cdef object run(self, ProgramCall function, tuple args, object out):
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
    cdef object source                # the `Program`, or None where nothing can be to report
    cdef const Program* program
    cdef int inputs, outputs
    cdef int types[MAX_OPERANDS]      # NumPy type numbers: outputs, then inputs
    cdef Py_ssize_t itemsizes[MAX_OPERANDS]
    cdef int axes[MAX_OPERANDS]       # of each input; LinearCall does not look
    cdef int64_t longest_row          # longer trailing axes are for the general call
    cdef int spanning                 # the input that must have all of the loop's elements, or -1

    def __cinit__(self, program, output_dtypes, input_dtypes, input_axes, longest_row=None, int spanning=-1,
                  source=None):
        cdef int k = 0
        self.source = source
        self.longest_row = INT64_MAX if longest_row is None else longest_row
        self.spanning = spanning
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
        cdef FastProgram copy = FastProgram.__new__(
            FastProgram, self.owner, (), (), (), self.longest_row, self.spanning, self.source)
        cdef int k
        copy.inputs, copy.outputs = self.inputs, self.outputs
        for k in range(self.inputs + self.outputs):
            copy.types[k], copy.itemsizes[k] = self.types[k], self.itemsizes[k]
        for k in range(self.inputs):
            copy.axes[k] = self.axes[k]
        copy.guards = tuple(guards)
        return copy

    cdef object run(self, ProgramCall function, tuple args, object out):
        return _run_fast(self, function, args, out)


cdef struct CallLayout:
    # What a program runs over: operands are the output, then the inputs.
    int axes
    int64_t size
    int64_t extents[MAX_AXES]
    int64_t strides[MAX_OPERANDS][MAX_AXES]
    char* data[MAX_OPERANDS]


cdef object _laid_out(FastProgram fast, PyObject* const* inputs, object out, CallLayout* layout):
    """The result's array, `layout` being written; NotImplemented where the general call must see to it."""
    cdef int axes = 0, k, axis, missing
    cdef int64_t extent
    cdef int64_t* extents = layout.extents
    cdef cnp.ndarray array, target
    for k in range(fast.inputs):
        operand = <object>inputs[k]
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
        array = <object>inputs[k]
        missing = axes - cnp.PyArray_NDIM(array)
        for axis in range(missing, axes):
            extent = cnp.PyArray_DIM(array, axis - missing)
            if extent != extents[axis]:
                if extents[axis] == 1:
                    extents[axis] = extent
                elif extent != 1:
                    return NotImplemented
    layout.axes, layout.size = axes, 1
    for axis in range(axes):
        layout.size *= extents[axis]
    if layout.size == 0 or extents[axes - 1] > fast.longest_row:
        return NotImplemented
    if fast.spanning >= 0 and cnp.PyArray_SIZE(<object>inputs[fast.spanning]) != layout.size:
        return NotImplemented
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
            array = <object>inputs[k]
            if not cnp.PyArray_IS_C_CONTIGUOUS(array) or not _apart(array, target):
                return NotImplemented
    layout.data[0] = cnp.PyArray_BYTES(target)
    _broadcast_strides(target, axes, extents, layout.strides[0])
    for k in range(fast.inputs):
        array = <object>inputs[k]
        layout.data[1 + k] = cnp.PyArray_BYTES(array)
        _broadcast_strides(array, axes, extents, layout.strides[1 + k])
    return target


cdef object _run_fast(FastProgram fast, ProgramCall function, tuple args, object out):
    """Result of the fast path, or NotImplemented where the general one must see to it."""
    cdef CallLayout layout
    cdef unsigned errors
    cdef ProgramOperand operands[MAX_OPERANDS]
    cdef int k
    if len(args) != fast.inputs or fast.outputs != 1:
        return NotImplemented
    target = _laid_out(fast, PySequence_Fast_ITEMS(args), out, &layout)
    if target is NotImplemented:
        return NotImplemented
    for k in range(1 + fast.inputs):
        set_operand(operands[k], layout.data[k], layout.strides[k], False)
    if layout.size <= SMALL:
        errors = run_program(fast.program, layout.axes, layout.extents, operands, 1 + fast.inputs, False)
    else:
        with nogil:
            errors = run_program(fast.program, layout.axes, layout.extents, operands, 1 + fast.inputs, False)
    if errors and fast.source is not None:
        _report(fast.source, args, (target,), errors, (<object>function)._label)
    return target


cdef enum:
    FROM_ARRAY
    FROM_FLOAT
    FROM_INTEGER


@cython.final
cdef class FastScalars(FastCall):
    """A `FastProgram` some of whose inputs are Python numbers: an array of no dimensions is made of each."""
    cdef FastProgram fast
    cdef int arguments
    cdef tuple inputs                 # as they came, for `guarded`
    cdef int places[MAX_OPERANDS]     # of each input: which argument it is
    cdef int kinds[MAX_OPERANDS]
    cdef bint floating[MAX_OPERANDS]  # what the program takes
    cdef int64_t low[MAX_OPERANDS], high[MAX_OPERANDS]

    def __cinit__(self, FastProgram fast, int arguments, inputs):
        cdef int k
        self.fast, self.arguments, self.inputs = fast, arguments, tuple(inputs)
        self.guards = ()
        for k in range(fast.inputs):
            place, kind, floating, limits = self.inputs[k]
            self.places[k], self.floating[k] = place, floating
            self.kinds[k] = {None: FROM_ARRAY, float: FROM_FLOAT, int: FROM_INTEGER}[kind]
            self.low[k], self.high[k] = limits or (0, 0)

    def guarded(self, guards):
        """A copy that holds only while each variable of `guards` is bound to the same object."""
        cdef FastScalars copy = FastScalars(self.fast, self.arguments, self.inputs)
        copy.guards = tuple(guards)
        return copy

    cdef object run(self, ProgramCall function, tuple args, object out):
        cdef tuple inputs
        cdef int k
        if len(args) != self.arguments:
            return NotImplemented
        inputs = PyTuple_New(self.fast.inputs)
        for k in range(self.fast.inputs):
            operand = args[self.places[k]]
            if self.kinds[k] != FROM_ARRAY:
                operand = self.converted(k, operand)
                if operand is None:
                    return NotImplemented
            Py_INCREF(operand)
            PyTuple_SET_ITEM(inputs, k, operand)
        return _run_fast(self.fast, function, inputs, out)

    cdef object converted(self, int k, object number):
        """Array of a number; None of one that the trace was not made for."""
        cdef Py_ssize_t size = self.fast.itemsizes[1 + k]
        cdef cnp.ndarray array
        cdef int overflow = 0
        cdef int64_t whole = 0
        cdef double value
        cdef char* data
        if self.kinds[k] == FROM_FLOAT:
            if not PyFloat_CheckExact(number):
                return None
            value = PyFloat_AsDouble(number)
        else:
            if not PyLong_CheckExact(number):
                return None
            whole = PyLong_AsLongLongAndOverflow(number, &overflow)
            if overflow or not self.low[k] <= whole <= self.high[k]:
                return None
            value = <double>whole
        array = new_array(0, NULL, self.fast.types[1 + k], size)
        data = cnp.PyArray_BYTES(array)
        if self.floating[k]:
            if size == 4:
                (<float*>data)[0] = <float>value
                if isinf((<float*>data)[0]) and not isinf(value):
                    return None  # the general call tells of it
            else:
                (<double*>data)[0] = value
        elif size == 1:
            (<uint8_t*>data)[0] = <uint8_t>whole
        elif size == 2:
            (<uint16_t*>data)[0] = <uint16_t>whole
        elif size == 4:
            (<uint32_t*>data)[0] = <uint32_t>whole
        else:
            (<int64_t*>data)[0] = whole
        return array


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
                result = fast.run(self, args, None)
            elif len(kwargs) == 1 and "out" in kwargs:
                result = fast.run(self, args, kwargs["out"])
            if result is not NotImplemented:
                return result
        return self._general_call(args, kwargs)
