// Block formats: some consecutive elements of a row together in a record of bytes. What the driver sees of
// their kernels; one table per tier.
#pragma once

#include <cstdint>

#include "core/tiers.hpp"

namespace ufuse {

enum class FormatId : std::uint8_t {
#define UFUSE_FORMAT(name, block, bytes) name,
#include "catalogue.inc"
#undef UFUSE_FORMAT
  kCount
};
inline constexpr int kFormats = static_cast<int>(FormatId::kCount);

/// What formats ask for besides values.
struct FormatOptions {
  std::int64_t block = 0;      // elements per block, of formats that leave it open; else the catalogue's
  float tensor_scale = 1.0f;   // of formats with a scale for the whole array
  int scale_mode = 0;          // how a power of two is made of the largest magnitude: MX's ScaleMode
};

/// `blocks` blocks, one after another.
struct EncodeCall {
  const float* values;      // contiguous
  const float* importance;  // a weight per value, contiguous; null: the format's own
  std::int64_t blocks;
  std::uint8_t* codes;
  void* scales;  // of formats whose scales lie apart from the codes: one per block; else null
  FormatOptions options;
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
};

struct FormatKernels {
  FormatKernel format[kFormats];
};

const FormatKernels& format_kernels(Tier tier);

}  // namespace ufuse
