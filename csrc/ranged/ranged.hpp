// Quantization by the range of the data: ranges found, scales made of them, codes written, a piece of the
// array that fits in cache at a time where no scale goes beyond it.
#pragma once

#include <span>

#include "core/macros.hpp"
#include "program/program.hpp"
#include "ranged/kernels.hpp"

namespace ufuse {

/// An array, or its blocks as axes of their own, with the scales of its parts. Not empty.
struct RangedPart {
  // Of float32: what ranges are of.
  const char* x;
  bool swapped;
  int axes;
  const std::int64_t* shape;
  const std::int64_t* strides;
  std::uint64_t reduced;  // bit i: along axis i there is one scale
  // Written: float32, and integers of `zero_size` bytes. Strides are of that shape, 0 where reduced.
  char* scale;
  const std::int64_t* scale_strides;
  char* zero;  // null: not wanted
  const std::int64_t* zero_strides;
  int zero_size;
  // What the program takes: codes, numbers (or pairs of them), scales, zero points.
  int code_axes;
  const std::int64_t* code_shape;
  ProgramOperand operands[4];
};

/// Quantizes parts by a program (x, scale, zero point) -> codes. Returns whether all ranges are as the rule
/// asks; if not, codes are of no use, and there are none of a part with one scale. Throws `std::bad_alloc`.
UFUSE_API bool quantize_ranged(std::span<const RangedPart> parts, const Program& program,
                               const CodeRange& codes);

}  // namespace ufuse
