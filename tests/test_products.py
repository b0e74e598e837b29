"""NumPy's products by name against NumPy's: shapes, axes, outputs, dtypes, errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ufuse as uf
from contraction_cases import same, small, spread

NAMES = [
    "matmul",
    "dot",
    "inner",
    "outer",
    "vdot",
    "vecdot",
    "matvec",
    "vecmat",
    "kron",
    "tensordot",
]
SHAPES = [
    (),
    (1,),
    (3,),
    (2, 3),
    (3, 3),
    (4, 2, 3),
    (2, 3, 3),
    (2, 1, 3, 3),
    (1, 2, 2, 3),
    (0, 3),
    (3, 0),
]


def both(name: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """Call ours and NumPy's: results, or the types of what they raise."""
    results = []
    for module in (uf, np):
        try:
            with np.errstate(all="ignore"):
                results.append(getattr(module, name)(*arguments, **options))
        except Exception as error:
            results.append(type(error))
    return results[0], results[1]


def agree(got: Any, want: Any, message: str) -> None:
    if isinstance(want, type):
        assert isinstance(got, type), f"{message}: NumPy raises {want.__name__}, got {got!r}"
        assert issubclass(got, want) or issubclass(want, got), f"{message}: {got} {want}"
        return
    assert not isinstance(got, type), f"{message}: raised {got}"
    assert np.shape(got) == np.shape(want), message
    assert isinstance(got, np.ndarray) == isinstance(want, np.ndarray), message
    assert np.asarray(got).dtype == np.asarray(want).dtype, message
    np.testing.assert_array_equal(got, want, err_msg=message)


@pytest.mark.parametrize("name", NAMES)
def test_all_shapes(name: str) -> None:
    """Ranks 0 to 4, broadcast batches, sizes 0 and 1; NumPy's exception where it has one."""
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    rng = np.random.default_rng(1)
    for left, right in itertools.product(SHAPES, repeat=2):
        a, b = small(rng, left, np.float64), small(rng, right, np.float64)
        agree(*both(name, a, b), f"{left} {right}")
        if a.ndim > 1 and b.ndim > 1:
            agree(*both(name, np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), f"{left}T {right}T")


@pytest.mark.parametrize("name", NAMES)
def test_all_dtypes(name: str) -> None:
    rng = np.random.default_rng(2)
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    dtypes = ["?", "i1", "u1", "i2", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]
    for left, right in itertools.product(dtypes, repeat=2):
        a, b = small(rng, (3, 3), left), small(rng, (3, 3), right)
        agree(*both(name, a, b), f"{left} {right}")


def test_scalars_and_lists() -> None:
    """Python's numbers and lists; scalars multiply in dot and inner, and matmul refuses them."""
    for name in NAMES:
        if hasattr(np, name):
            for a, b in (
                (2, 3),
                (2.5, [1, 2]),
                ([1, 2], [3, 4]),
                ([[1, 2]], [[3.0], [4]]),
                (True, 2),
            ):
                agree(*both(name, a, b), f"{name} {a} {b}")


@pytest.mark.parametrize(
    ("name", "a", "b", "axes"),
    [
        ("matmul", (3, 5, 4), (4, 6, 5), [(0, 1), (2, 0), (1, 0)]),
        ("matmul", (3, 5, 4), (4, 6, 3), [(1, 2), (0, 1), (-1, -2)]),
        ("matmul", (3, 5), (5, 4), [(0, 1), (0, 1), (1, 0)]),
        ("matmul", (3, 5), (5, 4), [(0, 1), (0, 1)]),
        ("matmul", (3, 5), (5, 4), [(0, 7), (0, 1), (0, 1)]),
        ("matmul", (3, 5), (5, 4), [(0, 0), (0, 1), (0, 1)]),
        ("matmul", (3, 5), (5, 4), [0, (0, 1), (0, 1)]),
        ("matmul", (3, 5), (5, 4), 3),
        ("matvec", (5, 3, 4), (2, 3), [(0, 2), (0,), (-1,)]),
        ("matvec", (5, 3), (5, 7), [(1, 0), 0, 0]),
        ("vecmat", (5, 7), (5, 3), [0, (0, 1), 1]),
        ("vecdot", (5, 7), (5, 7), [0, 0]),
        ("vecdot", (5, 7), (5, 7), [(0,), (0,), ()]),
        ("vecdot", (5, 7), (5, 7), [0, 1]),
    ],
)
def test_axes(name: str, a: tuple[int, ...], b: tuple[int, ...], axes: Any) -> None:
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    rng = np.random.default_rng(3)
    x, y = small(rng, a, np.float64), small(rng, b, np.float64)
    want = both(name, x, y, axes=axes)
    agree(*want, f"{axes}")
    if not isinstance(want[1], type):
        out = np.zeros(np.shape(want[1]))
        assert getattr(uf, name)(x, y, out=out, axes=axes) is out
        np.testing.assert_array_equal(out, want[1])


def test_vecdot_axis_and_keepdims() -> None:
    rng = np.random.default_rng(4)
    x, y = small(rng, (4, 5, 6), np.float64), small(rng, (4, 5, 6), np.float64)
    for axis, keepdims in itertools.product([None, 0, 1, 2, -1, -3, 3, (0, 1)], [False, True]):
        options = {"keepdims": keepdims} | ({} if axis is None else {"axis": axis})
        agree(*both("vecdot", x, y, **options), f"{axis} {keepdims}")
        out = np.zeros((4, 1, 6) if keepdims else (4, 6))
        if axis == 1:
            assert uf.vecdot(x, y, out=out, axis=1, keepdims=keepdims) is out
            np.testing.assert_array_equal(out, np.vecdot(x, y, axis=1, keepdims=keepdims))
    agree(*both("vecdot", x, y[0, :, 0], axis=1), "broadcast along another axis")
    with pytest.raises(TypeError, match="'axis' or 'axes'"):
        uf.vecdot(x, y, axis=0, axes=[0, 0, ()])
    with pytest.raises(TypeError, match="'keepdims'"):
        uf.vecdot(x, y, keepdims=2)


TENSORDOT = [
    0, 1, 2, 3, (1, 0), ([1], [0]), ([0, 1], [1, 0]), ([-1], [0]), ([0], [0]), ([], []),
    ([0, 0], [0, 0]), ([0, 1], [0]), ([5], [0]), "1", (0,), ([1, 0], [-2, -1]),
    (range(1), {0: 1}), (np.int64(1), np.arange(1)), ("1", [0]),
]  # fmt: skip


@pytest.mark.parametrize("axes", TENSORDOT, ids=str)
def test_tensordot_axes(axes: Any) -> None:
    rng = np.random.default_rng(5)
    for left, right in (((3, 4), (4, 3)), ((3, 3), (3, 3)), ((2, 3, 4), (4, 3, 5))):
        a, b = small(rng, left, np.float64), small(rng, right, np.float64)
        agree(*both("tensordot", a, b, axes), f"{left} {right} {axes}")


def call_with_out(name: str, a: np.ndarray, b: np.ndarray, out: Any) -> Any:
    return getattr(uf, name)(a, b, out=out)


@pytest.mark.parametrize("name", ["matmul", "dot", "outer", "matvec", "vecmat", "vecdot"])
def test_out(name: str) -> None:
    """Of any strides, wider, overlapping; what does not fit is refused before it is written."""
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    rng = np.random.default_rng(6)
    a, b = small(rng, (3, 3), np.float64), small(rng, (3, 3), np.float64)
    want = getattr(np, name)(a, b)
    for make in (
        lambda: np.zeros(want.shape),
        lambda: np.zeros(want.shape[::-1]).T,
        lambda: spread(np.zeros(want.shape)),
        lambda: np.zeros(want.shape, ">f8"),
        lambda: np.zeros(want.shape, np.complex128),
    ):
        out = make()
        for _ in range(2):
            assert call_with_out(name, a, b, out) is out
            np.testing.assert_array_equal(out, want)
    if want.shape == a.shape:
        x = a.copy()
        call_with_out(name, x, b, x)
        np.testing.assert_array_equal(x, want)
    wrong = np.full((*want.shape, 2), 7.0)
    with pytest.raises(ValueError, match=rf"ufuse\.{name}: argument 'out'.*shape"):
        call_with_out(name, a, b, wrong)
    assert (wrong == 7).all()
    with pytest.raises(TypeError, match=r"'out'.*int64"):
        call_with_out(name, a, b, np.zeros(want.shape, np.int64))
    frozen = np.zeros(want.shape)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"'out'.*read-only"):
        call_with_out(name, a, b, frozen)
    with pytest.raises(TypeError):
        call_with_out(name, a, b, [[0.0] * 3] * 3)


def test_matmul_takes_out_as_a_tuple_and_by_position() -> None:
    a, out = np.eye(3), np.zeros((3, 3))
    assert uf.matmul(a, a, (out,)) is out and uf.matmul(a, a, out=(out,)) is out
    out[:] = 0
    assert uf.matmul(a, a, out) is out
    np.testing.assert_array_equal(out, a)


@pytest.mark.parametrize("name", ["matmul", "matvec", "vecmat", "vecdot"])
def test_dtype_casting_and_order(name: str) -> None:
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    rng = np.random.default_rng(7)
    a, b = small(rng, (3, 3), np.float64), small(rng, (3, 3), np.int16)
    for options in (
        {"dtype": "f4"},
        {"dtype": "f8"},
        {"dtype": "c16"},
        {"dtype": "f4", "casting": "safe"},
        {"dtype": "i4"},
        {"dtype": "i4", "casting": "unsafe"},
        {"casting": "nonsense"},
        {"order": "F"},
        {"order": "C"},
    ):
        agree(*both(name, a, b, **options), f"{options}")


@pytest.mark.parametrize("name", NAMES)
def test_objects_and_long_doubles_are_numpys(name: str) -> None:
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    for dtype in (object, np.longdouble, np.clongdouble):
        a = np.arange(9).reshape(3, 3).astype(dtype)
        agree(*both(name, a, a), f"{dtype}")
        agree(*both(name, a, np.eye(3)), f"{dtype} and float64")
    big = np.array([[10**30, 1]], object)
    assert uf.matmul(big, big.T)[0, 0] == 10**60 + 1


@pytest.mark.parametrize("dtype", [object, np.longdouble])
@pytest.mark.parametrize(
    "options",
    [
        {"semiring": "min_plus"},
        {"accumulate": "float32"},
        {"finish": np.tanh},
        {"semiring": "min_plus", "return_arg": True},
    ],
    ids="-".join,
)
def test_what_numpy_has_not_got_is_refused_for_its_dtypes(
    dtype: type, options: dict[str, object]
) -> None:
    x = np.ones((2, 2)).astype(dtype)
    with pytest.raises(TypeError, match=r"left to NumPy|cannot be cast"):
        uf.matmul(x, x, **options)
    with pytest.raises(TypeError, match=r"left to NumPy|cannot be cast"):
        uf.einsum("ij,jk->ik", x, x, **options)


def test_an_empty_sum_times_infinity_is_an_empty_sum() -> None:
    empty, infinite = np.ones((0, 2)), np.array([np.inf, np.nan])
    np.testing.assert_array_equal(uf.einsum("ij,k->k", empty, infinite), [0.0, 0.0])


def test_complex_operands_are_cast_to_reals_where_that_is_allowed() -> None:
    x = np.array([1 + 2j, 3], np.complex64)
    with np.errstate(all="ignore"), pytest.warns(np.exceptions.ComplexWarning):
        assert uf.einsum("i,i", x, x, dtype="f8", casting="unsafe") == 10


def test_arguments_of_the_wrong_kind() -> None:
    x = np.ones((2, 2))
    for axes in (1.5, ([1.5], [0]), None):
        with pytest.raises(TypeError, match="integer"):
            uf.tensordot(x, x, axes)
    for bad in ((0,), (0, 1, 0), "ab"):
        with pytest.raises(ValueError, match="'axes'"):
            uf.tensordot(x, x, bad)
    with pytest.raises(ValueError, match="no arguments"):
        uf.einsum_path()
    for optimize in ([(0, 1), (0, 1)], 3.5):
        with pytest.raises(TypeError, match="'optimize'"):
            uf.einsum("ij,jk,kl->il", x, x, x, optimize=optimize)
    np.testing.assert_array_equal(uf.einsum("ij,jk->ik", x, x, order=None), x @ x)


def test_matmul_of_objects_has_outputs_and_axes_too() -> None:
    a = np.arange(6).reshape(2, 3).astype(object)
    out = np.zeros((2, 2), object)
    assert uf.matmul(a, a.T, out=out) is out
    np.testing.assert_array_equal(out, a @ a.T)
    got = uf.matmul(a, a, axes=[(0, 1), (1, 0), (0, 1)])
    np.testing.assert_array_equal(got, a @ a.T)
    for option in ({"semiring": "min_plus"}, {"accumulate": "int32"}):
        with pytest.raises(TypeError):
            uf.matmul(a, a.T, **option)


@pytest.mark.parametrize("name", NAMES)
def test_text_and_dates_are_refused(name: str) -> None:
    for bad in (np.array([["a"]]), np.array([["2020"]], "M8[Y]")):
        with pytest.raises((TypeError, ValueError)):
            getattr(uf, name)(bad, bad)


ERRORS: list[tuple[str, tuple[int, ...], tuple[int, ...], str]] = [
    ("matmul", (2, 3), (4, 5), r"axis 1 of the first.*axis 0 of the second, got 3 and 4"),
    ("matmul", (7, 2, 3), (7, 4, 5), r"axis 2 .*axis 1 .*got 3 and 4"),
    ("matmul", (3, 2, 3), (2, 3, 5), r"size 3, but size 2 in operand 1"),
    ("matmul", (), (2, 3), r"'x1': expected 1 dimensions or more, got shape \(\)"),
    ("dot", (2, 3), (2, 5), r"axis 1 .*axis 0 .*got 3 and 2"),
    ("dot", (2, 3), (4, 2, 5), r"axis 1 .*axis 1 .*got 3 and 2"),
    ("inner", (2, 3), (2, 5), r"axis 1 .*axis 1 .*got 3 and 5"),
    ("vdot", (2, 3), (5,), r"as many elements in each, got shapes \(2, 3\) and \(5,\)"),
    ("vecdot", (2, 3), (2, 1), r"axis 1 .*axis 1 .*got 3 and 1"),
    ("matvec", (2, 3), (2,), r"axis 1 .*axis 0 .*got 3 and 2"),
    ("matvec", (3,), (3,), r"'x1': expected 2 dimensions or more, got shape \(3,\)"),
    ("vecmat", (2,), (3, 2), r"axis 0 .*axis 0 .*got 2 and 3"),
    ("tensordot", (2, 3), (2, 3), r"got 2 and 2|axis 0 .*axis 0|axis 1"),
]


@pytest.mark.parametrize(("name", "a", "b", "message"), ERRORS)
def test_shapes_that_disagree(name: str, a: Any, b: Any, message: str) -> None:
    x, y = np.ones(a), np.ones(b)
    arguments = (x, y, 1) if name == "tensordot" else (x, y)
    with pytest.raises(ValueError, match=rf"ufuse\.{name}: .*(?:{message})"):
        getattr(uf, name)(*arguments)


def test_sliding_windows_are_read_as_they_are() -> None:
    rng = np.random.default_rng(8)
    image, weights = small(rng, (20, 30), np.float32), small(rng, (5, 3, 4), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 4))
    want = np.tensordot(windows.astype(np.float64), weights, ([2, 3], [1, 2]))
    same(uf.tensordot(windows, weights, ([2, 3], [1, 2])), want.astype(np.float32))


# --- torch ---


PRODUCTS: dict[str, Callable[..., Any]] = {
    "matmul": uf.matmul, "dot": uf.dot, "inner": uf.inner, "outer": uf.outer, "kron": uf.kron,
    "vecdot": uf.vecdot, "matvec": uf.matvec, "vecmat": uf.vecmat, "vdot": uf.vdot,
    "tensordot": uf.tensordot, "einsum": lambda a, b: uf.einsum("ij,jk->ik", a, b),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_torch_tensors(name: str) -> None:
    """In and out, bfloat16 and transposed; either operand may be NumPy's."""
    torch = pytest.importorskip("torch")
    x = torch.arange(9.0).reshape(3, 3)
    for a, b in ((x, x), (x.T, x), (x, x.numpy()), (x.numpy(), x), (x.to(torch.bfloat16),) * 2):
        got = PRODUCTS[name](a, b)
        assert type(got) is torch.Tensor
        numbers = [(y.float().numpy() if type(y) is torch.Tensor else y) for y in (a, b)]
        want = np.asarray(PRODUCTS[name](*numbers))
        assert got.shape == want.shape
        np.testing.assert_allclose(got.float().numpy(), want, rtol=1e-2)


def test_torch_outputs_are_written_in_place() -> None:
    torch = pytest.importorskip("torch")
    x, out = torch.arange(9.0).reshape(3, 3), torch.zeros(3, 3)
    for _ in range(2):
        assert uf.matmul(x, x, out=out) is out
        assert out.tolist() == (x @ x).tolist()
    assert uf.einsum("ij,jk->ki", x, x, out=out.T) is not out
    assert uf.dot(x, x.numpy(), out) is out
    with pytest.raises(BufferError, match="detach"):
        uf.matmul(torch.ones(2, 2, requires_grad=True), torch.ones(2, 2))
