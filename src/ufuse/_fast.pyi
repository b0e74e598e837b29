"""The fast entry points (Cython)."""

from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core

def empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]: ...
def run(
    program: _core.Program,
    inputs: Sequence[NDArray[Any]],
    outputs: Sequence[NDArray[Any]],
    shape: tuple[int, ...],
    settled: bool = False,
) -> int: ...
def set_report(
    report: Callable[[Any, Any, Any, int, str], None], judge: Callable[[Any, Any, Any, int], int]
) -> None: ...
def take_errors() -> int: ...
def set_element_types(codes: Sequence[str]) -> None: ...

class FastCall:
    def guarded(self, guards: Sequence[tuple[Any, str | None, Any]]) -> FastCall: ...

class FastProgram(FastCall):
    def __init__(
        self,
        program: _core.Program,
        output_dtypes: Sequence[np.dtype[Any]],
        input_dtypes: Sequence[np.dtype[Any]],
        input_axes: Sequence[int],
        longest_row: int | None = None,
        spanning: int = -1,
        source: Any = None,
    ) -> None: ...
    def guarded(self, guards: Sequence[tuple[Any, str | None, Any]]) -> FastProgram: ...

class FastScalars(FastCall):
    def __init__(
        self,
        fast: FastProgram,
        arguments: int,
        inputs: Sequence[tuple[int, type | None, bool, tuple[int, int] | None]],
    ) -> None: ...
    def guarded(self, guards: Sequence[tuple[Any, str | None, Any]]) -> FastScalars: ...

class ProgramCall:
    _fast: FastCall | None
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def map_items(
    function: ProgramCall,
    general: Callable[[int], Any],
    arguments: list[Any],
    walked: tuple[bool, ...],
    count: int,
    outs: Sequence[Any] | None,
) -> list[Any]: ...

class LinearCall:
    def __init__(
        self,
        general: Callable[..., Any],
        programs: Mapping[str, FastProgram],
        codes: Mapping[Any, str],
        quantizes: bool,
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class DynamicCall:
    def __init__(self, general: Any, program: FastProgram, kind: type) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class ReductionCall:
    def __init__(
        self,
        general: Callable[..., Any],
        reducer: int,
        finish: int,
        component: int,
        results: Mapping[str, np.dtype[Any]],
        finite: bool,
        positional: int,
        takes_out: bool,
        takes_ddof: bool,
    ) -> None: ...
    def choose(self, selector: str, variants: Mapping[Any, ReductionCall]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class AverageCall:
    def __init__(self, general: Callable[..., Any], mean: ReductionCall) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class SeveralCall:
    def __init__(
        self,
        general: Callable[..., Any],
        plan: Callable[[Any], tuple[type, tuple[Any, ...]] | None],
        key: str | None,
        default: Any,
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class OrderCall:
    def __init__(self, general: Callable[..., Any], scale: float, skip_nan: bool) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class HistogramCall:
    def __init__(self, general: Callable[..., Any]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class BincountCall:
    def __init__(self, general: Callable[..., Any]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class PartsEntry:
    def __init__(
        self,
        general: Callable[..., Any],
        groups: bool,
        operations: Mapping[str, Mapping[str, tuple[int, str, int, int, np.dtype[Any], bool]]],
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class SoftmaxCall:
    def __init__(self, general: Callable[..., Any], logarithm: bool) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def run_contraction(address: int, arrays: Sequence[NDArray[Any]], small: bool) -> None: ...

class CapturedArray:
    def __init__(self, array: NDArray[Any], kept: bool) -> None: ...

class Captures:
    def __init__(
        self, kind: type, code: CodeType, names: Sequence[str], expected: Sequence[Any]
    ) -> None: ...
    @staticmethod
    def unbound() -> object: ...

class RepeatedFinish:
    anchor: object
    def __init__(
        self,
        anchor: object,
        owner: Callable[..., Any] | None,
        inner: Callable[..., Any] | None,
        captures: Captures | None,
        arrays: Sequence[NDArray[Any]],
        extras: Sequence[tuple[CapturedArray, int, int]],
    ) -> None: ...

class ContractCall:
    def __init__(
        self, general: Callable[..., Any], subscripts: bool, first: Callable[..., Any]
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def remember(
        self,
        key: str | None,
        a: NDArray[Any],
        b: NDArray[Any],
        out: NDArray[Any],
        owner: object,
        address: int,
        small: bool,
        finish: RepeatedFinish | None = None,
    ) -> None: ...
    def remember_dots(
        self,
        key: str | None,
        a: NDArray[Any],
        b: NDArray[Any],
        out: NDArray[Any],
        left: NDArray[Any],
        right: NDArray[Any],
    ) -> None: ...
    def remember_sum(
        self,
        key: str,
        x: NDArray[Any],
        view: NDArray[Any],
        out: NDArray[Any],
        reducer: int,
        finish: int,
    ) -> None: ...

class FastContraction(FastCall):
    def __init__(
        self,
        owner: object,
        address: int,
        sources: Sequence[int | NDArray[Any] | None],
        args: Sequence[NDArray[Any]],
        out: NDArray[Any],
        small: bool,
    ) -> None: ...

class ScanCall:
    def __init__(
        self, general: Callable[..., Any], scan: int, results: Mapping[str, np.dtype[Any]]
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class TopkCall:
    def __init__(self, general: Callable[..., Any], kind: type) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class WindowCall:
    def __init__(self, general: Callable[..., Any], operations: Mapping[str, int]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def quantize_arrays(
    arrays: list[np.ndarray[Any, Any]],
    program: FastProgram,
    symmetric: bool,
    least: float,
    most: float,
) -> list[tuple[Any, Any, Any]] | None: ...
def tier_number() -> int: ...

class LayerForm:
    def __init__(
        self,
        packed: _core.PackedMatrix | _core.PackedCodes,
        form: int,
        sums: str,
        shape: tuple[int, ...],
        scale: NDArray[Any] | None,
    ) -> None: ...

class LayerCall:
    def __init__(
        self,
        general: Callable[..., Any],
        program: Callable[[str, bool, Any], _core.Program | None],
        packed: type,
        kept: type,
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def make_ufunc(
    name: str,
    doc: str,
    inputs: int,
    outputs: int,
    loops: Sequence[
        tuple[tuple[np.dtype[Any], ...], _core.Program | None, Callable[..., None] | None, Any]
    ],
    core: Sequence[bool] | None = None,
) -> np.ufunc: ...
