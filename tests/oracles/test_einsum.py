"""Contractions beside np.einsum in wide dtypes, torch.einsum and opt_einsum."""

from __future__ import annotations

import numpy as np
import pytest

import ufuse as uf

#: Equations by what is hard about them. Sizes come from the seed, a few per label.
EQUATIONS = {
    "one operand": ["a->a", "ab->ba", "ab->a", "ab->", "aa->a", "aab->ab", "abca->cb", "aabb->ab"],
    "pairs": [
        "ab,bc->ac", "ba,bc->ca", "ab,ab->", "ab,cd->cbad", "abc,cbd->da", "abcd,dcea->eb",
        "ab,b->", "a,ab->b", "abc,b->", "abcde,ebf->fdca",
    ],
    "batches": [
        "abc,acd->abd", "abc,dca->dab", "abcd,abde->ecab", "abcd,adbe->cbea", "ab,ab->ab",
        "abc,ac->abc", "ab,ab->a", "abcd,cbaf->fbd", "abc,abc->c", "a,a->a",
    ],
    "sums of one operand": ["abc,ad->d", "ab,cd->ac", "ab,cd->", "abc,dbe->", "a,bc->b", "ab,a->"],
    "outer products": [
        "a,b->ba", "a,b,c->cab", "ab,c,de->ebdca", "ab,cd,ef->acebdf", ",a->a", "ab,,c->cba", ",->",
    ],
    "chains": [
        "ab,bc,cd->ad", "a,ab,bc,c->", "ab,bc,cd,de,ef->fa", "abc,cd,def,fa->be",
        "ab,bc,cd,da->", "ab,cb,cd,ed,ef,gf->ag", "ab,ca,cd,db->", "abx,bcx,cax->x",
    ],
    "hyperedges": [
        "ab,ac,ad->bcd", "a,a,a->", "a,a,a->a", "ab,ab,ab->b", "bi,oij,bj->bo", "ax,bx,cx->abc",
        "ax,bx,cx,dx->", "abx,bcx,cdx->adx", "ab,bc,bd,be->acde", "xa,xb,xc,abc->x",
        "ab,ac,bc,abc->",
    ],
    "repeated labels": [
        "aab,bc->ac", "aa,aa->a", "aa,bb->ab", "abb,cbb->ac", "aab,bbc,cca->abc", "abab,ba->",
        "aaa,ab,bb->b", "abcb,bd,dd->ca", "aabb,bbcc,cc->a",
    ],
    "networks": [
        "abc,bde,cdf,efg->ag", "abij,cdij,abkl,cdkl->", "abcd,aefb,cghd,efgh->",
        "pi,qj,ijkl,rk,sl->pqrs", "abc,abd,ce,df,ef->", "ijab,ka,kb,jc->ikc",
    ],
    "implicit": ["ab,bc", "cb,ba", "ba", "ab,ab", "dca,ab,bd", "zy,yx,xw", "aab,bc", "ab,cd"],
    "ellipsis": [
        "...ab,...bc->...ac", "a...,a...->...", "...a,...a", "a...b,bc->c...a", "...,...->...",
        "...a,ab,...b->...", "ab...,bc...,cd...->ad...", "...ab,bc->...ca",
    ],
    "spaces": ["ab , bc -> ac", " ab,b"],
}  # fmt: skip
ALL = [equation for group in EQUATIONS.values() for equation in group]

#: Contractions of tensors (the TCCG collection): result, operands, for arrays in column order.
TCCG = [
    "abc-bda-dc", "abc-dca-bd", "abcd-dbea-ec", "abcde-efbad-cf", "abcde-ecbfa-fd", "abcd-ea-ebcd",
    "ab-acd-dbc", "abc-adc-bd", "abcd-aebf-dfce", "abcdef-dega-gfbc",
]  # fmt: skip

KINDS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
KINDS += ["float16", "float32", "float64", "complex64", "complex128"]


def bfloat16() -> np.dtype:
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def dtype_of(name: str) -> np.dtype:
    return bfloat16() if name == "bfloat16" else np.dtype(name)


def numbers(rng, shape, dtype):
    """Normal numbers; all integers there are; of bools a third."""
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 1 / 3)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.asarray(rng.integers(info.min, info.max, shape, dtype, endpoint=True))
    values = rng.normal(size=shape)
    return np.asarray(values + 1j * rng.normal(size=shape) if dtype.kind == "c" else values, dtype)


def laid_out(rng, x):
    """The same array in memory of another order, with gaps or backwards."""
    way = rng.integers(5)
    if way == 0 or x.ndim == 0:
        return x
    if way == 1:
        return np.asfortranarray(x)
    if way == 2:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if way == 3:
        return x[::-1].copy()[::-1]
    order = rng.permutation(x.ndim)
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def operands(equation, dtype, seed, largest=5):
    """Arrays for an equation: sizes from 1 to `largest`, two axes for an ellipsis."""
    rng = np.random.default_rng(seed)
    sizes, arrays = {}, []
    for term in equation.replace(" ", "").partition("->")[0].split(","):
        before, dots, after = term.partition("...")
        shape = [sizes.setdefault(label, int(rng.integers(1, largest + 1))) for label in before]
        shape += [2, 3] if dots else []
        shape += [sizes.setdefault(label, int(rng.integers(1, largest + 1))) for label in after]
        arrays.append(laid_out(rng, numbers(rng, shape, dtype)))
    return arrays


def wide(dtype):
    """The dtype to compute the expected result in; integers wrap around in each alike."""
    return {"b": np.int64, "i": np.int64, "u": np.uint64, "c": np.complex128}.get(
        dtype.kind, np.float64
    )


def check(got, equation, arrays):
    """Compare with NumPy in a wide dtype, within the rounding of each operand's product.

    A result that is a sum of large terms of both signs is as inexact as they are large: what
    bounds the error is the contraction of the magnitudes.
    """
    dtype = arrays[0].dtype
    wider = [a.astype(wide(dtype)) for a in arrays]
    want = np.einsum(equation, *wider)
    got = np.asarray(got)
    assert got.dtype == dtype and got.shape == want.shape
    if dtype.kind == "b":
        np.testing.assert_array_equal(got, want > 0)
    elif dtype.kind in "iu":
        np.testing.assert_array_equal(got, want.astype(dtype))
    else:
        size = np.einsum(equation, *(np.abs(a) for a in wider))
        places = 7 if dtype.name == "bfloat16" else np.finfo(dtype).nmant
        error = np.abs(got.astype(wide(dtype)) - want)
        assert np.all(error <= 4 * len(arrays) * 2.0**-places * size), f"{error.max()}"


@pytest.mark.parametrize("name", [*KINDS, "bfloat16"])
@pytest.mark.parametrize("kind", EQUATIONS)
def test_dtypes(kind, name):
    dtype = dtype_of(name)
    for equation in EQUATIONS[kind]:
        for seed in range(2):
            arrays = operands(equation, dtype, seed, 3 if name == "float16" else 5)
            check(uf.einsum(equation, *arrays), equation, arrays)


@pytest.mark.parametrize("equation", ALL)
def test_out_of_any_layout(equation):
    for name in ("float64", "int32"):
        arrays = operands(equation, np.dtype(name), 3)
        want = np.asarray(uf.einsum(equation, *arrays))
        space = np.full([2 * n for n in want.shape], 7, want.dtype, order="F")
        out = space[(slice(None, None, 2),) * want.ndim + (...,)]
        assert uf.einsum(equation, *arrays, out=out) is out
        if name == "int32":
            np.testing.assert_array_equal(out, want)
        else:
            np.testing.assert_allclose(out, want, rtol=1e-12, atol=1e-12)
        gaps = np.ones(space.shape, bool)
        gaps[(slice(None, None, 2),) * want.ndim] = False
        assert np.all(space[gaps] == 7)


@pytest.mark.parametrize("optimize", [False, True, "greedy", "optimal"])
def test_any_path(optimize):
    for equation in EQUATIONS["chains"] + EQUATIONS["hyperedges"] + EQUATIONS["networks"]:
        arrays = operands(equation, np.dtype(np.float64), 4)
        check(uf.einsum(equation, *arrays, optimize=optimize), equation, arrays)


def test_given_path():
    """Every order of contracting three pairs of a chain of four."""
    equation = "ab,bc,cd,de->ae"
    arrays = operands(equation, np.dtype(np.float64), 5)
    for first in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        for second in ((0, 1), (0, 2), (1, 2)):
            path = ["einsum_path", first, second, (0, 1)]
            check(uf.einsum(equation, *arrays, optimize=path), equation, arrays)


def random_equation(rng):
    """Two to five operands of up to four labels of seven, repeated or not; some are kept."""
    labels = list("abcdefg")
    terms = ["".join(rng.choice(labels, rng.integers(0, 5))) for _ in range(rng.integers(2, 6))]
    used = sorted(set("".join(terms)))
    kept = rng.permutation([label for label in used if rng.random() < 0.4])
    return ",".join(terms) + "->" + "".join(kept)


@pytest.mark.parametrize("name", ["int64", "float32", "float64", "complex128", "bool", "bfloat16"])
def test_random_equations(name):
    dtype = dtype_of(name)
    rng = np.random.default_rng(6)
    for seed in range(120):
        equation = random_equation(rng)
        arrays = operands(equation, dtype, seed, 4)
        check(uf.einsum(equation, *arrays), equation, arrays)


@pytest.mark.parametrize("name", ["float64", "float32", "complex64", "int32"])
@pytest.mark.parametrize("strings", TCCG)
def test_tensor_contractions(strings, name):
    """In the collection's own column order, and as NumPy's users write them."""
    c, a, b = strings.split("-")
    forward, reversed_ = f"{a},{b}->{c}", f"{a[::-1]},{b[::-1]}->{c[::-1]}"
    for seed in range(3):
        arrays = operands(reversed_, np.dtype(name), seed, 9 if len(c) < 6 else 5)
        check(uf.einsum(reversed_, *arrays), reversed_, arrays)
        columns = [x.T for x in arrays]
        check(uf.einsum(forward, *columns), forward, columns)
        out = np.empty(uf.einsum(forward, *columns).shape, name, order="F")
        assert uf.einsum(forward, *columns, out=out) is out
        check(out, forward, columns)


# ---- others -------------------------------------------------------------------------------------


def assert_near(got, want, arrays, equation):
    size = np.einsum(equation, *(np.abs(a).astype(np.float64) for a in arrays))
    places = 7 if arrays[0].dtype.name == "bfloat16" else np.finfo(arrays[0].dtype).nmant
    error = np.abs(np.asarray(got).astype(np.complex128) - want)
    assert np.all(error <= 8 * len(arrays) * 2.0**-places * size), f"{equation}: {error.max()}"


@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "complex128", "bfloat16"])
@pytest.mark.parametrize("kind", [kind for kind in EQUATIONS if kind != "one operand"])
def test_beside_torch(kind, name):
    torch = pytest.importorskip("torch")
    dtype = dtype_of(name)
    for equation in EQUATIONS[kind]:
        arrays = operands(equation, dtype, 7)
        bits = [a.copy(order="C") for a in arrays]
        if name == "bfloat16":
            tensors = [torch.from_numpy(a.view(np.int16)).view(torch.bfloat16) for a in bits]
            want = torch.einsum(equation, *tensors).to(torch.float32).numpy()
        else:
            want = torch.einsum(equation, *map(torch.from_numpy, bits)).numpy()
        assert_near(uf.einsum(equation, *arrays), want, arrays, equation)


def test_torch_tensors_are_operands():
    torch = pytest.importorskip("torch")
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    np.testing.assert_array_equal(np.asarray(uf.einsum("ab,bc->ac", a, b)), np.full((3, 5), 4))


@pytest.mark.parametrize("name", ["float64", "complex128", "int64"])
@pytest.mark.parametrize("equation", ALL)
def test_beside_opt_einsum(equation, name):
    """The path and the pairwise contractions of another; of integers exactly."""
    opt_einsum = pytest.importorskip("opt_einsum")
    arrays = operands(equation, np.dtype(name), 8)
    want = np.asarray(opt_einsum.contract(equation, *arrays))
    got = np.asarray(uf.einsum(equation, *arrays))
    assert got.shape == want.shape
    if name == "int64":
        np.testing.assert_array_equal(got, want)
    else:
        assert_near(got, want, arrays, equation)


@pytest.mark.parametrize("seed", range(20))
def test_networks_of_opt_einsum(seed):
    """Its generator of random networks: each operand shares labels with three others."""
    testing = pytest.importorskip("opt_einsum.testing")
    equation, shapes = testing.rand_equation(6, 3, n_out=2, d_min=2, d_max=4, seed=seed)
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in shapes]
    check(uf.einsum(equation, *arrays), equation, arrays)
