# Linear layers.

def tier_number():
    """The tier in use, as the core numbers it."""
    return <int>active_tier()


@cython.final
cdef class LayerForm:
    """Packed weights as the core finds them.

    Parameters
    ----------
    packed : _core.PackedMatrix or _core.PackedCodes
    form : int
        The core's WeightForm.
    sums : str
        What the epilogue is made for: see `ufuse.contract.finish`.
    shape : tuple of int
        (out, in).
    scale : ndarray or None
        float32, one per output: an operand of the epilogue.
    """
    cdef object packed, sums, scale
    cdef int form
    cdef int64_t n, k
    cdef const void* address

    def __cinit__(self, packed, int form, sums, shape, scale):
        self.packed, self.sums, self.scale = packed, sums, scale
        self.form = form
        self.n, self.k = shape
        self.address = <const void*><uintptr_t>packed.address


cdef class LayerCall(Entry):
    """Fast entry of linear: float32, and weights that are an array or packed.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation.
    program : callable
        From (sums, whether there is a bias, activation) to the epilogue, a `_core.Program`, or None.
    packed, kept : type
        The class of packed weights, with the attribute `_fast`: a LayerForm or None; and that of
        weights that keep theirs: `_packed["fast"]` is a tuple of the tier and a LayerForm or None.
    """
    cdef object program, packed, kept
    cdef dict programs

    def __init__(self, general, program, packed, kept):
        Entry.__init__(self, general)
        self.program, self.packed, self.kept = program, packed, kept
        self.programs = {}

    def __call__(self, *args, **kwargs):
        cdef object bias = None, activation = None, out = None, result
        cdef Py_ssize_t given = len(args)
        if 2 <= given <= 5 and cnp.PyArray_CheckExact(args[0]):
            if given > 2:
                bias = args[2]
            if given > 3:
                activation = args[3]
            if given > 4:
                out = args[4]
            for key, value in kwargs.items():
                if key == "bias" and given < 3:
                    bias = value
                elif key == "activation" and given < 4:
                    activation = value
                elif key == "out" and given < 5:
                    out = value
                elif value is not None or key not in ("mode", "out_scale", "out_zero_point"):
                    return self.general(*args, **kwargs)
            result = self._run(args[0], args[1], bias, activation, out)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef LayerForm _form(self, object w):
        cdef tuple found
        cdef object form = None
        if type(w) is self.packed:
            form = w._fast
        elif type(w) is self.kept:
            found = (<dict>w._packed).get("fast")
            if found is not None and <int>found[0] == <int>active_tier():
                form = found[1]
        return form

    cdef const Program* _program(self, object sums, bint biased, object activation) except? NULL:
        cdef object key = (sums, biased, activation)
        cdef object found = self.programs.get(key)
        if found is None:
            found = self.program(sums, biased, activation)
            if found is None:
                return NULL
            if len(self.programs) < 256:
                self.programs[key] = found
        return program_at(found.address)

    cdef object _run(self, cnp.ndarray x, object w, object bias, object activation, object out):
        cdef LinearLayer layer
        cdef LayerForm form = None
        cdef cnp.ndarray weights = None, target, shift, scale
        cdef cnp.npy_intp shape[MAX_AXES]
        cdef int axes = cnp.PyArray_NDIM(x), axis
        cdef object sums = "plain"
        if (cnp.PyArray_TYPE(x) != cnp.NPY_FLOAT or PyArray_ISBYTESWAPPED(x) or axes == 0
                or not cnp.PyArray_IS_C_CONTIGUOUS(x) or (activation is not None and type(activation) is not str)):
            return NotImplemented
        layer.extras = 0
        layer.packed = NULL
        layer.k = cnp.PyArray_DIM(x, axes - 1)
        if cnp.PyArray_CheckExact(w):
            weights = w
            if (cnp.PyArray_TYPE(weights) != cnp.NPY_FLOAT or PyArray_ISBYTESWAPPED(weights)
                    or cnp.PyArray_NDIM(weights) != 2 or not cnp.PyArray_IS_C_CONTIGUOUS(weights)
                    or cnp.PyArray_DIM(weights, 1) != layer.k):
                return NotImplemented
            layer.n = cnp.PyArray_DIM(weights, 0)
            layer.form = FLOAT_WEIGHTS
            layer.weights.data = cnp.PyArray_BYTES(weights)
            layer.weights.row_stride, layer.weights.col_stride = 4 * layer.k, 4
        else:
            form = self._form(w)
            if form is None or form.k != layer.k:
                return NotImplemented
            layer.n = form.n
            layer.form = <WeightForm>form.form
            layer.packed = form.address
            sums = form.sums
            if form.scale is not None:
                scale = form.scale
                layer.extra[0].data = cnp.PyArray_BYTES(scale)
                layer.extra[0].row_stride, layer.extra[0].col_stride = 0, 4
                layer.extras = 1
        if layer.k == 0 or layer.n == 0:
            return NotImplemented
        layer.m = cnp.PyArray_SIZE(x) // layer.k
        if bias is not None:
            if not cnp.PyArray_CheckExact(bias):
                return NotImplemented
            shift = bias
            if (cnp.PyArray_TYPE(shift) != cnp.NPY_FLOAT or PyArray_ISBYTESWAPPED(shift)
                    or cnp.PyArray_NDIM(shift) != 1 or cnp.PyArray_DIM(shift, 0) != layer.n
                    or not cnp.PyArray_IS_C_CONTIGUOUS(shift)):
                return NotImplemented
            layer.extra[layer.extras].data = cnp.PyArray_BYTES(shift)
            layer.extra[layer.extras].row_stride, layer.extra[layer.extras].col_stride = 0, 4
            layer.extras += 1
        layer.program = self._program(sums, bias is not None, activation)
        if layer.program == NULL:
            return NotImplemented
        for axis in range(axes - 1):
            shape[axis] = cnp.PyArray_DIM(x, axis)
        shape[axes - 1] = layer.n
        if out is None:
            target = new_array(axes, shape, cnp.NPY_FLOAT, 4)
        elif not cnp.PyArray_CheckExact(out):
            return NotImplemented
        else:
            target = out
            if (cnp.PyArray_TYPE(target) != cnp.NPY_FLOAT or cnp.PyArray_NDIM(target) != axes
                    or not cnp.PyArray_ISCARRAY(target) or PyArray_ISBYTESWAPPED(target)
                    or not _disjoint(target, x) or (weights is not None and not _disjoint(target, weights))
                    or (bias is not None and not _disjoint(target, shift))):
                return NotImplemented
            for axis in range(axes):
                if cnp.PyArray_DIM(target, axis) != shape[axis]:
                    return NotImplemented
        layer.x.data = cnp.PyArray_BYTES(x)
        layer.x.row_stride, layer.x.col_stride = 4 * layer.k, 4
        layer.out.data = cnp.PyArray_BYTES(target)
        layer.out.row_stride, layer.out.col_stride = 4 * layer.n, 4
        with nogil:
            run_layer(layer, active_tier())
        return target


cdef bint _disjoint(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether the memory of two contiguous arrays is disjoint."""
    return (cnp.PyArray_BYTES(a) + cnp.PyArray_NBYTES(a) <= cnp.PyArray_BYTES(b)
            or cnp.PyArray_BYTES(b) + cnp.PyArray_NBYTES(b) <= cnp.PyArray_BYTES(a))
