// The logarithm of the magnitude of the gamma function.
#pragma once

#include "ops/math_gamma.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// log(gamma(z)), z = a where a >= 1, else a + 1; `l` is the logarithm of a. Below 2.35 it is
/// (z - 1) (z - 2) R(z), which keeps relative accuracy at the zeros, above Stirling's form.
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE Sum<V> log_gamma(V a, Sum<V> l) {
  const V one = constant<V>(1.0);
  const auto small = a < one;
  const auto low = a < constant<V>(2.35);
  // R by 1 / (z + 1), log F by 1 / (z + 1/4): errors 2^-60.8 and 2^-58.4.
  const V shift = select(low, select(small, constant<V>(2.0), one), constant<V>(0.25));
  const Sum<V> w = long_inverse(sum_of_two(a, shift));
  const Sum<V> v = sum_of_two(w.high, select(low, constant<V>(-0.3984375), constant<V>(-0.1875)));
  const V p2 = polynomial_of_two<V>(low, v.high,                                  //
                                    0.1718963307017482, 0.022051990579145305,     //
                                    1.0571133961600097, 0.0019488836892321598,    //
                                    0.10884823001015254, -0.0004180066828490532,  //
                                    2.2718290031892456, 0.0006121844051695422,    //
                                    -0.5952162624725738, 0.00021729920019625363,  //
                                    6.322341276638761, -0.00041597255650226855,   //
                                    -4.73984416289497, 0.00015409952879415575,    //
                                    21.189090361639693, 0.0003032946761169942,    //
                                    -26.176859706102746, -0.000513658959102487,   //
                                    81.94127773290332, 0.00015300278794506118,    //
                                    -133.3949831549568, 0.0006867847911460374,    //
                                    353.63798566373083, -0.0010439516196333088,   //
                                    -669.2406665489475, 0.00016922858234983779,   //
                                    1529.7847546761145, 0.0,                      //
                                    -3311.3955466476846, 0.0,                     //
                                    11363.225404562725, 0.0,                      //
                                    -21365.459923432565, 0.0);
  const V c1 = select(low, constant<V>(0.9117044291726477), constant<V>(0.09138291172060556));
  const V c0 = select(low, constant<V>(0.481703988668385), constant<V>(0.9353110560614682));
  const V c0_low = select(low, constant<V>(-3.1119069873472878e-18), constant<V>(2.251578531722321e-17));
  const Sum<V> p = last_steps(Sum<V>{v.high, v.low + w.low}, Sum<V>{p2, constant<V>(0.0)}, c1, c0, c0_low);
  // (z - 1) (z - 2) R(z).
  const V first = select(small, a, a - one);
  const Sum<V> second = sum_of_two(a, select(small, -one, constant<V>(-2.0)));
  const Sum<V> factor = exact_product(first, second.high);
  const Sum<V> near = exact_product(factor.high, p.high);
  const V near_low = fma(factor.high, p.low, fma(fma(first, second.low, factor.low), p.high, near.low));
  // a (log a - 1) - log(a) / 2 + log F(a): the product grows no larger than the result.
  const Sum<V> less = sum_of_two(l.high, -one);
  const V far_a = select(low, one, a);
  const Sum<V> product = exact_product(far_a, less.high);
  const Sum<V> sum = sum_of_two(product.high, static_cast<V>(l.high * constant<V>(-0.5)));
  const Sum<V> far = sum_of_two(sum.high, p.high);
  const V product_low = fma(far_a, less.low + l.low, fma(l.low, constant<V>(-0.5), product.low));
  const V far_low = (far.low + sum.low) + (product_low + p.low);
  return {select(low, near.high, far.high), select(low, near_low, far_low)};
}

/// gammaln of double lanes: of float64, and of float32 too, whose negative zeros need the digits.
struct LongGammaln {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    const V one = constant<V>(1.0);
    const V zero = constant<V>(0.0);
    const V a = at_most(without_sign(x), 0x1p1020);
    const Sum<V> l = long_log(a);
    const Sum<V> g = log_gamma(a, l);
    const auto small = a < one;
    const Sum<V> sum = sum_of_two(g.high, select(small, -l.high, zero));
    V y = sum.high + (sum.low + (g.low - select(small, l.low, zero)));
    // For tiny ones -log |x| is right on both sides.
    const auto negative = x <= constant<V>(-0x1p-60);
    if (any(negative)) {
      // log(pi / (a |sin(pi a)|)) - log(gamma(a)), a that of the sine being 1 where gamma is that of a + 1.
      const SinPi<V> s = sin_pi(a);
      const V factor = select(small, one, a);
      const V sine = select(s.zero, one, s.size.high);
      const Sum<V> product = exact_product(sine, factor);
      const Sum<V> divisor = sum_of_larger(product.high, fma(s.size.low, factor, product.low));
      const Sum<V> d = long_log(divisor.high, divisor.low);
      const Sum<V> first = sum_of_two(constant<V>(kLogPi), -d.high);
      const Sum<V> second = sum_of_two(first.high, -g.high);
      const V low = ((first.low + second.low) + constant<V>(kLogPiLow)) - (d.low + g.low);
      y = select(negative, select(s.zero, infinity<V>(), second.high + low), y);
    }
    // Infinite at 0 and where the result would be; scipy.special has -inf at -inf, where C has inf.
    y = select((a == zero) | (a > constant<V>(2.556e305)), infinity<V>(), y);
    return select(without_sign(x) < infinity<V>(), y, x);
  }
};

}  // namespace math

namespace ops {

struct gammaln {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    if constexpr (is_single<V>) {
      return in_double<LongGammaln>(x);
    } else {
      return LongGammaln::apply(x);
    }
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
