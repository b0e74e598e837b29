// The gamma function and the logarithm of its magnitude.
//
// For z >= 1 both come of Stirling's form, gamma(z) = F(z) e^((z - 1/2) log z - z), of which F runs from e at
// 1 to sqrt(2 pi) at infinity and is a short polynomial of 1 / (z + 1/4). Arguments below 1 are moved up by
// one, negative ones reflected: gamma(-a) = -pi / (a sin(pi a) gamma(a)).
#pragma once

#include "ops/math_log.hpp"
#include "ops/math_wide.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

inline constexpr double kPi = 3.141592653589793;
inline constexpr double kPiLow = 1.2246467991473532e-16;
inline constexpr double kLogPi = 1.1447298858494002;
inline constexpr double kLogPiLow = 1.0265951162707826e-17;

/// sin(pi a) for a >= 0: its magnitude, and whether it is negative.
template <class V>
struct SinPi {
  Sum<V> size;
  mask_t<V> negative, zero;
};
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE SinPi<V> sin_pi(V a) {
  const V zero = constant<V>(0.0);
  const V n = UFUSE_TIER::rint(a);
  const V r = a - n;  // exact
  const V half = n * constant<V>(0.5);
  const auto odd = UFUSE_TIER::floor(half) != half;
  // sin(pi u) = pi u + u^3 S(u^2) up to 1/4, cos(pi u) = 1 + u^2 C(u^2) of the rest: errors 2^-63.5, 2^-61.4.
  const V size = without_sign(r);
  const auto low = size <= constant<V>(0.25);
  const V u = select(low, size, constant<V>(0.5) - size);
  const Sum<V> q = exact_product(u, u);
  const V slope = polynomial_of_two<V>(low, q.high,                                    //
                                       2.550164039877414, 4.058712126416667,           //
                                       -0.5992645293276756, -1.335262768843598,        //
                                       0.08214588692735221, 0.23533062979549987,       //
                                       -0.007370438169261428, -0.025806876163019698,   //
                                       0.00046638010051592037, 0.0019293537148812173,  //
                                       -2.2165414620429616e-05, -0.00010305028387606969);
  const V c0 = select(low, constant<V>(-5.16771278004997), constant<V>(-4.934802200544679));
  const V p = fma(slope, q.high, c0);
  const V p_low = fma(slope, q.high, c0 - p) +
                  select(low, constant<V>(2.2665622825789447e-16), constant<V>(-3.1326477543698557e-16));
  const Sum<V> cube = exact_product(u, q.high);
  const V power = select(low, cube.high, q.high);
  const V power_low = select(low, fma(u, q.low, cube.low), q.low);
  const Sum<V> tail = exact_product(power, p);
  const V tail_low = fma(power, p_low, fma(power_low, p, tail.low));
  const Sum<V> linear = exact_product(u, constant<V>(kPi));
  const Sum<V> sum = sum_of_larger(select(low, linear.high, constant<V>(1.0)), tail.high);
  const V rest = tail_low + select(low, fma(u, constant<V>(kPiLow), linear.low), zero);
  return {{sum.high, sum.low + rest}, (r < zero) != odd, r == zero};
}

/// F(z) for z in [1, 185], see above.
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE Sum<V> stirling_factor(V z) {
  const V a = z + constant<V>(0.25);
  const V r = short_inverse(a);
  const V w = fma(r, fma(-a, r, constant<V>(1.0)), r);
  // Two intervals of w that meet at z = 2.5: errors 2^-59.9 and 2^-59.4.
  const auto small = z < constant<V>(2.5);
  const V v = w - select(small, constant<V>(0.578125), constant<V>(0.1875));
  const V slope = polynomial_of_two<V>(small, v,                                        //
                                       0.2900966409997913, 0.2328441988781867,          //
                                       0.08036452199356443, 0.0668275926958122,         //
                                       0.013624401430971756, 0.010424519207413092,      //
                                       0.0038349323890010346, 0.00025025265212806646,   //
                                       0.0017543928681649527, 0.0016566549255780296,    //
                                       -6.161952374802908e-05, 0.0006910720442354229,   //
                                       0.00015693003578333306, -0.0009701249537329414,  //
                                       8.726892813136098e-05, 0.00031668845499713293,   //
                                       -9.20597406318645e-05, 0.0007829374320848155,    //
                                       7.622340769644607e-05, -0.0012328050618897728,   //
                                       -3.259539312558228e-05, 0.00030080517134724755,  //
                                       -8.802058926681072e-06, 0.0017804956927981665,   //
                                       2.9020050459029777e-05, -0.002577589815157106);
  const V c0 = select(small, constant<V>(2.649801362227633), constant<V>(2.5480059071666004));
  const V c0_low = select(small, constant<V>(-2.082653383633484e-16), constant<V>(-5.52968262466176e-17));
  const V f = fma(slope, v, c0);
  return {f, fma(slope, v, c0 - f) + c0_low};
}

/// gamma for float values in double lanes.
struct ShortGamma {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    const V zero = constant<V>(0.0);
    const V one = constant<V>(1.0);
    const V size = without_sign(x);
    const auto negative = bitcast<bits_t<V>>(x) < bits_t<V>{};
    const V a = at_most(size, 200.0);  // 0 or infinite beyond, as a float
    const auto small = a < one;
    const V z = a + select(small, one, zero);
    const V exponent = fma(z - constant<V>(0.5), plain_log(z), -z) * constant<V>(kLog2E);
    // F(z): error 2^-33.9.
    const V v = short_inverse(static_cast<V>(z + constant<V>(0.25))) - constant<V>(0.40625);
    const V f = polynomial(v, 2.602248956922144, 0.26360862568143356, 0.073928870757087, 0.011515910555239432,
                           0.002279526955170659, 0.0018847577804840202, -0.00012235877230073265,
                           -0.00018479220090060076, 0.0003468330339128873);
    V above = f;
    V below = select(small, a, one);
    V power = exponent;
    auto minus = negative;
    auto pole = x != x;
    if (any(negative)) {
      const SinPi<V> s = sin_pi(size);
      const V divisor = select(s.zero, one, s.size.high) * f * select(small, one, a);
      above = select(negative, constant<V>(kPi), above);
      below = select(negative, divisor, below);
      power = select(negative, -power, power);
      minus = negative & (s.negative == (zero > zero));
      pole = pole | (negative & s.zero);
    }
    power = at_least(at_most(power, 1000.0), -1000.0);
    const V y = above * short_inverse(below) * short_exp2(power);
    const V known = select(pole, -constant<V>(__builtin_nan("")), y);
    return select(size == zero, one / x, select(minus, -known, known));
  }
};

}  // namespace math

namespace ops {

struct gamma {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    if constexpr (is_single<V>) {
      return in_double<ShortGamma>(x);
    } else {
      const V zero = constant<V>(0.0);
      const V one = constant<V>(1.0);
      const V size = without_sign(x);
      const auto negative = bitcast<bits_t<V>>(x) < bits_t<V>{};
      const V a = at_most(size, 190.0);  // 0 or infinite beyond
      const auto small = a < one;
      const auto tiny = a < constant<V>(0x1p-60);  // gamma(x) is 1 / x
      const Sum<V> z = sum_of_two(a, select(small, one, zero));
      const Sum<V> l = long_log(z.high, z.low);
      // (z - 1/2) log z - z.
      const V less = z.high - constant<V>(0.5);
      const Sum<V> product = exact_product(less, l.high);
      const V product_low = fma(z.low, l.high, fma(less, l.low, product.low));
      const Sum<V> sum = sum_of_two(product.high, -z.high);
      Sum<V> power{select(tiny, zero, sum.high), select(tiny, zero, sum.low + (product_low - z.low))};
      const Sum<V> f = stirling_factor(z.high);
      Sum<V> above{select(tiny, one, f.high), select(tiny, zero, f.low)};
      Sum<V> below{select(small, a, one), zero};
      auto minus = negative;
      auto pole = x != x;
      if (any(negative)) {
        const SinPi<V> s = sin_pi(size);
        const auto reflected = negative & (a >= constant<V>(0x1p-60));
        const V sine = select(s.zero, one, s.size.high);
        const V factor = select(small, one, a);
        const Sum<V> sf = exact_product(sine, f.high);
        const V sf_low = fma(sine, f.low, fma(s.size.low, f.high, sf.low));
        const Sum<V> divisor = exact_product(sf.high, factor);
        above = {select(reflected, constant<V>(kPi), above.high),
                 select(reflected, constant<V>(kPiLow), above.low)};
        below = {select(reflected, divisor.high, below.high),
                 select(reflected, fma(sf_low, factor, divisor.low), zero)};
        power = {select(reflected, -power.high, power.high), select(reflected, -power.low, power.low)};
        minus = negative & (s.negative == (zero > zero));
        pole = pole | (reflected & s.zero);
      }
      const V inverse = one / below.high;
      const V q = above.high * inverse;
      const V q_low = inverse * (fma(-q, below.low, above.low) + minus_product(above.high, q, below.high));
      const Scaled<V> e = long_exp(power);
      const V y = q * e.value.high;
      const V y_low = fma(q, e.value.low, fma(q_low, e.value.high, product_error(q, e.value.high, y)));
      const V result = select(tiny, inverse, scale(y + y_low, e.n));
      const V known = select(pole, -constant<V>(__builtin_nan("")), result);
      return select(minus, -known, known);
    }
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
