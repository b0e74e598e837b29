"""How an argument is named in an error message."""

from __future__ import annotations


def type_name(obj: object) -> str:
    """Name the type of `obj` as its users write it: ``list``, ``torch.Tensor``."""
    kind = type(obj)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def subject(obj: object, function: str, argument: str) -> str:
    """Begin a message: the function, the argument, and the type that came."""
    return f"{function}: argument {argument!r} ({type_name(obj)})"
