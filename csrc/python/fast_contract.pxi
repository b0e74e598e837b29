# Contractions of two arrays: what has been prepared for arrays of the same shapes and strides is run again.

DEF FAST_AXES = 8
DEF LAYOUTS = 32  # of one key

cdef extern from "contract/contraction.hpp" namespace "ufuse" nogil:
    cppclass Contraction:
        void run(char** arrays) except +


cdef struct Layout:
    int axes
    int type
    int64_t shape[FAST_AXES]
    int64_t strides[FAST_AXES]


cdef bint _read_layout(cnp.ndarray array, Layout* layout) noexcept:
    cdef int axis
    layout.axes = cnp.PyArray_NDIM(array)
    layout.type = cnp.PyArray_TYPE(array)
    if layout.axes > FAST_AXES or PyArray_ISBYTESWAPPED(array):
        return False
    for axis in range(layout.axes):
        layout.shape[axis] = cnp.PyArray_DIM(array, axis)
        layout.strides[axis] = cnp.PyArray_STRIDE(array, axis)
    return True


cdef bint _has_layout(cnp.ndarray array, const Layout* layout) noexcept:
    cdef int axis
    if (cnp.PyArray_NDIM(array) != layout.axes or cnp.PyArray_TYPE(array) != layout.type
            or PyArray_ISBYTESWAPPED(array)):
        return False
    for axis in range(layout.axes):
        if (cnp.PyArray_DIM(array, axis) != layout.shape[axis]
                or cnp.PyArray_STRIDE(array, axis) != layout.strides[axis]):
            return False
    return True


cdef bint _bounds_apart(cnp.ndarray a, const Layout* layout, cnp.ndarray out, const Layout* to) noexcept:
    """Whether the memory between the first and the last byte of two arrays is disjoint."""
    cdef int64_t low[2]
    cdef int64_t high[2]
    cdef int64_t step
    cdef int axis
    low[0] = high[0] = <int64_t>cnp.PyArray_BYTES(a)
    low[1] = high[1] = <int64_t>cnp.PyArray_BYTES(out)
    for axis in range(layout.axes):
        step = (layout.shape[axis] - 1) * layout.strides[axis]
        if step < 0:
            low[0] += step
        else:
            high[0] += step
    for axis in range(to.axes):
        step = (to.shape[axis] - 1) * to.strides[axis]
        if step < 0:
            low[1] += step
        else:
            high[1] += step
    return (high[0] + cnp.PyArray_ITEMSIZE(a) <= low[1]) or (high[1] + cnp.PyArray_ITEMSIZE(out) <= low[0])


cdef class PreparedContraction:
    """A contraction of the core, and the layouts it is for."""
    cdef const Contraction* core
    cdef object owner  # keeps it alive
    cdef Layout a, b, out
    cdef Py_ssize_t itemsize
    cdef bint fresh    # whether a new result has the layout
    cdef bint swapped  # whether the core's first operand is the second one
    cdef bint small


cdef class ContractCall(Entry):
    """Fast entry of a contraction of two arrays, by subscripts or not.

    Parameters
    ----------
    general : callable
        The general function; it defines the signature and the documentation, and calls `remember`.
    subscripts : bool
        Whether subscripts come first.
    """
    cdef bint subscripts
    cdef dict known

    def __init__(self, general, subscripts):
        Entry.__init__(self, general)
        self.subscripts = subscripts
        self.known = {}

    def __call__(self, *args, **kwargs):
        cdef object key = None, out = None
        cdef Py_ssize_t first = 1 if self.subscripts else 0
        cdef list prepared
        if (len(args) == first + 2 and cnp.PyArray_CheckExact(args[first])
                and cnp.PyArray_CheckExact(args[first + 1])
                and (not kwargs or (len(kwargs) == 1 and "out" in kwargs))):
            if kwargs:
                out = kwargs["out"]
            if self.subscripts:
                key = args[0]
            if not self.subscripts or type(key) is str:
                prepared = <list>self.known.get(key)
                if prepared is not None:
                    result = self._run(prepared, args[first], args[first + 1], out)
                    if result is not None:
                        return result
        return self.general(*args, **kwargs)

    cdef object _run(self, list prepared, cnp.ndarray a, cnp.ndarray b, object out):
        cdef PreparedContraction p
        cdef cnp.ndarray target
        cdef char* arrays[3]
        for entry in prepared:
            p = <PreparedContraction>entry
            if not _has_layout(a, &p.a) or not _has_layout(b, &p.b):
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
                if (not cnp.PyArray_ISWRITEABLE(target) or not _bounds_apart(a, &p.a, target, &p.out)
                        or not _bounds_apart(b, &p.b, target, &p.out)):
                    return None
            arrays[0] = cnp.PyArray_BYTES(b if p.swapped else a)
            arrays[1] = cnp.PyArray_BYTES(a if p.swapped else b)
            arrays[2] = cnp.PyArray_BYTES(target)
            if p.small:
                p.core.run(arrays)
            else:
                with nogil:
                    p.core.run(arrays)
            return target
        return None

    def remember(self, key, cnp.ndarray a, cnp.ndarray b, cnp.ndarray out, owner, uintptr_t address, bint swapped,
                 bint small):
        """Run this contraction again where arrays of the same layouts come.

        Parameters
        ----------
        key : str or None
            The subscripts, where they come first.
        a, b, out : ndarray
            Of these layouts. None is kept.
        owner : object
            Kept: it keeps what lies at `address`.
        address : int
            Of the core's Contraction.
        swapped : bool
            Whether its first operand is `b`.
        small : bool
            Whether other threads can wait for it.
        """
        cdef PreparedContraction p = PreparedContraction()
        cdef list prepared
        if not (_read_layout(a, &p.a) and _read_layout(b, &p.b) and _read_layout(out, &p.out)):
            return
        p.core = <const Contraction*>address
        p.owner = owner
        p.itemsize = cnp.PyArray_ITEMSIZE(out)
        p.fresh = cnp.PyArray_IS_C_CONTIGUOUS(out) and p.out.type < cnp.NPY_NTYPES_LEGACY
        p.swapped = swapped
        p.small = small
        if key not in self.known:
            if len(self.known) >= 256:
                self.known.clear()
            self.known[key] = []
        prepared = <list>self.known[key]
        if len(prepared) >= LAYOUTS:
            prepared.pop(0)
        prepared.append(p)


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

    cdef object run(self, tuple args, object out):
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
