"""Which of NumPy's own tests of ufuncs run against ufuse, and which do not, with the reason."""

from __future__ import annotations

from typing import Final

from .suites import Suite

_IDENTITY = "asks whether what is called is the ufunc itself"
_DOCUMENTATION = "of the documentation of NumPy's own objects"
_SHAPE = "an output of another shape is refused, even where the result would broadcast to it"
_PICKLE = "pickles ufuncs of NumPy by their names, which are bound anew"
_NO_WARNINGS = "that a call does not warn: ours never does"
_REFUSAL = "expects NumPy's words for what is refused"
_PYTHONS = "NumPy's comparisons alone take Python integers that the other's dtype cannot hold"
_LOOPS = (
    "the first loop is taken that the inputs can be cast to; NumPy's chooses by a rule of its own"
)
_OBJECTS = "asks for a loop of objects, and there is none"

_UMATH: Final = {
    "TestSpecialFloats::test_unary_spurious_fpexception": _NO_WARNINGS,
    "TestSpecialFloats::test_divide_spurious_fpexception": _NO_WARNINGS,
    "TestAdd_newdoc_ufunc::test_ufunc_arg": _DOCUMENTATION,
    "TestSpecialMethods::test_ufunc_docstring": _DOCUMENTATION,
    "TestSpecialMethods::test_ufunc_override": _IDENTITY,
    "TestSpecialMethods::test_ufunc_override_methods": _IDENTITY,
}
_UFUNC: Final = {
    "TestUfunc::test_pickle": _PICKLE,
    "TestUfunc::test_pickle_withstring": _PICKLE,
}
_FUSED: Final = ("-p", "numpy_suites.elements", "--ufuncs=fused")
_GENUINE: Final = ("-p", "numpy_suites.elements", "--ufuncs=genuine")

#: Names are NumPy's, bound to fused functions.
FUSED: Final = (
    Suite(
        "numpy._core.tests.test_umath",
        skips={
            **_UMATH,
            "TestSpecialMethods::test_ufunc_override_out": _IDENTITY,
            "TestOut::test_out_subok": "subok=False with a subclass as output: it is written",
            "TestHypotErrorMessages::test_hypot_error_message_multiple_args": _REFUSAL,
        },
        plugin=_FUSED,
    ),
    Suite(
        "numpy._core.tests.test_ufunc",
        ("TestUfunc",),
        {
            **_UFUNC,
            "TestUfunc::test_out_broadcasts": _SHAPE,
            "TestUfunc::test_out_broadcast_errors": _REFUSAL,
            "TestUfunc::test_output_ellipsis_errors": "out=... means a new array",
        },
        plugin=_FUSED,
    ),
)

#: Names are NumPy's, bound to ufuncs that `as_ufunc` makes.
GENUINE: Final = (
    Suite(
        "numpy._core.tests.test_umath",
        skips={
            **_UMATH,
            "TestComparisons::test_object_dtype": _OBJECTS,
            "TestComparisons::test_unsigned_signed_direct_comparison": _PYTHONS,
            "TestRationalFunctions::test_huge_integers": _PYTHONS,
            "TestBool::test_exceptions": _LOOPS,
        },
        plugin=_GENUINE,
    ),
    Suite(
        "numpy._core.tests.test_ufunc",
        ("TestUfunc",),
        {
            **_UFUNC,
            "TestUfunc::test_cast_safety_scalar": _OBJECTS,
            "TestUfunc::test_cast_safety_scalar_special": _PYTHONS,
            "TestUfunc::test_true_divide": _LOOPS,
            "TestUfunc::test_invalid_args": _REFUSAL,
        },
        plugin=_GENUINE,
    ),
)
