"""The catalogue: element types, operations and reducers, one row each.

Nothing here imports the rest of the package, so that the build can read it (``codegen.py``).
"""

from .dtypes import ELEMENT_TYPES, ElementType
from .floats import FLOAT_FORMATS, FloatFormat
from .formats import FORMATS, Format
from .operations import OPERATIONS
from .reducers import FINISHES, REDUCERS
from .rows import Operation, Reducer, Signature
from .semirings import SEMIRINGS, Semiring

__all__ = [
    "ELEMENT_TYPES",
    "FINISHES",
    "FLOAT_FORMATS",
    "FORMATS",
    "OPERATIONS",
    "REDUCERS",
    "SEMIRINGS",
    "ElementType",
    "FloatFormat",
    "Format",
    "Operation",
    "Reducer",
    "Semiring",
    "Signature",
]
