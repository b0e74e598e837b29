"""Block formats of model files: some consecutive elements together in a record of bytes.

`gguf` has those of llama.cpp's files. Blocks run along the last axis.
"""

from . import gguf

__all__ = ["gguf"]
