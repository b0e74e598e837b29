"""Programs by themselves: validation, canonical form, equality, and the reference executor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ufuse.executors import reference
from ufuse.fusion import Instruction, Program
from ufuse.fusion.instructions import ROWS, Reduction
from ufuse.fusion.program import code_of, dtype_of
from ufuse.fusion.staging import stage

F4 = ("f4", "f4")
MAX, SUM = Reduction("max", "value", ROWS), Reduction("sum", "value", ROWS)


def program(
    instructions: list[tuple[Any, ...]],
    outputs: tuple[int, ...],
    inputs: tuple[str, ...] = F4,
    constants: tuple[Any, ...] = (),
    rows: tuple[int, ...] = (),
) -> Program:
    steps = tuple(Instruction(name, code, tuple(args)) for name, code, *args in instructions)
    return Program(inputs, constants, steps, outputs, rows)


SOFTMAX = program(
    [
        (MAX, "f4", 0),
        ("expand", "f4", 1),
        ("subtract", "f4", 0, 2),
        ("exp", "f4", 3),
        (SUM, "f4", 4),
        ("expand", "f4", 5),
        ("divide", "f4", 4, 6),
    ],
    (7,),
    ("f4",),
)


def test_a_valid_program() -> None:
    SOFTMAX.validate()
    assert SOFTMAX.is_native()
    assert SOFTMAX.has_reductions
    assert SOFTMAX.stages == ("full", "row", "full", "full", "full", "row", "full", "full")
    assert str(SOFTMAX).splitlines()[:2] == ["%0 = input f4", "%1 = reduce max[-1] f4 %0"]
    assert str(SOFTMAX).endswith("return %7")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (program([("add", "f4", 0, 5)], (2,)), "%5 is not an earlier value"),
        (program([("add", "f4", 0)], (2,)), "expected 2 operands, got 1"),
        (program([("nonsense", "f4", 0)], (2,)), "no such operation"),
        (program([("numpy.nonsense", "f4", 0)], (2,)), "no such operation"),
        (program([("add", "f4", 0, 1)], (9,)), "output %9"),
        (program([("add", "q9", 0, 1)], (2,)), "element code 'q9'"),
        (program([(SUM, "f4", 0)], (2,), ("f2", "f2")), "takes no elements of type f2"),
        (program([(Reduction("mad", "value", ROWS), "f4", 0)], (2,)), "no such reducer"),
        (program([(SUM, "f4", 0), (SUM, "f4", 2)], (3,)), "full operand"),
        (program([("expand", "f4", 0)], (2,)), "one value per row, got a full"),
        (program([(SUM, "f4", 0), ("add", "f4", 0, 2)], (3,)), "needs expand"),
        (program([("add", "f4", 0, 1)], (2,), rows=(7,)), "not all inputs"),
    ],
)
def test_what_is_not_valid(bad: Program, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad.validate()


@pytest.mark.parametrize(
    ("candidate", "native"),
    [
        (program([("add", "f4", 0, 1)], (2,)), True),
        (program([("add", "f8", 0, 1)], (2,)), False),
        (program([("add", "f2", 0, 1)], (2,), ("f2", "f2")), False),
        (program([("numpy.sin", "f4", 0)], (2,)), False),
        (program([("less", "?", 0, 1)], (2,), ("i8", "u8")), False),
        (program([], (0,), ("c8",)), False),
        (program([(SUM, "i8", 0)], (1,), ("i4",)), True),
        (program([(Reduction("sum", "value", (0,)), "f4", 0)], (1,), ("f4",)), False),
    ],
)
def test_which_programs_are_native(candidate: Program, native: bool) -> None:
    candidate.validate()
    assert candidate.is_native() is native


def test_canonical_form() -> None:
    one = np.float32(1)
    messy = program(
        [
            ("multiply", "f4", 0, 1),
            ("add", "f4", 0, 2),
            ("add", "f4", 0, 3),
            ("exp", "f4", 0),
            ("multiply", "f4", 5, 6),
        ],
        (8, 5),
        constants=(("f4", one), ("f4", np.float32(1))),
    )
    neat = program(
        [("add", "f4", 0, 2), ("multiply", "f4", 3, 3)], (4, 3), constants=(("f4", one),)
    )
    assert messy.canonical() == neat
    assert messy != neat
    assert neat.canonical() == neat


def test_constants_are_compared_by_their_bits() -> None:
    def adding(value: float) -> Program:
        return program([("add", "f4", 0, 2)], (3,), constants=(("f4", np.float32(value)),))

    assert adding(0.0) != adding(-0.0)
    assert adding(np.nan) == adding(np.nan)
    assert hash(adding(np.nan)) == hash(adding(np.nan))
    assert adding(1.0) != "another thing"


def test_select_drops_inputs_that_are_not_read() -> None:
    whole = program([("exp", "f4", 1), ("add", "f4", 0, 1)], (2, 3))
    part, kept = whole.select((0,))
    assert kept == (1,)
    assert part == program([("exp", "f4", 0)], (1,), ("f4",))


def test_cast_outputs() -> None:
    cast = program([("add", "f4", 0, 1)], (2, 2)).cast_outputs(("f8", "?"))
    assert [i.operation for i in cast.instructions] == ["add", "cast", "nonzero"]
    assert [cast.codes[o] for o in cast.outputs] == ["f8", "?"]


def test_staging_expands_rows_beside_full_values() -> None:
    total = Reduction("sum", "value", (1,))
    bare = program([(total, "f4", 0), ("multiply", "f4", 2, 1), ("add", "f4", 0, 3)], (4,))
    full = stage(bare, ())
    full.validate()
    assert [i.operation for i in full.instructions].count("expand") == 1
    rows = stage(bare, (1,))
    rows.validate()
    assert rows.stages[rows.outputs[0]] == "full"
    assert rows.stages[3] == "row"


@pytest.mark.parametrize("code", ["?", "i1", "u8", "f2", "f4", "f8", "f16", "c8", "c16"])
def test_codes(code: str) -> None:
    assert code_of(np.dtype(code)) == code
    assert code_of(np.dtype(code).newbyteorder(">")) == code
    assert dtype_of(code).isnative


def test_codes_of_low_precision_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("bfloat16", "float8_e4m3fn", "int4"):
        dtype = np.dtype(getattr(ml_dtypes, name))
        assert dtype_of(code_of(dtype)) == dtype


def test_the_reference_executor() -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    out = np.empty_like(x)
    reference.run_program(SOFTMAX, [x], [out])
    np.testing.assert_allclose(out.sum(axis=-1), 1, rtol=1e-6)
    reference.run_program(SOFTMAX, [x], [x])
    np.testing.assert_array_equal(x, out)


def test_the_reference_executor_copies_inputs_that_are_outputs() -> None:
    memory = np.arange(5.0)
    reference.run_program(program([], (0,), ("f8",)), [memory[:-1]], [memory[1:]])
    np.testing.assert_array_equal(memory, [0, 0, 1, 2, 3])
