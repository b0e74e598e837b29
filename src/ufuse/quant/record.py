"""What all records of quantized arrays have: numbers, rows, bytes, files and pickles."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import executors
from ..interop.lowprecision import coding, low_precision_dtype

if TYPE_CHECKING:
    from pathlib import Path

Array = NDArray[Any]
#: Part of an array: a slice of each axis, with both ends.
Box: TypeAlias = tuple[slice, ...]

_FLOATS: Final = "float32, float64, float16 or bfloat16"


class Record:
    """Codes with all that gives them their meaning: a record of arrays, not an array class.

    A class of records is a frozen dataclass with slots. It says what its parts are called in files
    and how to decode a part of the array; what users see is written here, once. Its arrays are
    read-only views of those that it was given, which stay as writable as they were.

    Attributes
    ----------
    shape : tuple of int
        Of the array that the codes stand for.
    """

    __slots__ = ()

    _name: ClassVar[str]  # for messages: "ufuse.formats.mx.MXArray"
    _kept_as: ClassVar[str]  # what files call such a record: "mx"
    _suffixes: ClassVar[Mapping[str, str]]  # attributes with arrays to suffixes of a tensor's name
    #: What `_decode` writes, besides bfloat16.
    _floats: ClassVar[tuple[type, ...]] = (np.float32, np.float16)

    shape: tuple[int, ...]

    # --- what a class of records says ------------------------------------------------------------

    def _decode(self, target: Array) -> None:
        """Write the numbers: to a float array, not empty, of any strides and byte order."""
        raise NotImplementedError

    def _units(self) -> tuple[int, ...]:
        """Return the lengths that a part of the array has to have a multiple of, by axis."""
        raise NotImplementedError

    def _boxes(self, size: int) -> Iterator[Box]:
        """Cut the array into parts that `_decode_box` takes: see `boxes`."""
        return boxes(self.shape, self._units(), size)

    def _plain(self) -> Self:
        """Return a record of the same numbers whose parts are found without work on all of it."""
        return self

    def _box(self, box: Box) -> Self:
        """Return a part of the array whose beginnings, and ends within it, are whole units."""
        raise NotImplementedError

    def _decode_box(self, box: Box, target: Array) -> None:
        """Write the numbers of such a part."""
        self._box(box)._decode(target)

    def _rows(self, rows: Any, shape: tuple[int, ...]) -> Self:
        """Return indices of the first axis as a record of this shape, or raise IndexError."""
        raise NotImplementedError

    def _says(self) -> str:
        """Return scheme and layout in the words of the repr."""
        raise NotImplementedError

    def _codes_in(self, box: Box) -> Array | None:
        """Return the codes of a part of the array as uint8 or uint16; None where they are many."""
        raise NotImplementedError

    def _every_code(self) -> Record | None:
        """Return a record with every code there is, in order, of scale 1."""
        raise NotImplementedError

    def _written(self, name: str) -> Array | None:
        """Return an attribute as files and pickles have it: of a dtype that NumPy has."""
        value = getattr(self, name)
        return None if value is None else np.asarray(value)

    @classmethod
    def _read(cls, name: str, array: Array, about: Mapping[str, Any]) -> Array:
        """Return an attribute, given how files and pickles have it."""
        return array

    # --- what all records do ---------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes of codes and of all that scales them."""
        return sum(part.nbytes for part in self._stored().values())

    def dequantize(self, out: Array | None = None, *, dtype: DTypeLike | None = None) -> Array:
        """Return the numbers that the codes stand for.

        Parameters
        ----------
        out : ndarray, optional
            Written to and returned: the shape of the array, any strides. It may overlap the parts
            of the record.
        dtype : dtype_like, optional
            Of the result: float32 (default), float64, float16 or bfloat16.

        Returns
        -------
        ndarray
            Computed in float32 and rounded once. float64 has the same numbers, but of a
            `QuantizedArray`, which computes them in float64.

        Raises
        ------
        TypeError, ValueError
            If `dtype` is none of those above, or `out` does not fit.
        """
        target = self._target(out, dtype)
        if target.size and target.dtype.type is np.float64 and np.float64 not in self._floats:
            target[...] = self.dequantize()  # of float32, which float64 holds
        elif target.size:
            self._decode(target)
        return target

    # Operators of arrays with it are refused (`x @ q`): `linear` multiplies, `dequantize` converts.
    __array_ufunc__ = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{self._name}: dequantizing makes a copy; use copy=None")
        numbers = self.dequantize()
        return numbers if dtype is None else numbers.astype(dtype, copy=False)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len() of an unsized {type(self).__name__}")
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Self:
        """Return some of the indices of the first axis: an int, a slice, or an array of either."""
        if isinstance(rows, tuple) or rows is None or rows is Ellipsis:
            raise self._no_rows(
                "expected indices of the first axis (an int, a slice, an array of ints or bools), "
                f"got {rows!r}"
            )
        if not self.shape:
            raise self._no_rows("an array of no axes has no rows to take")
        taken = np.broadcast_to(np.True_, self.shape[:1])[rows]  # of no memory
        if taken.ndim > 1:
            raise self._no_rows(
                "expected an int, a slice, or a 1-d array of indices of the first axis, got an "
                f"array of {np.ndim(rows)} dimensions"
            )
        return self._rows(rows, taken.shape + self.shape[1:])

    def _no_rows(self, why: str) -> IndexError:
        return IndexError(f"{self._name}: {why}; dequantize() first")

    def save(self, path: str | Path) -> None:
        """Write the record to a file, and replace what is there once it is complete.

        Parameters
        ----------
        path : path_like
            Ends in .npz or .safetensors.

        Raises
        ------
        ValueError
            If `path` ends otherwise.

        Examples
        --------
        >>> import os, tempfile, numpy as np, ufuse as uf
        >>> q = uf.quantize(np.float32([[1, 2], [3, 4]]), "int8", axis=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "weight.npz")
        ...     q.save(path)
        ...     uf.QuantizedArray.load(path)
        QuantizedArray(shape=(2, 2), int8 symmetric, 2 scales on axis 0, 13 bytes)
        """
        from ..files.quantized import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a record that `save` has written.

        Parameters
        ----------
        path : path_like
            Ends in .npz or .safetensors. Arrays of the latter are views of a memory map.

        Raises
        ------
        ValueError
            If the file is corrupt, truncated, of another version or another class of records; the
            message has the offset where it is known.
        ImportError
            If the dtype of the codes is one of ml_dtypes', which is not installed.
        """
        from ..files.quantized import load

        return load(path, cls)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._about(), self._stored())

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}(shape={self.shape}, {self._says()}, {self.nbytes} bytes)"

    def _keep(self, **parts: Array) -> None:
        """Put checked, read-only parts in place of those given, which `out=` still writes."""
        self._set(_given=tuple(getattr(self, name) for name in parts), **parts)

    def _set(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)  # the record itself is frozen

    def _stored(self) -> dict[str, Array]:
        """Return the parts there are, by suffix."""
        parts = {suffix: self._written(name) for name, suffix in self._suffixes.items()}
        return {suffix: part for suffix, part in parts.items() if part is not None}

    def _about(self) -> dict[str, Any]:
        """Return what the parts do not say, as JSON can have it."""
        about = {name: getattr(self, name) for name in self._words()}
        without = [name for name in self._suffixes if getattr(self, name) is None]
        return {"record": self._kept_as, **about} | ({"without": without} if without else {})

    @classmethod
    def _of(cls, about: Mapping[str, Any], part: Callable[[str], Array]) -> Self:
        """Make a record of what `_about` said and of the parts by their suffix."""
        given = {
            name: tuple(about[name]) if isinstance(about[name], list) else about[name]
            for name in cls._words()
            if name in about
        }
        without = about.get("without", ())
        for name, suffix in cls._suffixes.items():
            given[name] = None if name in without else cls._read(name, part(suffix), about)
        return cls(**given)

    @classmethod
    def _words(cls) -> list[str]:
        """Return the names of the attributes that are no parts."""
        names = (f.name for f in fields(cls))  # type: ignore[arg-type]  # of a dataclass
        return [name for name in names if name not in cls._suffixes and not name.startswith("_")]

    def _target(self, out: Any, dtype: DTypeLike | None) -> Array:
        """Return the array that numbers are written to."""
        function = f"{self._name}.dequantize"
        wanted = None if dtype is None else self._read_dtype(dtype, function)
        if out is None:
            return executors.empty(self.shape, wanted or np.dtype(np.float32))
        if not isinstance(out, np.ndarray):
            remedy = how_to_convert(out, "out") if is_of_torch(out) else ""
            remedy = f"; pass dtype={out!r}" if isinstance(out, (str, type, np.dtype)) else remedy
            raise TypeError(
                f"{function}: argument 'out': expected an ndarray, got {type(out).__name__}{remedy}"
            )
        if out.shape != self.shape:
            raise ValueError(
                f"{function}: argument 'out': expected shape {self.shape}, got shape {out.shape}"
            )
        if not self._gives(out.dtype) or (wanted is not None and wanted != out.dtype):
            names = _FLOATS if dtype is None else str(dtype)
            raise TypeError(
                f"{function}: argument 'out': expected dtype {names}, got dtype {out.dtype}"
            )
        if not out.flags.writeable:
            raise ValueError(f"{function}: argument 'out': the array is read-only")
        return out

    def _read_dtype(self, dtype: DTypeLike, function: str) -> np.dtype[Any]:
        try:
            found = low_precision_dtype("bfloat16") if dtype == "bfloat16" else np.dtype(dtype)
        except TypeError:
            found = None
        if found is None or not self._gives(found):
            raise TypeError(f"{function}: argument 'dtype': expected {_FLOATS}, got {dtype!r}")
        return found

    def _gives(self, dtype: np.dtype[Any]) -> bool:
        """Tell whether `dtype`, in any byte order, is one of results."""
        return dtype.type in (*self._floats, np.float64) or coding(dtype) == "bfloat16"


def _restored(kind: type[Record], about: dict[str, Any], parts: dict[str, Array]) -> Record:
    """Make a record of what was pickled."""
    return kind._of(about, parts.__getitem__)


def boxes(shape: tuple[int, ...], units: tuple[int, ...], size: int) -> Iterator[Box]:
    """Cut an array into boxes of whole units that have `size` elements at most, or one unit.

    Axes are kept whole from the last one on: with units of 1, a box is consecutive elements.

    Parameters
    ----------
    shape, units : tuple of int
        Of the array, and by axis what the length of a box is a multiple of.
    size : int
        Elements.
    """
    axes = range(len(shape))
    lengths = [min(unit, extent) for unit, extent in zip(units, shape, strict=True)]
    elements = int(np.prod(lengths, dtype=np.int64))
    if elements == 0:
        return
    for i in reversed(axes):
        times = max(1, size // elements)
        elements //= lengths[i]
        lengths[i] = min(shape[i], lengths[i] * times)
        elements *= lengths[i]
    starts = (range(0, extent, length) for extent, length in zip(shape, lengths, strict=True))
    for at in product(*starts):
        yield tuple(slice(at[i], min(at[i] + lengths[i], shape[i])) for i in axes)


def extents(box: Box) -> tuple[int, ...]:
    """Return the shape of a part of an array."""
    return tuple(along.stop - along.start for along in box)


def scaled(box: Box, axis: int, times: int, per: int) -> Box:
    """Return the box of what an axis has `times` of for `per` elements, the last of them ragged."""
    along = box[axis]
    cut = slice(along.start * times // per, -(-along.stop * times // per))
    return (*box[:axis], cut, *box[axis + 1 :])


def read_only(array: Any) -> Array:
    """Return a read-only view of an array."""
    view: Array = np.asarray(array).view()
    view.flags.writeable = False
    return view


def read_shape(shape: Any, record: str) -> tuple[int, ...]:
    """Return a record's shape as a tuple of plain integers."""
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise ValueError(f"{record}: attribute 'shape': expected a tuple of sizes, got {shape!r}")
    return sizes


def is_of_torch(value: Any) -> bool:
    """Tell whether a value is a tensor, or of torch at all, without importing it."""
    return type(value).__module__.partition(".")[0] == "torch"


def how_to_convert(value: Any, name: str) -> str:
    """Return how a message goes on where something else than an ndarray has come."""
    if is_of_torch(value):
        return f"; {name}.numpy() is one over the same memory"
    if isinstance(value, (list, tuple, int, float)) or hasattr(type(value), "__array__"):
        return f"; np.asarray({name}, dtype) makes one"
    return ""


def refuse_record(value: Any, function: str, argument: str) -> None:
    """Raise where codes with their scales have come, and numbers or codes alone are wanted."""
    if isinstance(value, Record):
        raise TypeError(
            f"{function}: argument {argument!r}: expected an array, got {value!r}, which has its "
            f"scales with it: {argument}.dequantize() gives its numbers"
        )
