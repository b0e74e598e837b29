"""The weights of a linear layer, in the forms that its kernels read."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import executors
from ..interop import asarray
from ..interop.lowprecision import coding
from ..quant.array import QuantizedArray
from ..quant.cast import cast
from ..quant.record import Record
from .arithmetic import choose
from .coded import Coded, coded_of
from .expressions import Finish
from .layer_finish import LayerFinish, stored
from .pairs import Pair, Product

Array = NDArray[Any]
Mode = Literal["dynamic", "weight_only"]

MODES = ("dynamic", "weight_only")
_STRIP = 1 << 20  # numbers that are decoded at a time: 4 MB of float32
_SLAB = 1 << 22  # codes that are packed at a time
# Narrow weights are converted as they are packed from here on. By (1024, 1024) float16 the layer of
# 512 rows took 25.0 ms where they are widened in registers and takes 16.8 so, of 64 rows 1.8 and
# 1.4, of 48 1.3 and 1.2, of 32 as long.
_MANY_ROWS, _MANY_PRODUCTS = 48, 1 << 22
# Rows of bfloat16 up to which tiles are no faster than float32: by (3000, 3000), one core, one row
# takes 1.5 ms there and 0.9 in float32, 8 take 1.6 and 1.4, 16 1.6 and 2.6, 64 2.4 and 9.8.
_FEW_ROWS = 8


class Weights(Protocol):
    """A form of weights.

    Attributes
    ----------
    shape : tuple of int
        (out, in).
    nbytes : int
    says : str
        What they are, for a repr.
    """

    shape: tuple[int, ...]
    nbytes: int
    says: str

    def multiply(self, x: Array, finish: LayerFinish, out: Array) -> None:
        """Write ``finish(x @ w.T)``; `x` is a matrix of what is computed in."""


class Dense:
    """An array of floats, read where it lies."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape = array.shape
        self.nbytes = array.nbytes
        self.says = array.dtype.name

    def reads_bfloat16(self, x: Array) -> bool:
        """Whether `x` is multiplied as bfloat16, by tiles, rather than in float32.

        `prepack` keeps no panels for that: fewer rows read weights as they lie, so that it would
        have to keep both.
        """
        if executors.native is None or len(x) <= _FEW_ROWS or coding(x.dtype) != "bfloat16":
            return False
        return bool(executors.native.bfloat16_by_tiles(len(x) * self.array.size))

    def multiply(self, x: Array, finish: LayerFinish, out: Array) -> None:
        """Also of `x` in bfloat16, where it `reads_bfloat16`."""
        narrow = coding(self.array.dtype)
        if executors.native is None:
            wide = cast(self.array, np.float32) if narrow else self.array
            _finish(x @ wide.T, finish, out)
            return
        array = self.array
        many = len(x) >= _MANY_ROWS and len(x) * array.size >= _MANY_PRODUCTS
        if narrow and (many or x.dtype == array.dtype):
            _packed_narrow(x, array, finish, out)
            return
        if narrow and array.strides[-1] != 2 and array.shape[-1] > 1:
            array = np.ascontiguousarray(array)
        form = narrow or array.dtype.str[1:]
        executors.native.linear(x, form, stored(array), finish, stored(out))


def _packed_narrow(x: Array, w: Array, finish: LayerFinish, out: Array) -> None:
    """Multiply many rows with narrow weights, which are packed on the way: as float32 if `x` is."""
    sizes: dict[int | str, int] = {"i": len(x), "j": len(w), "k": w.shape[1]}
    summed = np.dtype(np.float32)
    pair = Pair(("i", "k"), ("j", "k"), ("i", "j"), sizes, summed)
    arithmetic = choose(x.dtype, w.dtype, summed, None)
    assert arithmetic is not None
    done = Finish(finish.program("plain"), finish.operands)
    into = stored(out)
    Product(pair, arithmetic, x, w, into, done).run(x, w, into, done)


class PackedDense:
    """float32 or float64 in panels, for this CPU."""

    def __init__(self, array: Array) -> None:
        self.shape = array.shape
        self._dtype = array.dtype
        self.says = array.dtype.name
        self._packed = executors.native.packed_matrix(array)
        self.nbytes: int = self._packed.nbytes
        if array.dtype == np.float32:
            self.fast = executors.native.layer_form("matrix", self._packed, array.shape)

    def multiply(self, x: Array, finish: LayerFinish, out: Array) -> None:
        executors.native.linear(x, "matrix", self._packed, finish, stored(out))

    def __reduce__(self) -> tuple[Any, ...]:
        unpacked = executors.native.unpacked_matrix(self._packed, self.shape, self._dtype)
        return _of_floats, (unpacked,)


def _of_floats(array: Array) -> PackedDense | Dense:
    return Dense(array) if executors.native is None else PackedDense(array)


class Int8:
    """Symmetric int8 codes with a scale per output, times rows quantized on the way."""

    def __init__(self, codes: Array, scale: Array) -> None:
        self.shape = codes.shape
        self.says = "int8, dynamic"
        self._given = scale
        self.scale = np.array(np.broadcast_to(scale, codes.shape[:1]))
        self._codes: Any = codes
        if executors.native is not None:
            self._codes = executors.native.packed_matrix(codes)
            self.fast = executors.native.layer_form("int8", self._codes, self.shape, self.scale)
        self.nbytes: int = self._codes.nbytes + scale.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        codes = self._codes
        if executors.native is not None:
            codes = executors.native.unpacked_matrix(codes, self.shape, np.dtype(np.int8))
        return Int8, (np.array(codes), np.array(self._given))

    def multiply(self, x: Array, finish: LayerFinish, out: Array) -> None:
        if executors.native is not None:
            executors.native.linear(x, "int8", self._codes, finish, stored(out), self.scale)
            return
        codes, row_scale = _quantized_rows(x)
        # float64 holds sums of int8 products exactly.
        sums = (codes.astype(np.float64) @ self._codes.T.astype(np.float64)).astype(np.int32)
        operands = (sums, row_scale, self.scale, *finish.operands)
        executors.run_program(finish.program("int8"), operands, (stored(out),))


class Codes:
    """Codes with scales of blocks, in lines of 16 outputs."""

    def __init__(
        self, coded: Coded, record: Record | None, mode: Mode, says: str, nbytes: int
    ) -> None:
        self.shape: tuple[int, ...] = coded.shape
        self.says = says
        self._mode = mode
        self._form = "dynamic" if mode == "dynamic" else "coded"
        self._record, self._coded = record, coded
        self._packed: Any = None
        self.nbytes: int = nbytes
        if executors.native is not None:
            self._packed = _kept(record, coded)
            self.nbytes = self._packed.nbytes
            self.fast = executors.native.layer_form(self._form, self._packed, self.shape)
            self._record, self._coded = None, coded.hollow()  # the rest is packed

    def __reduce__(self) -> tuple[Any, ...]:
        coded = self._coded
        if self._packed is not None:
            codes, scales = coded.room()
            executors.native.unpacked_codes(self._packed, codes, scales)
            coded = coded.filled(codes, scales)
        return _of_codes, (*coded.parts(), self._mode, self.says, self.nbytes)

    def multiply(self, x: Array, finish: LayerFinish, out: Array) -> None:
        if self._packed is not None:
            executors.native.linear(x, self._form, self._packed, finish, stored(out))
        elif self._mode == "weight_only" and self._record is not None:
            Decoded(self._record).multiply(x, finish, out)
        elif self._mode == "weight_only":
            Dense(self._coded.numbers()).multiply(x, finish, out)
        else:
            self._reference(x, finish, out)

    def _reference(self, x: Array, finish: LayerFinish, out: Array) -> None:
        c = self._coded
        assert c.zero is not None
        rows, row_scale = _quantized_rows(x)
        codes = c.codes(0, c.shape[0]).astype(np.float64) - c.zero
        scale = c.blocks(c.scale, c.super_scale)
        offset = None if c.offset is None else c.blocks(c.offset, c.super_offset)
        sums = np.zeros((len(x), c.shape[0]), np.float32)
        for block in range(-(-c.shape[1] // c.block)):
            part = slice(block * c.block, (block + 1) * c.block)
            exact = rows[:, part].astype(np.float64) @ codes[:, part].T
            sums += exact.astype(np.float32) * scale[:, block]
            if offset is not None:
                sums += rows[:, part].sum(axis=1, keepdims=True) * offset[:, block]
        operands = (sums, row_scale, *finish.operands)
        executors.run_program(finish.program("dynamic"), operands, (stored(out),))


def _of_codes(about: dict[str, Any], codes: Array, mode: Mode, says: str, nbytes: int) -> Codes:
    """Return pickled codes as this machine has them."""
    return Codes(Coded.of_parts(about, codes), None, mode, says, nbytes)


class Decoded:
    """Any record of weights, decoded a strip of outputs at a time."""

    def __init__(self, record: Record) -> None:
        self.shape = record.shape
        self.nbytes = record.nbytes
        self.says = f"{record._says()}, decoded"
        self.record = record._plain()

    def multiply(self, x: Array, finish: LayerFinish, out: Array) -> None:
        n, k = self.shape
        unit = max(1, math.lcm(self.record._units()[0], 16))
        step = max(1, _STRIP // max(1, k) // unit) * unit
        numbers = np.empty((min(step, n), k), np.float32)
        for first in range(0, n, step):
            last = min(n, first + step)
            strip = numbers[: last - first]
            if k:
                self.record._decode_box((slice(first, last), slice(0, k)), strip)
            Dense(strip).multiply(x, finish.columns(first, last), out[:, first:last])


class PackedWeights:
    """Weights as `linear` reads them: see `prepack`.

    Attributes
    ----------
    dtype : numpy.dtype or None
        Of `x`, where the weights are floats; None where they are codes.
    mode : {"dynamic", "weight_only"} or None
        How codes are multiplied.
    """

    __slots__ = ("_fast", "_weights", "dtype", "mode")

    def __init__(self, weights: Weights, dtype: np.dtype[Any] | None, mode: Mode | None) -> None:
        self._weights = weights
        self._fast = getattr(weights, "fast", None)  # what the fast entry of `linear` takes
        self.dtype = dtype
        self.mode = mode

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in)."""
        return self._weights.shape

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._weights.nbytes

    def __copy__(self) -> PackedWeights:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedWeights:
        return self  # nothing changes it

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedWeights, (self._weights, self.dtype, self.mode)

    def __repr__(self) -> str:
        return f"PackedWeights(shape={self.shape}, {self._weights.says}, {self.nbytes} bytes)"


def prepack(w: ArrayLike | Record, mode: Mode | None = None) -> PackedWeights:
    """Lay weights out as `linear` reads them, once for many calls.

    Parameters
    ----------
    w : array_like or record, shape (out, in)
        Weights as `linear` takes them: float32, float64, float16 or bfloat16; a `QuantizedArray`,
        or a record of `ufuse.formats`.
    mode : {"dynamic", "weight_only"}, optional
        How quantized weights will be multiplied: see `linear`.

    Returns
    -------
    PackedWeights
        It has `shape`, `nbytes` and `mode`, and keeps nothing of `w`, but for codes that are
        decoded as they are needed. It never changes, so that a copy is itself. What is pickled is
        not laid out for any machine: it is packed again where it is read.

    Raises
    ------
    TypeError
        If the dtype is none of those above.
    ValueError
        If `w` is no matrix, or `mode` is not offered for it.

    Notes
    -----
    float32 and float64 go into panels for the products of many rows; float16 and bfloat16 are
    copied. Codes of 8 bits and less with integer levels or 16 levels (int8 to uint2, NF4, FP4,
    MXFP4, MXINT8, NVFP4, Q2_K to Q8_0, IQ4_NL) lie in lines of 16 outputs, 4 or 8 bits each, with
    scales as the format has them. All others (float8 and float6, other kinds of GGUF) stay as they
    are and are decoded in every call, a few megabytes at a time.

    A `QuantizedArray` keeps its packed form by itself after the first call of `linear`.

    Examples
    --------
    >>> import numpy as np, ufuse as uf
    >>> w = uf.quantize(np.eye(64, dtype=np.float32), "int4", axis=0)
    >>> packed = uf.prepack(w)
    >>> packed
    PackedWeights(shape=(64, 64), int4 symmetric, 64 scales on axis 0, weight_only, 230... bytes)
    >>> bool(np.all(uf.linear(np.ones((1, 64), np.float32), packed) == w.dequantize().sum(axis=1)))
    True
    """
    return weights_of(w, mode, "prepack", packed=True)


def weights_of(w: Any, mode: Mode | None, function: str, *, packed: bool = False) -> PackedWeights:
    """Return weights in a form for one call, or where `packed` for many."""
    if mode is not None and not (isinstance(mode, str) and mode in MODES):
        raise (ValueError if isinstance(mode, str) else TypeError)(
            f"ufuse.{function}: argument 'mode': expected None, 'dynamic' or 'weight_only', got "
            f"{mode!r}"
        )
    if isinstance(w, PackedWeights):
        if mode not in (None, w.mode):
            raise ValueError(
                f"ufuse.{function}: argument 'mode': the weights are packed for {w.mode!r}, got "
                f"{mode!r}; pack them with ufuse.prepack(w, {mode!r})"
            )
        return w
    if isinstance(w, Record):
        _check_matrix(w.shape, function)
        return _of_record(w, mode, function, packed)
    array = asarray(w, function=f"ufuse.{function}", argument="w")
    dtype = array.dtype.newbyteorder("=")
    if dtype.type not in (np.float32, np.float64) and coding(dtype) not in ("half", "bfloat16"):
        raise TypeError(
            f"ufuse.{function}: argument 'w': expected float32, float64, float16 or bfloat16, or "
            f"quantized weights, got dtype {array.dtype}; convert it with w.astype(np.float32), or "
            "quantize floats with ufuse.quantize"
        )
    _check_matrix(array.shape, function)
    if mode is not None:
        raise ValueError(
            f"ufuse.{function}: argument 'mode': expected None with weights of {dtype}, got "
            f"{mode!r}; quantize them first"
        )
    array = array.astype(dtype, copy=False)  # a byte-swapped array is converted
    if packed and executors.native is not None and dtype.itemsize > 2:
        return PackedWeights(PackedDense(array), dtype, None)
    return PackedWeights(Dense(np.array(array, order="C") if packed else array), dtype, None)


def _check_matrix(shape: tuple[int, ...], function: str) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"ufuse.{function}: argument 'w': expected shape (out, in), got shape {shape}"
        )


def _of_record(w: Record, mode: Mode | None, function: str, packed: bool) -> PackedWeights:
    if not isinstance(w, QuantizedArray):
        return _made(w, mode, function, packed)
    tier = "" if executors.native is None else executors.native.tier()
    key = f"{mode} {tier}"
    found: PackedWeights | None = w._packed.get(key)
    if found is None:
        found = w._packed[key] = _made(w, mode, function, packed)
    if mode is None and executors.native is not None:
        w._packed["fast"] = (executors.native.tier_number(), found._fast)
    return found


def _made(w: Record, mode: Mode | None, function: str, packed: bool) -> PackedWeights:
    is_int8 = (
        isinstance(w, QuantizedArray)
        and w.scheme == "int8"
        and w.axis in (None, 0)
        and w.block_size is None
        and not w.zero_point.any()
    )
    wanted: Mode = mode or ("dynamic" if is_int8 else "weight_only")
    if is_int8 and wanted == "dynamic":
        assert isinstance(w, QuantizedArray)
        if executors.native is not None and w.shape[1] > executors.native.max_int8_k():
            raise ValueError(
                f"ufuse.{function}: argument 'w': int32 sums of {w.shape[1]} int8 products could "
                f"overflow; expected at most {executors.native.max_int8_k()} inputs, or "
                "mode='weight_only'"
            )
        return PackedWeights(Int8(w.data, w.scale), None, wanted)
    # A record that keeps nothing is decoded for one call: packing it would cost more.
    keeps = packed or isinstance(w, QuantizedArray) or wanted == "dynamic"
    empty = 0 in w.shape
    coded = coded_of(w) if keeps and not empty else None
    if wanted == "dynamic" and not empty and (coded is None or not coded.has_integers):
        raise ValueError(
            f"ufuse.{function}: argument 'mode': 'dynamic' multiplies symmetric int8 codes with a "
            "scale per output, and codes of 4 and 2 bits that stand for integers, with blocks of a "
            f"multiple of 8 along the inputs; got {w!r}; use 'weight_only'"
        )
    if coded is None:
        return PackedWeights(Decoded(w), None, wanted)
    form = Codes(coded, w, wanted, f"{w._says()}, {wanted}", w.nbytes)
    return PackedWeights(form, None, wanted)


def _kept(record: Record | None, coded: Coded) -> Any:
    """Return packed codes, which serve both modes and every tier; a `QuantizedArray` keeps them."""
    found = record._packed.get("codes") if isinstance(record, QuantizedArray) else None
    if found is None:
        found = executors.native.packed_codes(coded, _SLAB)
        if isinstance(record, QuantizedArray):
            record._packed["codes"] = found
    return found


def _quantized_rows(x: Array) -> tuple[Array, Array]:
    """Quantize rows symmetrically to int8; return the codes, float, and scales."""
    largest = np.max(np.abs(x), axis=-1, initial=0)
    scale = largest / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale)[:, None]
    finite = np.isfinite(scale)
    codes = np.where(finite, np.rint(x / np.where(finite, scale, 1)), 0)
    return np.clip(codes, -127, 127), scale


def _finish(sums: Array, finish: LayerFinish, out: Array) -> None:
    executors.run_program(finish.program("plain"), (sums, *finish.operands), (stored(out),))
