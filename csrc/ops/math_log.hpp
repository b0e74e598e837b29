// log.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

template <class V>
struct Reduced {
  V k;  // integer-valued
  V f;
};

/// x = 2^k (1 + f), 1 + f in [c, 2c), c = 2/3 (float) or sqrt(1/2) (double), for positive finite x, denormals
/// included.
template <class V>
UFUSE_INLINE Reduced<V> reduce_log(V x) {
  using B = bits_t<V>;
  using F = format_t<V>;
  const V zero = constant<V>(0.0);
  const auto denormal = x < splat<V>(F::kLeastNormal);
  constexpr double kUp = is_single<V> ? 0x1p25 : 0x1p54;
  x = select(denormal, x * constant<V>(kUp), x);
  const V lift = select(denormal, constant<V>(is_single<V> ? -25.0 : -54.0), zero);
  const B b = bitcast<B>(without_sign(x));  // so that the differences below cannot overflow
  const B e = (b - splat<B>(F::kLeastSignificand)) >> F::kMantissa;
  const V m = bitcast<V>(b - (e << F::kMantissa));
  // The integer to floating point by the rounder's trick, since 64-bit conversions are slow before AVX-512.
  const V k = bitcast<V>(e + bitcast<B>(splat<V>(F::kRounder))) - splat<V>(F::kRounder);
  return {k + lift, m - constant<V>(1.0)};
}

/// log(1 + f) - f for the f of reduce_log.
template <class V>
UFUSE_INLINE V log1p_tail(V f) {
  if constexpr (is_single<V>) {
    // -f^2/2 + f^3 P(f), error 2^-27.6 of the logarithm.
    const V p =
        polynomial(f, 0.3333321809768677, -0.24999819695949554, 0.20010298490524292, -0.16679514944553375,
                   0.14007456600666046, -0.12197426706552505, 0.13977256417274475, -0.12835633754730225);
    return f * f * fma(p, f, constant<V>(-0.5));
  } else {
    // s = f / (2 + f); log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 R(s^2)), the arrangement of
    // Sun's fdlibm. Error 2^-58.5.
    const V s = f / (f + constant<V>(2.0));
    const V w = s * s;
    const V r =
        w * polynomial(w, 0.6666666666666735, 0.39999999999410724, 0.2857142874311742, 0.22222198507936375,
                       0.18183567387367547, 0.15313978083521862, 0.14796632470616547);
    const V h = constant<V>(0.5) * f * f;
    return s * (h + r) - h;
  }
}

/// y where x is in (0, inf); -inf at 0, inf at inf, NaN elsewhere (the one x86 makes itself, on every tier).
template <class V>
UFUSE_INLINE V log_special(V x, V y) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  // One instruction instead of three comparisons and three selects: the nibbles, from the lowest, are the
  // answers for quiet NaN, signalling NaN, 0, 1, -inf, inf, negative, positive.
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    if constexpr (is_single<V>) {
      return {_mm512_fixupimm_ps(y.v, x.v, _mm512_set1_epi32(0x03530433), 0)};
    } else {
      return {_mm512_fixupimm_pd(y.v, x.v, _mm512_set1_epi64(0x03530433), 0)};
    }
  } else
#endif
  {
    const V zero = constant<V>(0.0);
    const V below = select(x == zero, -infinity<V>(), -constant<V>(__builtin_nan("")));
    return select(x > zero, select(x < infinity<V>(), y, x), below);
  }
}

}  // namespace math

namespace ops {

struct log {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const Reduced<V> a = reduce_log(x);
    // k times the high part of ln 2 is exact; see reduce_by_ln2.
    const V low = constant<V>(kLn2Low<V>);
    const V high = constant<V>(kLn2High<V>);
    const V y = fma(a.k, low, log1p_tail(a.f)) + a.f;
    return log_special(x, fma(a.k, high, y));
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
