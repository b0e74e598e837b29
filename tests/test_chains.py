"""Chains of cheap operations: several instructions of a program run in registers, as one step.

What they are compared with is the same program one instruction after another, each by the
catalogue's own kernel: bit for bit, whatever the values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ufuse as uf
from conftest import NATIVE
from ufuse.executors import native, reference
from ufuse.fusion import Instruction, Program
from ufuse.fusion.program import dtype_of

pytestmark = pytest.mark.usefixtures("silent")

Array = NDArray[Any]

needs_native = pytest.mark.skipif(not NATIVE, reason="compares kernels of the core")

UNARY = "negative absolute square reciprocal sqrt relu floor ceil trunc rint".split()
BINARY = "add subtract multiply divide maximum minimum".split()
INT_UNARY = "negative absolute square".split()
INT_BINARY = "add subtract multiply maximum minimum".split()
CASTS = {
    "f4": ("i4", "f8", "i1", "u1", "i2", "u2"),
    "i4": ("f4", "f8", "i1", "u1", "i2", "u2"),
    "f8": ("f4", "i4"),
    "i1": ("i4", "f4", "u2"),
    "u1": ("i4", "f4", "i2"),
    "i2": ("i4", "f4", "u1"),
    "u2": ("i4", "f4", "i1"),
}
# Around the registers of a group on every tier (32 to 128 of 4 bytes), blocks of 64, tiles.
SIZES = (0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 191, 193, 1000, 4096, 4097, 5003)


def values(rng: np.random.Generator, shape: tuple[int, ...], code: str) -> Array:
    """Return small and large numbers, and of floats what is none."""
    dtype = dtype_of(code)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(max(info.min, -(2**31)), info.max, shape, dtype, endpoint=True)
    x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 4, shape)).astype(dtype)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 0.5, -0.5, 1e30, 255.5], dtype)
    return np.where(rng.random(shape) < 0.1, rng.choice(special, shape), x)


def constants(rng: np.random.Generator) -> list[tuple[str, Any]]:
    numbers = [0.0, -0.0, 1.5, -3.0, 255.0, np.nan, np.inf, 0.1]
    return [
        *(("f4", np.float32(x)) for x in rng.choice(numbers, 2)),
        ("f8", np.float64(rng.choice(numbers))),
        ("i4", np.int32(rng.integers(-100, 100))),
    ]


def random_program(rng: np.random.Generator, inputs: tuple[str, ...], length: int) -> Program:
    """Return a program in which most values are read by the next instruction alone."""
    fixed = constants(rng)
    codes = [*inputs, *(code for code, _ in fixed)]
    instructions: list[Instruction] = []
    for _ in range(length):
        first = len(codes) - 1 if rng.random() < 0.8 else int(rng.integers(len(codes)))
        code = codes[first]
        floats, integers = code in ("f4", "f8"), code == "i4"
        if (not floats and not integers) or rng.random() < 0.2:
            kind, to = "cast", str(rng.choice(CASTS[code]))
            args: tuple[int, ...] = (first,)
        elif rng.random() < 0.3:
            kind, to, args = str(rng.choice(UNARY if floats else INT_UNARY)), code, (first,)
        else:
            others = [i for i, c in enumerate(codes) if c == code]
            pair = [first, int(rng.choice(others[-6:] if rng.random() < 0.7 else others))]
            rng.shuffle(pair)
            kind, to, args = str(rng.choice(BINARY if floats else INT_BINARY)), code, tuple(pair)
        instructions.append(Instruction(kind, to, args))
        codes.append(to)
    outputs = {len(codes) - 1, *map(int, rng.choice(len(codes), rng.integers(0, 2)))}
    program = Program(inputs, tuple(fixed), tuple(instructions), tuple(sorted(outputs)))
    return program.canonical()


def one_by_one(program: Program, inputs: list[Array]) -> list[Array]:
    """Run each instruction by itself; elements lie apart, so that it is run in blocks."""
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    known: list[Array] = [np.asarray(x) for x in inputs]
    known += [np.full(shape, x, dtype_of(code)) for code, x in program.constants]
    for operation, code, args in program.instructions:
        memory = np.empty((*shape, 2), dtype_of(code))
        arrays = [np.broadcast_to(known[a], shape) for a in args]
        alone = Program(
            tuple(program.codes[a] for a in args),
            (),
            (Instruction(operation, code, tuple(range(len(args)))),),
            (len(args),),
        )
        native.run_program(alone, arrays, [memory[..., 0]])
        known.append(memory[..., 0])
    return [np.broadcast_to(known[output], shape) for output in program.outputs]


def assert_same_bits(got: Array, want: Array) -> None:
    """Bit for bit, but for what a NaN has in it."""
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if got.dtype.kind == "f":
        number = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(want)[number])


def laid_out(rng: np.random.Generator, shape: tuple[int, ...], code: str) -> Array:
    """Return an array that broadcasts to a shape of two axes, laid out in one of several ways."""
    rows, columns = shape
    layout = rng.integers(8)
    if layout == 0:
        return values(rng, (1, columns), code)
    if layout == 1:
        return values(rng, (rows, 1), code)
    if layout == 2:
        return values(rng, (), code)
    if layout == 3:
        return values(rng, (columns, rows), code).T
    if layout == 4:
        return values(rng, (rows, 2 * columns), code)[:, ::-2]
    if layout == 5:
        return values(rng, (rows, columns + 3), code)[:, 3:]
    return values(rng, shape, code)


@needs_native
@pytest.mark.parametrize("seed", range(60))
def test_random_chains(seed: int, tier: str) -> None:
    rng = np.random.default_rng(seed)
    inputs = tuple(map(str, rng.choice(["f4", "f4", "f4", "i4", "f8", "u1", "i1", "i2"], 3)))
    program = random_program(rng, inputs, int(rng.integers(2, 25)))
    for size in rng.choice(SIZES, 6):
        rows = int(rng.choice([1, 1, 3, 40]))
        shape = (rows, int(size) if rows < 40 else min(int(size), 200))
        arrays = [laid_out(rng, shape, code) for code in program.inputs]
        arrays[0] = np.broadcast_to(arrays[0], shape).copy()  # so that the shape is this one
        outs = [np.empty(shape, dtype_of(program.codes[v])) for v in program.outputs]
        native.run_program(program, arrays, outs)
        for got, want in zip(outs, one_by_one(program, arrays), strict=True):
            assert_same_bits(got, want)


@needs_native
@pytest.mark.parametrize("seed", range(10))
def test_results_that_do_not_lie_together_and_in_place(seed: int, tier: str) -> None:
    rng = np.random.default_rng(1000 + seed)
    program = Program(
        ("f4", "f4"),
        (("f4", np.float32(0.5)), ("f4", np.float32(3))),
        (
            Instruction("subtract", "f4", (2, 0)),
            Instruction("maximum", "f4", (1, 4)),
            Instruction("multiply", "f4", (5, 0)),
            Instruction("divide", "f4", (3, 6)),
        ),
        (7,),
    )
    for size in SIZES:
        x, y = values(rng, (3, size), "f4"), values(rng, (3, size), "f4")
        (want,) = one_by_one(program, [x, y])
        memory = np.zeros((3, 2 * size + 5), np.float32)
        for out in (memory[:, 5::2], memory[:, 5 : 5 + size], memory[:, : 2 * size : 2][::-1]):
            memory[:] = 7
            native.run_program(program, [x, y], [out])
            assert_same_bits(out, want)
            assert np.count_nonzero(memory == 7) >= memory.size - out.size  # no other was written
        first, second = x.copy(), y.copy()  # the result in the place of an operand
        native.run_program(program, [first, y], [first])
        assert_same_bits(first, want)
        native.run_program(program, [x, second], [second])
        assert_same_bits(second, want)


def test_against_numpy(any_tier: str) -> None:
    """With values for which NumPy says what they become."""
    rng = np.random.default_rng(3)
    sums = rng.integers(-100_000, 100_000, (77, 300)).astype(np.int32)
    bias, rows = rng.integers(-50, 50, 300).astype(np.int32), rng.random((77, 1), np.float32)

    def codes(s: Any) -> Any:
        return np.clip(np.rint((s + bias).astype(np.float32) * rows * np.float32(0.01)), 0, 255)

    for kind in (np.uint8, np.int16, np.int32):
        fused = uf.fuse(lambda s, kind=kind: codes(s).astype(kind))
        np.testing.assert_array_equal(fused(sums), codes(sums).astype(kind))
    a, b = values(rng, (5, 1000), "f4"), values(rng, (1000,), "f4")
    for function in (
        lambda a, b: 2 * a + 3 * b,
        lambda a, b: a * b - b * a,
        lambda a, b: b - a * b,
        lambda a, b: a * b - (a + b),
        lambda a, b: (a - b) * (a + b) / (np.abs(a) + np.abs(b)) - (a / b - b / a) * (a + 1),
        lambda a, b: np.maximum(0, np.minimum(a, b)) - np.float32(0.5),
        lambda a, b: np.maximum(-0.0, a) * b,
        lambda a, b: np.minimum(np.float32(np.nan), a) + b,
    ):
        with np.errstate(all="ignore"):
            want = function(a, b)
        # NumPy's maximum of two zeros is now this, now that one.
        np.testing.assert_array_equal(uf.fuse(function)(a, b), want)


@needs_native
@pytest.mark.parametrize("value", [0.0, -0.0, 3.0, 2.5, 2.75, -7.0, np.inf, np.nan])
@pytest.mark.parametrize("code", ["f4", "i4", "u1"])
def test_rounding_beside_limits(value: float, code: str, tier: str) -> None:
    """Rounding may move behind limits that are integers, on the way to an integer alone."""
    x = np.float32([-9, -7.5, -7.49, -0.5, -0.2, -0.0, 0, 0.5, 1.5, 2.49, 2.5, 2.51, 3.5, 1e6])
    for pair in ((2, 1), (1, 2)):  # the limit is an operand: first and last
        for last in ("rint", "absolute", None):
            steps = [
                Instruction("rint", "f4", (0,)),
                Instruction("maximum", "f4", (2, 1)),
                Instruction("minimum", "f4", (3, 1) if pair[0] == 2 else (1, 3)),
                Instruction("maximum", "f4", (4, 1) if pair[0] == 2 else (1, 4)),
            ]
            if last is not None:
                steps.append(Instruction(last, "f4", (5,)))
            if code != "f4":
                steps.append(Instruction("cast", code, (1 + len(steps),)))
            limit = ("f4", np.float32(value))
            program = Program(("f4",), (limit,), tuple(steps), (len(steps) + 1,))
            out = np.empty(x.shape, dtype_of(code))
            native.run_program(program, [x], [out])
            assert_same_bits(out, one_by_one(program, [x])[0])


@pytest.mark.parametrize("code", ["i1", "u1", "i2", "u2"])
@pytest.mark.parametrize("scale", [0.25, 1e-30, np.inf])
def test_quantization_at_the_end(code: str, scale: float, any_tier: str) -> None:
    """By one scale it is part of the chain; by one for each row, and column, it is not."""
    rng = np.random.default_rng(11)
    dtype = dtype_of(code)
    limits = np.iinfo(dtype)
    packed = np.uint32(limits.min & 0xFFFF | (limits.max & 0xFFFF) << 16)
    program = Program(
        ("f4", "f4", "f4", code),
        (("u4", packed),),
        (
            Instruction("multiply", "f4", (0, 1)),
            Instruction("subtract", "f4", (5, 0)),
            Instruction("quantize_linear", code, (6, 2, 3, 4)),
        ),
        (7,),
    )
    for shape in ((1, 7), (1, 200), (50, 65), (50, 32), (3, 4099)):
        x, y = values(rng, shape, "f4"), values(rng, (1, shape[1]), "f4")
        zero = np.array(3, dtype)
        for by in ((), (shape[0], 1), (1, shape[1])):
            scales = np.asarray(scale * rng.uniform(1, 2, by), np.float32)
            out, want = np.empty(shape, dtype), np.empty(shape, dtype)
            (native if NATIVE else reference).run_program(program, [x, y, scales, zero], [out])
            reference.run_program(program, [x, y, scales, zero], [want])
            np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("length", [7, 200, 5000])
def test_quantization_behind_float64(length: int, any_tier: str) -> None:
    """What is narrowed to float32 is quantized in a step of its own."""
    x = np.random.default_rng(5).normal(0, 30, length)
    program = Program(
        ("f8", "f8", "f4", "i1"),
        (("u4", np.uint32(-128 & 0xFFFF | 127 << 16)),),
        (
            Instruction("multiply", "f8", (0, 1)),
            Instruction("cast", "f4", (5,)),
            Instruction("quantize_linear", "i1", (6, 2, 3, 4)),
        ),
        (7,),
    )
    given = [x, np.array(0.7), np.array(0.5, np.float32), np.array(3, np.int8)]
    for start in (0, 1):  # the cast behind a product, and alone
        arrays = given if start == 0 else [x, np.array(1.0), *given[2:]]
        steps = program.instructions[start:]
        if start == 1:
            steps = (Instruction("cast", "f4", (0,)), Instruction(*steps[1][:2], (5, 2, 3, 4)))
        part = Program(program.inputs, program.constants, steps, (4 + len(steps),))
        out, want = np.zeros(length, np.int8), np.zeros(length, np.int8)
        (native if NATIVE else reference).run_program(part, arrays, [out])
        reference.run_program(part, arrays, [want])
        np.testing.assert_array_equal(out, want)


@needs_native
def test_what_is_joined() -> None:
    """A joined instruction takes no register; a value that is read twice keeps its own."""

    def registers(*steps: tuple[str, str, tuple[int, ...]], outputs: tuple[int, ...]) -> int:
        program = Program(("f4", "f4"), (), tuple(Instruction(*s) for s in steps), outputs)
        return native.compiled(program).registers

    add, cast = ("add", "f4", (0, 1)), ("cast", "u1", (4,))
    chain = (add, ("rint", "f4", (2,)), ("multiply", "f4", (1, 3)), cast)
    assert registers(*chain, outputs=(5,)) == 3
    assert registers(*chain, outputs=(4, 5)) == 4  # one of them is a result by itself
    twice = (add, ("multiply", "f4", (2, 2)), ("negative", "f4", (3,)))
    assert registers(*twice, outputs=(4,)) == 4
    dear = (add, ("exp", "f4", (2,)), ("rint", "f4", (3,)), ("negative", "f4", (4,)))
    assert registers(*dear, outputs=(5,)) == 4
    halves = (add, ("subtract", "f4", (0, 1)), ("divide", "f4", (2, 3)))
    assert registers(*halves, outputs=(4,)) == 4  # a group of the first half is kept


def test_more_than_a_chain_holds(any_tier: str) -> None:
    a = np.linspace(-1, 1, 777, dtype=np.float32)

    def long(x: Any) -> Any:
        y = x
        for i in range(100):
            y = y * np.float32(0.5) + x if i % 2 else np.maximum(x - y, x)
        return y

    def deep(x: Any) -> Any:
        terms = [(x + i) / (x - i - 2) for i in range(32)]
        while len(terms) > 1:
            terms = [p / q for p, q in zip(terms[::2], terms[1::2], strict=True)]
        return terms[0]

    with np.errstate(all="ignore"):
        for function in (long, deep):
            np.testing.assert_array_equal(uf.fuse(function)(a), function(a))


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200, 257, 321])
def test_the_epilogue_of_an_integer_layer(columns: int, any_tier: str) -> None:
    rng = np.random.default_rng(columns)
    for rows, k in ((1, 64), (37, 100), (130, 300)):
        a = rng.integers(0, 256, (rows, k)).astype(np.uint8)
        b = rng.integers(-128, 128, (k, columns)).astype(np.int8)
        bias = rng.integers(-3000, 3000, columns).astype(np.int32)
        residual = rng.integers(-9, 9, (rows, columns)).astype(np.int8)

        def codes(s: Any, bias: Array = bias, residual: Array = residual) -> Any:
            scaled = (s + bias).astype(np.float32) * np.float32(0.003) + residual
            return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)

        want = codes(a.astype(np.int32) @ b.astype(np.int32))
        memory = np.full((rows, 2 * columns), 9, np.uint8)
        for out in (
            np.empty((rows, columns), np.uint8),
            memory[:, ::2],
            memory[:, columns:],
            np.empty((columns, rows), np.uint8).T,
        ):
            uf.matmul(a, b, accumulate="int32", finish=codes, out=out)
            np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("code", ["f4", "f8"])
def test_division_by_one_number(code: str, any_tier: str) -> None:
    """Without the divider where that gives the same bits, with it elsewhere."""
    limits = np.finfo(code)
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 1 << (8 * limits.dtype.itemsize - 1), 5000).astype(f"i{code[1]}")
    ordinary = rng.normal(size=3000) * 10.0 ** rng.integers(-20, 20, 3000)
    near_powers = (2 - rng.integers(0, 999, 1000) * limits.eps) * 2.0 ** rng.integers(-60, 60, 1000)
    odd = [0.0, -0.0, np.inf, -np.inf, np.nan, limits.max, limits.tiny, limits.smallest_subnormal]
    divisors = [*odd, 1.0, 3.0, -3.0, 255.0, 1e-9, 1e9, 2.0**28, 2.0**-28, 2 - limits.eps]
    fused = uf.fuse(lambda x, d: x / d)
    for x in (
        bits.view(code),
        ordinary.astype(code),
        near_powers.astype(code),
        np.array(odd * 9, code),
    ):
        for divisor in (*divisors, *rng.lognormal(0, 6, 50)):
            d = np.array(divisor, code)
            for y in (x, np.where(np.arange(x.size) % 3 == 0, -0.0, x).astype(code)):
                np.testing.assert_array_equal(
                    fused(y, d).view(bits.dtype), (y / d).view(bits.dtype)
                )


@pytest.mark.parametrize("code", ["i1", "u1", "i2", "u2"])
def test_small_integers_divided_by_one_number(code: str, any_tier: str) -> None:
    x = np.arange(np.iinfo(code).min, np.iinfo(code).max + 1).astype(code)
    rng = np.random.default_rng(4)
    fused = uf.fuse(lambda x, d: x.astype(np.float32) / d)
    for divisor in (
        255.0,
        127.0,
        65535.0,
        3.0,
        -7.0,
        0.0,
        np.nan,
        1e-12,
        1e30,
        *rng.lognormal(0, 4, 60),
    ):
        d = np.float32(divisor)
        got, want = fused(x, d), x.astype(np.float32) / d
        np.testing.assert_array_equal(got.view(np.int32), want.view(np.int32))
