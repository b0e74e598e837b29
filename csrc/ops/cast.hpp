// Conversion between element types, as C converts: float to integer truncates, integers wrap.
//
// C leaves float to integer undefined outside the integer's range; here it is what x86's instructions
// give on every tier: narrow integers take the low bits of the int32 conversion, whose value for NaN and
// out-of-range inputs is INT32_MIN; uint32 those of the int64 conversion.
#pragma once

#include "ops/compare.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

struct cast {
  template <class R, class V>
  static UFUSE_INLINE R apply(V a) {
    using To = lane_t<R>;
    if constexpr (is_floating<V> && !is_floating<R>) {
      if constexpr (sizeof(To) < 4) {
        return convert<R>(convert<rebind_t<R, int32_t>>(a));
      } else if constexpr (static_cast<To>(-1) < To(0)) {
        return convert<R>(a);
      } else if constexpr (sizeof(To) == 4) {
        return convert<R>(convert<rebind_t<R, int64_t>>(a));
      } else {  // uint64: values from 2**63 up do not fit the signed conversion
        using Signed = rebind_t<R, int64_t>;
        const V half = splat<V>(static_cast<lane_t<V>>(9223372036854775808.0));
        const auto large = bytes_of<rebind_t<R, uint8_t>>(a >= half);
        const Signed low = convert<Signed>(a);
        const Signed high = convert<Signed>(a - half) ^ splat<Signed>(static_cast<int64_t>(1ULL << 63));
        return bitcast<R>(select(mask_of<Signed>(large), high, low));
      }
    } else {
      return convert<R>(a);
    }
  }
};

struct nonzero {
  template <class R, class V>
  static UFUSE_INLINE R apply(V a) {
    return bytes_of<R>(a != V{});
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
