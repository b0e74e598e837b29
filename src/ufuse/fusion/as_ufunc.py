"""A traced function as a genuine ufunc of NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .graph import Leaf
from .instructions import Call, Contraction, Instruction, Reduction
from .program import Program, code_of
from .shapes import stand_in
from .specialisation import Specialisation
from .views import View

if TYPE_CHECKING:
    from ..ufuncs.loops import Definition, Loop
    from .function import FusedFunction

#: Numbers from which on dtypes are of other libraries (NPY_USERDEF).
_USER_TYPES = 256
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
#: Of a stand-in for an argument. More than one element, so that what is done to axes is noticed.
_SHAPE = (3,)

_DOCUMENTATION = """\
{summary}

A ufunc of `ufuse.fuse`: broadcasting, `out`, `where`, `casting` and `dtype` are NumPy's. Loops:
{types}.
"""


def as_ufunc(function: FusedFunction, signature: Any = None) -> Any:
    """Return a fused function as a ufunc; see `FusedFunction.as_ufunc`."""
    module = getattr(function, "__module__", None) or "ufuse"
    return import_module("ufuse.ufuncs.making").make(definition_of(function, signature), module)


def definition_of(function: FusedFunction, signature: Any = None) -> Definition:
    """Trace a function for each signature and say what its ufunc is made of."""
    room = import_module("ufuse.ufuncs.loops")
    name = _name(function)
    required, most = _array_arguments(function, name)
    wanted = [_parsed(one, name) for one in _listed(signature)]
    if signature is None:
        if required is None or required == 0:
            raise TypeError(
                f"{name}.as_ufunc: argument 'signature': the function does not say how many arrays "
                "it takes; give it, such as 'ff->f'"
            )
        wanted = [((np.dtype(t),) * required, None) for t in "fd"]
    counts = {len(inputs) for inputs, _ in wanted}
    if len(counts) != 1 or not (required or 0) <= min(counts) <= most or 0 in counts:
        bound = f"{required}" if required == most else f"{required or 1} or more"
        raise ValueError(
            f"{name}.as_ufunc: argument 'signature': expected types of {bound} arguments, the same "
            f"number in each signature, got {' and '.join(map(str, sorted(counts)))}"
        )
    loops: list[Loop] = [_loop(function, name, inputs, results) for inputs, results in wanted]
    (inputs,) = counts
    outputs = {len(loop.dtypes) - inputs for loop in loops}
    if len(outputs) != 1:
        raise TypeError(f"{name}.as_ufunc: the number of results differs between signatures")
    types = [loop.dtypes for loop in loops]
    texts = [
        ",".join(map(str, one[:inputs])) + " -> " + ",".join(map(str, one[inputs:]))
        for one in types
    ]
    summary = inspect.cleandoc(getattr(function, "__doc__", None) or f"The fused function {name}.")
    doc = _DOCUMENTATION.format(summary=summary, types="; ".join(texts))
    made: Definition = room.Definition(name, doc, inputs, outputs.pop(), tuple(loops))
    return made


def _name(function: FusedFunction) -> str:
    name = getattr(function, "__name__", type(function.__wrapped__).__name__)
    return name if name.isidentifier() else "fused"  # a lambda


def _array_arguments(function: FusedFunction, name: str) -> tuple[int | None, float]:
    """Return how many arguments must be arrays (None: any number), and how many may be."""
    try:
        parameters = inspect.signature(function.__wrapped__).parameters.values()
    except (TypeError, ValueError):
        return None, np.inf
    for p in parameters:
        if p.kind == p.KEYWORD_ONLY and p.default is p.empty:
            raise TypeError(
                f"{name}.as_ufunc: argument {p.name!r} is keyword-only and has no default, and a "
                "ufunc has arrays alone; give it by functools.partial before ufuse.fuse"
            )
    named = [p for p in parameters if p.kind in _POSITIONAL]
    required = sum(p.default is p.empty for p in named)
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return required or None, np.inf
    return required, len(named)


# --- signatures ----------------------------------------------------------------------------------


_Types = tuple[np.dtype[Any], ...]


def _listed(signature: Any) -> list[Any]:
    """Return the signatures that were given, one or a list."""
    if signature is None:
        return []
    return list(signature) if isinstance(signature, list) else [signature]


def _parsed(signature: Any, name: str) -> tuple[_Types, _Types | None]:
    """Return the types of the arguments, and those of the results where they are given."""
    results: Any = None
    if isinstance(signature, str):
        given, arrow, after = signature.replace(" ", "").partition("->")
        inputs: Any = _split(given)
        results = _split(after) if arrow and after else None
    elif isinstance(signature, tuple) and signature and isinstance(signature[0], tuple):
        inputs, results = signature  # ((inputs), (results))
    else:
        inputs = signature if isinstance(signature, tuple) else None
    try:
        if inputs is None:
            raise TypeError
        types = tuple(np.dtype(t).newbyteorder("=") for t in inputs)
        made = None if results is None else tuple(np.dtype(t).newbyteorder("=") for t in results)
    except TypeError:
        raise TypeError(
            f"{name}.as_ufunc: argument 'signature': expected types such as 'ff->f', 'f4,f4->f4', "
            f"a tuple of dtypes of the arguments, or a list of these, got {signature!r}"
        ) from None
    for dtype in (*types, *(made or ())):
        if dtype.kind not in "biufc" or dtype.num >= _USER_TYPES:
            raise TypeError(
                f"{name}.as_ufunc: argument 'signature': expected NumPy's own numbers, got "
                f"{dtype}; arrays of other dtypes are for the fused function itself"
            )
    return types, made


def _split(text: str) -> Sequence[str]:
    if "," in text:
        return text.split(",")
    return (text,) if any(c.isdigit() for c in text) else tuple(text)


# --- loops ---------------------------------------------------------------------------------------


def _loop(function: FusedFunction, name: str, inputs: _Types, results: _Types | None) -> Loop:
    arrays = [stand_in(_SHAPE, dtype) for dtype in inputs]
    _, spec = function.traced(*arrays)
    outputs = _result_count(spec, name)
    program = _of_elements(spec, name, inputs)
    if results is None:
        codes = [program.codes[output] for output in program.outputs]
        results = tuple(np.dtype(code) for code in codes)
    elif len(results) != outputs:
        raise ValueError(
            f"{name}.as_ufunc: argument 'signature': expected types of {outputs} results, got "
            f"{len(results)}"
        )
    for made, dtype in zip(spec.dtypes, results, strict=True):
        if not np.can_cast(made, dtype, "same_kind"):
            raise TypeError(
                f"{name}.as_ufunc: argument 'signature': a result of {made} cannot be cast to "
                f"{dtype} by the rule 'same_kind'; use .astype in the function"
            )
    wanted = program.cast_outputs([code_of(dtype) for dtype in results])
    made_loop: Loop = import_module("ufuse.ufuncs.loops").Loop((*inputs, *results), wanted)
    return made_loop


def _result_count(spec: Specialisation, name: str) -> int:
    """Return how many results there are; they must be arrays alone, in a tuple or list."""
    structure = spec.structure
    parts = structure if isinstance(structure, (tuple, list)) else [structure]
    count = len(spec.dtypes)
    if len(parts) != count or spec.result(list(range(count))) not in (
        0,
        tuple(range(count)),
        [*range(count)],
    ):
        raise TypeError(
            f"{name}.as_ufunc: expected a function that returns arrays, one or a flat tuple or "
            f"list, got {type(structure).__name__} with more in it; return the arrays alone"
        )
    return count


def _refuse(name: str, construct: str, remedy: str) -> TypeError:
    return TypeError(
        f"{name}.as_ufunc: a ufunc computes element by element, and the function has {construct}; "
        f"{remedy}"
    )


def _of_elements(spec: Specialisation, name: str, inputs: _Types) -> Program:
    """Return the program with the arguments as inputs, and captured scalars as constants."""
    if spec.shape_dependent or not all(isinstance(source, Leaf) for source in spec.sources):
        raise _refuse(name, "results that depend on shapes", "pass lengths as arguments")
    for instruction in spec.program.instructions:
        _check_elementwise(instruction, name)
    for array in spec.captured:
        if array.ndim:
            raise _refuse(
                name, f"an array of shape {array.shape} from outside", "make it an argument"
            )
    return _with_inputs(spec, inputs)


def _check_elementwise(instruction: Instruction, name: str) -> None:
    operation = instruction.operation
    if isinstance(operation, Reduction):
        what = f"a reduction ({operation.reducer})"
    elif isinstance(operation, Contraction):
        what = "a contraction"
    elif isinstance(operation, View):
        what = f"a view ({operation.kind})"
    elif isinstance(operation, Call):
        what = "a call of a function of whole arrays"
    else:
        return
    raise _refuse(name, what, "use the fused function itself, or pass that as an argument")


def _with_inputs(spec: Specialisation, inputs: _Types) -> Program:
    program, count = spec.program, len(inputs)
    constants: list[tuple[str, Any]] = []
    place = []
    for code, source in zip(program.inputs, spec.sources, strict=True):
        assert isinstance(source, Leaf)
        if source.index < count:
            place.append(source.index)
        else:
            place.append(count + len(constants))
            constants.append((code, spec.captured[source.index - count].astype(code)[()]))
    constants += program.constants
    place += range(count + len(constants) - len(program.constants), count + len(constants))
    first = count + len(constants)
    place += range(first, first + len(program.instructions))
    return Program(
        tuple(code_of(dtype) for dtype in inputs),
        tuple(constants),
        _renumbered(program.instructions, place),
        tuple(place[output] for output in program.outputs),
    ).canonical()


def _renumbered(
    instructions: Iterable[Instruction], place: Sequence[int]
) -> tuple[Instruction, ...]:
    return tuple(i._replace(args=tuple(place[arg] for arg in i.args)) for i in instructions)


def cast_ends(program: Program, codes: Sequence[str]) -> Program:
    """Return a program of other element types, `codes`: inputs are cast before, results after."""
    count = len(program.inputs)
    given = tuple(codes[:count])
    shift = program.first_instruction
    casts: list[Instruction] = []
    place = list(range(shift))
    for i, (code, wanted) in enumerate(zip(given, program.inputs, strict=True)):
        if code != wanted:
            place[i] = shift + len(casts)
            casts.append(Instruction("nonzero" if wanted == "?" else "cast", wanted, (i,)))
    place += [n + len(casts) for n in range(shift, len(program.codes))]
    moved = [i._replace(args=tuple(place[arg] for arg in i.args)) for i in program.instructions]
    wide = Program(
        given, program.constants, (*casts, *moved), tuple(place[o] for o in program.outputs)
    )
    return wide.cast_outputs(codes[count:])
