// Division by what stays the same from one element to the next.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// A number to divide many others by. A quotient is rounded as division rounds it, for a multiplication and
/// three multiply-adds: 16 float32 in 2.5 cycles of an Intel core, where a division takes 16, and in 4 of a
/// Zen 4, where it takes 10.
///
/// The inverse in two parts gives x / scale within an ulp, whose remainder is then exact, and the correctly
/// rounded inverse times that remainder corrects it to the nearest (P. Markstein, "Computation of elementary
/// functions on the IBM RISC System/6000 processor", 1990, theorem 7). The remainder of a small x is not
/// exact: quotients below 2^-26 are those of a number some ulp away. Nor has a zero its sign.
template <class V>
struct Divisor {
  using T = lane_t<V>;

  V scale, inverse, rest;

  explicit UFUSE_INLINE Divisor(T by) : scale(splat<V>(by)), inverse{}, rest{} {
    const T one = T{1} / by;
    inverse = splat<V>(one);
    rest = splat<V>(UFUSE_TIER::fma(-by, one, T{1}) * one);
  }

  /// Whether quotients of finite numbers up to 2^20 are right: where nothing that is added overflows, or is so
  /// small that digits are lost.
  static UFUSE_INLINE bool is_for(T by) {
#if defined(__x86_64__) && !defined(__FMA__)
    return by != by;  // a multiply-add would be a call
#else
    constexpr bool kSingle = sizeof(T) == 4;
    constexpr T kLeast = static_cast<T>(kSingle ? 0x1p-64 : 0x1p-800);
    constexpr T kMost = static_cast<T>(kSingle ? 0x1p90 : 0x1p800);
    return by >= kLeast && by <= kMost;
#endif
  }
};

template <class V>
UFUSE_INLINE V operator/(V x, const Divisor<V>& by) {
  const V near = UFUSE_TIER::fma(x, by.inverse, x * by.rest);
  return UFUSE_TIER::fma(UFUSE_TIER::fma(-near, by.scale, x), by.inverse, near);
}

template <class V>
UFUSE_INLINE V inverse_of(V by) {
  return splat<V>(1) / by;
}
template <class V>
UFUSE_INLINE V inverse_of(const Divisor<V>& by) {
  return by.inverse;
}

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
