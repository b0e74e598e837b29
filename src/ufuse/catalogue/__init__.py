"""The catalogue: element types, operations and reducers, one row each.

Nothing here imports the rest of the package, so that the build can read it (``codegen.py``).
"""

from .dtypes import ELEMENT_TYPES, ElementType
from .floats import FLOAT_FORMATS, FloatFormat
from .formats import FORMATS, Format
from .grids import GRIDS, Grid
from .operations import OPERATIONS
from .reducers import FINISHES, REDUCERS
from .rows import Operation, Reducer, Signature

__all__ = [
    "ELEMENT_TYPES",
    "FINISHES",
    "FLOAT_FORMATS",
    "FORMATS",
    "GRIDS",
    "OPERATIONS",
    "REDUCERS",
    "ElementType",
    "FloatFormat",
    "Format",
    "Grid",
    "Operation",
    "Reducer",
    "Signature",
]
