// sinh, cosh, and the inverse hyperbolic functions. tanh is in math_logistic.hpp.
#pragma once

#include "ops/math_log.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// sinh(x) or cosh(x) for x >= 0. With x = n ln 2 + r, sinh(x) = sinh(n ln 2) cosh(r) + cosh(n ln 2) sinh(r),
/// and the other the other way round. The functions of n ln 2 are differences and sums of two powers of two:
/// one formula for all x, and for n = 0 it is sinh(r) with its relative accuracy. Half of it is computed, so
/// that e^x / 2 is finite. n ln 2 is taken from x in two steps: the result of the first is exact, and the
/// second goes to what is small.
template <bool Sine, class V>
UFUSE_INLINE V hyperbolic(V x) {
  using B = bits_t<V>;
  using F = format_t<V>;
  using Bits = typename F::bits;
  constexpr Bits kHalf = F::kBias - 2;
  x = at_most(x, is_single<V> ? 89.7 : 710.6);  // infinite before
  const V rounder = constant<V>(static_cast<double>(F::kRounder) + static_cast<double>(kHalf));
  const V shifted = fma(x, constant<V>(kLog2E), rounder);
  const V n = shifted - rounder;
  const V a = fma(n, constant<V>(-kLn2High<V>), x);
  const V r = fma(n, constant<V>(-kLn2Low<V>), a);
  const B up_bits = bitcast<B>(shifted) << F::kMantissa;
  const B down_bits = splat<B>((2 * kHalf) << F::kMantissa) - up_bits;  // 2^(-n - 2), or less than 0
  const V up = bitcast<V>(up_bits);
  const V down = bitcast<V>(select(down_bits > splat<B>(0), down_bits, splat<B>(0)));
  // (cosh(r) - 1) / r^2 and (sinh(r) - r) / r^3 by q = r^2, |r| <= 0.3468. Errors of cosh(r) and sinh(r):
  // float 2^-33.2 and 2^-34.3, double 2^-58.0 and 2^-61.7.
  const V q = r * r;
  V c;
  V s;
  if constexpr (is_single<V>) {
    c = polynomial(q, 0.5, 0.041666459292173386, 0.0013935430906713009);
    s = polynomial(q, 0.1666666716337204, 0.00833317544311285, 0.0001997408689931035);
  } else {
    c = polynomial(q, 0.5000000000000013, 0.04166666666651124, 0.001388888894800265, 2.4801488996838432e-05,
                   2.7631597933189504e-07);
    s = polynomial(q, 0.16666666666666677, 0.008333333333321431, 0.00019841269886610935,
                   2.755724373488276e-06, 2.5109199098431532e-08);
  }
  const V b = fma(n, constant<V>(-kLn2Low<V>), (q * r) * s);  // sinh(r) = a + b
  const V sine = up - down;
  if constexpr (Sine) {
    // sinh(n ln 2) e^r + 2^-n sinh(r)
    const V twice = down + down;
    const V low = fma(sine, fma(q, c, b), twice * b);
    const V y = sine + fma(sine, a, fma(twice, a, low));
    return select(x < constant<V>(is_single<V> ? 0x1p-12 : 0x1p-27), x, y + y);  // half of a denormal is none
  } else {
    const V cosine = up + down;
    const V low = fma(sine, b, fma(cosine, q * c, (up - cosine) + down));
    const V y = cosine + fma(sine, a, low);
    return y + y;
  }
}

/// The square root of a sum, and what it lacks: the remainder over twice the root. That is half an ULP, so
/// its divisor's inverse may be off by 5 %: the negated bits, with the constant that balances the errors.
template <class V>
UFUSE_INLINE Sum<V> root_of(Sum<V> square) {
  using B = bits_t<V>;
  using F = format_t<V>;
  constexpr auto kOne = typename F::bits{1} << F::kMantissa;
  constexpr auto kBalance = static_cast<typename F::bits>(0.1007 * static_cast<double>(kOne));
  const V root = sqrt(square.high);
  const V inverse = bitcast<V>(splat<B>((2 * F::kBias - 1) * kOne - kBalance) - bitcast<B>(root));
  return {root, (fma(-root, root, square.high) + square.low) * inverse};  // inverse of twice the root
}

/// log(p + q) for p^2 = q^2 + 1, p >= 1 and q >= 0. While p + q < 1.5 that is 2 atanh(q / (1 + p)), whose
/// relative accuracy holds at zero; elsewhere p + q is taken apart. Where `huge`, of x so large that p and q
/// are equal, log(2 x).
template <class V>
UFUSE_INLINE V log_of_sum(Sum<V> p, Sum<V> q, mask_t<V> huge, V x) {
  const V one = constant<V>(1.0);
  const V zero = constant<V>(0.0);
  const Sum<V> sum = sum_of_larger(p.high, q.high);
  const V half_x = constant<V>(0.5) * at_most(x, is_single<V> ? 0x1.fffffep127 : 0x1.fffffffffffffp1023);
  const NearOther<V> scaled = scale_to(select(huge, half_x, sum.high), one);
  const V above = scaled.m - one;
  const V sum_low = (sum.low + (p.low + q.low)) * scaled.factor;
  const Sum<V> near_d = sum_of_larger(p.high, one);
  const auto near = sum.high < constant<V>(1.5);
  const V n = select(near, q.high, above);
  const V n_low = select(near, q.low, sum_low);
  const V d = select(near, near_d.high, above + constant<V>(2.0));
  const V d_low = select(near, near_d.low + p.low, (above - (d - constant<V>(2.0))) + sum_low);
  const V k = from_integer<V>(scaled.e) + select(huge, constant<V>(2.0), zero);
  const Sum<V> y = plus_ln2(k, twice_atanh<V>({n + n, n_low + n_low}, {d, d_low}, one / d));
  return y.high + y.low;
}

/// y, but NaN where x is negative, which sets the flag of an invalid value.
template <class V>
UFUSE_INLINE V where_not_negative(V x, V y) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64) {  // see log_special
    if constexpr (is_single<V>) {
      return {_mm512_fixupimm_ps(y.v, x.v, _mm512_set1_epi32(0x03030000), 0x60)};
    } else {
      return {_mm512_fixupimm_pd(y.v, x.v, _mm512_set1_epi64(0x03030000), 0x60)};
    }
  } else
#endif
  {
    const auto negative = x < constant<V>(0.0);
    if constexpr (is_vector<V>)
      if (any(negative)) set_flags(UFUSE_TIER::sqrt(x));
    return select(negative, -constant<V>(__builtin_nan("")), y);
  }
}

/// Beyond this 1 / x^2 is nothing beside log(2 x).
template <class V>
inline constexpr double kEqualLegs = is_single<V> ? 0x1p13 : 0x1p28;

/// log(larger + smaller), at least 0, of a root, which lacks `root_low`, and a number, or where `huge`, log(2
/// x): what asinh and acosh end in.
template <class V>
  requires(is_single<V>)
UFUSE_INLINE V log_with_root(V larger, V smaller, V root_low, mask_t<V> huge, V x) {
  using B = bits_t<V>;
  const V one = constant<V>(1.0);
  const Sum<V> sum = sum_of_larger(larger, smaller);
  const V v = select(huge, at_most(x, 0x1.fffffep127) * constant<V>(0.5), sum.high);
  const V v_low = sum.low + root_low;
  const B e = (bitcast<B>(v) - splat<B>(format_t<V>::kLeastSignificand)) >> 23;
  const B shift = e << 23;
  const V f = bitcast<V>(bitcast<B>(v) - shift) - one;
  const V f_low = v_low * bitcast<V>(bitcast<B>(one) - shift);
  const V k = convert<V>(e) + select(huge, constant<V>(2.0), constant<V>(0.0));
  const Sum<V> y = sum_of_larger<V>(k * constant<V>(kLn2High<V>), f);
  const V slope = fma(f, f, one - f);  // nearly 1 / (1 + f)
  const V low = fma(f_low, slope, fma(k, constant<V>(kLn2Low<V>), y.low));
  const V square = f * f;
  return y.high + fma(square * f, log1p_cubic(f), fma(square, constant<V>(-0.5), low));
}

/// asinh(x) of x >= 0.
template <class V>
  requires(is_single<V>)
UFUSE_INLINE V short_asinh(V x) {
  const V one = constant<V>(1.0);
  const V t = at_most(x, kEqualLegs<V>);
  const V near = at_most(x, 0.5);
  const V s = near * near;
  // (asinh(x) / x - 1) / x^2 on [0, 1/2]: error of asinh(x) 2^-29.6.
  const V p = polynomial(s, -0.1666664332151413, 0.07498642057180405, -0.04438331723213196,
                         0.028163496404886246, -0.01322839967906475);
  const V square = fma(t, t, one);
  const Sum<V> root = root_of<V>({square, fma(t, t, one - square)});
  const V y = log_with_root<V>(root.high, t, root.low, x > constant<V>(kEqualLegs<V>), x);
  const V above = select(x < infinity<V>(), y, x);
  return select(t < constant<V>(0.5), fma(near * s, p, near), above);
}

}  // namespace math

namespace ops {

struct sinh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    return with_sign(hyperbolic<true>(without_sign(x)), x);
  }
};

struct cosh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    return hyperbolic<false>(without_sign(x));
  }
};

struct asinh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    if constexpr (is_single<V>) return with_sign(short_asinh(without_sign(x)), x);
    const V one = constant<V>(1.0);
    const V ax = without_sign(x);
    const V t = at_most(ax, kEqualLegs<V>);
    const V square = t * t;
    const Sum<V> sum = sum_of_larger(larger(square, one), smaller(square, one));
    const Sum<V> root = root_of<V>({sum.high, sum.low + product_error(t, t, square)});
    const V y = log_of_sum<V>(root, {t, constant<V>(0.0)}, ax > constant<V>(kEqualLegs<V>), ax);
    return with_sign(select(ax < infinity<V>(), y, ax), x);
  }
};

struct acosh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const V one = constant<V>(1.0);
    const V t = at_least(at_most(x, kEqualLegs<V>), 1.0);
    if constexpr (is_single<V>) {
      const V above_one = t - one;
      const V twice = above_one + above_one;
      const V square = fma(above_one, above_one, twice);
      const Sum<V> root = root_of<V>({square, fma(above_one, above_one, twice - square)});
      const V y = log_with_root<V>(t, root.high, root.low, x > constant<V>(kEqualLegs<V>), x);
      return where_not_negative(x - one, select(x < infinity<V>(), y, x));
    }
    const V square = t * t;
    const Sum<V> sum = sum_of_larger(square, -one);
    const V lacking = sum.low + product_error(t, t, square);
    const V difference = sum.high + lacking;
    const Sum<V> root = root_of<V>({difference, lacking - (difference - sum.high)});
    const V y = log_of_sum<V>({t, constant<V>(0.0)}, root, x > constant<V>(kEqualLegs<V>), x);
    const V above = select(x < infinity<V>(), y, x);
    return where_not_negative(x - one, above);
  }
};

struct atanh {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const V one = constant<V>(1.0);
    const V ax = without_sign(x);
    const V t = at_most(ax, is_single<V> ? 0x1.fffffep-1 : 0x1.fffffffffffffp-1);
    const V a = one + t;
    const V b = one - t;
    const Sum<V> log = log_of_quotient<V>(constant<V>(0.0), {a, (one - a) + t}, {b, (one - b) - t});
    const V y = constant<V>(0.5) * (log.high + log.low);
    return with_sign(-log_special(one - ax, -y), x);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
