# Functions of sums that have been compiled: whether another one does the same, by its code and by what it finds
# outside of it.

cdef object _missing = object()  # stands for a variable that is not bound


cdef bint _is_same(object expected, object value) except -1:
    """Whether a value is the same constant; of numbers the type counts, and the sign of zero."""
    cdef double numbers[2]
    cdef Py_ssize_t i
    if value is expected:
        return True
    if type(value) is not type(expected):
        return False
    if PyFloat_CheckExact(value):
        numbers[0], numbers[1] = value, expected
        return memcmp(numbers, numbers + 1, sizeof(double)) == 0
    if type(value) in (int, str, bytes):
        return value == expected
    if type(value) is tuple:
        if len(<tuple>value) != len(<tuple>expected):
            return False
        for i in range(len(<tuple>value)):
            if not _is_same((<tuple>expected)[i], (<tuple>value)[i]):
                return False
        return True
    if isinstance(value, (int, float, complex, str, numpy.generic)):
        return repr(value) == repr(expected)
    return False


@cython.final
cdef class CapturedArray:
    """An array that a function finds outside of it, by its layout.

    Parameters
    ----------
    array : ndarray
        In native byte order, of at most 8 axes.
    kept : bool
        Whether it is kept, and no other one will do.
    """
    cdef Layout layout
    cdef object array

    def __init__(self, cnp.ndarray array, bint kept):
        if not _read_layout(array, &self.layout):
            raise ValueError("ufuse: an array of too many axes or of another byte order")
        self.array = array if kept else None

    cdef bint holds(self, object value) noexcept:
        if value is not self.array and (self.array is not None or not cnp.PyArray_CheckExact(value)):
            return False
        return _has_layout(<cnp.ndarray>value, &self.layout)


@cython.final
cdef class Captures:
    """What a function's code finds outside of it, and what a function must find to be taken for it.

    Parameters
    ----------
    kind : type
        Of the function, which is the `__wrapped__` of what is not of Python's own type.
    code : code
    names : tuple of str
        Global variables.
    expected : tuple
        Values of these, of the cells and of the defaults: a CapturedArray, the Captures of a function, or a
        constant; `unbound()` for what is not bound.
    """
    cdef object kind, code
    cdef tuple names, expected

    def __init__(self, kind, code, names, expected):
        self.kind, self.code = kind, code
        self.names, self.expected = tuple(names), tuple(expected)

    @staticmethod
    def unbound():
        """Return what stands for the value of a variable that is not bound."""
        return _missing

    cdef bint hold(self, object function, list arrays) except -1:
        """Whether a function is taken for it; what it finds for each CapturedArray is appended to `arrays`."""
        cdef Py_ssize_t place = 0
        if type(function) is not self.kind:
            return False
        if self.kind is not FunctionType:
            function = function.__wrapped__
        if type(function) is not FunctionType or function.__code__ is not self.code:
            return False
        scope = function.__globals__
        if type(scope) is not dict:
            return False
        for name in self.names:
            if not self._holds(place, (<dict>scope).get(name, _missing), arrays):
                return False
            place += 1
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned
                value = _missing
            if not self._holds(place, value, arrays):
                return False
            place += 1
        for value in function.__defaults__ or ():
            if not self._holds(place, value, arrays):
                return False
            place += 1
        return place == len(self.expected)

    cdef bint _holds(self, Py_ssize_t place, object value, list arrays) except -1:
        cdef object expected
        if place >= len(self.expected):
            return False
        expected = self.expected[place]
        if type(expected) is CapturedArray:
            arrays.append(value)
            return (<CapturedArray>expected).holds(value)
        if type(expected) is Captures:
            return (<Captures>expected).hold(value, arrays)
        return _is_same(expected, value)


@cython.final
cdef class RepeatedFinish:
    """A function of sums whose program has been compiled, and where the arrays come from that it reads.

    Parameters
    ----------
    anchor : object
        What it is looked up by: its code, or the function itself.
    owner : callable or None
        The function alone that it holds for; None where any with these captures will do.
    inner : function or None
        Of `owner`: the function whose captures are compared.
    captures : Captures or None
    arrays : sequence of ndarray
        Those found for the captures, in their order. None is kept.
    extras : sequence of (CapturedArray, int, int)
        What the program reads: the array, its place in `arrays` (-1: it is kept), and bytes to its first element.
    """
    cdef readonly object anchor
    cdef object owner, inner
    cdef Captures captures
    cdef list first     # place of the first array that is the same, for each one
    cdef list extras
    cdef int count
    cdef int places[MAX_OPERANDS]
    cdef int64_t offsets[MAX_OPERANDS]

    def __init__(self, anchor, owner, inner, captures, arrays, extras):
        cdef int i = 0
        if len(extras) + 3 > MAX_OPERANDS:
            raise ValueError(f"ufuse: more than {MAX_OPERANDS} operands")
        self.anchor, self.owner, self.inner, self.captures = anchor, owner, inner, captures
        self.first = _first_places(list(arrays))
        self.extras = []
        self.count = len(extras)
        for array, place, offset in extras:
            self.extras.append(<CapturedArray?>array)
            self.places[i], self.offsets[i] = place, offset
            i += 1

    cdef bint holds(self, object function, list arrays) except -1:
        if self.owner is not None:
            if function is not self.owner and not (type(function) is MethodType and function == self.owner):
                return False
            function = self.inner
        if self.captures is not None and not self.captures.hold(function, arrays):
            return False
        return len(arrays) == 0 or _first_places(arrays) == self.first

    cdef bint find(self, list arrays, char** data, cnp.ndarray out, const Layout* layout) except -1:
        """Put the addresses of what the program reads in `data`; False where that is not apart from `out`."""
        cdef CapturedArray extra
        cdef cnp.ndarray array
        cdef int i
        for i in range(self.count):
            extra = <CapturedArray>self.extras[i]
            array = extra.array if self.places[i] < 0 else arrays[self.places[i]]
            if not _has_layout(array, &extra.layout) or not _bounds_apart(array, &extra.layout, out, layout):
                return False
            data[i] = cnp.PyArray_BYTES(array) + self.offsets[i]
        return True


cdef list _first_places(list arrays):
    """For each array the place of the first one that is the same object."""
    cdef list found = []
    cdef Py_ssize_t i, j
    for i in range(len(arrays)):
        for j in range(i + 1):
            if arrays[j] is arrays[i]:
                found.append(j)
                break
    return found
