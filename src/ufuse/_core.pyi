"""The native executor (pybind11): programs, settings, and what each family registers."""

from collections.abc import Sequence
from typing import Any

class Program:
    def __init__(
        self,
        inputs: Sequence[str],
        constants: Sequence[tuple[str, bytes]],
        instructions: Sequence[tuple[str | tuple[str, str, int, float], str, Sequence[int]]],
        outputs: Sequence[int],
        rows: Sequence[int] = ...,
    ) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def registers(self) -> int: ...
    @property
    def has_rows(self) -> bool: ...

_Labels = Sequence[tuple[int, Sequence[int]]]

class Contraction:
    def __init__(
        self,
        code: str,
        batch: _Labels,
        rows: _Labels,
        cols: _Labels,
        shared: _Labels,
        *,
        a_arrays: int = 1,
        b_arrays: int = 1,
        extras: int = 0,
        real_a: bool = False,
        real_b: bool = False,
        conjugate_a: bool = False,
        conjugate_b: bool = False,
        wraps: bool = False,
        prologue_a: int = 0,
        prologue_b: int = 0,
        finish: int = 0,
    ) -> None: ...
    def run(self, addresses: Sequence[int], positions: int = 0) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def sizes(self) -> tuple[int, int, int, int]: ...
    @property
    def packings(self) -> tuple[int, int]: ...
    @property
    def turned(self) -> bool: ...

def run_contractions(
    contractions: Sequence[Contraction],
    addresses: Sequence[Sequence[int]],
    rows: Sequence[int],
) -> None: ...

class PackedMatrix:
    def __init__(self, code: str, w: tuple[int, ...], k: int, n: int) -> None: ...
    def unpack(self, out: int) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class PackedCodes:
    def __init__(
        self,
        n: int,
        k: int,
        block: int,
        scales: str,
        per_super: int,
        offsets: bool,
        levels: Sequence[float] | None,
        zero: int,
        integers: bool,
    ) -> None: ...
    def put_codes(self, first: int, codes: Any) -> None: ...
    def put_scales(self, scale: Any, offset: Any, super_scale: Any, super_offset: Any) -> None: ...
    def take_codes(self, first: int, codes: Any) -> None: ...
    def take_scales(self, scale: Any, offset: Any, super_scale: Any, super_offset: Any) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def available_tiers() -> list[str]: ...
def active_tier() -> str: ...
def set_tier(name: str) -> None: ...
def thread_limit() -> int: ...
def set_thread_limit(threads: int) -> None: ...
def set_local_thread_limit(threads: int) -> int: ...
def pool_statistics() -> dict[str, int]: ...
def set_pool_limit(bytes: int) -> None: ...
def linear(
    program: int,
    sizes: tuple[int, int, int],
    x: tuple[int, ...],
    form: str,
    w: tuple[int, ...],
    out: tuple[int, ...],
    extras: Sequence[tuple[int, ...]],
) -> None: ...
def reduce_program(
    program: int,
    inputs: Sequence[Any],
    shape: Sequence[int],
    axes: int,
    slots: Sequence[tuple[Any, ...]],
) -> None: ...
def contraction_kernels() -> dict[str, dict[str, Any]]: ...
def max_int8_k() -> int: ...
def bfloat16_by_tiles(terms: int) -> bool: ...
def reduce(*args: Any, **kwargs: Any) -> Any: ...
def scans() -> list[str]: ...
def to_half(values: Any, out: Any) -> None: ...
def attention(
    type: str,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    mask_type: str,
    scale: float,
    causal: bool,
    out: Any,
) -> None: ...
def softmax(x: Any, axes: int, out: Any, logarithm: bool) -> None: ...
def softmax_by_line(count: int, size: int) -> bool: ...
def scan(x: Any, axis: int, name: str, out: Any) -> None: ...
def weighted_sum(
    values: tuple[Any, str, Any],
    weights: tuple[Any, str, Any],
    axes: int,
    sums: Any,
    totals: Any,
) -> None: ...
def exact_sum(
    x: Any,
    axes: int,
    out: Any,
    where: Any = ...,
    initial: float | None = ...,
    divisor: int = ...,
    coding: str = ...,
    table: Any = ...,
) -> None: ...
def count_leading(
    x: Any, counts: Any, coding: str, values: Any | None
) -> tuple[float, float, int, int] | None: ...
def divergences(counts: Any, levels: int, out: Any) -> None: ...
def squared_errors(
    points: Any,
    numbers: Any,
    point_start: Any,
    edges: Any,
    jumps: Any,
    edge_start: Any,
    levels: tuple[int, float],
    scale: Any,
    least: Any,
    most: Any,
    out: Any,
) -> None: ...
def histogram(
    x: Any,
    axes: int,
    edges: Any,
    width: float,
    weights: Any | None,
    out: Any,
    coding: tuple[str, Any | None],
    weight_coding: tuple[str, Any | None],
) -> bool: ...
def count_octaves(
    x: Any,
    axes: int,
    top: int,
    octaves: int,
    fraction_bits: int,
    out: Any,
    coding: tuple[str, Any | None],
) -> None: ...
def bincount(
    x: Any, weights: Any | None, out: Any, weight_coding: tuple[str, Any | None]
) -> int: ...
def move_reduce(
    x: Any,
    op: str,
    out: Any,
    axis: int,
    window: int,
    min_count: int,
    ddof: float,
) -> None: ...
def segment_reduce(*args: Any) -> tuple[int, int, int, int]: ...
def group_reduce(*args: Any) -> tuple[int, int]: ...
def order_statistics(*args: Any) -> int: ...
def count_valid(*args: Any) -> None: ...
def topk(*args: Any) -> None: ...
def quantize_ranged(
    program: int,
    parts: Sequence[tuple[Any, ...]],
    rule: str,
    least: float,
    most: float,
) -> bool: ...
def distortion(program: int, x: Any, inputs: Sequence[Any], lanes: int) -> Any: ...
def encode_blocks(
    format: str,
    values: Any,
    coding: str,
    codes: Any,
    scales: Any | None,
    importance: Any | None,
    block: int,
    bytes: int,
    tensor_scale: float,
    scale_mode: int,
) -> bool: ...
def decode_blocks(
    format: str,
    codes: Any,
    scales: Any | None,
    values: Any,
    coding: str,
    block: int,
    bytes: int,
    tensor_scale: float,
    scale_mode: int,
) -> None: ...
def exact_sums(*args: Any, **kwargs: Any) -> Any: ...
def sorted_steps(*args: Any, **kwargs: Any) -> Any: ...
