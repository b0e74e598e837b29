// Rounding by random bits.
#pragma once

#include "ops/compare.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// Down, or up with the probability of what is above, in 24 bits.
struct round_stochastic {
  template <class V, class B>
  static UFUSE_INLINE V apply(V x, B random) {
    const V whole = UFUSE_TIER::floor(x);
    const V chance = convert<V>(convert<rebind_t<V, int32_t>>(random >> 8)) * splat<V>(0x1p-24f);
    return select(x - whole > chance, whole + splat<V>(1), whole);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
