"""The native executor: programs compiled to kernels, run by the C++ core."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core, _fast
from ..catalogue import ELEMENT_TYPES, FINISHES, REDUCERS
from ..fusion.instructions import Instruction, Reduction
from ..fusion.program import Program, dtype_of
from ..fusion.shapes import broadcast_shapes
from . import float_errors
from .narrow import as_codes, with_codes

# The core's limits (csrc/core/plan.hpp, csrc/program/program.hpp): larger programs go to the
# reference executor.
MAX_OPERANDS = 32
MAX_VALUES = 200


empty = _fast.empty
map_items = _fast.map_items
take_errors = _fast.take_errors

#: What `executors.fast_parts` takes for one operation on one dtype.
PartRow = tuple[str, str, str, int, np.dtype[Any], bool]


@lru_cache(maxsize=1024)
def can_run(program: Program) -> bool:
    """Whether every step of `program` is compiled, and it fits the core's limits."""
    return (
        program.is_native()
        and len(program.inputs) + len(program.outputs) <= MAX_OPERANDS
        and len(program.codes) <= MAX_VALUES
    )


@lru_cache(maxsize=1024)
def as_run(program: Program) -> Program | None:
    """Return the program that is run for `program`: itself, or one of codes of narrow floats.

    None where there is none; its inputs and outputs are then `as_codes` of the arrays.
    """
    if can_run(program):
        return program
    found = with_codes(program)
    return found if found is not None and can_run(found) else None


@lru_cache(maxsize=1024)
def compiled(program: Program) -> _core.Program:
    """Return `program` as the core has it."""
    constants = [
        (code, np.asarray(value, dtype_of(code)).tobytes()) for code, value in program.constants
    ]
    instructions = [(_operation(i), i.code, list(i.args)) for i in program.instructions]
    return _core.Program(
        list(program.inputs), constants, instructions, list(program.outputs), list(program.rows)
    )


def _operation(instruction: Instruction) -> str | tuple[str, str, int, float]:
    operation = instruction.operation
    if isinstance(operation, Reduction):
        return operation.reducer, operation.finish, operation.component, operation.ddof
    assert isinstance(operation, str)
    return operation


def run_program(
    program: Program,
    inputs: Sequence[NDArray[Any]],
    outputs: Sequence[NDArray[Any]],
    settled: bool = False,
) -> int:
    """Run `program`; see `reference.run_program` for the arguments.

    Returns the floating-point errors that are suspected; where `settled`, without most of those
    that no result speaks for, which takes longer where there are any.
    """
    shape = broadcast_shapes(*(array.shape for array in (*outputs, *inputs)))
    run = as_run(program)
    assert run is not None
    if run is not program:
        inputs, outputs = [as_codes(x) for x in inputs], [as_codes(x) for x in outputs]
    return _fast.run(compiled(run), inputs, outputs, shape, settled)


def reduce_program(
    program: Program,
    inputs: Sequence[NDArray[Any]],
    shape: tuple[int, ...],
    axes: Sequence[int],
    count: int,
    folds: Sequence[tuple[Reduction, int, NDArray[Any]]],
) -> None:
    """Reduce what `program` makes; a fold is a reduction, of which output, and where to."""
    run = as_run(program)
    assert run is not None
    slots = [
        (
            fold.reducer, output, program.codes[program.outputs[output]], fold.finish,
            fold.component, out, float(count), fold.ddof, None,
        )
        for fold, output, out in folds
    ]  # fmt: skip
    mask = sum(1 << axis for axis in axes)
    arrays = [as_codes(x) for x in inputs] if run is not program else list(inputs)
    _core.reduce_program(compiled(run).address, arrays, list(shape), mask, slots)


def distortion(
    program: Program, x: NDArray[Any], inputs: Sequence[NDArray[Any]], lanes: int
) -> NDArray[np.float64]:
    """Return the sums that compare `x` with what `program` makes; see `csrc/distortion`."""
    sums: NDArray[np.float64] = _core.distortion(compiled(program).address, x, inputs, lanes)
    return sums


def quantize_ranged(
    program: Program, parts: Sequence[tuple[Any, ...]], rule: str, least: float, most: float
) -> bool:
    """Quantize parts by their ranges; see `ufuse.quant.ranged`."""
    fine: bool = _core.quantize_ranged(compiled(program).address, parts, rule, least, most)
    return fine


def fast_program(
    program: Program,
    input_axes: Sequence[int],
    longest_row: int | None = None,
    spanning: int | None = None,
) -> _fast.FastProgram:
    """Return what `_fast.ProgramCall` repeats: `program` for inputs of `input_axes` dimensions.

    Calls with a longer trailing axis than `longest_row` are left to the general call, and so are
    those in which the input `spanning` has not all elements of the loop.
    """
    return _fast.FastProgram(
        compiled(program),
        [dtype_of(program.codes[output]) for output in program.outputs],
        [dtype_of(code) for code in program.inputs],
        list(input_axes),
        longest_row,
        -1 if spanning is None else spanning,
        program if float_errors.speaks(program) else None,
    )


def fast_scalars(
    program: Program,
    input_axes: Sequence[int],
    arguments: int,
    inputs: Sequence[tuple[int, type | None, tuple[int, int] | None]],
    longest_row: int | None = None,
    spanning: int | None = None,
) -> _fast.FastScalars:
    """Return what repeats `program` for arrays and Python numbers.

    Parameters
    ----------
    program : Program
    input_axes : sequence of int
        Dimensions of each input.
    arguments : int
        Of a call.
    inputs : sequence of (int, type or None, (int, int) or None)
        For each input its argument, the type of a number (None: an array), and of an int the
        smallest and the largest that the program is for.
    longest_row, spanning : int, optional
        As for `fast_program`.
    """
    codes = zip(inputs, program.inputs, strict=True)
    return _fast.FastScalars(
        fast_program(program, input_axes, longest_row, spanning),
        arguments,
        [(place, kind, code[0] == "f", limits) for (place, kind, limits), code in codes],
    )


def fast_linear(general: Any, programs: Mapping[str, Program]) -> _fast.LinearCall:
    """Return `general` (quantize_linear or its kin) behind its fast entry."""
    codes = {
        spelling: code
        for code, dtype in (("i1", np.dtype(np.int8)), ("u1", np.dtype(np.uint8)))
        for spelling in (dtype, dtype.type, dtype.name)
    }
    fast = {code: fast_program(program, (-1, 0, 0)) for code, program in programs.items()}
    return _fast.LinearCall(general, fast, codes, general.__name__ != "dequantize_linear")


@lru_cache(maxsize=64)
def _fast_quantizer(program: Program) -> _fast.FastProgram:
    return fast_program(program, (-1, 0, 0))


def quantize_arrays(
    arrays: list[NDArray[Any]], program: Program, symmetric: bool, least: float, most: float
) -> list[tuple[Any, Any, Any]] | None:
    """Quantize arrays with a scale each; None where that takes the general way."""
    return _fast.quantize_arrays(arrays, _fast_quantizer(program), symmetric, least, most)


def fast_dynamic(general: Any, program: Program, kind: type) -> _fast.DynamicCall:
    """Return `general` (dynamic_quantize_linear) behind its fast entry."""
    return _fast.DynamicCall(general, fast_program(program, (-1, 0, 0)), kind)


_fast.set_report(float_errors.report, float_errors.judged)
_fast.set_element_types([row.code for row in ELEMENT_TYPES])


def fast_reduction(
    general: Any,
    reducer: str,
    finish: str,
    results: Mapping[str, str],
    component: int,
    finite: bool,
    choices: Mapping[Any, tuple[str, str]],
) -> _fast.ReductionCall:
    """Return `general` behind its fast entry; see `executors.fast_reduction`."""
    names = [row.name for row in REDUCERS]
    dtypes = {code: dtype_of(result) for code, result in results.items()}
    parameters = tuple(inspect.signature(general).parameters)
    axis = parameters.index("axis")  # after the array, or after what chooses

    def entry(reducer: str, finish: str) -> _fast.ReductionCall:
        return _fast.ReductionCall(
            general,
            names.index(reducer),
            tuple(FINISHES).index(finish),
            component,
            dtypes,
            finite,
            axis + 1 if axis == 1 or choices else 1,
            "out" in parameters,
            "ddof" in parameters,
        )

    call = entry(reducer, finish)
    if choices:
        call.choose(parameters[1], {value: entry(*one) for value, one in choices.items()})
    return call


def fast_several(general: Any, plan: Any, default: Any) -> _fast.SeveralCall:
    """Return `general` behind its fast entry; see `executors.fast_several`."""
    second = tuple(inspect.signature(general).parameters)[1]
    return _fast.SeveralCall(general, plan, None if second == "axis" else second, default)


def fast_order(general: Any, scale: float, skip_nan: bool) -> _fast.OrderCall:
    """Return `general` behind its fast entry; see `executors.fast_order`."""
    return _fast.OrderCall(general, scale, skip_nan)


fast_average = _fast.AverageCall
fast_softmax = _fast.SoftmaxCall
fast_contraction = _fast.ContractCall
#: The core's numbers of a reducer that sums and of the finish that leaves its state as it is.
SUM = [row.name for row in REDUCERS].index("sum"), tuple(FINISHES).index("value")
repeated_contraction = _fast.FastContraction
captured_array = _fast.CapturedArray
captures = _fast.Captures
repeated_finish = _fast.RepeatedFinish
unbound = _fast.Captures.unbound()  # stands for a variable that is not bound
fast_topk = _fast.TopkCall
fast_histogram = _fast.HistogramCall
fast_bincount = _fast.BincountCall


def fast_scan(general: Any, scan: str, results: Mapping[str, str]) -> _fast.ScanCall:
    """Return `general` behind its fast entry; see `executors.fast_scan`."""
    dtypes = {code: dtype_of(result) for code, result in results.items()}
    return _fast.ScanCall(general, _core.scans().index(scan), dtypes)


def fast_parts(
    general: Any, groups: bool, operations: Mapping[str, Mapping[str, PartRow]]
) -> _fast.PartsEntry:
    """Return `general` behind its fast entry; see `executors.fast_parts`."""
    reducers, finishes = [row.name for row in REDUCERS], tuple(FINISHES)
    rows = {
        name: {
            code: (
                reducers.index(reducer),
                element,
                finishes.index(finish),
                component,
                result,
                all_needed,
            )
            for code, (reducer, element, finish, component, result, all_needed) in by_code.items()
        }
        for name, by_code in operations.items()
    }
    return _fast.PartsEntry(general, groups, rows)


def fast_windows(general: Any, operations: Sequence[str]) -> _fast.WindowCall:
    """Return `general` behind its fast entry; see `executors.fast_windows`."""
    return _fast.WindowCall(general, {name: i for i, name in enumerate(operations)})


def contraction(*args: Any, **options: Any) -> _core.Contraction:
    """Return a contraction of two operands: see ``csrc/contract/contraction.hpp``."""
    return _core.Contraction(*args, **options)


run_contractions = _core.run_contractions
run_contraction = _fast.run_contraction


def attention(
    name: str,
    operands: Sequence[NDArray[Any]],
    mask_name: str,
    scale: float,
    causal: bool,
    out: NDArray[Any],
) -> None:
    """Write attention of queries, keys, values and perhaps a mask; see `csrc/attention`.

    All have the leading axes of `out`, the mask all axes of the scores.
    """
    q, k, v, out = (
        array.view(np.uint16) if name == "bfloat16" else array for array in (*operands[:3], out)
    )
    mask = operands[3] if len(operands) > 3 else None
    if mask is not None and mask_name == "bfloat16":
        mask = mask.view(np.uint16)
    _core.attention(name, q, k, v, mask, mask_name, scale, causal, out)


def _matrix(array: NDArray[Any]) -> tuple[int, int, int]:
    """Address and byte strides of a matrix; vectors and scalars are broadcast."""
    address = array.__array_interface__["data"][0]
    return (address, *(0,) * (2 - array.ndim), *array.strides)


def _sizes(x: NDArray[Any], out: NDArray[Any]) -> tuple[int, int, int]:
    return (x.shape[0], out.shape[1], x.shape[1])


#: Forms of weights, in the order of the core's WeightForm (csrc/contract/layer.hpp), and what sums
#: they give.
_FORMS = ("f4", "f8", "half", "bfloat16", "matrix", "int8", "coded", "dynamic")
_SUMS = {"int8": "int8", "dynamic": "dynamic"}


def linear(
    x: NDArray[Any],
    form: str,
    w: Any,
    finish: Any,
    out: NDArray[Any],
    scale: NDArray[Any] | None = None,
) -> None:
    """Write ``finish(x @ w.T)``.

    `w` is an array (of narrow floats their bits) or packed weights; int8 ones have a `scale` for
    each output.
    """
    operands = finish.operands if scale is None else (scale, *finish.operands)
    _core.linear(
        compiled(finish.program(_SUMS.get(form, "plain"))).address,
        _sizes(x, out),
        _matrix(x),
        form,
        _matrix(w) if isinstance(w, np.ndarray) else (w.address, 0, 0),
        _matrix(out),
        [_matrix(a) for a in operands],
    )


def layer_form(
    form: str, packed: Any, shape: tuple[int, ...], scale: NDArray[Any] | None = None
) -> _fast.LayerForm:
    """Return packed weights as the fast entry of `linear` takes them."""
    return _fast.LayerForm(packed, _FORMS.index(form), _SUMS.get(form, "plain"), shape, scale)


def fast_layer(
    general: Any, epilogue: Callable[[str, bool, Any], Program | None], packed: type, kept: type
) -> _fast.LayerCall:
    """Return `general` behind its fast entry; see `executors.fast_layer`."""

    def program(sums: str, bias: bool, activation: Any) -> _core.Program | None:
        found = epilogue(sums, bias, activation)
        return None if found is None else compiled(found)

    return _fast.LayerCall(general, program, packed, kept)


def tier_number() -> int:
    """Return the place of the tier in use among all there are."""
    return _fast.tier_number()


def bfloat16_by_tiles(terms: int) -> bool:
    """Whether a product of bfloat16 of so many terms (m n k) has the order of tiles."""
    return _core.bfloat16_by_tiles(terms)


def packed_matrix(w: NDArray[Any]) -> _core.PackedMatrix:
    """Pack weights (out, in) for the tier in use."""
    return _core.PackedMatrix(w.dtype.str[1:], _matrix(w), w.shape[1], w.shape[0])


def unpacked_matrix(
    packed: _core.PackedMatrix, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return what `packed_matrix` has packed."""
    w = np.empty(shape, dtype)
    packed.unpack(w.__array_interface__["data"][0])
    return w


def packed_codes(coded: Any, slab: int) -> _core.PackedCodes:
    """Pack weights in codes, about `slab` codes at a time; see `ufuse.contract.coded`."""
    n, k = coded.shape
    levels = None if coded.levels is None else [float(level) for level in coded.levels]
    packed = _core.PackedCodes(
        n,
        k,
        coded.block,
        coded.scale.dtype.str[1:],
        coded.per_super,
        coded.offset is not None,
        levels,
        coded.zero or 0,
        coded.has_integers,
    )
    step = max(64, slab // max(1, k) // 64 * 64)
    for first in range(0, n, step):
        packed.put_codes(first, coded.codes(first, min(n, first + step)))
    packed.put_scales(coded.scale, coded.offset, coded.super_scale, coded.super_offset)
    return packed


def unpacked_codes(
    packed: _core.PackedCodes, codes: NDArray[Any], scales: Sequence[NDArray[Any] | None]
) -> None:
    """Write what `packed_codes` has packed to arrays of the shapes and dtypes that these had."""
    packed.take_codes(0, codes)
    packed.take_scales(*scales)


tier = _core.active_tier
max_int8_k = _core.max_int8_k
