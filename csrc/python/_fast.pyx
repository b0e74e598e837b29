# Fast entry points: from Python objects to the engine in well under a microsecond.
#
# Each takes the common case (exact ndarrays of native byte order, plain scalars) itself and hands everything
# else to the general Python function of the same name, which validates and explains. Nothing is decided
# twice: a fast path either does what the general one would, or declines.

import functools
from types import FunctionType, MethodType

import numpy

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AsDouble, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_New, PyTuple_SET_ITEM
from libc.math cimport isinf
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy
from libcpp.vector cimport vector

cnp.import_array()

cdef extern from "python/entry.hpp" namespace "ufuse" nogil:
    cppclass Program:
        int inputs()
        int outputs()

    struct ProgramOperand:
        char* data

    const Program* program_at(uintptr_t address)
    unsigned run_program(const Program* program, int axes, const int64_t* shape,
                         const ProgramOperand* operands, int count, bint settled) except +
    unsigned run_program_items(const Program* program, int axes, const int64_t* shape,
                               const ProgramOperand* operands, int count, char* const* data, int64_t items,
                               bint fresh) except +
    void set_operand(ProgramOperand& operand, char* data, const int64_t* strides, bint swapped)
    enum ScaleRule "ufuse::ScaleRule":
        pass
    ScaleRule RULE_SYMMETRIC "ufuse::ScaleRule::symmetric"
    ScaleRule RULE_ASYMMETRIC "ufuse::ScaleRule::asymmetric"
    ScaleRule RULE_ONNX "ufuse::ScaleRule::onnx"

    cppclass RangedArrays:
        void add(int axes, const int64_t* shape, char* x, const int64_t* strides, char* codes,
                 const int64_t* code_strides, char* scale, char* zero, int zero_size) except +
        bint quantize(const Program* program, ScaleRule rule, float least, float most) except +
    object pool_handler_capsule()
    const size_t kPooledBytes

cdef extern from "core/float_errors.hpp" namespace "ufuse" nogil:
    unsigned float_errors()
    void clear_float_errors()

cdef extern from "reduce/reduction.hpp" namespace "ufuse" nogil:
    enum DType "ufuse::DType":
        pass
    enum ReducerId "ufuse::ReducerId":
        pass
    enum Finish "ufuse::Finish":
        pass
    bint reduce_fast(const void* data, int axes, const int64_t* shape, const int64_t* strides,
                     DType dtype, uint64_t reduced, void* out, const int64_t* out_strides,
                     DType result, ReducerId reducer, Finish finish, int component,
                     double ddof) except +

cdef extern from "weighted/weighted.hpp" namespace "ufuse" nogil:
    struct ReduceInput:
        const char* data
        DType dtype
        const int64_t* strides

    cppclass WeightedSum:
        int axes
        const int64_t* shape
        uint64_t reduced
        ReduceInput values
        ReduceInput weights
        char* sums
        const int64_t* sum_strides
        char* totals
        const int64_t* total_strides

    void weighted_sum(const WeightedSum& sum) except +

cdef extern from "order/order.hpp" namespace "ufuse" nogil:
    struct OrderQuery:
        bint median
        const double* q
        int count
        bint skip_nan

    bint order_fast(const void* data, int axes, const int64_t* shape, const int64_t* strides,
                    DType dtype, uint64_t reduced, const OrderQuery& query, DType result, void* out,
                    const int64_t* out_strides, int64_t query_stride) except +

    void topk_fast(const void* data, int axes, const int64_t* shape, const int64_t* strides, DType dtype,
                   int axis, int64_t k, bint descending, void* values, void* indices,
                   const int64_t* value_strides, const int64_t* index_strides) except +

cdef extern from "window/window.hpp" namespace "ufuse" nogil:
    enum WindowOp "ufuse::WindowOp":
        pass
    enum Tier "ufuse::Tier":
        pass
    cppclass WindowReduction:
        WindowOp op
        const char* x
        DType dtype
        char* out
        DType result
        int axes
        const int64_t* shape
        const int64_t* strides
        const int64_t* out_strides
        int axis
        int64_t window
        int64_t min_count
        double ddof

    Tier active_tier() except +
    void move_reduce(const WindowReduction& reduction, Tier tier) except +

cdef extern from "count/fast.hpp" namespace "ufuse" nogil:
    struct ValueArray:
        const char* data
        int64_t size
        int64_t stride
        DType dtype

    bint histogram_fast(const void* x, int64_t size, DType dtype, int64_t bins, const double* range,
                        void* edges, int64_t* counts) except +
    bint histogram_between(const void* x, int64_t size, DType dtype, int64_t bins, const double* edges,
                           int64_t* counts) except +
    bint largest_value(const ValueArray& x, int64_t& largest)
    bint count_values(const ValueArray& x, int64_t bins, int64_t* counts)
    bint add_weights(const ValueArray& x, const char* weights, int64_t stride, int64_t bins, double* sums)

cdef extern from "scan/scan.hpp" namespace "ufuse" nogil:
    enum ScanId "ufuse::ScanId":
        pass
    cppclass Scan:
        int axes
        const int64_t* shape
        int axis
        ScanId scan
        const char* input "in"
        const int64_t* in_strides
        DType in_type
        char* out
        const int64_t* out_strides
        DType out_type

    void run_scan "ufuse::scan"(const Scan& scan) except +

cdef extern from "segment/fast.hpp" namespace "ufuse" nogil:
    cppclass PartsCall:
        const char* data
        int axes
        const int64_t* shape
        const int64_t* strides
        DType dtype
        int axis
        ReducerId reducer
        DType element
        Finish finish
        int component
        DType result
        char* out
        const int64_t* out_strides
        bint all_needed

    bint segments_fast(const PartsCall& call, int64_t count, const int64_t* starts,
                       const int64_t* stops) except +
    bint groups_fast(const PartsCall& call, int64_t count, const char* labels, DType label_type,
                     const int64_t* label_stride) except +

cdef extern from "softmax/softmax.hpp" namespace "ufuse" nogil:
    cppclass Softmax:
        int axes
        const int64_t* shape
        uint64_t reduced
        const char* input "in"
        const int64_t* in_strides
        char* out
        const int64_t* out_strides
        DType dtype
        bint logarithm

    bint softmax_by_line(int64_t count, int64_t size)
    void softmax(const Softmax& s) except +

cdef extern from "contract/layer.hpp" namespace "ufuse" nogil:
    enum WeightForm "ufuse::WeightForm":
        pass
    WeightForm FLOAT_WEIGHTS "ufuse::WeightForm::f32"

    struct LayerMatrix:
        char* data
        int64_t row_stride
        int64_t col_stride

    struct LinearLayer:
        int64_t m
        int64_t n
        int64_t k
        LayerMatrix x
        LayerMatrix out
        WeightForm form
        LayerMatrix weights
        const void* packed
        const Program* program
        int extras
        LayerMatrix extra[4]

    void run_layer(const LinearLayer& layer, Tier tier) except +

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object sequence)

cdef extern from "numpy/arrayobject.h":
    object PyDataMem_SetHandler(object handler)
    bint PyArray_ISBYTESWAPPED(cnp.ndarray array) nogil
    object PyArray_Scalar(void* data, cnp.dtype descr, object base)

cdef enum:
    MAX_OPERANDS = 32
    MAX_AXES = 64
    # Work of fewer elements than this keeps the GIL: giving it up and taking it back costs more.
    SMALL = 16384
    # Fewer elements than this are counted without the tables of the core; lists of edges are as short.
    SMALL_COUNTS = 4096

cdef object _pool = pool_handler_capsule()

# What knows of floating-point errors: see `set_report`.
cdef object _report = None
cdef object _judge = None


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
    cdef double size = numpy.dtype(dtype).itemsize
    for extent in (shape if isinstance(shape, tuple) else (shape,)):
        size *= <double>extent
    if size < <double>kPooledBytes:
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


cdef bint _apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether the memory of two contiguous arrays is disjoint, or they are the same elements."""
    cdef char* start_a = cnp.PyArray_BYTES(a)
    cdef char* start_b = cnp.PyArray_BYTES(b)
    if start_a == start_b:
        return cnp.PyArray_ITEMSIZE(a) == cnp.PyArray_ITEMSIZE(b) and cnp.PyArray_SIZE(a) == cnp.PyArray_SIZE(b)
    return start_a + cnp.PyArray_NBYTES(a) <= start_b or start_b + cnp.PyArray_NBYTES(b) <= start_a


cdef object named_tuple(object kind, object parts):
    """The named tuple of type `kind` of a tuple."""
    arguments = (parts,)
    return (<PyTypeObject*>tuple).tp_new(kind, <PyObject*>arguments, NULL)


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


include "fast_programs.pxi"
include "fast_items.pxi"
include "fast_linear.pxi"
include "fast_reductions.pxi"
include "fast_order.pxi"
include "fast_counts.pxi"
include "fast_scans.pxi"
include "fast_segments.pxi"
include "fast_softmax.pxi"
include "fast_windows.pxi"
include "fast_layouts.pxi"
include "fast_finishes.pxi"
include "fast_contract.pxi"
include "fast_layers.pxi"
include "fast_ufuncs.pxi"
