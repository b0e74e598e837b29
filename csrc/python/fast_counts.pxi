# Histograms and counts of small arrays.

cdef enum:
    MOST_FAST_BINS = 65536  # beyond, the edges cost more than the call


cdef class HistogramCall(Entry):
    """Fast entry of `histogram`: one small contiguous ndarray; uniform bins, or edges of float64."""

    def __call__(self, *args, **kwargs):
        cdef object result, bins = 10, range_ = None
        cdef Py_ssize_t given = len(args)
        if 1 <= given <= 3 and cnp.PyArray_CheckExact(args[0]):
            if given > 1:
                bins = args[1]
            if given > 2:
                range_ = args[2]
            for key, value in kwargs.items():
                if key == "bins" and given < 2:
                    bins = value
                elif key == "range" and given < 3:
                    range_ = value
                elif value is not None or key not in ("density", "weights", "axis"):
                    return self.general(*args, **kwargs)
            result = self._run(args[0], bins, range_)
            if result is not NotImplemented:
                return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, object bins, object range_):
        cdef cnp.ndarray counts, edges
        cdef int number = cnp.PyArray_TYPE(array), wide
        cdef cnp.npy_intp size
        cdef double ends[2]
        cdef const double* given = NULL
        if (number >= TYPE_NUMBERS or number == cnp.NPY_BOOL or _element[number] < 0
                or not cnp.PyArray_IS_C_CONTIGUOUS(array) or PyArray_ISBYTESWAPPED(array)
                or not 0 < cnp.PyArray_SIZE(array) <= SMALL):
            return NotImplemented
        if not PyLong_CheckExact(bins):
            return self._between(array, bins) if range_ is None else NotImplemented
        if not 0 < bins <= MOST_FAST_BINS:
            return NotImplemented
        wide = cnp.NPY_FLOAT if number == cnp.NPY_FLOAT else cnp.NPY_DOUBLE
        if range_ is not None:
            # The edges have the type of numpy.float64 ends, but not that of Python's numbers.
            if type(range_) not in (tuple, list) or len(range_) != 2:
                return NotImplemented
            for i in range(2):
                if not (PyFloat_CheckExact(range_[i]) or PyLong_CheckExact(range_[i])
                        or (wide == cnp.NPY_DOUBLE and isinstance(range_[i], float))):
                    return NotImplemented
                if not -1e15 < range_[i] < 1e15:
                    return NotImplemented
                ends[i] = range_[i]
            given = ends
        size = bins
        counts = cnp.PyArray_SimpleNew(1, &size, cnp.NPY_INTP)
        size += 1
        edges = cnp.PyArray_SimpleNew(1, &size, wide)
        if not histogram_fast(cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), <DType>_element[number],
                              size - 1, given, cnp.PyArray_DATA(edges),
                              <int64_t*>cnp.PyArray_DATA(counts)):
            return NotImplemented
        return counts, edges

    cdef object _between(self, cnp.ndarray array, object bins):
        cdef cnp.ndarray counts, edges
        cdef cnp.npy_intp size
        if type(bins) is list and len(bins) <= SMALL_COUNTS and all(type(edge) is float for edge in bins):
            bins = numpy.array(bins)
        if not cnp.PyArray_CheckExact(bins):
            return NotImplemented
        edges = bins
        size = cnp.PyArray_SIZE(edges) - 1
        if (cnp.PyArray_TYPE(edges) != cnp.NPY_DOUBLE or cnp.PyArray_NDIM(edges) != 1 or size < 1
                or size > MOST_FAST_BINS or PyArray_ISBYTESWAPPED(edges)
                or not cnp.PyArray_IS_C_CONTIGUOUS(edges)):
            return NotImplemented
        counts = cnp.PyArray_SimpleNew(1, &size, cnp.NPY_INTP)
        if not histogram_between(cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array),
                                 <DType>_element[cnp.PyArray_TYPE(array)], size,
                                 <const double*>cnp.PyArray_DATA(edges),
                                 <int64_t*>cnp.PyArray_DATA(counts)):
            return NotImplemented
        return counts, edges


cdef class BincountCall(Entry):
    """Fast entry of `bincount`: a small ndarray of integers, weights of float64 or none."""

    def __call__(self, *args, **kwargs):
        cdef object result, weights = None, least = 0
        cdef Py_ssize_t given = len(args)
        if 1 <= given <= 3 and cnp.PyArray_CheckExact(args[0]):
            if given > 1:
                weights = args[1]
            if given > 2:
                least = args[2]
            for key, value in kwargs.items():
                if key == "weights" and given < 2:
                    weights = value
                elif key == "minlength" and given < 3:
                    least = value
                else:
                    return self.general(*args, **kwargs)
            if (PyLong_CheckExact(least) and 0 <= least <= MOST_FAST_BINS
                    and (weights is None or cnp.PyArray_CheckExact(weights))):
                result = self._run(args[0], weights, least)
                if result is not NotImplemented:
                    return result
        return self.general(*args, **kwargs)

    cdef object _run(self, cnp.ndarray array, object weights, int64_t least):
        cdef ValueArray x
        cdef cnp.ndarray out, weight
        cdef int number = cnp.PyArray_TYPE(array)
        cdef int64_t largest = 0
        cdef cnp.npy_intp size
        if (number >= TYPE_NUMBERS or _element[number] < 0 or PyArray_ISBYTESWAPPED(array)
                or cnp.PyArray_NDIM(array) != 1 or not 0 < cnp.PyArray_SIZE(array) < SMALL_COUNTS):
            return NotImplemented
        x.data = cnp.PyArray_BYTES(array)
        x.size = cnp.PyArray_SIZE(array)
        x.stride = cnp.PyArray_STRIDE(array, 0)
        x.dtype = <DType>_element[number]
        if not largest_value(x, largest) or largest >= MOST_FAST_BINS:
            return NotImplemented
        size = largest + 1 if largest >= least else least
        if weights is None:
            out = cnp.PyArray_ZEROS(1, &size, cnp.NPY_INTP, 0)
            return out if count_values(x, size, <int64_t*>cnp.PyArray_DATA(out)) else NotImplemented
        weight = weights
        if (cnp.PyArray_TYPE(weight) != cnp.NPY_DOUBLE or PyArray_ISBYTESWAPPED(weight)
                or cnp.PyArray_NDIM(weight) != 1 or cnp.PyArray_SIZE(weight) != x.size):
            return NotImplemented
        out = cnp.PyArray_ZEROS(1, &size, cnp.NPY_DOUBLE, 0)
        if not add_weights(x, cnp.PyArray_BYTES(weight), cnp.PyArray_STRIDE(weight, 0), size,
                           <double*>cnp.PyArray_DATA(out)):
            return NotImplemented
        return out
