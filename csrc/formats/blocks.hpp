// Arrays to block formats and back. Blocks run along the last axis.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "formats/kernels.hpp"

namespace ufuse {

inline constexpr int kMaxBlockAxes = 64;

/// How the values of an array are stored.
enum class ValueKind : std::uint8_t { f32, f64, half, bfloat16 };

/// An array of values and the same array in blocks. All strides are in bytes.
///
/// A row is the last axis. Its codes, and its scales where they lie apart, are contiguous. The last block of
/// a row may be ragged: its values are then followed by zeros, and of its codes the first are kept, as many
/// as `code_bytes` leaves room for.
struct BlockArrays {
  FormatId format;
  FormatOptions options;
  int axes = 0;                         // at least 1
  const std::int64_t* shape = nullptr;  // of the values
  char* values = nullptr;               // read only when encoding
  const std::int64_t* strides = nullptr;
  ValueKind kind = ValueKind::f32;
  bool swapped = false;               // the other byte order
  const float* importance = nullptr;  // a weight for each element of a row, contiguous, the same for all rows
  std::uint8_t* codes = nullptr;      // read only when decoding
  const std::int64_t* code_strides = nullptr;  // of the axes but the last
  std::int64_t code_bytes = 0;                 // of a row
  std::uint8_t* scales = nullptr;
  const std::int64_t* scale_strides = nullptr;
};

/// Tells whether float16 numbers of the codes may be infinite or NaN. Arrays do not overlap. Throws
/// `std::invalid_argument` where a format is not encoded, `std::bad_alloc`.
UFUSE_API bool encode_blocks(const BlockArrays& b);
/// Values of the kinds float32, half and bfloat16.
UFUSE_API void decode_blocks(const BlockArrays& b);

}  // namespace ufuse
