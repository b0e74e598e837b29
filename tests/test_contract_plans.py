"""Contractions of any number of operands: grammar, paths, plans, memory limits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ufuse as uf
from conftest import NATIVE
from contraction_cases import small

SIZES = dict(zip("abcdefxyz", (3, 4, 5, 2, 6, 3, 7, 4, 2), strict=True))

#: Equations by what is hard about them.
EQUATIONS = {
    "chains": ["ab,bc,cd->ad", "a,ab,bc,c->", "ab,bc,cd,de,ef->fa", "ab,bc,cd,da->"],
    "hyperedges": [
        "ab,ac,ad->bcd", "ax,bx,cx->abc", "a,a,a->", "a,a,a->a", "ab,ab,ab->b", "ax,bx,cx,dx->",
        "xa,xb,xc,abc->x", "ab,ac,bc,abc->",
    ],
    "outer products": ["a,b,c->cab", "ab,c,de->ebdca", "ab,cd,ef->acebdf", "ab,,c->cba", ",,->"],
    "labels of one operand": [
        "abc,d->d", "ab,cd->ac", "ab,cd->", "abx,bcy,cz->a", "a,b,c->", "ab,c,d->c",
    ],
    "diagonals": ["aab,bc->ac", "aa,aa->a", "aab,bbc,cca->abc", "aaa,ab,bb->b", "aa,bb,cc->"],
    "networks": ["abcd,aexb,cyzd,exyz->", "abc,abd,ce,df,ef->", "abx,bcx,cax->x"],
    "one operand": ["ab->ba", "ab->a", "ab->", "aab->ba", "aabb->", "a->", "->", "abc->cab"],
    "implicit": ["ab,bc", "cb,ba", "ba", "ab,ab", "dca,ab,bd", "aab,bc", "ab,cd"],
    "spaces": ["ab , bc -> ac", " ab,b", "a b , b c->a c"],
}  # fmt: skip
ALL = [equation for group in EQUATIONS.values() for equation in group]
PATHS = ["auto", True, False, "greedy", "optimal", "dp", "branch-2", "auto-hq", "random-greedy"]


def operands(equation: str, seed: int = 0, sizes: dict[str, int] = SIZES) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    terms = equation.replace(" ", "").split("->")[0].split(",")
    return [small(rng, tuple(sizes[x] for x in term), np.float64) for term in terms]


@pytest.mark.parametrize("equation", ALL)
def test_equations(equation: str) -> None:
    """Whatever the path, exact numbers are NumPy's."""
    arrays = operands(equation)
    want = np.einsum(equation, *arrays)
    for optimize in ("auto", False, "greedy"):
        got = uf.einsum(equation, *arrays, optimize=optimize)
        assert type(got) is type(want) and np.shape(got) == np.shape(want)
        np.testing.assert_array_equal(got, want)
    out = np.zeros(np.shape(want)[::-1]).T
    assert uf.einsum(equation, *arrays, out=out) is out
    np.testing.assert_array_equal(out, want)
    turned = [np.flip(x.copy("F")) for x in arrays]
    np.testing.assert_array_equal(uf.einsum(equation, *turned), np.einsum(equation, *turned))


ELLIPSES: list[tuple[str, list[tuple[int, ...]]]] = [
    ("...ab,...bc->...ac", [(2, 3, 4, 5), (2, 3, 5, 6)]),
    ("...ab,...bc->...ac", [(2, 1, 4, 5), (3, 5, 6)]),
    ("a...b,bc->c...a", [(4, 2, 3, 5), (5, 6)]),
    ("...,...->...", [(2, 3), (3,)]),
    ("...a,ab,...b->...", [(3, 2, 4), (4, 5), (1, 2, 5)]),
    ("ab...,bc...,cd...->ad...", [(2, 3, 7), (3, 4, 7), (4, 5, 1)]),
    ("...ab,bc", [(2, 3, 4), (4, 5)]),
    ("...a,...a", [(2, 3), (2, 3)]),
    ("...->...", [(2, 3)]),
    ("a...->...", [(2, 3)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("...,a->...a", [(), (3,)]),
    ("i...,i...,i...->...", [(3, 2), (3,), (3, 1)]),
]


@pytest.mark.parametrize(("equation", "shapes"), ELLIPSES)
def test_ellipsis(equation: str, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(1)
    arrays = [small(rng, shape, np.float64) for shape in shapes]
    want = np.einsum(equation, *arrays)
    got = uf.einsum(equation, *arrays)
    assert np.shape(got) == np.shape(want)
    np.testing.assert_array_equal(got, want)


def test_list_form() -> None:
    """Labels as integers, in any order and size, Ellipsis among them, with a result and without."""
    rng = np.random.default_rng(2)
    a, b, c = (small(rng, shape, np.float64) for shape in ((3, 4), (4, 5), (5, 3)))
    forms: list[tuple[Any, ...]] = [
        (a, [0, 1], b, [1, 2], [0, 2]),
        (a, [0, 1], b, [1, 2]),
        (a, [5, 30], b, [30, 2]),
        (a, [40, 51], b, [51, 26]),
        (a, [0, 1], b, [1, 2], c, [2, 0], []),
        (a, [0, 1], b, [1, 2], c, [2, 3], [3, 0]),
        (a, [..., 1], b, [1, 2], [2, ...]),
        (a, (0, 1), (1, 0)),
        (a, np.array([1, 0])),
    ]
    for form in forms:
        np.testing.assert_array_equal(uf.einsum(*form), np.einsum(*form))
    far = uf.einsum(a, [1000, 7], b, [7, 9999], [1000, 9999])
    np.testing.assert_array_equal(far, a @ b)


def test_more_labels_than_letters() -> None:
    """NumPy's grammar has 52; any letter is a label here, and lists go to 9999."""
    greek = uf.einsum("\u03b1\u03b2,\u03b2\u03b3->\u03b1\u03b3", np.eye(2), np.ones((2, 3)))
    np.testing.assert_array_equal(greek, np.ones((2, 3)))
    x, y = np.ones((1,) * 31 + (2,)), np.ones((2,) + (1,) * 31)
    labels = list(range(100, 163))
    got = uf.einsum(x, labels[:32], y, labels[31:], labels[:31] + labels[32:])
    assert got.shape == (1,) * 62 and got.item() == 2
    many = [np.full(2, 2.0)] * 12
    assert uf.einsum(",".join("abcdefghijkl") + "->", *many) == 4.0**12


BAD = {
    "no letter": ("i1,jk->ik", ValueError, "'subscripts': expected letters.*'i1,jk->ik'"),
    "two arrows": ("ij,jk->ik->i", ValueError, "'subscripts'"),
    "two ellipses": ("......i,jk->i", ValueError, "'subscripts'"),
    "two dots": ("..ij,jk->ik", ValueError, "'subscripts'"),
    "operands": ("ij->ij", ValueError, "names 1 operands, got 2"),
    "too many operands": ("ij,jk,kl->il", ValueError, "names 3 operands, got 2"),
    "dimensions": ("ijk,jk->ik", ValueError, "operand 0 has 2 dimensions.*'ijk'"),
    "fewer dimensions": ("ij,j->i", ValueError, "operand 1 has 2 dimensions.*'j'"),
    "ellipsis and dimensions": ("i...jk,jk->i", ValueError, "operand 0 has 2 dim.*besides"),
    "sizes": (
        "ij,ik->jk",
        ValueError,
        "label 'i' of 'ij,ik->jk' has size 3, but size 4 in operand 1",
    ),
    "diagonal": ("ii,jk->i", ValueError, "label 'i' .*size 3, but size 4 in operand 0"),
    "broadcast": (
        "...j,...k->...",
        ValueError,
        r"dimension of '...'.*size 3, but size 4 in operand 1",
    ),
    "unknown": ("ij,jk->iz", ValueError, "label 'z'.*in no operand"),
    "twice": ("ij,jk->ii", ValueError, "label 'i' is twice"),
    "no dots": ("...j,jk->k", ValueError, "needs '...'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_subscripts(case: str) -> None:
    """NumPy's exception types, the same for einsum_path and contract_plan; nothing is written."""
    equation, kind, message = BAD[case]
    a, b, out = np.ones((3, 4)), np.ones((4, 5)), np.full((3, 5), 7.0)
    with pytest.raises(kind, match=message):
        uf.einsum(equation, a, b, out=out)
    assert (out == 7).all()
    with pytest.raises(kind):
        np.einsum(equation, a, b)
    with pytest.raises(kind, match=message):
        uf.einsum_path(equation, a, b)
    with pytest.raises(kind, match=message):
        uf.contract_plan(equation, a.shape, b.shape)


def test_bad_lists() -> None:
    a = np.ones((2, 2))
    for entry in ("x", 1.5, None, -1, 10_000):
        with pytest.raises(TypeError, match=r"sublist 0.*integers from 0 on"):
            uf.einsum(a, [0, entry], [0])
    with pytest.raises(TypeError, match="sublist 0"):
        uf.einsum(a, 3)
    big = np.ones((60, 40))
    for call in (uf.einsum, uf.einsum_path):
        for arrays in ((big, big), (big, big, big), (big, big.tolist())):
            with pytest.raises(TypeError, match=r"such as 'ij,jk->ik' before all") as caught:
                call(*arrays)
            assert len(str(caught.value)) < 250, "no array is written out"
    with pytest.raises(TypeError, match=r"got numpy.ndarray of shape \(60, 40\)"):
        uf.einsum(big, big)
    with pytest.raises(ValueError, match="one Ellipsis"):
        uf.einsum(a, [..., ...], [0])
    with pytest.raises(ValueError, match="no arguments"):
        uf.einsum()


def test_sizes_of_one_broadcast_as_numpys() -> None:
    a, b = np.ones((1, 4)), np.full((3, 4), 2.0)
    for equation in ("ij,ij->ij", "ij,ij->i", "ij,ij->j", "ij,ij->"):
        np.testing.assert_array_equal(uf.einsum(equation, a, b), np.einsum(equation, a, b))
    np.testing.assert_array_equal(uf.einsum("ij,jk->ik", a, np.ones((1, 5))), np.full((1, 5), 4))


@pytest.mark.parametrize("optimize", PATHS, ids=str)
def test_every_kind_of_path(optimize: Any) -> None:
    for equation in ("ab,bc,cd,de->ae", "abx,bcx,cax->x", "ab,cd,ef->acebdf", "ab,bc->ac"):
        arrays = operands(equation)
        want = np.einsum(equation, *arrays)
        np.testing.assert_array_equal(uf.einsum(equation, *arrays, optimize=optimize), want)
        path, text = uf.einsum_path(equation, *arrays, optimize=optimize)
        assert path[0] == "einsum_path" and equation in text
        np.testing.assert_array_equal(uf.einsum(equation, *arrays, optimize=path), want)
        np.testing.assert_array_equal(np.einsum(equation, *arrays, optimize=path), want)


def test_numpys_paths_are_taken() -> None:
    """Steps of one, of two, and of many operands at once; a kind with a limit of elements."""
    for equation in ("ab,bc,cd,de->ae", "ax,bx,cx,dx->", "xa,xb,xc,abc->x"):
        arrays = operands(equation)
        want = np.einsum(equation, *arrays)
        paths: list[Any] = [
            np.einsum_path(equation, *arrays, optimize=o)[0] for o in ("greedy", "optimal", False)
        ]
        paths += [["einsum_path", (0, 1, 2, 3)], ["einsum_path", (3, 1), (0, 2, 1)]]
        paths += [("einsum_path", (0, 1), (0, 1), (0, 1)), ("greedy", 100), ("optimal", 10)]
        for path in paths:
            np.testing.assert_array_equal(uf.einsum(equation, *arrays, optimize=path), want)


def test_a_path_is_followed() -> None:
    """The result of a step is put behind the operands that are left."""
    plan = uf.contract_plan(
        "ab,bc,cd->ad", (2, 3), (3, 4), (4, 5), optimize=["einsum_path", (1, 2), (0, 1)]
    )
    steps = [step.subscripts for step in plan.explain().steps]
    assert steps == ["bc,cd->bd", "ab,bd->ad"]
    assert plan.path == ["einsum_path", (1, 2), (0, 1)]
    assert plan.largest_intermediate == 3 * 5 * 8


BAD_PATHS = [
    (["einsum_path", (0, 7), (0, 1)], RuntimeError, "names an operand that is not there"),
    (["einsum_path", (0, 1)], RuntimeError, "leaves 2 operands"),
    (["einsum_path", (-1, 0), (0, 1)], RuntimeError, "not there"),
    (["einsum_path", (), (0, 1), (0, 1)], RuntimeError, "not there"),
    (["einsum_path", (0, 0), (0, 1)], RuntimeError, "names an operand twice"),
    ("nonsense", (KeyError, ValueError, TypeError), "nonsense"),
]


@pytest.mark.parametrize(("path", "kind", "message"), BAD_PATHS)
def test_bad_paths(path: Any, kind: Any, message: str) -> None:
    arrays = operands("ab,bc,cd->ad")
    with pytest.raises(kind, match=message):
        uf.einsum("ab,bc,cd->ad", *arrays, optimize=path)


def test_einsum_path_refuses_numpys_internal_call() -> None:
    with pytest.raises(ValueError, match="'einsum_call': expected False"):
        uf.einsum_path("ab,bc", np.eye(2), np.eye(2), einsum_call=True)


def test_einsum_path_takes_lists() -> None:
    a = np.eye(3)
    path, _ = uf.einsum_path(a, [0, 1], a, [1, 2], a, [2, 3])
    assert path == uf.einsum_path("ab,bc,cd", a, a, a)[0]


def test_memory_limit() -> None:
    """It raises before it starts, and names what it needs and what it may."""
    a, b, c = np.ones((4, 1000)), np.ones((1000, 500)), np.ones((500, 3))
    out = np.full((4, 3), 7.0)
    right_first = ["einsum_path", (1, 2), (0, 1)]
    need = 1000 * 3 * 8
    for limit in (0, need - 1):
        with pytest.raises(MemoryError, match=rf"{need} bytes.*limit of {limit}.*optimize="):
            uf.einsum("ij,jk,kl->il", a, b, c, optimize=right_first, memory_limit=limit, out=out)
        with pytest.raises(MemoryError, match=rf"{need} bytes"):
            uf.contract_plan("ij,jk,kl->il", a.shape, b.shape, c.shape, optimize=right_first,
                             memory_limit=limit)  # fmt: skip
    assert (out == 7).all()
    uf.einsum("ij,jk,kl->il", a, b, c, optimize=right_first, memory_limit=need, out=out)
    assert (out == 500_000).all()
    # Two operands have none, but what is summed of one alone before.
    uf.einsum("ij,jk->ik", a, b, memory_limit=0)
    single = [x.astype(np.float32) for x in (a, b, c)]
    uf.einsum("ij,jk,kl->il", *single, optimize=right_first, memory_limit=need // 2)


def test_an_absurd_intermediate_is_refused_by_its_limit_and_not_tried() -> None:
    x = np.ones((1000, 1000))
    with pytest.raises(MemoryError, match="8000000000000 bytes"):
        uf.einsum("ab,cd,ac->bd", x, x, x, optimize=["einsum_path", (0, 1), (0, 1)],
                  memory_limit=1 << 30)  # fmt: skip


@pytest.mark.parametrize(
    "equation", ["bi,oij,bj->bo", "ab,bc,cd,de->ae", "aab,bc->ac", "ab->b", "ab,ab->"]
)
def test_contract_plan(equation: str) -> None:
    """Run many times, for any layout and dtype, with einsum's options; it can be explained."""
    sizes = {**SIZES, "i": 5, "j": 4, "o": 3}
    arrays = operands(equation, 3, sizes)
    plan = uf.contract_plan(equation, *(x.shape for x in arrays))
    want = np.einsum(equation, *arrays)
    for _ in range(2):
        np.testing.assert_array_equal(plan(*arrays), want)
    np.testing.assert_array_equal(plan(*(x.copy("F") for x in arrays)), want)
    assert plan(*(x.astype(np.float32) for x in arrays)).dtype == np.float32
    out = np.zeros(np.shape(want))
    assert plan(*arrays, out=out) is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(plan(*arrays, finish=lambda s: s + 1), want + 1)
    text = str(plan.explain())
    assert equation in text and "largest intermediate" in text
    assert all(step.flops > 0 for step in plan.explain().steps if step.sizes)
    assert equation in repr(plan)
    np.testing.assert_array_equal(np.einsum(equation, *arrays, optimize=plan.path), want)


def test_a_plan_takes_the_shapes_it_was_made_for() -> None:
    plan = uf.contract_plan("ab,bc->ac", (2, 3), (3, 4))
    with pytest.raises(ValueError, match=r"'operands\[1\]': expected shape \(3, 4\).*got \(3, 5\)"):
        plan(np.ones((2, 3)), np.ones((3, 5)))
    for wrong in ((np.ones((2, 3)),), (np.ones((2, 3)), np.ones((3, 4)), np.ones(1))):
        with pytest.raises(ValueError, match="expected 2 operands, got"):
            plan(*wrong)
    with pytest.raises(TypeError, match="optimize"):
        plan(np.ones((2, 3)), np.ones((3, 4)), optimize="greedy")


@pytest.mark.skipif(not NATIVE, reason="the reference executor has one kernel")
def test_explain_names_the_kernels() -> None:
    def kernels(equation: str, *shapes: tuple[int, ...], **options: Any) -> list[str]:
        found = uf.contract_plan(equation, *shapes, **options).explain()
        assert found.executor == "native"
        return [step.kernel for step in found.steps]

    assert kernels("ij,jk->ik", (8, 9), (9, 7)) == ["product"]
    assert kernels("ij,ij->", (8, 9), (8, 9)) == ["dots"]
    assert kernels("i,j->ij", (8,), (9,)) == ["elementwise"]
    assert kernels("ij->i", (8, 9)) == ["reduce"]
    assert kernels("ij->ji", (8, 9)) == ["view"]
    assert kernels("ij,jk->ik", (8, 9), (9, 7), semiring="min_plus") == ["product"]
    own = uf.semiring(np.maximum, np.minimum, -np.inf)
    assert kernels("ij,jk->ik", (8, 9), (9, 7), semiring=own) == ["program"]
    assert kernels("ijx,jk->ik", (8, 9, 3), (9, 7)) == ["reduce", "product"]
    step = uf.contract_plan("bij,bjk->bik", (2, 8, 9), (2, 9, 7)).explain().steps[0]
    assert step.sizes == (2, 8, 7, 9) and step.flops == 2 * 2 * 8 * 9 * 7
    assert step.nbytes == 2 * 8 * 7 * 8


def test_views() -> None:
    """One operand with nothing to sum: a view, which writes through, as NumPy's."""
    x = np.arange(9.0).reshape(3, 3)
    for equation in ("ii->i", "ij->ji", "ij->ij", "ij", "...->..."):
        got = uf.einsum(equation, x)
        assert np.shares_memory(got, x)
        np.testing.assert_array_equal(got, np.einsum(equation, x))
    uf.einsum("ii->i", x)[:] = 7
    assert (np.diag(x) == 7).all()
    assert uf.einsum("ii->i", x, dtype="f4", casting="same_kind").dtype == np.float32


@pytest.mark.parametrize("sizes", list(itertools.product([0, 1, 2], repeat=3)))
def test_sizes_of_zero_and_one_in_chains(sizes: tuple[int, int, int]) -> None:
    known = {**SIZES, **dict(zip("abc", sizes, strict=True))}
    for equation in ("ab,bc,cd->ad", "ab,ac,ad->bcd", "ab,cd->", "aab,bc->ac"):
        arrays = operands(equation, 4, known)
        np.testing.assert_array_equal(uf.einsum(equation, *arrays), np.einsum(equation, *arrays))


@settings(max_examples=200)
@given(st.data())
def test_any_graph(data: st.DataObject) -> None:
    """Up to 4 operands over 6 labels, repeated ones too, sizes 0 and 1, any path and layout."""
    count = data.draw(st.integers(1, 4))
    labels = "abcdef"
    terms = [data.draw(st.text(labels, max_size=4)) for _ in range(count)]
    both = sorted({x for term in terms for x in term})
    out = data.draw(st.permutations(both))[: data.draw(st.integers(0, len(both)))] if both else []
    sizes = {x: data.draw(st.sampled_from([0, 1, 2, 3, 3, 4])) for x in labels}
    arrays = operands(",".join(terms), data.draw(st.integers(0, 9)), sizes)
    equation = f"{','.join(terms)}->{''.join(out)}"
    if data.draw(st.booleans()):
        arrays = [np.flip(x.copy("F")) if x.ndim else x for x in arrays]
    if data.draw(st.booleans()):  # an axis of 1 broadcasts where another operand has the size
        i = data.draw(st.integers(0, count - 1))
        rest = [x for j, term in enumerate(terms) if j != i for x in term]
        if terms[i] and terms[i][0] in rest and terms[i].count(terms[i][0]) == 1:
            arrays[i] = arrays[i][:1] if arrays[i].shape[0] else arrays[i]
    optimize = data.draw(st.sampled_from(["auto", False, "greedy", "optimal"]))
    want = np.einsum(equation, *arrays)
    got = uf.einsum(equation, *arrays, optimize=optimize)
    assert np.shape(got) == np.shape(want)
    np.testing.assert_array_equal(got, want)
