// What the driver sees of the sums that compare numbers with what their codes stand for. One table per tier.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// Of numbers x and what stands for them, y, with the errors e = x - y.
struct DistortionSums {
  double xx = 0, yy = 0, xy = 0;  // sums of products
  double squares = 0;             // of e * e
  double magnitudes = 0;          // of |e|
  double largest = 0;             // |e| of those that are not NaN
};
inline constexpr int kDistortionSums = 6;

struct DistortionKernels {
  /// The sums of `count` elements. The same on every tier from v3 up.
  DistortionSums (*compare)(const float* x, const float* y, std::int64_t count);
};

const DistortionKernels& distortion_kernels(Tier tier);

}  // namespace ufuse
