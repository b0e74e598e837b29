// log, log2, log10, log1p, and the logarithm of a quotient that atanh, logit and the inverse hyperbolic
// functions end in.
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

/// An integer as a lane: by the rounder's trick, since 64-bit conversions are slow before AVX-512.
template <class V>
UFUSE_INLINE V from_integer(bits_t<V> n) {
  const V rounder = splat<V>(format_t<V>::kRounder);
  return bitcast<V>(n + bitcast<bits_t<V>>(rounder)) - rounder;
}

/// x = 2^k (1 + f), 1 + f in [c, 2c), c = 0.66677 (float: 2/3, so that the decimal logarithm of 2c is just
/// above 1/8, where an ULP grows) or sqrt(1/2) (double), for normal x; its sign is dropped.
template <class V>
UFUSE_INLINE Reduced<V> reduce_normal(V x) {
  using B = bits_t<V>;
  using F = format_t<V>;
  const B b = bitcast<B>(without_sign(x));  // so that the differences below cannot overflow
  const B e = (b - splat<B>(F::kLeastSignificand)) >> F::kMantissa;
  const V m = bitcast<V>(b - (e << F::kMantissa));
  return {from_integer<V>(e), m - constant<V>(1.0)};
}

/// The same, denormals included; some finite numbers where x is not positive and finite.
template <class V>
UFUSE_INLINE Reduced<V> reduce_log(V x) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64 && is_single<V>) {
    // There are instructions to take numbers apart. What is not positive and finite is 1 here, so that no
    // infinity is subtracted from another.
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 proper = _mm512_fixupimm_ps(x.v, x.v, _mm512_set1_epi32(0x0aaa0aaa), 0);
    const __m512 k = _mm512_maskz_getexp_ps(0xffff, proper);
    const __m512 m = _mm512_maskz_getmant_ps(0xffff, proper, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
    const __mmask16 large = _mm512_cmp_ps_mask(m, _mm512_set1_ps(0x1.5562ep0f), _CMP_GE_OQ);
    return {{_mm512_mask_add_ps(k, large, k, one)},
            {_mm512_sub_ps(_mm512_mask_mul_ps(m, large, m, _mm512_set1_ps(0.5f)), one)}};
  } else
#endif
  {
    x = without_sign(x);  // negative numbers are no denormals, which an overflow would tell
    const auto denormal = x < splat<V>(format_t<V>::kLeastNormal);
    constexpr double kUp = is_single<V> ? 0x1p25 : 0x1p54;
    const Reduced<V> a =
        reduce_normal(static_cast<V>(x * select(denormal, constant<V>(kUp), constant<V>(1.0))));
    return {a.k + select(denormal, constant<V>(is_single<V> ? -25.0 : -54.0), constant<V>(0.0)), a.f};
  }
}

/// (log(1 + f) - f + f^2/2) / f^3 for the f of reduce_log, error 2^-27.6 of the logarithm.
template <class V>
  requires(is_single<V>)
UFUSE_INLINE V log1p_cubic(V f) {
  return polynomial(f, 0.3333321809768677, -0.24999819695949554, 0.20010298490524292, -0.16679514944553375,
                    0.14007456600666046, -0.12197426706552505, 0.13977256417274475, -0.12835633754730225);
}

/// log(1 + f) - f for the f of reduce_log.
template <class V>
UFUSE_INLINE V log1p_tail(V f) {
  if constexpr (is_single<V>) {
    return f * f * fma(log1p_cubic(f), f, constant<V>(-0.5));
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
/// Sets the flags that a logarithm of x does.
template <class V>
UFUSE_INLINE V log_special(V x, V y) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  // One instruction instead of three comparisons and three selects: the nibbles, from the lowest, are the
  // answers for quiet NaN, signalling NaN, 0, 1, -inf, inf, negative, positive. The last argument: 0 is a
  // division by zero, -inf and negative are invalid.
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    if constexpr (is_single<V>) {
      return {_mm512_fixupimm_ps(y.v, x.v, _mm512_set1_epi32(0x03530433), 0x61)};
    } else {
      return {_mm512_fixupimm_pd(y.v, x.v, _mm512_set1_epi64(0x03530433), 0x61)};
    }
  } else
#endif
  {
    const V zero = constant<V>(0.0);
    const V below = select(x == zero, -infinity<V>(), -constant<V>(__builtin_nan("")));
    const auto positive = x > zero;
    if constexpr (is_vector<V>)
      if (any(~positive)) set_logarithm_flags(x);
    return select(positive, select(x < infinity<V>(), y, x), below);
  }
}

/// 2 atanh(n / d) as a quotient and what it lacks, for n / d in [-0.2004, 0.2004]: of twice n, so that a
/// denormal loses nothing, and the inverse of d.high, which need not be rounded well.
template <class V>
UFUSE_INLINE Sum<V> twice_atanh(Sum<V> twice_n, Sum<V> d, V inverse) {
  const V t = twice_n.high * inverse;
  const V remainder = fma(-t, d.high, twice_n.high) + fma(-t, d.low, twice_n.low);
  const V s = constant<V>(0.5) * t;
  const V w = s * s;
  // (atanh(s) - s) / s^3 by w = s^2 on [0, 0.2004]. Error of atanh(s): float 2^-28.4, double 2^-62.6.
  V p;
  if constexpr (is_single<V>) {
    p = polynomial(w, 0.333334743976593, 0.1997881531715393, 0.15182696282863617);
  } else {
    p = polynomial(w, 0.333333333333333, 0.2000000000002845, 0.14285714277873918, 0.11111112153648005,
                   0.09090832579760189, 0.07695568450396259, 0.06586580034888691, 0.06923058735724986);
  }
  return {t, fma(t * w, p, remainder * inverse)};
}

/// log(1 + f) for the f of reduce_log. In float the rounding of the square of f would cost half an ULP
/// where the exponent's part has the other sign, so what it loses is kept.
template <class V>
UFUSE_INLINE Sum<V> log1p_near(V f) {
  if constexpr (is_single<V>) {
    const V half = constant<V>(0.5);
    const V q = f * f;
    const V high = fma(-half, q, f);
    const V lost = fma(-half, product_error(f, f, q), fma(-half, q, f - high));
    return {high, fma(q * f, log1p_cubic(f), lost)};
  } else {
    return {f, log1p_tail(f)};
  }
}

/// log(1 + f + f_low): f_low / (1 + f) more, of which 1 - f + f^2 is within 8 %.
template <class V>
UFUSE_INLINE Sum<V> log1p_near(V f, V f_low) {
  const Sum<V> y = log1p_near(f);
  return {y.high, fma(f_low, fma(f, f, constant<V>(1.0) - f), y.low)};
}

/// k log(2) + y.
template <class V>
UFUSE_INLINE Sum<V> plus_ln2(V k, Sum<V> y) {
  const Sum<V> sum = sum_of_larger<V>(k * constant<V>(kLn2High<V>), y.high);
  return {sum.high, sum.low + fma(k, constant<V>(kLn2Low<V>), y.low)};
}

/// y times slope, which is given in two parts.
template <class V>
UFUSE_INLINE Sum<V> times(Sum<V> y, double slope, double slope_low) {
  const V c = constant<V>(slope);
  const V p = y.high * c;
  return {p, fma(y.low, c, fma(y.high, constant<V>(slope_low), product_error(y.high, c, p)))};
}

/// log(x) / log(base): k * period + log(1 + f) * slope, both factors in two parts, the high part of the
/// period so short that k times it is exact.
template <class V>
UFUSE_INLINE V log_to_base(V x, double period, double period_low, double slope, double slope_low) {
  if constexpr (is_single<V>) {
    const Reduced<V> a = reduce_log(x);
    const V f = a.f;
    const V c = constant<V>(slope);
    // Nothing of the difference is lost: |f c| is below 0.49 of a period.
    const V whole = period_low == 0.0 ? a.k : a.k * constant<V>(period);
    const V sum = fma(f, c, whole);
    V low = fma(f, constant<V>(slope_low), fma(f, c, whole - sum));
    if (period_low != 0.0) low = fma(a.k, constant<V>(period_low), low);
    // log2(1 + f) = f / log(2) + c f^2 + f^3 q, or log10, for the f of reduce_log: error 2^-27.6. The square
    // apart, or the rounding of q would count.
    V q;
    V c2;
    if (period_low == 0.0) {
      c2 = constant<V>(-0.7213475108146667);
      q = polynomial(f, 0.4808967113494873, -0.3606715202331543, 0.28868651390075684, -0.24063245952129364,
                     0.2020983248949051, -0.17593874037265778, 0.20159517228603363, -0.18544653058052063);
    } else {
      c2 = constant<V>(-0.21714724600315094);
      q = polynomial(f, 0.14476428925991058, -0.10857240855693817, 0.08690536767244339, -0.0724499374628067,
                     0.060809120535850525, -0.052845463156700134, 0.06080948933959007, -0.05622122436761856);
    }
    const V square = f * f;
    return log_special(x, sum + fma(square * f, q, fma(square, c2, low)));
  } else {
    const Reduced<V> a = reduce_log(x);
    const Sum<V> p = times(log1p_near(a.f), slope, slope_low);
    const Sum<V> y = sum_of_larger<V>(a.k * constant<V>(period), p.high);
    V low = y.low + p.low;
    if (period_low != 0.0) low = fma(a.k, constant<V>(period_low), low);
    return log_special(x, y.high + low);
  }
}

/// Bits of a normal x as 2^e m.
template <class V>
struct NearOther {
  bits_t<V> e;
  V m;
  V factor;  // 2^-e, or 0 for the largest e
};

/// a = 2^e m with m / b in [0.66, 1.51], for normal positive a and b: the difference of their bits is
/// log2(a / b) in units of 2^mantissa within 0.09.
template <class V>
UFUSE_INLINE NearOther<V> scale_to(V a, V b) {
  using B = bits_t<V>;
  using F = format_t<V>;
  const B half = splat<B>(typename F::bits{1} << (F::kMantissa - 1));
  const B e = (bitcast<B>(a) - bitcast<B>(b) + half) >> F::kMantissa;
  const B shifted = e << F::kMantissa;
  return {e, bitcast<V>(bitcast<B>(a) - shifted), bitcast<V>(bitcast<B>(constant<V>(1.0)) - shifted)};
}

/// log(2^k a / b) for positive normal a and b, each with what it lacks: relative accuracy holds where the
/// quotient is near one, too.
template <class V>
UFUSE_INLINE Sum<V> log_of_quotient(V k, Sum<V> a, Sum<V> b) {
  const NearOther<V> scaled = scale_to(a.high, b.high);
  const V a_low = a.low * scaled.factor;
  const V difference = scaled.m - b.high;  // exact (Sterbenz 1974)
  const V lacking = a_low - b.low;
  const V n = difference + lacking;
  const V n_low = lacking - (n - difference);
  const V twice = b.high + b.high;
  const V d = twice + difference;
  const V d_low = (difference - (d - twice)) + (a_low + b.low);
  const Sum<V> y = twice_atanh<V>({n + n, n_low + n_low}, {d, d_low}, constant<V>(1.0) / d);
  return plus_ln2(k + from_integer<V>(scaled.e), y);
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

struct log2 {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return math::log_to_base(x, 1.0, 0.0, math::kLog2E, math::kLog2ELow<V>);
  }
};

struct log10 {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    constexpr bool kSingle = math::is_single<V>;
    // log10(2) to 16 (float) or 42 bits.
    return math::log_to_base(x, kSingle ? 0.301025390625 : 0.30102999566395283,
                             kSingle ? 4.605039066518657e-06 : 2.8363394551044964e-14,
                             kSingle ? 0.4342944920063019 : 0.4342944819032518,
                             kSingle ? -1.0103049952192578e-08 : 1.098319650216765e-17);
  }
};

struct log1p {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const V one = constant<V>(1.0);
    const V t = at_most(x, is_single<V> ? 0x1.fffffep127 : 0x1.fffffffffffffp1023);  // what u lacks is finite
    const V u = t + one;
    const Reduced<V> a = reduce_normal(u);
    // Near zero 1 + f is 1 + x, so f is x itself; elsewhere f is exact for u, and lacks what u does.
    const auto near = without_sign(x) < constant<V>(0.25);
    const V f = select(near, x, a.f);
    const V lost = (larger(t, one) - u) + smaller(t, one);
    const V f_low = select(near, constant<V>(0.0), lost * power_of_two(at_least(-a.k, -100.0)));
    const Sum<V> y = plus_ln2(a.k, log1p_near(f, f_low));
    return with_sign(log_special(x + one, y.high + y.low), x);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
