// 2^t for what is at most 0, with as few instructions as float32 needs there: scores outnumber all else that
// attention computes, and an exponential takes the ports of the multiply-adds.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// 2^t for t <= 0; 0 where that would be subnormal (as an operand that makes a multiply-add some 150 cycles
/// long on several processors); NaN for NaN. float32: within 0.8 ULP. A degree less is 1.9 ULP, and attention
/// 1 to 2 % faster.
template <class V>
UFUSE_INLINE V exp2_below(V t) {
  using namespace math;
  if constexpr (is_single<V>) {
#if defined(__AVX512DQ__)
    if constexpr (sizeof(V) == 64) {
      const V f = {_mm512_maskz_reduce_ps(0xffff, t.v, 0x08)};  // t - rint(t), exact
      const V p = fma(exp2_slope(f), f, constant<V>(1.0));
      const __mmask16 kept = _mm512_cmp_ps_mask(t.v, _mm512_set1_ps(-126.0F), _CMP_NLT_UQ);
      return {_mm512_maskz_scalef_ps(kept, p.v, (t - f).v)};
    }
#endif
    const V low = constant<V>(-126.0);
    const V n = rint(larger(low, t));
    const V f = t - n;
    const V p = fma(exp2_slope(f), f, constant<V>(1.0)) * power_of_two(n);
    return select(t < low, constant<V>(0.0), p);
  } else {
    const V low = constant<V>(-1022.0);
    const V n = nearest(larger(low, t));
    const V f = t - n;
    const V p = fma(exp2_slope(f), f, constant<V>(1.0)) * power_of_two(n);
    return select(t < low, constant<V>(0.0), p);
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
