// Block formats: some consecutive elements of a row together in a record of bytes. What the driver sees of
// their kernels; one table per tier.
#pragma once

#include <cstdint>

#include "core/tiers.hpp"

namespace ufuse {

enum class FormatId : std::uint8_t {
#define UFUSE_FORMAT(name, block, bytes) name,
#include "formats.inc"
#undef UFUSE_FORMAT
  kCount
};
inline constexpr int kFormats = static_cast<int>(FormatId::kCount);

/// What formats ask for besides values.
struct FormatOptions {
  std::int64_t block = 0;        // elements per block: the catalogue's, or of formats that leave it open
  std::int64_t bytes = 0;        // of codes per block, likewise
  std::int64_t scale_bytes = 0;  // of formats whose scales lie apart from the codes: bytes of a scale
  float tensor_scale = 1.0f;     // of formats with a scale for the whole array
  int scale_mode = 0;            // how a power of two is made of the largest magnitude: MX's ScaleMode
};

/// Whether values, or the float16 numbers of their codes, are not finite. Kernels that do not look leave it
/// at `unknown`.
enum class Overflow : std::uint8_t { none, some, unknown };

/// `blocks` blocks, one after another. Nothing overlaps; pointers have no alignment but that of their type.
struct EncodeCall {
  const float* values;      // contiguous
  const float* importance;  // a weight per value, contiguous; null: the format's own
  std::int64_t blocks;
  std::uint8_t* codes;
  void* scales;  // of formats whose scales lie apart from the codes: one per block; else null
  FormatOptions options;
  // Where `together` blocks may be of several rows: their weights are those of `period` blocks over and over,
  // from block `phase` of these on.
  std::int64_t period = 0, phase = 0;
  float variance = 0;  // the mean of the squares of the row that the blocks are of, where a kernel takes it
  Overflow* overflow = nullptr;  // where to say whether a value or a float16 of the codes is not finite
};

struct DecodeCall {
  const std::uint8_t* codes;
  const void* scales;
  std::int64_t blocks;
  float* values;
  FormatOptions options;
};

/// Null where a format is decoded only. Same bytes, and same values, on every tier.
struct FormatKernel {
  void (*encode)(const EncodeCall&);
  void (*decode)(const DecodeCall&);
  int cost;      // of encoding: how many bytes of memory could be moved while one of the values is encoded
  int together;  // blocks that are encoded side by side; fewer take as long
  bool takes_variance;  // with importance: of a row, so that calls are of one row each
};

struct FormatKernels {
  FormatKernel format[kFormats];
  /// Elements `stride` bytes apart of some rows, to rows `pitch` bytes apart; by log2 of an element's size.
  void (*gather[4])(void* to, std::int64_t pitch, const char* const* from, std::int64_t rows,
                    std::int64_t stride, std::int64_t count);
  void (*narrow)(float* to, const void* doubles, std::int64_t count);
  void (*to_bfloat16)(std::uint16_t* to, const float* from, std::int64_t count);  // ties to even
};

const FormatKernels& format_kernels(Tier tier);

}  // namespace ufuse
