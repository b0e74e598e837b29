# Fast entry points: from Python objects to the engine in well under a microsecond.
#
# Each takes the common case (exact ndarrays of native byte order, plain scalars) itself and hands everything
# else to the general Python function of the same name, which validates and explains. Nothing is decided
# twice: a fast path either does what the general one would, or declines.

import functools

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AsDouble, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t

cnp.import_array()

cdef extern from "python/entry.hpp" namespace "ufuse" nogil:
    cppclass Program:
        int inputs()
        int outputs()

    struct ProgramOperand:
        char* data

    const Program* program_at(uintptr_t address)
    void run_program(const Program* program, int axes, const int64_t* shape,
                     const ProgramOperand* operands, int count) except +
    void set_operand(ProgramOperand& operand, char* data, const int64_t* strides, bint swapped)
    object pool_handler_capsule()
    const size_t kPooledBytes

cdef extern from "reduce/reduction.hpp" namespace "ufuse" nogil:
    enum DType "ufuse::DType":
        pass
    enum ReducerId "ufuse::ReducerId":
        pass
    enum Finish "ufuse::Finish":
        pass
    bint reduce_fast(const void* data, int axes, const int64_t* shape, const int64_t* strides,
                     DType dtype, uint64_t reduced, void* out, const int64_t* out_strides,
                     DType result, ReducerId reducer, Finish finish, double ddof) except +

cdef extern from "numpy/arrayobject.h":
    object PyDataMem_SetHandler(object handler)
    bint PyArray_ISBYTESWAPPED(cnp.ndarray array) nogil
    object PyArray_Scalar(void* data, cnp.dtype descr, object base)

cdef enum:
    MAX_OPERANDS = 32
    MAX_AXES = 64
    # Work of fewer elements than this keeps the GIL: giving it up and taking it back costs more.
    SMALL = 16384

cdef object _pool = pool_handler_capsule()


cdef object new_array(int axes, cnp.npy_intp* shape, int typenum, Py_ssize_t itemsize):
    """An uninitialised C-contiguous array; large ones come from the block pool."""
    cdef Py_ssize_t size = itemsize
    cdef int axis
    for axis in range(axes):
        size *= shape[axis]
    if size < <Py_ssize_t>kPooledBytes:
        return cnp.PyArray_SimpleNew(axes, shape, typenum)
    previous = PyDataMem_SetHandler(_pool)
    try:
        return cnp.PyArray_SimpleNew(axes, shape, typenum)
    finally:
        PyDataMem_SetHandler(previous)


def empty(shape, dtype):
    """An uninitialised array like `numpy.empty`, its memory from the block pool where it is large."""
    import numpy
    dtype = numpy.dtype(dtype)
    size = dtype.itemsize
    for extent in (shape if isinstance(shape, tuple) else (shape,)):
        size *= extent
    if size < <Py_ssize_t>kPooledBytes:
        return numpy.empty(shape, dtype)
    previous = PyDataMem_SetHandler(_pool)
    try:
        return numpy.empty(shape, dtype)
    finally:
        PyDataMem_SetHandler(previous)


cdef int _broadcast_strides(cnp.ndarray array, int axes, const int64_t* shape, int64_t* strides) except -1:
    """Byte strides of `array` seen with `shape`: 0 along the axes it is broadcast over."""
    cdef int missing = axes - cnp.PyArray_NDIM(array)
    cdef int axis
    cdef cnp.npy_intp extent
    if missing < 0:
        raise ValueError("ufuse: operand has more dimensions than the result")
    for axis in range(axes):
        if axis < missing:
            strides[axis] = 0
            continue
        extent = cnp.PyArray_DIM(array, axis - missing)
        if extent == shape[axis]:
            strides[axis] = 0 if extent == 1 else cnp.PyArray_STRIDE(array, axis - missing)
        elif extent == 1:
            strides[axis] = 0
        else:
            raise ValueError(f"ufuse: an operand of shape {(<object>array).shape} does not broadcast to the result")
    return 0


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


@cython.final
cdef class FastProgram:
    """A compiled program with the argument types it was compiled for: what a fast call is checked against."""
    cdef object owner
    cdef const Program* program
    cdef int inputs, outputs
    cdef int types[MAX_OPERANDS]      # NumPy type numbers: outputs, then inputs
    cdef Py_ssize_t itemsizes[MAX_OPERANDS]
    cdef int axes[MAX_OPERANDS]       # of each input; -1: any number
    cdef tuple guards                 # (globals or cell, name, value): what the trace has seen there

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


cdef bint _apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether the memory of two contiguous arrays is disjoint, or they are the same elements."""
    cdef char* start_a = cnp.PyArray_BYTES(a)
    cdef char* start_b = cnp.PyArray_BYTES(b)
    if start_a == start_b:
        return cnp.PyArray_ITEMSIZE(a) == cnp.PyArray_ITEMSIZE(b) and cnp.PyArray_SIZE(a) == cnp.PyArray_SIZE(b)
    return start_a + cnp.PyArray_NBYTES(a) <= start_b or start_b + cnp.PyArray_NBYTES(b) <= start_a


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
    the program alone, sets ``_fast`` to its `FastProgram`.
    """
    cdef public FastProgram _fast
    cdef object __weakref__

    def __call__(self, *args, **kwargs):
        cdef FastProgram fast = self._fast
        cdef object result = NotImplemented
        if fast is not None and fast.holds():
            if not kwargs:
                result = _run_fast(fast, args, None)
            elif len(kwargs) == 1 and "out" in kwargs:
                result = _run_fast(fast, args, kwargs["out"])
            if result is not NotImplemented:
                return result
        return self._general_call(args, kwargs)


cdef class Entry:
    """A fast entry before a general function, whose name, signature and documentation it has."""
    cdef dict __dict__
    cdef object __weakref__
    cdef object general

    def __init__(self, general):
        self.general = general
        functools.update_wrapper(self, general)

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return f"<function {self.__module__}.{self.__qualname__}>"


cdef class LinearCall(Entry):
    """Fast entry of quantize_linear and its kin: one scale, one zero point.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    programs : dict
        Code dtype ('i1', 'u1') of the zero point to the compiled program.
    codes : dict
        What `dtype=` may be on the fast path to a code.
    """
    cdef FastProgram signed, unsigned
    cdef object codes
    cdef bint quantizes  # the zero point's dtype may be given by dtype=, and is uint8 where nothing says

    def __init__(self, general, programs, codes, quantizes):
        Entry.__init__(self, general)
        self.signed = programs["i1"]
        self.unsigned = programs["u1"]
        self.codes = codes
        self.quantizes = quantizes

    def __call__(self, *args, **kwargs):
        cdef object result
        cdef Py_ssize_t given = len(args)
        if 2 <= given <= 3:
            zero_point = args[2] if given == 3 else None
            dtype = out = None
            for key, value in kwargs.items():
                if key == "dtype":
                    dtype = value
                elif key == "out":
                    out = value
                elif key == "zero_point" and given == 2:
                    zero_point = value
                elif key != "axis" or value is not None:
                    return self.general(*args, **kwargs)
            result = self._run(args[0], args[1], zero_point, dtype, out)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _run(self, object x, object scale, object zero_point, object dtype, object out):
        cdef cnp.ndarray array, target
        cdef FastProgram fast
        cdef float scale_value
        cdef long zero = 0
        cdef int overflow = 0
        cdef uint8_t zero_byte
        cdef int axes, axis
        cdef int64_t extents[MAX_AXES]
        cdef int64_t strides[2][MAX_AXES]
        cdef int64_t nothing[MAX_AXES]
        cdef ProgramOperand operands[4]
        if not cnp.PyArray_CheckExact(x):
            return NotImplemented
        array = x
        # The scale: a Python float or a float32 scalar. (Other dtypes carry other arithmetic.)
        if PyFloat_CheckExact(scale):
            scale_value = <float>PyFloat_AsDouble(scale)
        elif type(scale) is _float32:
            scale_value = <float>PyFloat_AsDouble(scale)
        else:
            return NotImplemented
        # The zero point's dtype decides; a bare integer takes the one asked for.
        code = None
        if dtype is not None:
            if not self.quantizes:
                return NotImplemented
            try:
                code = self.codes.get(dtype)
            except TypeError:  # not hashable: the general function says what is expected
                return NotImplemented
            if code is None:
                return NotImplemented
        if zero_point is None:
            pass
        elif PyLong_CheckExact(zero_point):
            zero = PyLong_AsLongAndOverflow(zero_point, &overflow)
            if overflow:
                return NotImplemented
        elif type(zero_point) is _int8 or type(zero_point) is _uint8:
            own = "i1" if type(zero_point) is _int8 else "u1"
            if code is None:
                code = own
            elif code != own:
                return NotImplemented
            zero = int(zero_point)
        else:
            return NotImplemented
        if self.quantizes:
            if code is None:
                code = "u1"
            fast = self.signed if code == "i1" else self.unsigned
        else:  # the codes' dtype is the array's
            fast = self.signed if cnp.PyArray_TYPE(array) == cnp.NPY_INT8 else self.unsigned
            if code is not None and (code == "i1") != (fast is self.signed):
                return NotImplemented
        if fast is self.signed:
            if zero < -128 or zero > 127:
                return NotImplemented
        elif zero < 0 or zero > 255:
            return NotImplemented
        zero_byte = <uint8_t>(zero & 255)
        axes = cnp.PyArray_NDIM(array)
        if axes == 0 or cnp.PyArray_TYPE(array) != fast.types[1] or PyArray_ISBYTESWAPPED(array):
            return NotImplemented
        for axis in range(axes):
            extents[axis] = cnp.PyArray_DIM(array, axis)
            nothing[axis] = 0
        if out is None:
            target = new_array(axes, cnp.PyArray_DIMS(array), fast.types[0], fast.itemsizes[0])
        else:
            if not cnp.PyArray_CheckExact(out):
                return NotImplemented
            target = out
            if (cnp.PyArray_TYPE(target) != fast.types[0] or PyArray_ISBYTESWAPPED(target)
                    or not cnp.PyArray_ISWRITEABLE(target) or cnp.PyArray_NDIM(target) != axes
                    or not cnp.PyArray_IS_C_CONTIGUOUS(target) or not cnp.PyArray_IS_C_CONTIGUOUS(array)
                    or not _apart(array, target)):
                return NotImplemented
            for axis in range(axes):
                if cnp.PyArray_DIM(target, axis) != extents[axis]:
                    return NotImplemented
        _broadcast_strides(target, axes, extents, strides[0])
        _broadcast_strides(array, axes, extents, strides[1])
        set_operand(operands[0], cnp.PyArray_BYTES(target), strides[0], False)
        set_operand(operands[1], cnp.PyArray_BYTES(array), strides[1], False)
        set_operand(operands[2], <char*>&scale_value, nothing, False)
        set_operand(operands[3], <char*>&zero_byte, nothing, False)
        if cnp.PyArray_SIZE(array) <= SMALL:
            run_program(fast.program, axes, extents, operands, 4)
        else:
            with nogil:
                run_program(fast.program, axes, extents, operands, 4)
        return target


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


cdef class ReductionCall(Entry):
    """Fast entry of a reduction: one exact ndarray, one axis or all, nothing unusual.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    reducer, finish : int
        The core's numbers of the reducer and of what becomes of its state.
    results : dict of str to dtype
        Element code to the dtype of the result; codes that are missing are not for the fast path.
    """
    cdef int reducer, finish
    cdef int result_type[TYPE_NUMBERS]     # NumPy type number of the result, -1: not here
    cdef int result_element[TYPE_NUMBERS]
    cdef Py_ssize_t result_size[TYPE_NUMBERS]
    cdef object result_dtype               # NumPy type number to dtype

    def __init__(self, general, reducer, finish, results):
        import numpy
        Entry.__init__(self, general)
        self.reducer = reducer
        self.finish = finish
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
        if 1 <= given <= 2:
            if given == 2:
                axis = args[1]
            for key, value in kwargs.items():
                if key == "axis" and given == 1:
                    axis = value
                elif key == "out":
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
                               reducer, finish, 0.0)
        else:
            with nogil:
                done = reduce_fast(data, axes, shape, strides, element, reduced, out, out_strides,
                                   result, reducer, finish, 0.0)
        return done

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
        if out is None:
            if kept == 0:
                done = self._reduce(array, number, reduced, &scalar, out_strides)
                if not done:
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
        return target if done else NotImplemented


cdef object _float32, _int8, _uint8
import numpy as _numpy
_float32 = _numpy.float32
_int8 = _numpy.int8
_uint8 = _numpy.uint8
del _numpy
