"""Block formats of model files: some consecutive elements together in a record of bytes.

`gguf` has those of llama.cpp's files, `mx` those of the OCP's Microscaling specification, `nvfp4`
NVIDIA's, `nf4` those of bitsandbytes.
"""

from . import gguf, mx, nf4, nvfp4

__all__ = ["gguf", "mx", "nf4", "nvfp4"]
