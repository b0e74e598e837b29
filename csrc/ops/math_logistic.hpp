// sigmoid, silu, gelu_tanh and tanh: quotients with 1 + e^z below. logit, and the logarithms of sums of
// exponentials: softplus, log_sigmoid, logaddexp.
#pragma once

#include "ops/math_log.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// numerator / (1 + e^(z + z_low)), within 0.6 ULP for exact z + z_low where the result is normal. The
/// denominator is formed as 2^-k + 2^(n-k) e^r with k = max(n, 0), so that it stays near 1 and the result
/// underflows gradually. The quotient is corrected once with the remainder, which includes what the
/// rounding of the denominator lost.
template <class V>
UFUSE_INLINE V logistic(V numerator, V z, V z_low) {
  const V one = constant<V>(1.0);
  const V zero = constant<V>(0.0);
  const V n = nearest(z, kLog2E);
  // e^r - 1 = a + b with a exact: neither r's rounding nor that of the sum reaches the result.
  const V a = fma(n, constant<V>(-kLn2High<V>), z);
  const V a_low = fma(n, constant<V>(-kLn2Low<V>), z_low);
  const V r = a + a_low;
  const V b = fma(r * r, exp_curvature(r), a_low);
  // Beyond the normal exponents the smaller power would vanish in the sum; without the limit it would not
  // be a power.
  constexpr double kLeast = is_single<V> ? -126.0 : -1022.0;
  const V shift = smaller(-n, zero);  // -k
  const V offset = power_of_two(at_least(shift, kLeast));
  const V factor = power_of_two(at_least(smaller(n, zero), kLeast));
  const V base = offset + factor;
  const V base_low = smaller(offset, factor) - (base - one);
  const V d = fma(factor, a + b, base);
  const V d_low = fma(factor, b, fma(factor, a, base - d)) + base_low;
  const V q = one / d;
  const V y = numerator * q;
  // For an infinite y the remainder is a NaN; smaller() drops it.
  const V remainder = smaller(fma(-d_low, y, fma(-d, y, numerator)), one);
  const V quotient = fma(remainder, q, y);
  return with_sign(scale(quotient, shift), numerator);  // -0.0 loses its sign in the sum
}

/// log(1 + e^z) = k log(2) + y.
template <class V>
struct LogOfOneAndPower {
  V k;  // 0 or 1
  Sum<V> y;
};

/// Of z <= 0: e^z = 2^n (1 + a + b), n >= -151 or -1076, |a| <= 0.35, b what a lacks.
template <class V>
UFUSE_INLINE LogOfOneAndPower<V> log_of_one_and_power(V n, V a, V b) {
  const V one = constant<V>(1.0);
  const V p = a + b;
  const V m = one + p;
  const V m_low = (p - (m - one)) + (b - (p - a));
  const V e = scale(m, n);
  // Below the normal exponents nothing is left of it: the least "power" here is 0.
  const V e_low = m_low * power_of_two(at_least(n, is_single<V> ? -127.0 : -1023.0));
  // 1 + f is 1 + e, or half of it: then f is exact for the rounded 1 + e. f is as reduce_normal's.
  const auto near = e < constant<V>(is_single<V> ? 0.3333333 : 0.41421356);
  const V u = one + e;
  const V half = constant<V>(0.5);
  const V f = select(near, e, fma(u, half, -one));
  const V f_low = select(near, e_low, half * ((e - (u - one)) + e_low));
  return {select(near, constant<V>(0.0), one), log1p_near(f, f_low)};
}

/// log(1 + e^(z + z_low)) for z <= 0.
template <class V>
UFUSE_INLINE Sum<V> softplus_below(V z, V z_low) {
  z = at_least(z, is_single<V> ? -104.0 : -746.0);  // below, e^z rounds to zero
  const V n = nearest(z, kLog2E);
  const V a = fma(n, constant<V>(-kLn2High<V>), z);
  const V a_low = fma(n, constant<V>(-kLn2Low<V>), z_low);
  const V r = a + a_low;
  const LogOfOneAndPower<V> x = log_of_one_and_power(n, a, fma(r * r, exp_curvature(r), a_low));
  return plus_ln2(x.k, x.y);
}

/// log2(1 + 2^(z + z_low)) for z <= 0.
template <class V>
UFUSE_INLINE Sum<V> softplus2_below(V z, V z_low) {
  z = at_least(z, is_single<V> ? -151.0 : -1076.0);
  const V n = nearest(z);
  // The power of e, with ln 2 in two parts; the difference is exact.
  const Sum<V> a = times<V>({z - n, z_low}, 0.6931471805599453,
                            is_single<V> ? -1.904654323148236e-09 : 2.3190468138462996e-17);
  const V r = a.high + a.low;
  const LogOfOneAndPower<V> x = log_of_one_and_power(n, a.high, fma(r * r, exp_curvature(r), a.low));
  const Sum<V> p = times(x.y, kLog2E, kLog2ELow<V>);
  const Sum<V> y = sum_of_larger(x.k, p.high);
  return {y.high, y.low + p.low};
}

/// log(e^a + e^b), or of powers of two to base 2: the larger plus a softplus of what is between them.
template <bool Two, class V>
UFUSE_INLINE V log_of_sum_of_powers(V a, V b) {
  // Of operands beyond the limit the other counts only if it is equal. Infinities end here.
  constexpr double kLimit = is_single<V> ? 0x1p60 : 0x1p120;
  const V high = larger(a, b);
  const V low = smaller(b, a);  // a NaN is in one of the two
  const V h = at_least(at_most(high, kLimit), -kLimit);
  // Far below it adds nothing, and what the difference lacks would be no small number.
  const V l = larger(h - constant<V>(is_single<V> ? 200.0 : 1200.0), at_most(low, kLimit));
  const Sum<V> z = sum_of_two<V>(l, -h);
  Sum<V> more;
  if constexpr (Two) {
    more = softplus2_below(z.high, z.low);
  } else {
    more = softplus_below(z.high, z.low);
  }
  const Sum<V> y = sum_of_two(h, more.high);
  const V rest = y.low + more.low;
  return select(without_sign(high) < constant<V>(kLimit), y.high + rest, high + (rest - rest));
}

/// log(1 + e^x). What is linear of it, the larger of x and 0, comes last.
template <class V>
UFUSE_INLINE V softplus(V x) {
  const V zero = constant<V>(0.0);
  const V t = at_most(x, 40.0);
  const Sum<V> below = softplus_below(-without_sign(t), zero);
  const V linear = larger(t, zero);
  const Sum<V> y = sum_of_larger(larger(linear, below.high), smaller(linear, below.high));
  return select(x > constant<V>(40.0), x, y.high + (y.low + below.low));
}

/// tanh(x) of x >= 0: x + x^3 P(x^2), from 1 on 1 - 2 / (1 + e^2x). Two short polynomials; one with
/// selected coefficients took as long as both.
template <class V>
  requires(is_single<V>)
UFUSE_INLINE V short_tanh(V x) {
  const V one = constant<V>(1.0);
  const V z = at_most(x, 9.2);  // 1 beyond
  const V s = z * z;
  // [0, 1]: error 2^-27.7.
  const V p =
      polynomial(s, -0.33333295583724976, 0.13332347571849823, -0.0538799911737442, 0.021487198770046234,
                 -0.007946893572807312, 0.0023019297514110804, -0.00035861122887581587);
  const V near = fma(z * s, p, z);
  // 2x = n ln 2 + 2r. What n loses by a short ln 2 is nothing beside 1.
  const V rounder = constant<V>(static_cast<double>(format_t<V>::kRounder) + format_t<V>::kBias);
  const V shifted = fma(z, constant<V>(2 * kLog2E), rounder);
  const V power = bitcast<V>(bitcast<bits_t<V>>(shifted) << format_t<V>::kMantissa);
  const V r = fma(shifted - rounder, constant<V>(-0.34657359027997264), z);
  // e^2r - 1, |r| <= 0.1735: error of e^2r 2^-28.2.
  const V e = r * polynomial(r, 2.0, 1.999999761581421, 1.3333216905593872, 0.6666924953460693,
                             0.26779812574386597, 0.08844494074583054);
  const V d = fma(e, power, power + one);
  return select(x < one, near, one - constant<V>(2.0) / d);
}

}  // namespace math

namespace ops {

struct sigmoid {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    constexpr double kLimit = is_single<V> ? 110.0 : 760.0;  // 0 or 1 beyond
    return logistic(constant<V>(1.0), -at_least(at_most(x, kLimit), -kLimit), constant<V>(0.0));
  }
};

struct silu {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    constexpr double kLimit = is_single<V> ? 120.0 : 770.0;  // -0 or x beyond
    const V from_below = at_least(x, -kLimit);
    return logistic(from_below, -at_most(from_below, kLimit), constant<V>(0.0));
  }
};

/// x / (1 + e^-2u), 2u = x (a + b x^2), a = 2 sqrt(2/pi), b = 0.044715 a: the usual formula with tanh
/// cancels for x < 0.
struct gelu_tanh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    constexpr double kLimit = is_single<V> ? 11.0 : 23.0;
    const V from_below = at_least(x, -kLimit);
    const V t = at_most(from_below, kLimit);
    // -2u to twice the precision. a is split short so that a - w is exact.
    constexpr bool kSingle = is_single<V>;
    const V a = constant<V>(kSingle ? -1.5958251953125 : -1.5957691216058265);
    const V a_low = constant<V>(kSingle ? 5.607370621873997e-05 : 9.58009178107796e-14);
    const V b = constant<V>(kSingle ? -0.07135481387376785 : -0.07135481627260025);
    const V b_low = constant<V>(kSingle ? -2.3988324659995897e-09 : 6.175149918155315e-19);
    const V s = t * t;
    const V s_low = product_error(t, t, s);
    const V c = s * b;
    const V w = a + c;
    const V lost = ((a - w) + c) + product_error(s, b, c);
    const V w_low = fma(s_low, b, fma(s, b_low, lost + a_low));
    const V z = t * w;
    const V z_low = fma(t, w_low, product_error(t, w, z));
    return logistic(from_below, z, z_low);
  }
};

struct tanh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    if constexpr (is_single<V>) return with_sign(short_tanh(without_sign(x)), x);
    const V ax = at_most(without_sign(x), 20.0);  // 1 beyond
    const auto small = ax < constant<V>(0.6);
    // Large: 1 - 2 / (1 + 2^n e^r).
    const V n = nearest(ax, 2 * kLog2E);
    const V r = reduce_by_ln2(ax + ax, n);
    // Small: x + x q P(q), q = x^2; one Horner scheme with exp_curvature.
    const V q = ax * ax;
    const V t = select(small, q, r);
    // [0, 0.6]: error 2^-57.8.
    const V p = polynomial_of_two<V>(small, t,                                         //
                                     -0.3333333333333313, 0.5000000000000011,          //
                                     0.13333333333300526, 0.1666666666666643,          //
                                     -0.053968253949706405, 0.041666666666526894,      //
                                     0.021869488012318104, 0.008333333333482339,       //
                                     -0.00886322691023669, 0.0013888888944362022,      //
                                     0.0035920384923085694, 0.00019841269533569852,    //
                                     -0.0014552213038507432, 2.480149243304389e-05,    //
                                     0.0005872086533590875, 2.7557562009770134e-06,    //
                                     -0.00023043947482339047, 2.7630460836667944e-07,  //
                                     7.936458806714737e-05, 2.500780704782336e-08,     //
                                     -1.7204614948507904e-05, 0.0);
    const V one = constant<V>(1.0);
    const V h = power_of_two(n);
    const V large = one - constant<V>(2.0) / fma(h, fma(r * r, p, r), h + one);
    const V y = select(small, fma(ax * q, p, ax), large);
    return with_sign(y, x);
  }
};

struct softplus {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return math::softplus(x);
  }
};

struct log_sigmoid {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return -math::softplus(static_cast<V>(-x));
  }
};

struct logaddexp {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return math::log_of_sum_of_powers<false>(a, b);
  }
};

struct logaddexp2 {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return math::log_of_sum_of_powers<true>(a, b);
  }
};

/// log(x / (1 - x)).
struct logit {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const V one = constant<V>(1.0);
    const V zero = constant<V>(0.0);
    const V t = at_least(at_most(x, is_single<V> ? 0x1.fffffep-1 : 0x1.fffffffffffffp-1), 0.0);
    const auto denormal = t < splat<V>(format_t<V>::kLeastNormal);
    const V a = select(denormal, t * constant<V>(is_single<V> ? 0x1p25 : 0x1p54), t);
    const V k = select(denormal, constant<V>(is_single<V> ? -25.0 : -54.0), zero);
    const V b = one - t;
    const Sum<V> log = log_of_quotient<V>(k, {a, zero}, {b, (one - b) - t});
    const V y = log.high + log.low;
    const V nan = constant<V>(__builtin_nan(""));
    const V below = select(x == zero, -infinity<V>(), nan);
    const V above = select(x == one, infinity<V>(), nan);
    return select(x > zero, select(x < one, y, above), below);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
