// Inverse trigonometric functions.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// pi/2 and pi to twice the precision.
template <class V>
struct HalfPi {
  static constexpr double kHigh = is_single<V> ? 1.5707963705062866 : 1.5707963267948966;
  static constexpr double kLow = is_single<V> ? -4.371138828673793e-08 : 6.123233995736766e-17;
};

/// (asin(x) / x - 1) / s for s = x^2 in [0, 1/4]. Error of asin(x): float 2^-27.6, double 2^-55.9.
template <class V>
UFUSE_INLINE V asin_tail(V s) {
  if constexpr (is_single<V>) {
    return polynomial(s, 0.16666752099990845, 0.074953094124794, 0.045469168573617935, 0.02418457344174385,
                      0.04215884208679199);
  } else {
    return polynomial(s, 0.16666666666665408, 0.07500000000337162, 0.04464285682818487, 0.03038195914360498,
                      0.022371757877445744, 0.017359707541128117, 0.013885206639482839, 0.01216940873419597,
                      0.006527092862761114, 0.01953075473368091, -0.016228267909626396, 0.03191509168114004);
  }
}

/// What asin and acos are made of: asin(x) for |x| <= 1/2, and for larger |x| the half angle
/// asin(sqrt((1 - |x|) / 2)), whose double is acos(|x|).
template <class V>
struct HalfAngle {
  mask_t<V> small;
  V s;      // square of the sine
  V twice;  // twice the sine, where it is not small
  V low;    // what rounding of the root took from that
};
template <class V>
UFUSE_INLINE HalfAngle<V> half_angle(V x) {
  const V ax = without_sign(x);
  const V half = constant<V>(0.5);
  const auto small = ax <= half;
  const V z = fma(ax, -half, half);  // exact where it is used
  const V root = sqrt(z);
  const V low = product_error(root, root, z) * rough_inverse(root);
  return {small, select(small, ax * ax, z), root + root, -low};
}

/// (atan(t) / t - 1) / s for s = t^2 in [0, 1/4]. Error of atan(t): float 2^-27.5, double 2^-57.8.
template <class V>
UFUSE_INLINE V atan_tail(V s) {
  if constexpr (is_single<V>) {
    return polynomial(s, -0.3333323299884796, 0.19994167983531952, -0.1417420357465744, 0.10155703127384186,
                      -0.051247488707304);
  } else {
    return polynomial(s, -0.3333333333333298, 0.199999999999031, -0.14285714276384498, 0.11111110659554681,
                      -0.09090896242245547, 0.07692073867779517, -0.06663810110605486, 0.058582952098508355,
                      -0.051219882558911835, 0.04186452536428984, -0.027434082032607904, 0.01011621782003175);
  }
}

/// k pi/4 + atan(num / den), 0 <= num <= den, or less where `minus` is negative. k is `even`, or `odd` where
/// num / den is above 1/2 and pi/4 + atan((num - den) / (num + den)) is what is computed.
template <class V>
UFUSE_INLINE V add_atan(V even, V odd, V num, V den, V minus) {
  const auto beyond = num + num > den;
  const V sum = den + num;
  const V n = flip_sign(select(beyond, num - den, num), bitcast<bits_t<V>>(minus));
  const V d = select(beyond, sum, den);
  const V d_low = select(beyond, (den - sum) + num, constant<V>(0.0));
  const V t = n / d;
  const V s = t * t;
  // A small angle is the quotient, whose remainder may be too small for a number.
  const auto tiny = s < constant<V>(is_single<V> ? 0x1p-26 : 0x1p-54);
  const V remainder = fma(t, d_low, product_error(t, d, n));
  const V t_low = select(tiny, constant<V>(0.0), remainder * -rough_inverse(d));
  // Few bits, so that up to four times it is exact; and what is left.
  constexpr double kHigh = is_single<V> ? 0.7853982448577881 : 0.7853981633974483;
  constexpr double kLow = is_single<V> ? -8.146034247147327e-08 : 3.061616997868383e-17;
  const V k = select(beyond, odd, even);
  const V rest = fma(t * s, atan_tail(s), fma(k, constant<V>(kLow), t_low));
  return k * constant<V>(kHigh) + (t + rest);
}

/// atan(x) of x >= 0, beyond 1 as pi/2 - atan(1/x).
template <class V>
  requires(is_single<V>)
UFUSE_INLINE V short_atan(V x) {
  const V zero = constant<V>(0.0);
  const V one = constant<V>(1.0);
  const auto large = x > one;
  const V d = at_most(larger(one, x), 0x1p60);  // pi/2 beyond
  const V inverse = constant<V>(-1.0) / d;
  const V inverse_low = fma(d, inverse, one) * inverse;
  const V main = select(large, inverse, x);
  const V main_low = select(large, inverse_low, zero);
  const V base = select(large, constant<V>(HalfPi<V>::kHigh), zero);
  // What the polynomial is too large by at 1 is added again.
  const V base_low = select(large, constant<V>(HalfPi<V>::kLow + 4e-9), zero);
  const V t = main + main_low;
  const V s = t * t;
  // atan(t) / t - 13/16 on [0, 1]: error of atan(t) 2^-28.5. So it is smallest where t is largest.
  // One Horner scheme, as nothing of what cancels may be rounded first; the last coefficient so that atan(1)
  // is the float nearest to pi/4.
  const V most =
      polynomial(s, 0.1999853104352951, -0.14264051616191864, 0.10951174795627594, -0.08400475233793259,
                 0.05790654569864273, -0.031127002090215683, 0.010887361131608486, -0.0017875436460599303);
  const V p = fma(fma(most, s, constant<V>(-0.33333298563957214)), s, constant<V>(0.1875));
  const V slope = constant<V>(0.8125);
  const V sum = fma(main, slope, base);
  const V lost = fma(main, slope, base - sum);
  return sum + fma(t, p, fma(main_low, slope, base_low) + lost);
}

}  // namespace math

namespace ops {

struct asin {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const HalfAngle<V> h = half_angle(x);
    const V zero = constant<V>(0.0);
    const V base = select(h.small, zero, constant<V>(HalfPi<V>::kHigh));
    const V base_low = select(h.small, zero, constant<V>(HalfPi<V>::kLow) - h.low);
    const V a = select(h.small, without_sign(x), -h.twice);
    // Near 1/2 the rounding of a sum with a, which is -1 there, would be an ULP of the result.
    const V sum = base + a;
    const V rest = fma(a * h.s, asin_tail(h.s), base_low) + ((base - sum) + a);
    return with_sign(sum + rest, x);
  }
};

struct acos {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    using P = HalfPi<V>;
    const HalfAngle<V> h = half_angle(x);
    const V zero = constant<V>(0.0);
    const auto below = x < zero;
    const bits_t<V> sign = bitcast<bits_t<V>>(sign_of(x));
    // pi/2 - asin(x), 2 asin(root), pi - 2 asin(root).
    const V base = select(h.small, constant<V>(P::kHigh), select(below, constant<V>(2 * P::kHigh), zero));
    const V base_low = select(h.small, constant<V>(P::kLow),
                              flip_sign(h.low, sign) + select(below, constant<V>(2 * P::kLow), zero));
    const V a = select(h.small, -x, flip_sign(h.twice, sign));
    return base + (a + fma(a * h.s, asin_tail(h.s), base_low));
  }
};

struct atan {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    if constexpr (is_single<V>) return with_sign(short_atan(without_sign(x)), x);
    const V one = constant<V>(1.0);
    const V zero = constant<V>(0.0);
    const V ax = at_most(without_sign(x), 0x1p60);  // pi/2 beyond
    const auto large = ax > one;                    // pi/2 - atan(1/x)
    const V even = select(large, constant<V>(2.0), zero);
    const V minus = select(large, constant<V>(-0.0), zero);
    return with_sign(add_atan(even, one, smaller(one, ax), larger(one, ax), minus), x);
  }
};

struct atan2 {
  template <class V>
  static UFUSE_INLINE V apply(V y, V x) {
    using namespace math;
    using B = bits_t<V>;
    const V zero = constant<V>(0.0);
    const V one = constant<V>(1.0);
    const V ay = without_sign(y);
    const V ax = without_sign(x);
    // Both give their second operand where there is a NaN, so that it is one of the two.
    V num = smaller(ax, ay);
    V den = larger(ay, ax);
    constexpr double kLarge = is_single<V> ? 0x1p100 : 0x1p1000;
    constexpr double kSmall = is_single<V> ? 0x1p-80 : 0x1p-900;
    const auto above = den > constant<V>(kLarge);
    const auto beneath = den < constant<V>(kSmall);
    if (any(above | beneath)) {
      // By powers of two, so that no remainder overflows or is lost. Of two zeros or infinities, what NumPy
      // makes of them.
      const V down = select(above, constant<V>(is_single<V> ? 0x1p-50 : 0x1p-500), one);
      const V factor = select(beneath, constant<V>(1 / kSmall), down);
      num = num * factor;
      den = den * factor;
      const auto infinite = den == infinity<V>();
      num = select(infinite, select(num < infinity<V>(), zero, select(num == num, one, num)), num);
      den = select(infinite, one, select(den == zero, one, den));
    }
    // pi/2 - atan(x/y) where y is the larger; pi less the whole for negative x.
    const auto steep = ay > ax;
    const auto left = bitcast<B>(sign_of(x)) != splat<B>(0);
    const V even = select(steep, constant<V>(2.0), select(left, constant<V>(4.0), zero));
    const V odd = select(left, constant<V>(3.0), one);
    const V minus = bitcast<V>(bitcast<B>(x) ^ bitcast<B>(select(steep, constant<V>(-0.0), zero)));
    return with_sign(add_atan(even, odd, num, den, minus), y);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
