# quantize_linear and its kin: one scale and zero point, or one for each index of an axis or for each block.

cdef object _float32, _int8, _uint8
import numpy as _numpy
_float32 = _numpy.float32
_int8 = _numpy.int8
_uint8 = _numpy.uint8
del _numpy


cdef class LinearCall(Entry):
    """Fast entry of quantize_linear and its kin, to and from int8 and uint8.

    Scales and zero points are scalars, or float32 and codes for each index of an axis or for each block of an
    array that whole blocks divide.

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
            dtype = out = axis = block_size = None
            for key, value in kwargs.items():
                if key == "dtype":
                    dtype = value
                elif key == "out":
                    out = value
                elif key == "zero_point" and given == 2:
                    zero_point = value
                elif key == "axis":
                    axis = value
                elif key == "block_size":
                    block_size = value
                else:
                    return self.general(*args, **kwargs)
            result = self._run(args[0], args[1], zero_point, dtype, out, axis, block_size)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _run(self, object x, object scale, object zero_point, object dtype, object out, object axis,
                     object block_size):
        cdef cnp.ndarray array, target
        cdef FastProgram fast
        cdef Scales scales
        cdef ZeroPoints zeros
        cdef int axes, i, along
        cdef int64_t block
        cdef int64_t extents[MAX_AXES]
        cdef int64_t strides[4][MAX_AXES]
        cdef ProgramOperand operands[4]
        if not cnp.PyArray_CheckExact(x):
            return NotImplemented
        array = x
        axes = cnp.PyArray_NDIM(array)
        if not _read_scales(scale, array, axis, block_size, &scales):
            return NotImplemented
        along, block = scales.along, scales.block
        if not _read_zero_points(zero_point, array, &scales, &zeros):
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
        if zeros.kind != 0:
            own = "i1" if zeros.kind < 0 else "u1"
            if code is None:
                code = own
            elif code != own:
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
            if zeros.value < -128 or zeros.value > 127:
                return NotImplemented
        elif zeros.value < 0 or zeros.value > 255:
            return NotImplemented
        zeros.byte = <uint8_t>(zeros.value & 255)
        if axes == 0 or cnp.PyArray_TYPE(array) != fast.types[1] or PyArray_ISBYTESWAPPED(array):
            return NotImplemented
        if out is None:
            target = new_array(axes, cnp.PyArray_DIMS(array), fast.types[0], fast.itemsizes[0])
        else:
            if not cnp.PyArray_CheckExact(out):
                return NotImplemented
            target = out
            if (cnp.PyArray_TYPE(target) != fast.types[0] or PyArray_ISBYTESWAPPED(target)
                    or not cnp.PyArray_ISWRITEABLE(target) or cnp.PyArray_NDIM(target) != axes
                    or not cnp.PyArray_IS_C_CONTIGUOUS(target)):
                return NotImplemented
            for i in range(axes):
                if cnp.PyArray_DIM(target, i) != cnp.PyArray_DIM(array, i):
                    return NotImplemented
            for values in (x, scale if scales.many else None, zero_point if zeros.many else None):
                if values is not None and not (cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>values)
                                               and _apart(<cnp.ndarray>values, target)):
                    return NotImplemented
        # An axis of blocks becomes two: blocks, and elements within.
        _split_strides(target, along, block, strides[0])
        _split_strides(array, along, block, strides[1])
        _value_strides(scale if scales.many else None, axes, along, block, strides[2])
        _value_strides(zero_point if zeros.many else None, axes, along, block, strides[3])
        for i in range(axes):
            extents[i + (block > 0 and i > along)] = cnp.PyArray_DIM(array, i)
        if block > 0:
            extents[along] = cnp.PyArray_DIM(array, along) // block
            extents[along + 1] = block
            axes += 1
        set_operand(operands[0], cnp.PyArray_BYTES(target), strides[0], False)
        set_operand(operands[1], cnp.PyArray_BYTES(array), strides[1], False)
        set_operand(operands[2], cnp.PyArray_BYTES(<cnp.ndarray>scale) if scales.many else <char*>&scales.value,
                    strides[2], False)
        set_operand(operands[3],
                    cnp.PyArray_BYTES(<cnp.ndarray>zero_point) if zeros.many else <char*>&zeros.byte,
                    strides[3], False)
        if cnp.PyArray_SIZE(array) <= SMALL:
            run_program(fast.program, axes, extents, operands, 4, False)
        else:
            with nogil:
                run_program(fast.program, axes, extents, operands, 4, False)
        return target


cdef struct Scales:
    bint many      # an array of them
    float value    # otherwise
    int along      # the axis they belong to, or whose blocks
    int64_t block  # elements of a block along it, or 0


cdef struct ZeroPoints:
    bint many
    long value
    uint8_t byte  # the value as a code
    int kind      # -1: of int8, 1: of uint8, 0: of whatever the codes are


cdef bint _read_scales(object scale, cnp.ndarray array, object axis, object block_size, Scales* found):
    """Read scales and what they belong to; return whether the fast entry knows such."""
    cdef long place
    cdef int overflow = 0
    found.many, found.value, found.along, found.block = False, 0, -1, 0
    # A Python float, a float32 scalar or an array. (Other dtypes carry other arithmetic.)
    if PyFloat_CheckExact(scale) or type(scale) is _float32:
        found.value = <float>PyFloat_AsDouble(scale)
        return axis is None and block_size is None
    if not cnp.PyArray_CheckExact(scale) or not PyLong_CheckExact(axis):
        return False
    if cnp.PyArray_TYPE(<cnp.ndarray>scale) != cnp.NPY_FLOAT or PyArray_ISBYTESWAPPED(<cnp.ndarray>scale):
        return False
    place = PyLong_AsLongAndOverflow(axis, &overflow)
    if place < 0:
        place += cnp.PyArray_NDIM(array)
    if overflow or not 0 <= place < cnp.PyArray_NDIM(array) or cnp.PyArray_NDIM(array) >= MAX_AXES:
        return False
    found.many, found.along = True, <int>place
    if block_size is not None:
        if not PyLong_CheckExact(block_size):
            return False
        found.block = PyLong_AsLongAndOverflow(block_size, &overflow)
        if overflow or found.block <= 0 or cnp.PyArray_DIM(array, found.along) % found.block != 0:
            return False
    return _fits(<cnp.ndarray>scale, array, found.along, found.block)


cdef bint _read_zero_points(object zero_point, cnp.ndarray array, const Scales* scales, ZeroPoints* found):
    """Read zero points, which are one or as many as the scales; return whether the fast entry knows such."""
    cdef int overflow = 0
    found.many, found.value, found.byte, found.kind = False, 0, 0, 0
    if zero_point is None:
        return True
    if PyLong_CheckExact(zero_point):
        found.value = PyLong_AsLongAndOverflow(zero_point, &overflow)
        return not overflow
    if type(zero_point) is _int8 or type(zero_point) is _uint8:
        found.kind = -1 if type(zero_point) is _int8 else 1
        found.value = int(zero_point)
        return True
    if not cnp.PyArray_CheckExact(zero_point) or not scales.many:
        return False
    if cnp.PyArray_TYPE(<cnp.ndarray>zero_point) == cnp.NPY_INT8:
        found.kind = -1
    elif cnp.PyArray_TYPE(<cnp.ndarray>zero_point) == cnp.NPY_UINT8:
        found.kind = 1
    else:
        return False
    found.many = True
    return _fits(<cnp.ndarray>zero_point, array, scales.along, scales.block)


cdef bint _fits(cnp.ndarray values, cnp.ndarray array, int along, int64_t block) noexcept:
    """Whether there is a value for each index of an axis, or where `block` is not 0 for each block along it."""
    cdef int i
    if block == 0:
        return cnp.PyArray_NDIM(values) == 1 and cnp.PyArray_DIM(values, 0) == cnp.PyArray_DIM(array, along)
    if cnp.PyArray_NDIM(values) != cnp.PyArray_NDIM(array):
        return False
    for i in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(values, i) != cnp.PyArray_DIM(array, i) // (block if i == along else 1):
            return False
    return True


cdef void _split_strides(cnp.ndarray array, int along, int64_t block, int64_t* strides) noexcept:
    """Byte strides of an array whose axis `along` becomes two where `block` is not 0."""
    cdef int i, at = 0
    for i in range(cnp.PyArray_NDIM(array)):
        if block > 0 and i == along:
            strides[at] = cnp.PyArray_STRIDE(array, i) * block
            at += 1
        strides[at] = cnp.PyArray_STRIDE(array, i)
        at += 1


cdef void _value_strides(cnp.ndarray values, int axes, int along, int64_t block, int64_t* strides) noexcept:
    """Byte strides of values that are one for all, one for each index of an axis, or one for each block."""
    cdef int i
    if block > 0 and values is not None:
        _split_strides(values, along, block, strides)
        strides[along] = cnp.PyArray_STRIDE(values, along)
        strides[along + 1] = 0
        return
    for i in range(axes + (block > 0)):
        strides[i] = 0
    if values is not None:
        strides[along] = cnp.PyArray_STRIDE(values, 0)


cdef class DynamicCall(Entry):
    """Fast entry of dynamic_quantize_linear.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    program : FastProgram
        (x, scale, zero point) -> uint8.
    kind : type
        The named tuple of codes, scale and zero point.
    """
    cdef FastProgram program
    cdef object kind

    def __init__(self, general, program, kind):
        Entry.__init__(self, general)
        self.program = program
        self.kind = kind

    def __call__(self, *args, **kwargs):
        cdef object result
        if len(args) == 1 and (not kwargs or (len(kwargs) == 1 and "out" in kwargs)):
            result = self._run(args[0], kwargs.get("out"))
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _run(self, object x, object out):
        cdef cnp.ndarray array, target
        cdef int axes, axis
        cdef bint done
        cdef float scale = 0
        cdef uint8_t zero = 0
        cdef RangedArrays arrays
        if not cnp.PyArray_CheckExact(x):
            return NotImplemented
        array = x
        axes = cnp.PyArray_NDIM(array)
        if (cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT or PyArray_ISBYTESWAPPED(array)
                or cnp.PyArray_SIZE(array) == 0 or not 0 < axes < 64):
            return NotImplemented
        if out is None:
            target = new_array(axes, cnp.PyArray_DIMS(array), cnp.NPY_UINT8, 1)
        else:
            if not cnp.PyArray_CheckExact(out):
                return NotImplemented
            target = out
            if (cnp.PyArray_TYPE(target) != cnp.NPY_UINT8 or not cnp.PyArray_ISWRITEABLE(target)
                    or cnp.PyArray_NDIM(target) != axes or not cnp.PyArray_IS_C_CONTIGUOUS(target)
                    or not cnp.PyArray_IS_C_CONTIGUOUS(array) or not _apart(array, target)):
                return NotImplemented
            for axis in range(axes):
                if cnp.PyArray_DIM(target, axis) != cnp.PyArray_DIM(array, axis):
                    return NotImplemented
        arrays.add(axes, <const int64_t*>cnp.PyArray_DIMS(array), cnp.PyArray_BYTES(array),
                   <const int64_t*>cnp.PyArray_STRIDES(array), cnp.PyArray_BYTES(target),
                   <const int64_t*>cnp.PyArray_STRIDES(target), <char*>&scale, <char*>&zero, 1)
        if cnp.PyArray_SIZE(array) <= SMALL:
            done = arrays.quantize(self.program.program, RULE_ONNX, 0, 255)
        else:
            with nogil:
                done = arrays.quantize(self.program.program, RULE_ONNX, 0, 255)
        if not done:
            return NotImplemented  # NaN: the general function says so
        return named_tuple(self.kind, (target, _float32(scale), _uint8(zero)))


def quantize_arrays(list arrays, FastProgram program, bint symmetric, float least, float most):
    """Quantize arrays, each by its own range, in one call of the core.

    Parameters
    ----------
    arrays : list of ndarray
    program : FastProgram
        (x, scale, zero point) -> codes.
    symmetric : bool
        Whether zero points are 0.
    least, most : float
        The smallest and the largest code.

    Returns
    -------
    list of (codes, scale, zero point), or None
        Arrays of their own, read-only. None where an array is not one of float32 in native byte order with an
        axis and an element, or is not finite.
    """
    cdef RangedArrays ranged
    cdef cnp.ndarray array, codes, scale, zero
    cdef int axes
    cdef int code_type = program.types[0], zero_type = program.types[3]
    cdef double size = 0
    cdef bint done
    cdef list results = []
    cdef ScaleRule rule = RULE_SYMMETRIC if symmetric else RULE_ASYMMETRIC
    zero = cnp.PyArray_ZEROS(0, NULL, zero_type, 0)
    cnp.PyArray_CLEARFLAGS(zero, cnp.NPY_ARRAY_WRITEABLE)
    for x in arrays:
        if not cnp.PyArray_CheckExact(x):
            return None
        array = x
        axes = cnp.PyArray_NDIM(array)
        if (cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT or PyArray_ISBYTESWAPPED(array)
                or cnp.PyArray_SIZE(array) == 0 or not 0 < axes < 64):
            return None
        codes = new_array(axes, cnp.PyArray_DIMS(array), code_type, program.itemsizes[0])
        scale = cnp.PyArray_SimpleNew(0, NULL, cnp.NPY_FLOAT)
        if not symmetric:
            zero = cnp.PyArray_SimpleNew(0, NULL, zero_type)
        ranged.add(axes, <const int64_t*>cnp.PyArray_DIMS(array), cnp.PyArray_BYTES(array),
                   <const int64_t*>cnp.PyArray_STRIDES(array), cnp.PyArray_BYTES(codes),
                   <const int64_t*>cnp.PyArray_STRIDES(codes), cnp.PyArray_BYTES(scale),
                   cnp.PyArray_BYTES(zero), 0 if symmetric else <int>program.itemsizes[3])
        size += <double>cnp.PyArray_SIZE(array)
        cnp.PyArray_CLEARFLAGS(codes, cnp.NPY_ARRAY_WRITEABLE)
        cnp.PyArray_CLEARFLAGS(scale, cnp.NPY_ARRAY_WRITEABLE)
        cnp.PyArray_CLEARFLAGS(zero, cnp.NPY_ARRAY_WRITEABLE)
        results.append((codes, scale, zero))
    if size <= SMALL:
        done = ranged.quantize(program.program, rule, least, most)
    else:
        with nogil:
            done = ranged.quantize(program.program, rule, least, most)
    return results if done else None
