// Angles: trigonometric functions and their inverses.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

// The factor is that of NumPy: a quotient rounded in the type of the lanes.
struct deg2rad {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using T = lane_t<V>;
    return x * splat<V>(static_cast<T>(3.14159265358979323846) / T(180));
  }
};

struct rad2deg {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using T = lane_t<V>;
    return x * splat<V>(T(180) / static_cast<T>(3.14159265358979323846));
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
