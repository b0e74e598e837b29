"""Which of NumPy's own tests run against ufuse, and which do not, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import ufuse as uf

#: NumPy's names that become ours where ufuse has them.
FUNCTIONS: Final = (
    "sum prod mean var std min max ptp argmin argmax any all count_nonzero average median quantile "
    "percentile cumsum cumprod nansum nanprod nanmean nanvar nanstd nanmin nanmax nanargmin "
    "nanargmax nanmedian nanquantile nanpercentile nancumsum nancumprod histogram bincount einsum "
    "matmul dot vdot inner outer tensordot vecdot matvec vecmat kron"
).split()


@dataclass(frozen=True)
class Suite:
    """Tests of one module of NumPy.

    Attributes
    ----------
    module : str
    classes : tuple of str
        Which of its classes; all where empty.
    skips : dict
        Test (``Class::test``, with or without parameters) or class, and why it does not run.
    names : tuple of str
        Functions that the tests are of: while ufuse lacks one, the suite does not run.
    plugin : tuple of str
        Arguments of pytest that bind the names.
    """

    module: str
    classes: tuple[str, ...] = ()
    skips: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    plugin: tuple[str, ...] = ("-p", "numpy_suites.rebind")

    def missing(self) -> list[str]:
        """Those of `names` that ufuse does not have."""
        return [name for name in self.names if not hasattr(uf, name)]


#: The version of NumPy whose tests these are; those of another need another list.
VERSION: Final = "2.4"

_MASKED = "masked arrays are refused: their mask would be ignored"
_SUBCLASS = "a subclass gives a plain array; its own methods are not called"
_NUMPYS = "compares NumPy's results for objects with themselves: Python's float and numpy.float64"
_OBJECTS = "arrays of objects and strings are refused"
_SHAPE = "an output of another shape is refused, even where the result would broadcast to it"
_ONE_WARNING = "one warning for a call, not one for each slice or step"

_ZEROS = "sums of -0.0 are 0.0: they begin with 0.0, to which initial is added"

#: The tests of reductions in ``test_ufunc``: what calls the functions, and what does not.
_FUNCTIONS_CALLED: Final = (
    "test_sum",
    "test_sum_complex",
    "test_sum_initial",
    "test_sum_where",
    "test_object_array_reduction",
    "test_zerosize_reduction",
    "test_scalar_reduction",
)
_REDUCE = "calls reduce of NumPy's ufuncs itself: np.add.reduce and others cannot be bound anew"
_METHOD = "calls the method of numpy.ndarray, which cannot be bound anew"
_UFUNCS_CALLED: Final = {
    "test_sum_stability": _METHOD,
    "test_axis_out_of_bounds": _METHOD,
    **dict.fromkeys(
        (
            "test_identityless_reduction",
            "test_identityless_reduction_huge_array",
            "test_identityless_reduction_nonreorderable",
            "test_reduce_identity_depends_on_loop",
            "test_initial_reduction",
            "test_empty_reduction_and_identity",
            "test_reduction_with_where",
            "test_reduction_with_where_and_initial",
            "test_reduction_where_initial_needed",
            "test_reduce_zero_axis",
            "test_reduce_arguments",
            "test_reducelike_byteorder_resolution",
            "test_reducelike_out_promotes",
            "test_reducelike_output_needs_identical_cast",
            "test_reduce_noncontig_output",
            "test_reduce_wrong_dimension_output",
            "test_reduce_output_does_not_broadcast_input",
            "test_reduce_output_subclass_ok",
        ),
        _REDUCE,
    ),
}

#: The tests in ``test_ufunc`` of products of vectors, some under names that do not say so.
_VECTORS_MULTIPLIED: Final = (
    "test_vecdot",
    "test_matvec",
    "test_vecmatvec_identity",
    "test_vecdot_matvec_vecmat_complex",
    "test_matvec_vecmat_out",
    "test_vecdot_subclass",
    "test_vecdot_object_no_conjugate",
    "test_vecdot_object_breaks_outer_loop_on_error",
    "test_broadcast",
    "test_out_broadcasts",
    "test_type_cast",
    "test_endian",
    "test_incontiguous_array",
    "test_output_argument",
    "test_axes_argument",
    "test_axis_argument",
    "test_keepdims_argument",
    "test_innerwt",
)

SUITES: Final = (
    Suite(
        "numpy.lib.tests.test_nanfunctions",
        skips={
            "test_memmap_takes_fast_route": "the name of NumPy's own ufunc in a message",
            "TestNanFunctions_MinMax::test_masked": _MASKED,
            "TestNanFunctions_MinMax::test_subclass": _SUBCLASS,
            "TestNanFunctions_ArgminArgmax::test_subclass": _SUBCLASS,
            "TestNanFunctions_SumProd::test_subclass": _SUBCLASS,
            "TestNanFunctions_CumSumProd::test_subclass": _SUBCLASS,
            "TestNanFunctions_MeanVarStd::test_subclass": _SUBCLASS,
            "TestNanFunctions_Median::test_allnans": _ONE_WARNING,
            **{
                f"TestNanFunctions_NumberTypes::{test}[{name}-{dimensions}-O]": _NUMPYS
                for test in ("test_nanfunc", "test_nanfunc_ddof")
                for name in ("nanmean", "nanvar", "nanstd")
                for dimensions in ("0d", "1d")
            },
        },
    ),
    Suite("numpy.lib.tests.test_histograms", ("TestHistogram", "TestHistogramOptimBinNums")),
    Suite(
        "numpy.lib.tests.test_function_base",
        (
            "TestAny",
            "TestAll",
            "TestAverage",
            "TestAmax",
            "TestAmin",
            "TestPtp",
            "TestCumsum",
            "TestProd",
            "TestCumprod",
            "TestBincount",
            "TestPercentile",
            "TestQuantile",
            "TestMedian",
        ),
        {
            "TestAverage::test_subclasses": _SUBCLASS,
            "TestPercentile::test_fraction": _OBJECTS,
            "TestQuantile::test_fraction": _OBJECTS,
            "TestQuantile::test_weibull_fraction": _OBJECTS,
            "TestPercentile::test_api": _SHAPE,
            "TestPercentile::test_scalar_q": _SHAPE,
            "TestMedian::test_subclass": _SUBCLASS,
            "TestMedian::test_subclass2": _SUBCLASS,
            "TestMedian::test_empty": _ONE_WARNING,
        },
    ),
    Suite(
        "numpy._core.tests.test_multiarray",
        ("TestArgmaxArgminCommon", "TestArgmax", "TestArgmin", "TestMinMax", "TestStats"),
        {
            f"Test{name}::test_combinations[data{k}]": _OBJECTS
            for name in ("Argmax", "Argmin")
            for k in (88, 89, 90)
        },
    ),
    Suite(
        "numpy._core.tests.test_numeric",
        ("TestNonarrayArgs", "TestStdVar", "TestStdVarComplex", "TestKeepdims"),
        {
            "TestNonarrayArgs::test_std_with_mean_keyword_keepdims_true_masked": _MASKED,
            "TestNonarrayArgs::test_var_with_mean_keyword_keepdims_true_masked": _MASKED,
            "TestKeepdims::test_raise": _SUBCLASS,
        },
    ),
    Suite(
        "numpy._core.tests.test_ufunc",
        (
            *(f"TestUfunc::{name}" for name in (*_FUNCTIONS_CALLED, *_UFUNCS_CALLED)),
            "test_addition_reduce_negative_zero",
        ),
        {
            "TestUfunc::test_sum": "float16 sums that overflow are infinite without a warning",
            "TestUfunc::test_scalar_reduction": _SUBCLASS,
            **{
                f"test_addition_reduce_negative_zero[True-{code}]": _ZEROS
                for code in ("e", "f", "d")
            },
            **{f"TestUfunc::{name}": why for name, why in _UFUNCS_CALLED.items()},
        },
    ),
    Suite(
        "numpy._core.tests.test_einsum",
        skips={
            "TestEinsum::test_einsum_0d_out": "float64 into int64 is refused, as 'safe' says",
            "TestEinsum::test_output_order": "'K' is Fortran's layout where all operands have it",
            "TestEinsum::test_subscript_range": "labels above 51 are taken",
        },
    ),
    Suite(
        "numpy._core.tests.test_multiarray",
        ("TestMatmul",),
        {
            "TestMatmul::test_out_arg": "expects NumPy's words for a cast that is refused",
            "TestMatmul::test_empty_out": _SHAPE,
        },
        names=("matmul", "dot"),
    ),
    Suite(
        "numpy._core.tests.test_multiarray",
        ("TestDot",),
        {"TestDot::test_huge_vectordot": "takes 9 GB of memory"},
        names=("dot",),
    ),
    Suite("numpy._core.tests.test_multiarray", ("TestVdot",), names=("vdot",)),
    Suite("numpy._core.tests.test_multiarray", ("TestInner",), names=("inner",)),
    Suite("numpy._core.tests.test_numeric", ("TestTensordot",), names=("tensordot", "dot")),
    Suite("numpy._core.tests.test_numeric", ("test_outer_out_param",), names=("outer",)),
    Suite(
        "numpy._core.tests.test_ufunc",
        tuple(f"TestUfunc::{name}" for name in _VECTORS_MULTIPLIED),
        {"TestUfunc::test_vecdot_subclass": _SUBCLASS, "TestUfunc::test_out_broadcasts": _SHAPE},
        names=("vecdot", "matvec", "vecmat", "matmul"),
    ),
    Suite(
        "numpy.lib.tests.test_shape_base",
        ("TestKron", "TestTile::test_kroncompare"),
        {"TestKron::test_return_type": _SUBCLASS, "TestKron::test_kron_ma": _MASKED},
        names=("kron",),
    ),
)
