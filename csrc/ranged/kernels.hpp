// Scales and zero points of ranges. One table per tier.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// How a scale and a zero point are made of a range: `quant/scales.py`, to the bit.
enum class ScaleRule : std::uint8_t {
  symmetric,   // of the larger magnitude; the zero point is 0
  asymmetric,  // of the range with 0
  onnx,        // DynamicQuantizeLinear: an infinity makes the scale infinite
};

/// The codes that ranges are laid out over.
struct CodeRange {
  ScaleRule rule;
  float least, most;
};

struct RangedKernels {
  /// Scales and zero points, as whole numbers, of `count` ranges. Returns whether no range has a NaN, nor,
  /// but by the rule of ONNX, an infinity.
  bool (*scales)(const CodeRange& codes, const float* low, const float* high, std::int64_t count,
                 float* scale, float* zero);
};

const RangedKernels& ranged_kernels(Tier tier);

}  // namespace ufuse
