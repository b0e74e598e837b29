# Contractions of two arrays, and sums of one: what has been prepared for arrays of the same shapes and strides is
# run again.

DEF KEYS = 256
DEF LAYOUTS = 32   # of one key
DEF FINISHES = 64  # functions of sums, by subscripts
DEF FINISHED = 8   # layouts of a function of sums that keeps arrays

cdef extern from "contract/contraction.hpp" namespace "ufuse" nogil:
    cppclass Contraction:
        void run(char** arrays) except +


def run_contraction(uintptr_t address, arrays, bint small):
    """Run a contraction of the core on arrays, in the order of its labels' strides.

    Parameters
    ----------
    address : int
        Of the core's Contraction.
    arrays : sequence of ndarray
        As many as it was made for, of the shapes and strides that it was made for.
    small : bool
        Whether other threads can wait for it.
    """
    cdef vector[char*] data
    cdef const Contraction* core = <const Contraction*>address
    for array in arrays:
        data.push_back(cnp.PyArray_BYTES(<cnp.ndarray?>array))
    if small:
        core.run(data.data())
    else:
        with nogil:
            core.run(data.data())


cdef class PreparedContraction:
    """A contraction of the core, or sums of products of matching elements, and the layouts it is for."""
    cdef const Contraction* core  # null where it is such sums
    cdef object owner  # keeps it alive
    cdef Layout a, b, out
    cdef Py_ssize_t itemsize
    cdef bint fresh    # whether a new result has the layout
    cdef bint small
    cdef RepeatedFinish finish  # None where sums are stored as they are
    # Of the sums: axes of the result, then those that are summed, and strides of both operands.
    cdef int axes
    cdef int64_t shape[FAST_AXES]
    cdef int64_t a_strides[FAST_AXES]
    cdef int64_t b_strides[FAST_AXES]

    cdef void dots(self, char* a, char* b, char* out) except *:
        """Sum products in float64, and round the sums to `out`, which is contiguous."""
        cdef WeightedSum sum
        cdef vector[double] sums
        cdef int64_t sum_strides[FAST_AXES]
        cdef int64_t step = sizeof(double)
        cdef Py_ssize_t i
        cdef int axis
        for axis in range(self.axes - 1, -1, -1):
            sum_strides[axis] = 0 if axis >= self.out.axes else step
            if axis < self.out.axes:
                step *= self.shape[axis]
        sum.axes = self.axes
        sum.shape = self.shape
        sum.reduced = (<uint64_t>1 << self.axes) - (<uint64_t>1 << self.out.axes)
        sum.values.data = a
        sum.values.dtype = <DType>_element[self.a.type]
        sum.values.strides = self.a_strides
        sum.weights.data = b
        sum.weights.dtype = <DType>_element[self.b.type]
        sum.weights.strides = self.b_strides
        sum.sum_strides = sum_strides
        if self.out.type == cnp.NPY_DOUBLE:
            sum.sums = out
        else:
            sums.resize(step // sizeof(double))
            sum.sums = <char*>sums.data()
        if self.small:
            weighted_sum(sum)
        else:
            with nogil:
                weighted_sum(sum)
        for i in range(<Py_ssize_t>sums.size()):
            (<float*>out)[i] = <float>sums[i]


cdef class PreparedSum:
    """A sum over labels of one array, as a reduction of a view of it, and the layouts it is for."""
    cdef Layout x, out
    cdef int axes
    cdef int64_t shape[FAST_AXES]       # of the view: axes of the result, then those that are summed
    cdef int64_t strides[FAST_AXES]
    cdef int64_t out_strides[FAST_AXES]
    cdef uint64_t reduced
    cdef Py_ssize_t itemsize
    cdef bint small

    cdef bint run(self, cnp.ndarray x, cnp.ndarray out, int reducer, int finish) except -1:
        cdef const void* data = cnp.PyArray_DATA(x)
        cdef void* to = cnp.PyArray_DATA(out)
        cdef DType element = <DType>_element[self.x.type]
        cdef bint done
        if self.small:
            done = reduce_fast(data, self.axes, self.shape, self.strides, element, self.reduced, to,
                               self.out_strides, element, <ReducerId>reducer, <Finish>finish, 0, 0.0)
        else:
            with nogil:
                done = reduce_fast(data, self.axes, self.shape, self.strides, element, self.reduced, to,
                                   self.out_strides, element, <ReducerId>reducer, <Finish>finish, 0, 0.0)
        return done


cdef class ContractCall(Entry):
    """Fast entry of a contraction of two arrays, by subscripts or not, or of one by subscripts.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation, and calls `remember`.
    subscripts : bool
        Whether subscripts come first.
    first : callable
        From this entry, the subscripts or None, and two arrays that are not known yet, to their product, or to
        None, where the general function is to be asked.
    """
    cdef bint subscripts
    cdef object first
    cdef dict known, sums  # key to what is prepared: of two arrays, of one
    cdef dict finished     # (key, id of what a finish is looked up by), to what is prepared of two arrays
    cdef int reducer, finish

    def __init__(self, general, subscripts, first):
        Entry.__init__(self, general)
        self.subscripts = subscripts
        self.first = first
        self.known = {}
        self.sums = {}
        self.finished = {}

    def __call__(self, *args, **kwargs):
        cdef object key = None, out = None, accumulate = None, semiring = None, finish = None
        cdef Py_ssize_t first = 1 if self.subscripts else 0
        cdef list prepared
        cdef bint known = True
        for name, value in kwargs.items():
            if name == "out":
                out = value
            elif name == "accumulate" and type(value) is str:
                accumulate = value
            elif name == "semiring" and type(value) is str:
                semiring = None if value == "plus_times" else value
            elif name == "finish":
                finish = value
            else:
                known = False
                break
        if not known:
            return self.general(*args, **kwargs)
        if (len(args) == first + 2 and cnp.PyArray_CheckExact(args[first])
                and cnp.PyArray_CheckExact(args[first + 1])):
            if self.subscripts:
                key = args[0]
            if not self.subscripts or type(key) is str:
                if accumulate is not None or semiring is not None:
                    key = (key, accumulate, semiring)
                prepared = <list>self.known.get(key) if finish is None else self._finished(key, finish)
                if prepared is not None:
                    result = self._run(prepared, args[first], args[first + 1], out, finish)
                    if result is not None:
                        return result
                if not kwargs:
                    result = self.first(self, key, args[first], args[first + 1])
                    if result is not None:
                        return result
        elif (self.subscripts and len(args) == 2 and type(args[0]) is str and cnp.PyArray_CheckExact(args[1])
                and accumulate is None and semiring is None and finish is None):
            prepared = <list>self.sums.get(args[0])
            if prepared is not None:
                result = self._sum(prepared, args[1], out)
                if result is not None:
                    return result
        return self.general(*args, **kwargs)

    cdef object _sum(self, list prepared, cnp.ndarray x, object out):
        cdef PreparedSum p
        cdef cnp.ndarray target
        for entry in prepared:
            p = <PreparedSum>entry
            if not _has_layout(x, &p.x):
                continue
            if out is None:
                target = new_array(p.out.axes, <cnp.npy_intp*>p.out.shape, p.out.type, p.itemsize)
            else:
                if not cnp.PyArray_CheckExact(out):
                    return None
                target = out
                if not _has_layout(target, &p.out):
                    continue
                if (not cnp.PyArray_ISWRITEABLE(target) or not cnp.PyArray_ISALIGNED(target)
                        or not _bounds_apart(x, &p.x, target, &p.out)):
                    return None
            if not p.run(x, target, self.reducer, self.finish):
                return None
            return target[()] if p.out.axes == 0 and out is None else target
        return None

    cdef list _finished(self, object key, object finish):
        """What is prepared for functions like `finish`: of its code, or else for itself alone."""
        cdef object found = None
        if type(finish) is FunctionType:
            found = self.finished.get((key, id(finish.__code__)))
        elif type(finish) is MethodType:
            finish = finish.__func__
        return <list>(self.finished.get((key, id(finish))) if found is None else found)

    cdef object _run(self, list prepared, cnp.ndarray a, cnp.ndarray b, object out, object finish):
        cdef PreparedContraction p
        cdef cnp.ndarray target
        cdef char* arrays[MAX_OPERANDS]
        cdef list captured = None
        for entry in prepared:
            p = <PreparedContraction>entry
            if not _has_layout(a, &p.a) or not _has_layout(b, &p.b):
                continue
            if finish is not None:
                captured = []
                if not p.finish.holds(finish, captured):
                    continue
            if out is None:
                if not p.fresh:
                    continue
                target = new_array(p.out.axes, <cnp.npy_intp*>p.out.shape, p.out.type, p.itemsize)
            else:
                if not cnp.PyArray_CheckExact(out):
                    return None
                target = out
                if not _has_layout(target, &p.out):
                    continue
                if (not cnp.PyArray_ISWRITEABLE(target) or not (p.core != NULL or cnp.PyArray_ISALIGNED(target))
                        or not _bounds_apart(a, &p.a, target, &p.out) or not _bounds_apart(b, &p.b, target, &p.out)):
                    return None
            if finish is not None and not p.finish.find(captured, arrays + 3, target, &p.out):
                return None
            arrays[0] = cnp.PyArray_BYTES(a)
            arrays[1] = cnp.PyArray_BYTES(b)
            arrays[2] = cnp.PyArray_BYTES(target)
            if p.core == NULL:
                p.dots(arrays[0], arrays[1], arrays[2])
            elif p.small:
                p.core.run(arrays)
            else:
                with nogil:
                    p.core.run(arrays)
            return target
        return None

    def remember(self, key, cnp.ndarray a, cnp.ndarray b, cnp.ndarray out, owner, uintptr_t address, bint small,
                 RepeatedFinish finish=None):
        """Run this contraction again where arrays of the same layouts come.

        Parameters
        ----------
        key : str or None or tuple
            The subscripts, where they come first; beside them what is accumulated in and the semiring, where
            one of them is given by name.
        a, b, out : ndarray
            Of these layouts. None is kept.
        owner : object
            Kept: it keeps what lies at `address`.
        address : int
            Of the core's Contraction.
        small : bool
            Whether other threads can wait for it.
        finish : RepeatedFinish, optional
            What is done to the sums. It is kept.
        """
        cdef PreparedContraction p = PreparedContraction()
        if not (_read_layout(a, &p.a) and _read_layout(b, &p.b) and _read_layout(out, &p.out)):
            return
        p.core = <const Contraction*>address
        p.owner = owner
        p.itemsize = cnp.PyArray_ITEMSIZE(out)
        p.fresh = cnp.PyArray_IS_C_CONTIGUOUS(out) and p.out.type < cnp.NPY_NTYPES_LEGACY
        p.small = small
        p.finish = finish
        if finish is None:
            _keep(self.known, key, p, KEYS, LAYOUTS)
        else:
            self._keep_finished((key, id(finish.anchor)), p)

    cdef void _keep_finished(self, object key, PreparedContraction p) except *:
        """Keep it; of a function that holds for itself alone, in place of what it was with the same layouts."""
        cdef PreparedContraction old
        cdef list others = <list>self.finished.get(key)
        if p.finish.owner is None or others is None:
            _keep(self.finished, key, p, FINISHES, LAYOUTS)
            return
        kept = []
        for entry in others:
            old = <PreparedContraction>entry
            if (memcmp(&old.a, &p.a, sizeof(Layout)) or memcmp(&old.b, &p.b, sizeof(Layout))
                    or memcmp(&old.out, &p.out, sizeof(Layout))):
                kept.append(old)
        self.finished[key] = kept
        _keep(self.finished, key, p, FINISHES, FINISHED)

    def remember_dots(self, key, cnp.ndarray a, cnp.ndarray b, cnp.ndarray out, cnp.ndarray left,
                      cnp.ndarray right):
        """Sum products of matching elements again where arrays of the same layouts come.

        Parameters
        ----------
        key : str or None or tuple
            As of `remember`.
        a, b, out : ndarray
            float32 or float64, all three.
        left, right : ndarray
            Views of `a` and `b`, of one shape: their first axes are those of the result, and the others are
            summed over.
        """
        cdef PreparedContraction p = PreparedContraction()
        cdef int axis
        p.axes = cnp.PyArray_NDIM(left)
        if (p.axes > FAST_AXES or not cnp.PyArray_IS_C_CONTIGUOUS(out) or not cnp.PyArray_ISALIGNED(out)
                or not (_read_layout(a, &p.a) and _read_layout(b, &p.b) and _read_layout(out, &p.out))):
            return
        for axis in range(p.axes):
            p.shape[axis] = cnp.PyArray_DIM(left, axis)
            p.a_strides[axis] = cnp.PyArray_STRIDE(left, axis)
            p.b_strides[axis] = cnp.PyArray_STRIDE(right, axis)
        p.core = NULL
        p.itemsize = cnp.PyArray_ITEMSIZE(out)
        p.fresh = True
        p.small = cnp.PyArray_SIZE(left) <= SMALL
        _keep(self.known, key, p, KEYS, LAYOUTS)

    def remember_sum(self, key, cnp.ndarray x, cnp.ndarray view, cnp.ndarray out, int reducer, int finish):
        """Sum again where arrays of the same layouts come.

        Parameters
        ----------
        key : str
            The subscripts.
        x : ndarray
        view : ndarray
            Of `x`: its first axes are those of the result, and the others are summed over.
        out : ndarray
            Of the dtype of `x`.
        reducer, finish : int
            The core's numbers of a sum, and of the finish that leaves it as it is.
        """
        cdef PreparedSum p = PreparedSum()
        cdef int axis
        p.axes = cnp.PyArray_NDIM(view)
        if p.axes > FAST_AXES or not (_read_layout(x, &p.x) and _read_layout(out, &p.out)):
            return
        if not cnp.PyArray_IS_C_CONTIGUOUS(out):  # a few results are written side by side
            return
        for axis in range(p.axes):
            p.shape[axis] = cnp.PyArray_DIM(view, axis)
            p.strides[axis] = cnp.PyArray_STRIDE(view, axis)
            p.out_strides[axis] = cnp.PyArray_STRIDE(out, axis) if axis < p.out.axes else 0
        p.reduced = (<uint64_t>1 << p.axes) - (<uint64_t>1 << p.out.axes)
        p.itemsize = cnp.PyArray_ITEMSIZE(out)
        p.small = cnp.PyArray_SIZE(view) <= SMALL
        self.reducer = reducer
        self.finish = finish
        _keep(self.sums, key, p, KEYS, LAYOUTS)


cdef void _keep(dict known, object key, object prepared, Py_ssize_t keys, Py_ssize_t of_one) except *:
    """Put what is prepared beside what there is under the same key; forget what there is too much of."""
    cdef list layouts
    if key not in known:
        if len(known) >= keys:
            known.clear()
        known[key] = []
    layouts = <list>known[key]
    if len(layouts) >= of_one:
        layouts.pop(0)
    layouts.append(prepared)


@cython.final
cdef class FastContraction(FastCall):
    """One contraction that is all of a fused function, for arrays of the layouts of the last call.

    Parameters
    ----------
    owner : object
        Kept: it keeps what lies at `address`.
    address : int
        Of the core's Contraction.
    sources : sequence of (int or ndarray or None)
        What the core's arrays are: arguments by number, arrays from outside, None for the result.
    args : sequence of ndarray
        Of the layouts that are to come.
    out : ndarray
        Of the layout that results have.
    small : bool
        Whether other threads can wait for it.
    """
    cdef const Contraction* core
    cdef object owner
    cdef list kept                       # arrays from outside
    cdef int count, arrays               # of arguments; of the core's arrays
    cdef int argument[MAX_OPERANDS]      # of each of the core's arrays; -1: the result, -2 - i: kept[i]
    cdef Layout layouts[MAX_OPERANDS]    # of the arguments
    cdef Layout result
    cdef Py_ssize_t itemsize
    cdef bint fresh, small

    def __init__(self, owner, uintptr_t address, sources, args, cnp.ndarray out, bint small):
        cdef int k
        self.guards = ()
        self.owner = owner
        self.core = <const Contraction*>address
        self.kept = []
        self.count, self.arrays = len(args), len(sources)
        self.small = small
        if self.count > MAX_OPERANDS or self.arrays > MAX_OPERANDS:
            raise ValueError(f"ufuse: more than {MAX_OPERANDS} operands")
        for k in range(self.count):
            if not _read_layout(args[k], &self.layouts[k]):
                raise ValueError("ufuse: an array of too many axes or of another byte order")
        if not _read_layout(out, &self.result):
            raise ValueError("ufuse: a result of too many axes or of another byte order")
        self.itemsize = cnp.PyArray_ITEMSIZE(out)
        self.fresh = cnp.PyArray_IS_C_CONTIGUOUS(out) and self.result.type < cnp.NPY_NTYPES_LEGACY
        for k in range(self.arrays):
            if sources[k] is None:
                self.argument[k] = -1
            elif isinstance(sources[k], int):
                self.argument[k] = sources[k]
            else:
                self.argument[k] = -2 - len(self.kept)
                self.kept.append(sources[k])

    def guarded(self, guards):
        """Hold only while each variable of `guards` is bound to the same object: see `FastProgram`."""
        self.guards = tuple(guards)
        return self

    cdef object run(self, ProgramCall function, tuple args, object out):
        cdef cnp.ndarray target, array
        cdef char* arrays[MAX_OPERANDS]
        cdef Layout layout
        cdef int k
        if len(args) != self.count:
            return NotImplemented
        for k in range(self.count):
            if not cnp.PyArray_CheckExact(args[k]) or not _has_layout(args[k], &self.layouts[k]):
                return NotImplemented
        if out is None:
            if not self.fresh:
                return NotImplemented
            target = new_array(
                self.result.axes, <cnp.npy_intp*>self.result.shape, self.result.type, self.itemsize)
        else:
            if not cnp.PyArray_CheckExact(out):
                return NotImplemented
            target = out
            if not cnp.PyArray_ISWRITEABLE(target) or not _has_layout(target, &self.result):
                return NotImplemented
            for k in range(self.count):
                if not _bounds_apart(args[k], &self.layouts[k], target, &self.result):
                    return NotImplemented
            for array in self.kept:
                if not _read_layout(array, &layout) or not _bounds_apart(array, &layout, target, &self.result):
                    return NotImplemented
        for k in range(self.arrays):
            if self.argument[k] == -1:
                array = target
            else:
                array = args[self.argument[k]] if self.argument[k] >= 0 else self.kept[-2 - self.argument[k]]
            arrays[k] = cnp.PyArray_BYTES(array)
        if self.small:
            self.core.run(arrays)
        else:
            with nogil:
                self.core.run(arrays)
        return target
