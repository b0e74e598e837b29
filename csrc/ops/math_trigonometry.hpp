// Trigonometric functions, degrees and radians.
#pragma once

#include "ops/math_core.hpp"
#include "ops/math_reduction.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// The sine of an angle with one quarter more, signed as `sign` besides. In odd quarters it is the cosine of
/// r, of which the negative is computed: (r^2/2 - 1) - r^4 P(r^2) beside r + r^3 P(r^2). With the quarter
/// more the second bit of `quarter` is then the sign.
template <class V>
UFUSE_INLINE V sine_of(Angle<V> angle, V sign) {
  using B = bits_t<V>;
  const auto odd = (angle.quarter & splat<B>(1)) == splat<B>(0);
  const V r = angle.r;
  const V s = r * r;
  V p;
  if constexpr (is_single<V>) {
    // |r| <= 0.79: cosine 2^-32.8, sine 2^-27.8.
    p = polynomial_of_two<V>(odd, s,                                      //
                             -0.04166664555668831, -0.16666653752326965,  //
                             0.00138873013202101, 0.008332106284797192,   //
                             -2.44307448156178e-05, -0.0001950787554960698);
  } else {
    // |r| <= 0.79: cosine 2^-63.8, sine 2^-57.8.
    p = polynomial_of_two<V>(odd, s,                                           //
                             -0.04166666666666659, -0.16666666666666627,       //
                             0.0013888888888872093, 0.00833333333332113,       //
                             -2.480158728819785e-05, -0.00019841269828773655,  //
                             2.7557313978705505e-07, 2.7557313330749952e-06,   //
                             -2.087567228036938e-09, -2.5050701172946563e-08,  //
                             1.1357001184463119e-11, 1.589347199534306e-10);
  }
  const V half = constant<V>(0.5);
  const V one = constant<V>(1.0);
  const V cosine = fma(s, -half, one);  // near enough for the slope of the sine
  const V lost = select(odd, fma(s, half, cosine - one), constant<V>(0.0));
  const V slope = select(odd, r, cosine);
  const V rest = fma(select(odd, s, r) * s, p, fma(angle.low, slope, lost));
  const V y = select(odd, rest - cosine, rest + r);
  const B quarters = angle.quarter << (8 * static_cast<int>(sizeof(lane_t<V>)) - 2);
  return flip_sign(y, quarters ^ bitcast<B>(sign));
}

}  // namespace math

namespace ops {

struct sin {
  static constexpr int kMore = 1;  // see sine_of
  template <class V>
  static UFUSE_INLINE V of_angle(math::Angle<V> angle, V x) {
    return math::sine_of(angle, x);
  }
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return math::of_angle<sin>(x);
  }
};

struct cos {
  static constexpr int kMore = 2;
  template <class V>
  static UFUSE_INLINE V of_angle(math::Angle<V> angle, V) {
    return math::sine_of(angle, math::constant<V>(0.0));
  }
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return math::of_angle<cos>(x);
  }
};

/// In double, with t = 2 tan(r / 2): t / (1 - t^2 / 4), its negative reciprocal in odd quarters; one
/// division, corrected with its remainder. In float the tangent of r, and in odd quarters its negative
/// reciprocal.
struct tan {
  static constexpr int kMore = 0;
  template <class V>
  static UFUSE_INLINE V of_angle(math::Angle<V> angle, V x) {
    using namespace math;
    using B = bits_t<V>;
    const V r = angle.r;
    const V s = r * r;
    const V one = constant<V>(1.0);
    const B turned = angle.quarter << (8 * static_cast<int>(sizeof(lane_t<V>)) - 1);
    const auto odd = turned < splat<B>(0);
    if constexpr (is_single<V>) return of_float(odd, angle, s, x);
    // (t / r - 1) / s, |r| <= 0.79: error 2^-58.5
    const V p = polynomial(s, 0.08333333333333383, 0.008333333333301744, 0.0008432539689473186,
                           8.542768214598947e-05, 8.655548602519342e-06, 8.768196550464593e-07,
                           8.92249873792062e-08, 8.514007581232298e-09, 1.2606819504737942e-09);
    const V quarter = constant<V>(0.25);
    const V rest = fma(r * s, p, angle.low);
    const V t = r + rest;
    const V t_low = (r - t) + rest;
    const V u = t * -quarter;
    const V d = fma(u, t, one);
    const V d_low = fma(u, t_low + t_low, fma(u, t, one - d));
    const V a = select(odd, d, t);
    const V a_low = select(odd, d_low, t_low);
    const V b = select(odd, t, d);
    const V b_low = select(odd, t_low, d_low);
    const V inverse = one / b;
    const V y = a * inverse;
    const V remainder = fma(-y, b_low, a_low) - product_error(y, b, a);
    return flip_sign(fma(remainder, inverse, y), turned ^ bitcast<B>(x));
  }
  template <class V>
  static UFUSE_INLINE V of_float(mask_t<V> odd, math::Angle<V> angle, V s, V x) {
    using namespace math;
    const V r = angle.r;
    const V one = constant<V>(1.0);
    // tan(r) / r - 5/4, |r| <= 0.79: error of tan(r) 2^-29.5. So it is smallest where tan(r) is largest.
    const V p =
        polynomial(s, -0.25, 0.33333349227905273, 0.13332675397396088, 0.05405891686677933,
                   0.021286167204380035, 0.010827605612576008, 9.797264647204429e-05, 0.004372863564640284);
    const V rest = fma(r, p, fma(angle.low, s * constant<V>(1.4), angle.low));  // low (1 + tan(r)^2)
    const V slope = constant<V>(1.25);
    const V t = fma(r, slope, rest);
    const V d = select(odd, t, one);
    const V d_low = fma(r, slope, -t) + rest;  // of odd quarters
    const V inverse = constant<V>(-1.0) / d;
    const V remainder = fma(d_low, inverse, fma(d, inverse, one));
    return flip_sign(select(odd, fma(remainder, inverse, inverse), t), bitcast<bits_t<V>>(x));
  }
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return math::of_angle<tan>(x);
  }
};

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
