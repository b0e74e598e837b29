"""Every row of the catalogue: the native kernel against the row's reference, on every tier."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import ufuse as uf
from conftest import tiers
from ufuse import executors
from ufuse.catalogue import ELEMENT_TYPES, OPERATIONS, Operation, Signature
from ufuse.executors import reference
from ufuse.fusion import Instruction, Program

ROOT = Path(__file__).resolve().parent.parent
ROWS = [(row, signature) for row in OPERATIONS for signature in row.signatures]
IDS = [f"{row.name}-{signature}" for row, signature in ROWS]


def samples(row: Operation, code: str, size: int, which: int) -> np.ndarray:
    """Operands: special values first, then numbers from the row's domain."""
    dtype = np.dtype(code)
    rng = np.random.default_rng(zlib.crc32(f"{row.name}{code}{which}".encode()))
    if dtype.kind == "b":
        return rng.integers(0, 2, size).astype(bool)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        ends = np.array([0, 1, limits.max, limits.min, limits.max - 1], dtype)
        rest = rng.integers(limits.min, limits.max, size, dtype=dtype, endpoint=True)
        rest[size // 2 :] = rng.integers(0, 11, size - size // 2).astype(dtype)
    else:
        info = np.finfo(dtype)
        ends = np.array(
            [0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, info.tiny, -info.tiny,
             info.smallest_subnormal, info.max, -info.max, 0.5, 2.5, -2.5, 1e-3],
            dtype,
        )  # fmt: skip
        low, high = row.domain
        rest = rng.uniform(low, high, size).astype(dtype)
        tiny = size // 4
        rest[:tiny] *= np.ldexp(dtype.type(1), rng.integers(-30, 1, tiny)).astype(dtype)
    return np.concatenate([np.roll(ends, which), rest])[:size]


def program(row: Operation, signature: Signature) -> Program:
    arity = row.arity
    return Program(
        signature.inputs,
        (),
        (Instruction(row.name, signature.output, tuple(range(arity))),),
        (arity,),
    )


def ulps(got: np.ndarray, want: np.ndarray) -> float:
    """Largest error in units in the last place of the exact value."""
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite].astype(got.dtype))
    exact = want[finite].astype(np.longdouble)
    limit = np.finfo(got.dtype)
    overflows = np.abs(exact) > limit.max
    with np.errstate(over="ignore"):
        rounded = np.abs(want[finite]).astype(got.dtype)
        step = np.spacing(np.where(overflows, 1, rounded)).astype(np.longdouble)
        error = np.abs(got[finite].astype(np.longdouble) - exact) / step
    error[overflows] = 0
    assert np.all(np.isinf(got[finite][overflows]) | (np.abs(got[finite][overflows]) == limit.max))
    return float(np.max(error, initial=0))


@pytest.mark.parametrize(("row", "signature"), ROWS, ids=IDS)
def test_native_equals_reference(row: Operation, signature: Signature) -> None:
    """Sizes cross the blocks; then the same bits on every tier from v3 up."""
    if executors.native is None:
        pytest.skip("there is no native executor to compare")
    from ufuse import _core

    compiled = program(row, signature)
    assert executors.native.can_run(compiled)
    for size in (1, 17, 64, 1000, 5003):
        inputs = [samples(row, code, size, k) for k, code in enumerate(signature.inputs)]
        for k, values in row.values.items():
            inputs[k] = np.resize(np.array(values, inputs[k].dtype), size)
        if (
            row.name == "cast"
            and inputs[0].dtype.kind == "f"
            and np.dtype(signature.output).kind in "iu"
        ):
            # Outside the integer's range C promises nothing; test_cast_* say what ufuse does.
            limits = np.iinfo(signature.output)
            with np.errstate(invalid="ignore"):
                inside = (inputs[0] > float(limits.min) - 1) & (
                    inputs[0] < float(limits.max) - 1024
                )
            inputs[0] = np.where(inside, inputs[0], inputs[0].dtype.type(1))
        want = np.empty(size, signature.output)
        reference.run_program(compiled, inputs, [want])
        with np.errstate(all="ignore"):
            exact = np.asarray(row.reference(*inputs))
        bits: dict[str, bytes] = {}
        for name in tiers():
            _core.set_tier(name)
            got = np.empty(size, signature.output)
            executors.run_program(compiled, inputs, [got])
            if row.ulp == 0:
                np.testing.assert_array_equal(got, want, err_msg=name)
            else:
                # v2 has no fused multiply-add, which compensated steps rely on: thrice there.
                bound = (row.ulp + 0.51) * (3 if name == "v2" else 1)
                if exact.dtype == got.dtype:  # a reference of the result's own precision errs too
                    bound += 1
                assert ulps(got, exact) <= bound, name
            bits[name] = np.where(got == got, got, np.zeros_like(got)).tobytes()
        _core.set_tier("")
        assert len({bits[name] for name in bits if name != "v2"}) <= 1


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.public], ids=lambda row: row.name)
def test_public_operations_are_functions_and_traceable(row: Operation) -> None:
    function = getattr(uf, row.name)
    x = samples(row, "f4", 300, 0)
    direct = function(x)
    np.testing.assert_array_equal(uf.fuse(lambda a: function(a) * 1)(x), direct)
    assert direct.dtype == np.float32 and row.doc in function.__doc__
    out = np.empty_like(x)
    assert function(x, out=out) is out


@pytest.mark.parametrize(
    "row", [row for row in OPERATIONS if row.ufunc is not None], ids=lambda row: row.name
)
def test_numpy_ufuncs_trace_to_their_row(row: Operation) -> None:
    arguments = [np.ones(3, code) for code in row.signatures[-1].inputs]
    traced = uf.fuse(lambda *args: [row.ufunc(*args)]).program(*arguments)
    assert traced.is_native()


def test_names_are_unique_and_every_type_has_a_row() -> None:
    names = [row.name for row in OPERATIONS]
    assert len(set(names)) == len(names)
    for row in OPERATIONS:
        assert len(set(row.signatures)) == len(row.signatures), row.name
        for signature in row.signatures:
            assert len(signature.inputs) == row.arity
    assert len({t.name for t in ELEMENT_TYPES}) == len(ELEMENT_TYPES)


# --- float to integer outside the range, as csrc/ops/cast.hpp defines it ---


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("target", ["i1", "i2", "i4", "u1", "u2", "u4", "i8", "u8"])
def test_cast_out_of_range_is_the_same_on_every_tier(code: str, target: str) -> None:
    if executors.native is None:
        pytest.skip("the reference executor is NumPy's cast")
    from ufuse import _core

    x = np.array(
        [np.nan, np.inf, -np.inf, 3e9, -3e9, 1e19, -1e19, 300, -300, 2.0**63, 2.0**64], code
    )
    cast = program(
        *next(r for r in ROWS if r[0].name == "cast" and r[1] == Signature((code,), target))
    )
    results = []
    for name in tiers():
        _core.set_tier(name)
        out = np.empty(x.shape, target)
        executors.run_program(cast, [x], [out])
        results.append(out.tobytes())
    _core.set_tier("")
    assert len(set(results)) == 1


# --- the same source as CUDA ---


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc on this machine")
def test_every_functor_compiles_as_cuda(tmp_path: Path) -> None:
    """No GPU is needed: nvcc makes a fatbin of every kernel of the catalogue."""
    codegen = ROOT / "src" / "ufuse" / "catalogue" / "codegen.py"
    subprocess.run([sys.executable, str(codegen), str(tmp_path)], check=True)
    done = subprocess.run(
        ["nvcc", "-fatbin", "-std=c++20", "-gencode", "arch=compute_90,code=sm_90", "-fmad=false",
         "-Werror", "all-warnings", f"-I{ROOT / 'csrc'}", f"-I{tmp_path}",
         str(ROOT / "csrc" / "cuda" / "catalogue.cu"), "-o", str(tmp_path / "catalogue.fatbin")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "catalogue.fatbin").stat().st_size > 100_000
