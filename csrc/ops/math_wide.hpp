// What float32 functions of long intermediate results are computed with, double lanes, and what float64
// ones are: a logarithm and an exponential of the double double.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

template <class V>
UFUSE_INLINE Sum<V> exact_product(V a, V b) {
  const V product = a * b;
  return {product, product_error(a, b, product)};
}

/// c - a b for a b near c: exact but for one rounding of the small difference.
template <class V>
UFUSE_INLINE V minus_product(V c, V a, V b) {
  if constexpr (has_fma<V>) {
    return fma(-a, b, c);
  } else {
    const V product = a * b;
    return (c - product) - product_error(a, b, product);
  }
}

/// Whether a mask is set in every lane; in one.
template <class M>
UFUSE_INLINE bool all_of(M mask) {
#if !UFUSE_DEVICE_CODE
  if constexpr (is_vector<M>)
    return !any(~mask);
  else
#endif
    return mask;
}

#if !UFUSE_DEVICE_CODE
/// Half of a register of float lanes as a register of double lanes.
template <int Half, int N>
UFUSE_INLINE Vec<double, N / 2> widen_half(Vec<float, N> x) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, Half))};
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return {_mm256_cvtps_pd(_mm256_extractf128_ps(x.v, Half))};
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 4) return {_mm_cvtps_pd(Half == 0 ? x.v : _mm_movehl_ps(x.v, x.v))};
#endif
  Vec<double, N / 2> r;
  for (int i = 0; i < N / 2; ++i) r.v[i] = x.v[Half * N / 2 + i];
  return r;
}

template <int N>
UFUSE_INLINE Vec<float, 2 * N> narrow_halves(Vec<double, N> low, Vec<double, N> high) {
#if defined(__AVX512F__)
  if constexpr (N == 8)
    return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.v)), _mm512_cvtpd_ps(high.v), 1)};
#endif
#if defined(__AVX2__)
  if constexpr (N == 4)
    return {_mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low.v)), _mm256_cvtpd_ps(high.v), 1)};
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 2) return {_mm_movelh_ps(_mm_cvtpd_ps(low.v), _mm_cvtpd_ps(high.v))};
#endif
  Vec<float, 2 * N> r;
  for (int i = 0; i < N; ++i) {
    r.v[i] = static_cast<float>(low.v[i]);
    r.v[N + i] = static_cast<float>(high.v[i]);
  }
  return r;
}
#endif

/// F of double lanes for float operands, rounded once: F may err by thousands of its ULPs without that
/// showing. Half of the lanes at a time where a register is full.
template <class F, class V, class... Others>
  requires(is_single<V>)
UFUSE_INLINE V in_double(V x, Others... others) {
#if !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V>) {
    if constexpr (V::size * 8 > kRegisterBytes) {
      return narrow_halves(F::apply(widen_half<0>(x), widen_half<0>(others)...),
                           F::apply(widen_half<1>(x), widen_half<1>(others)...));
    }
  }
#endif
  using D = rebind_t<V, double>;
  return convert<V>(F::apply(convert<D>(x), convert<D>(others)...));
}

/// table[index] for each lane, index in [0, 16).
template <class V, class B>
UFUSE_INLINE V lookup16(const double (&table)[16], B index) {
#if !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V>) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64) {
      const __m512i i = reinterpret_cast<__m512i>(index.v);
      return {_mm512_permutex2var_pd(_mm512_load_pd(table), i, _mm512_load_pd(table + 8))};
    }
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(V) == 32) {
      const __m256i i = reinterpret_cast<__m256i>(index.v);
      const __m256d all = _mm256_castsi256_pd(_mm256_set1_epi64x(-1));
      return {_mm256_mask_i64gather_pd(_mm256_setzero_pd(), table, i, all, 8)};
    }
#endif
    V r;
    for (int lane = 0; lane < V::size; ++lane) r.v[lane] = table[index[lane]];
    return r;
  } else
#endif
  {
    return table[index];
  }
}

/// x = 2^k m, m in [43/64, 43/32), for positive finite x, denormals included; m * inverse[interval] is in
/// [1 - 2^-5, 1 + 2^-5], for m about 1 the inverse is 1. The intervals are equal steps of the bits, half a
/// step off, so that 1 is inside of one.
template <class V>
struct Sixteenth {
  V k;  // integer-valued
  V m;
  V inverse;
  bits_t<V> interval;
};

template <class V>
  requires(!is_single<V>)
UFUSE_INLINE Sixteenth<V> sixteenth(V x) {
  using B = bits_t<V>;
  using F = format_t<V>;
  // Inverses of the middles of the intervals, of 9 bits.
  alignas(64) static constexpr double kInverse[16] = {
      1.455078125, 1.390625,    1.333984375, 1.279296875, 1.23046875,  1.185546875, 1.142578125, 1.103515625,
      1.06640625,  1.033203125, 1.0,         0.94140625,  0.888671875, 0.841796875, 0.80078125,  0.76171875};
  const B b = bitcast<B>(x);
  const B from_start = b - splat<B>(0x3fe5800000000000);  // 43/64
  const B e = from_start >> F::kMantissa;
  const V m = bitcast<V>(b - (e << F::kMantissa));
  const V k = bitcast<V>(e + bitcast<B>(splat<V>(F::kRounder))) - splat<V>(F::kRounder);
  const B interval = (from_start >> (F::kMantissa - 4)) & splat<B>(15);
  return {k, m, lookup16<V>(kInverse, interval), interval};
}

/// 2^z within 2^-34, |z| < 1000.
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE V short_exp2(V z) {
  const V n = nearest(z);
  const V t = z - n;  // exact
  // (2^t - 1) / t on |t| <= 0.5: error of 2^t 2^-34.
  const V slope =
      polynomial(t, 0.6931471807007715, 0.2402265106682326, 0.05550410383401269, 0.0096180381343609,
                 0.0013333920024830703, 0.00015466748943573276, 1.5199651860636756e-05);
  return fma(slope, t, constant<V>(1.0)) * power_of_two(n);
}

/// 1 / x within 2^-34 for positive normal x below 2^1000: 6 multiply-adds, where a division of double lanes
/// takes the time of 16 and more.
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE V short_inverse(V x) {
  using B = bits_t<V>;
  // e = 1 - x r is in [-0.0506, 0.0506]; 1 / (1 - e) = (1 + e) (1 + e^2) (1 + e^4) ...
  V r = bitcast<V>(splat<B>(0x7fde62384cda5256) - bitcast<B>(x));
  const V e = fma(-x, r, constant<V>(1.0));
  const V e2 = e * e;
  r = fma(r, e, r);
  r = fma(r, e2, r);
  return fma(r, e2 * e2, r);
}

/// The natural logarithm of x + x_low, |x_low| <= ulp(x), x positive and finite: relative error 2^-63.
template <class V, class... Low>
  requires(!is_single<V>)
UFUSE_INLINE Sum<V> long_log(V x, Low... x_low) {
  // -ln of the inverses: a head of so few bits that adding k times the head of ln 2 is exact, and the rest.
  alignas(64) static constexpr double kHead[16] = {-0.3750595933399836,
                                                   -0.32975328637257917,
                                                   -0.2881702345312078,
                                                   -0.2463106105958559,
                                                   -0.20739519434596332,
                                                   -0.1702041660200848,
                                                   -0.13328722219239353,
                                                   -0.0985011061068235,
                                                   -0.06429435070549516,
                                                   -0.03266380681884584,
                                                   0.0,
                                                   0.060380510988807146,
                                                   0.11802720608852724,
                                                   0.172216534935842,
                                                   0.2221674653410446,
                                                   0.2721778859158803};
  alignas(64) static constexpr double kRest[16] = {-6.810957515328043e-14,
                                                   1.1118671389559323e-13,
                                                   -7.445357054751763e-14,
                                                   1.1177156288837231e-13,
                                                   -1.0726867577289733e-13,
                                                   9.433537664581756e-14,
                                                   4.4819840726013836e-14,
                                                   -1.0965899689943145e-13,
                                                   9.790518511990216e-14,
                                                   5.4245058792756725e-14,
                                                   0.0,
                                                   1.0033424888676119e-13,
                                                   3.013227959910772e-14,
                                                   -8.199467511461324e-14,
                                                   1.0970699320566433e-13,
                                                   -6.465103064005256e-14};
  using F = format_t<V>;
  const auto denormal = x < splat<V>(F::kLeastNormal);
  const V lift = select(denormal, constant<V>(0x1p54), constant<V>(1.0));
  const Sixteenth<V> a = sixteenth(static_cast<V>(x * lift));
  const V k = a.k - select(denormal, constant<V>(54.0), constant<V>(0.0));
  const Sum<V> y = exact_product(a.m, a.inverse);
  const V f = y.high - constant<V>(1.0);  // exact
  V f_low = y.low;
  if constexpr (sizeof...(x_low) != 0) {
    const V down = power_of_two(at_least(-k, -1022.0));
    f_low = fma((x_low * ...) * down, a.inverse, f_low);
  }
  const Sum<V> square = exact_product(f, f);
  // (log(1 + f) - f + f^2/2) / f^3 on [-2^-5, 2^-5]: error 2^-66 of the logarithm.
  const V p = polynomial(f, 0.3333333333333333, -0.24999999999999284, 0.20000000000010337,
                         -0.16666666673000544, 0.14285714268864336, -0.12499981928005806, 0.11111114045536281,
                         -0.10020765956883745, 0.09104024371927164);
  const V base = fma(k, constant<V>(kLn2High<V>), lookup16<V>(kHead, a.interval));
  const V base_low = fma(k, constant<V>(kLn2Low<V>), lookup16<V>(kRest, a.interval));
  const Sum<V> one = sum_of_larger(base, f);
  const Sum<V> two = sum_of_larger(one.high, static_cast<V>(square.high * constant<V>(-0.5)));
  const V slope = fma(square.high - f, f_low, f_low);  // f_low / (1 + f)
  const V low = (one.low + two.low) + fma(square.low, constant<V>(-0.5), slope + base_low);
  return sum_of_larger(two.high, fma(f * square.high, p, low));
}

/// The natural logarithm of a positive normal number within 2^-50 and the rounding of the result.
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE V plain_log(V x) {
  return long_log(x).high;
}

/// 1 / (x.high + x.low).
template <class V>
UFUSE_INLINE Sum<V> long_inverse(Sum<V> x) {
  const V one = constant<V>(1.0);
  const V w = one / x.high;
  return {w, w * fma(-x.low, w, minus_product(one, x.high, w))};
}

/// c0 + c0_low + v (c1 + v p2), keeping what the last steps round off: for polynomials whose first
/// coefficients dominate.
template <class V>
UFUSE_INLINE Sum<V> last_steps(Sum<V> v, Sum<V> p2, V c1, V c0, V c0_low) {
  const V p1 = fma(p2.high, v.high, c1);
  const V p1_low = fma(p2.low, v.high, fma(p2.high, v.high, c1 - p1));
  const V p = fma(p1, v.high, c0);
  const V slope = fma(p2.high, v.high, p1);
  return {p, fma(slope, v.low, fma(p1_low, v.high, fma(p1, v.high, c0 - p) + c0_low))};
}

/// e^(x + x_low), x not beyond [-746, 710] (to be clamped), to be scaled by 2^n: within 0.51 ULP.
template <class V>
struct Scaled {
  Sum<V> value;
  V n;
};
template <class V>
UFUSE_INLINE Scaled<V> long_exp(Sum<V> x) {
  const V one = constant<V>(1.0);
  const V n = nearest(x.high, kLog2E);
  const V r0 = fma(n, constant<V>(-kLn2High<V>), x.high);  // exact
  const V r1 = fma(n, constant<V>(-kLn2Low<V>), x.low);
  const V r = r0 + r1;
  const V r_low = (r0 - r) + r1;
  const Sum<V> sum = sum_of_larger(one, r);
  return {{sum.high, sum.low + fma(r * r, exp_curvature(r), fma(r_low, r, r_low))}, n};
}

}  // namespace math
}  // namespace UFUSE_TIER
}  // namespace ufuse
