// How far codes are from the numbers they stand for, without an array of what they stand for: they are
// decoded in registers where the kernels know how, else a slab of them into cache, and compared there.
#pragma once

#include "core/function_ref.hpp"
#include "core/plan.hpp"
#include "distortion/kernels.hpp"
#include "program/program.hpp"

namespace ufuse {

/// Part of an array: some indices of axis `from`, and of the axes after it all.
struct Slab {
  int axes;  // of the array
  int from;
  std::int64_t shape[kMaxAxes];  // of the part, from `from` on
  std::int64_t start[kMaxAxes];  // index of its first element, of all axes
  bool turned = false;           // written with the first axis of the part as the fastest

  std::int64_t size() const {
    std::int64_t n = 1;
    for (int i = 0; i < axes - from; ++i) n *= shape[i];
    return n;
  }
  /// Where the part of an array of these strides begins.
  std::int64_t offset(const std::int64_t* strides) const {
    std::int64_t bytes = 0;
    for (int i = 0; i < axes; ++i) bytes += start[i] * strides[i];
    return bytes;
  }
};

/// What an operation of the catalogue decodes: broadcast operands of x's shape, in native byte order.
struct Codes {
  const CodesRow* row = nullptr;  // null: `decode` alone knows how
  bool are_numbers = false;       // float32, decoded already
  const char* data[3];            // codes, scales, zero points
  const std::int64_t* strides[3];
};

/// The row that decodes as a program does, null where there is none.
UFUSE_API const CodesRow* codes_row(const Program& program);

struct Distortion {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  int lanes = 0;   // so many axes, the first ones, have sums for each index
  int floats = 1;  // in an element: pairs have 2
  const char* x = nullptr;
  const std::int64_t* strides = nullptr;  // in bytes
  bool swapped = false;                   // x: the other byte order
  Codes codes;
  /// Writes what the codes of a slab stand for, one beside the other.
  FunctionRef<void(const Slab&, float*)> decode;
  /// Copies x's elements of a slab so, in native byte order.
  FunctionRef<void(const Slab&, float*)> copy;
};

/// Sums of all, or of each index of the first axes. Their order depends on the shape alone.
UFUSE_API void measure_distortion(const Distortion& d, DistortionSums* sums);

}  // namespace ufuse
