# Ufuncs of NumPy over programs, or over calls of Python.

cdef extern from "Python.h":
    void PyErr_SetObject(object type, object value)

cdef extern from "numpy/ufuncobject.h":
    ctypedef void (*UfuncInner "PyUFuncGenericFunction")(char**, const cnp.npy_intp*, const cnp.npy_intp*, void*) noexcept
    object PyUFunc_FromFuncAndDataAndSignature(UfuncInner* functions, void** data, char* types, int count, int nin,
                                               int nout, int identity, const char* name, const char* doc,
                                               int unused, const char* signature)
    int PyUFunc_None

cdef extern from "python/ufunc_loop.hpp" namespace "ufuse" nogil:
    ctypedef void (*PythonLoop)(const UfuncLoop*, char**, const cnp.npy_intp*, const cnp.npy_intp*)
    ctypedef unsigned (*PythonJudge)(const UfuncLoop*, unsigned, char**, const cnp.npy_intp*,
                                     const cnp.npy_intp*)
    cppclass UfuncLoop:
        const Program* program
        PythonLoop python
        PyObject* callable
        PythonJudge judge
        PyObject* source
        int inputs
        int outputs
        int types[MAX_OPERANDS]
        cnp.npy_intp sizes[MAX_OPERANDS]
        bint core[MAX_OPERANDS]
    void ufunc_loop(char** args, const cnp.npy_intp* dimensions, const cnp.npy_intp* steps, void* data) noexcept
    void gufunc_loop(char** args, const cnp.npy_intp* dimensions, const cnp.npy_intp* steps, void* data) noexcept
    void keep_alive(PyObject* ufunc, PyObject* owner)

cnp.import_ufunc()


cdef void _call_python(const UfuncLoop* loop, char** args, const cnp.npy_intp* dimensions,
                       const cnp.npy_intp* steps) noexcept with gil:
    """Call Python with arrays over the memory of the operands, of one axis and perhaps the core dimension."""
    raised = None
    try:
        arrays = _arrays_of(loop, args, dimensions, steps)
        (<object>loop.callable)(arrays[:loop.inputs], arrays[loop.inputs:])
    except BaseException as error:
        raised = error
    if raised is not None:
        PyErr_SetObject(type(raised), raised)


cdef unsigned _call_judge(const UfuncLoop* loop, unsigned errors, char** args, const cnp.npy_intp* dimensions,
                          const cnp.npy_intp* steps) noexcept with gil:
    raised = None
    try:
        arrays = _arrays_of(loop, args, dimensions, steps)
        return _judge(<object>loop.source, arrays[:loop.inputs], arrays[loop.inputs:], errors)
    except BaseException as error:
        raised = error
    PyErr_SetObject(type(raised), raised)
    return 0


cdef list _arrays_of(const UfuncLoop* loop, char** args, const cnp.npy_intp* dimensions,
                     const cnp.npy_intp* steps):
    cdef cnp.npy_intp shape[2]
    cdef cnp.npy_intp strides[2]
    cdef int count = loop.inputs + loop.outputs, cores = 0, k
    arrays = []
    for k in range(count):
        shape[0], strides[0] = dimensions[0], steps[k]
        if loop.core[k]:
            shape[1], strides[1] = dimensions[1], steps[count + cores]
            cores += 1
        arrays.append(cnp.PyArray_New(
            numpy.ndarray, 2 if loop.core[k] else 1, shape, loop.types[k], strides, args[k], 0,
            0 if k < loop.inputs else cnp.NPY_ARRAY_WRITEABLE, None))
    return arrays


cdef class UfuncLoops:
    """What a ufunc points to: its loops, their programs, its name and documentation."""
    cdef vector[UfuncLoop] loops
    cdef vector[UfuncInner] functions
    cdef vector[void*] data
    cdef vector[char] types
    cdef list owners
    cdef bytes name, doc, signature

    def __cinit__(self, name, doc, inputs, outputs, loops, core):
        cdef UfuncLoop* loop
        cdef int k
        self.name, self.doc = name.encode(), doc.encode()
        self.owners = []
        self.signature = None
        if core is not None:
            self.signature = (",".join("(n)" if one else "()" for one in core[:inputs]) + "->"
                              + ",".join("(n)" if one else "()" for one in core[inputs:])).encode()
        if inputs + outputs > MAX_OPERANDS:
            raise ValueError(f"ufuse: more than {MAX_OPERANDS} operands")
        self.loops.resize(len(loops))
        for place, (dtypes, program, python, source) in enumerate(loops):
            self.owners.append((program, python, source))
            loop = &self.loops[place]
            loop.program = NULL
            if program is not None:
                loop.program = program_at(program.address)
            loop.python = <PythonLoop>&_call_python
            loop.callable = <PyObject*>python
            loop.source = <PyObject*>source
            loop.judge = NULL
            if source is not None:
                loop.judge = <PythonJudge>&_call_judge
            loop.inputs, loop.outputs = inputs, outputs
            for k in range(inputs + outputs):
                loop.types[k], loop.sizes[k] = dtypes[k].num, dtypes[k].itemsize
                loop.core[k] = core is not None and core[k]
                self.types.push_back(<char>loop.types[k])
            self.functions.push_back(<UfuncInner>ufunc_loop if core is None else <UfuncInner>gufunc_loop)
            self.data.push_back(loop)


def make_ufunc(name, doc, int inputs, int outputs, loops, core=None):
    """A NumPy ufunc.

    `loops` are tuples (dtypes of inputs and outputs, a `_core.Program` or None, what to call where there is
    none: with lists of input and output arrays, the `Program` whose floating-point errors NumPy may find or
    None). `core`: for each operand of a gufunc, whether it has the core
    dimension; its loops have no program.
    """
    cdef UfuncLoops made = UfuncLoops(name, doc, inputs, outputs, loops, core)
    cdef const char* signature = NULL
    if made.signature is not None:
        signature = <const char*>made.signature
    ufunc = PyUFunc_FromFuncAndDataAndSignature(
        made.functions.data(), made.data.data(), made.types.data(), <int>made.loops.size(), inputs, outputs,
        PyUFunc_None, <const char*>made.name, <const char*>made.doc, 0, signature)
    keep_alive(<PyObject*>ufunc, <PyObject*>made)
    return ufunc
