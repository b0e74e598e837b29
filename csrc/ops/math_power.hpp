// Powers, roots and a product with a logarithm.
#pragma once

#include "ops/math_log.hpp"
#include "ops/math_wide.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// table[index mod 32] for each lane.
template <class V, class B>
UFUSE_INLINE V lookup32(const float (&table)[32], B index) {
#if !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V>) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64) {
      const __m512i i = reinterpret_cast<__m512i>(index.v);
      return {_mm512_permutex2var_ps(_mm512_load_ps(table), i, _mm512_load_ps(table + 16))};
    }
#endif
    index = index & splat<B>(31);
#if defined(__AVX2__)
    if constexpr (sizeof(V) == 32) {
      const __m256 all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
      return {
          _mm256_mask_i32gather_ps(_mm256_setzero_ps(), table, reinterpret_cast<__m256i>(index.v), all, 4)};
    }
#endif
    V r;
    for (int lane = 0; lane < V::size; ++lane) r.v[lane] = table[index[lane]];
    return r;
  } else
#endif
  {
    return table[index & 31];
  }
}

/// |x| = 2^k m, m in [1, 2), for finite x other than 0; others are 1 here.
template <class V>
struct Binade {
  V k;
  V m;
};
template <class V>
  requires(is_single<V>)
UFUSE_INLINE Binade<V> binade(V x) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    const __m512 proper = _mm512_fixupimm_ps(x.v, x.v, _mm512_set1_epi32(0x00aa0aaa), 0);
    return {{_mm512_maskz_getexp_ps(0xffff, proper)},
            {_mm512_maskz_getmant_ps(0xffff, proper, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero)}};
  } else
#endif
  {
    using B = bits_t<V>;
    x = without_sign(x);
    x = select((x > constant<V>(0.0)) & (x < infinity<V>()), x, constant<V>(1.0));
    const auto denormal = x < splat<V>(format_t<V>::kLeastNormal);
    const B b = bitcast<B>(static_cast<V>(x * select(denormal, constant<V>(0x1p25), constant<V>(1.0))));
    const V k = convert<V>(b >> 23) - select(denormal, constant<V>(152.0), constant<V>(127.0));
    return {k, bitcast<V>((b & splat<B>(0x7fffff)) | bitcast<B>(constant<V>(1.0)))};
  }
}

/// log2 of |x|, finite and not 0: relative error 2^-34. `low` is below 2^-10 of `high`, not an ULP.
template <class V>
  requires(is_single<V>)
UFUSE_INLINE Sum<V> short_log2(V x) {
  // Of the 32nds of [1, 2): the inverse of a number in the middle, in 64ths, so that m times it less 1 is
  // exact; and 1 at 1, 1/2 at 2, so that nothing cancels there. The logarithm of the inverse, negated: 16
  // bits behind the point, and the rest.
  alignas(64) static constexpr float kInverse[32] = {
      1.0f,      0.953125f, 0.921875f, 0.90625f,  0.875f,    0.859375f, 0.828125f, 0.8125f,
      0.796875f, 0.765625f, 0.75f,     0.734375f, 0.71875f,  0.703125f, 0.6875f,   0.671875f,
      0.65625f,  0.640625f, 0.640625f, 0.625f,    0.609375f, 0.59375f,  0.59375f,  0.578125f,
      0.5625f,   0.5625f,   0.546875f, 0.53125f,  0.53125f,  0.515625f, 0.515625f, 0.5f};
  alignas(64) static constexpr float kHead[32] = {
      0.0f,         0.0692596436f, 0.117355347f, 0.14201355f,  0.192642212f, 0.218643188f, 0.272079468f,
      0.299560547f, 0.327575684f,  0.385284424f, 0.415039062f, 0.445404053f, 0.476440430f, 0.508148193f,
      0.540573120f, 0.573730469f,  0.607681274f, 0.642440796f, 0.642440796f, 0.678070068f, 0.714599609f,
      0.752075195f, 0.752075195f,  0.790542603f, 0.830078125f, 0.830078125f, 0.870712280f, 0.912536621f,
      0.912536621f, 0.955612183f,  0.955612183f, 1.0f};
  alignas(64) static constexpr float kRest[32] = {0.0f,
                                                  3.01888235e-06f,
                                                  1.60395848e-06f,
                                                  5.45506782e-06f,
                                                  2.86602833e-06f,
                                                  -2.90200114e-06f,
                                                  7.76633655e-08f,
                                                  -2.65016098e-07f,
                                                  -1.02556521e-06f,
                                                  5.73205671e-06f,
                                                  -1.56322119e-06f,
                                                  7.09558799e-06f,
                                                  -2.38574444e-06f,
                                                  -1.28968907e-06f,
                                                  -4.73875434e-06f,
                                                  4.77654794e-06f,
                                                  1.30280716e-06f,
                                                  7.19948366e-06f,
                                                  7.19948366e-06f,
                                                  1.83675331e-06f,
                                                  -1.82823726e-06f,
                                                  -2.70875603e-06f,
                                                  -2.70875603e-06f,
                                                  4.03183182e-06f,
                                                  -3.12644327e-06f,
                                                  -3.12644327e-06f,
                                                  4.70278155e-06f,
                                                  5.37655922e-07f,
                                                  5.37655922e-07f,
                                                  -6.30197565e-06f,
                                                  -6.30197565e-06f,
                                                  0.0f};
  using B = bits_t<V>;
  const Binade<V> a = binade(x);
  const B index = bitcast<B>(a.m) >> 18;
  const V one = constant<V>(1.0);
  const V inverse = lookup32<V>(kInverse, index);
  const V f = has_fma<V> ? fma(a.m, inverse, -one) : -minus_product(one, a.m, inverse);  // exact
  const V base = a.k + lookup32<V>(kHead, index);                                        // exact
  // log2(1 + f) = f (c1 - c1/2 f + f^2 P(f)) on [-0.0206, 0.0313]: error 2^-38.4.
  constexpr double kC1 = 1.4426950216293335;
  const V c1 = constant<V>(kC1);
  const V half_c1 = constant<V>(0.5 * kC1);
  const V slope = fma(-half_c1, f, c1);
  const V rest = polynomial(f, kLog2ELow<V>, -0.5 * kLog2ELow<V>, 0.48089832067489624, -0.36067554354667664,
                            0.28867289423942566, -0.23591071367263794);
  const V slope_low = minus_product(static_cast<V>(c1 - slope), half_c1, f) + rest;
  const V product = f * slope;
  const V product_low = fma(f, slope_low, product_error(f, slope, product));
  const Sum<V> sum = sum_of_larger(base, product);
  return {sum.high, sum.low + (product_low + lookup32<V>(kRest, index))};
}

/// Beyond this the power of 2 is 0 or infinite.
inline constexpr double kFarPower = 160.0;

/// |x|^y for finite x other than 0 and finite y, where z = y log2 |x| is below kFarPower.
template <class V>
struct PowerOfLog {
  V power;
  V z;
};
template <class V>
  requires(is_single<V>)
UFUSE_INLINE PowerOfLog<V> float_power(V x, V y) {
  const Sum<V> l = short_log2(x);
  y = at_least(at_most(y, 0x1p33), -0x1p33);  // a logarithm is at least 2^-24, or 0
  const V z = y * l.high;
  const V n = nearest(z);
  const Sum<V> t = sum_of_larger(static_cast<V>(z - n), fma(y, l.low, product_error(y, l.high, z)));
  // (2^t - 1) / t, |t| <= 0.566: error of 2^t 2^-27.4. Where 2^t is below 1 its ULP is as small as that of t:
  // what t and the product lose is added to the sum (1.002 ULP without).
  const V slope = polynomial(t.high, 0.6931472420692444, 0.24022653698921204, 0.055502768605947495,
                             0.009618029930697514, 0.00134173349943012, 0.00015440964489243925);
  const V rise = slope * t.high;
  const Sum<V> power = sum_of_larger(constant<V>(1.0), rise);
  const V rest = fma(slope, t.low, product_error(slope, t.high, rise));
  return {scale(power.high + (power.low + rest), at_least(n, -250.0)), z};
}

/// x^y for positive finite x and finite y.
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE V positive_power(V x, V y) {
  // log x is at least 2^-53 or 0, so that a larger y changes nothing.
  y = at_least(at_most(y, 0x1p80), -0x1p80);
  const Sum<V> l = long_log(x);
  const Sum<V> z = exact_product(y, l.high);
  const V z_low = fma(y, l.low, z.low);
  const auto inside = without_sign(z.high) < constant<V>(800.0);
  const Scaled<V> p =
      long_exp(Sum<V>{at_least(at_most(z.high, 710.0), -746.0), select(inside, z_low, constant<V>(0.0))});
  return scale(p.value.high + p.value.low, p.n);
}

/// x^y by the cases of C's pow (C17, F.10.4.4), where r is |x|^y for finite numbers other than zeros.
template <class V>
UFUSE_INLINE V any_power(V x, V y, V r) {
  const V zero = constant<V>(0.0);
  const V one = constant<V>(1.0);
  const V base = without_sign(x);
  const V half = y * constant<V>(0.5);
  const auto whole = floor(y) == y;
  const auto odd = whole & (floor(half) != half);
  const auto endless = without_sign(y) == infinity<V>();
  const auto grows = ((base > one) & (y > zero)) | ((base < one) & (y < zero));
  r = select((base == zero) | (base == infinity<V>()) | endless, select(grows, infinity<V>(), zero), r);
  r = with_sign(r, select(odd, x, zero));
  const auto complex = (x < zero) & (base < infinity<V>()) & (floor(y) != y) & (y == y);
  const auto unknown = (x != x) | (y != y) | complex;
  // 1 stands for numbers that are neither.
  set_logarithm_flags(select(complex, -one, select((base == zero) & (y < zero), zero, one)));
  r = select(unknown, -constant<V>(__builtin_nan("")), r);
  return select((y == zero) | (x == one) | ((base == one) & endless), one, r);
}

/// x log y for float values in double lanes.
struct ShortProductWithLog {
  template <class V>
  static UFUSE_INLINE V apply(V x, V y) {
    return x * log_special(y, plain_log(y));
  }
};

}  // namespace math

namespace ops {

struct power {
  template <class V>
  static UFUSE_INLINE V apply(V x, V y) {
    using namespace math;
    if constexpr (is_single<V>) {
      const auto [power, z] = float_power(x, y);
      const auto usual =
          (x > constant<V>(0.0)) & (x < infinity<V>()) & (without_sign(z) < constant<V>(kFarPower));
      if (all_of(usual)) return power;
      const V beyond = select(z < constant<V>(0.0), constant<V>(0.0), infinity<V>());
      return any_power(x, y, select(without_sign(z) < constant<V>(kFarPower), power, beyond));
    } else {
      const V one = constant<V>(1.0);
      const V base = without_sign(x);
      const auto proper =
          (base > constant<V>(0.0)) & (base < infinity<V>()) & (without_sign(y) < infinity<V>());
      const V r = positive_power(select(proper, base, one), select(proper, y, one));
      return all_of(proper & (x > constant<V>(0.0))) ? r : any_power(x, y, r);
    }
  }
};

struct cbrt {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    using B = bits_t<V>;
    constexpr bool kSingle = is_single<V>;
    const V ax = at_most(without_sign(x), kSingle ? 0x1.fffffep127 : 0x1.fffffffffffffp1023);
    // Neither is y^3 below to overflow as it is rounded, nor its last bits to be denormal.
    const auto tiny = ax < constant<V>(kSingle ? 0x1p-70 : 0x1p-860);
    const V a = ax * select(tiny, constant<V>(kSingle ? 0x1p72 : 0x1p216), constant<V>(0.125));
    // r near a^(-1/3) by a third of the bits: e = 1 - a r^3 is in [-0.1021, 0.1021].
    V r;
    if constexpr (kSingle) {
      const V third = convert<V>(bitcast<B>(a)) * constant<V>(1.0 / 3.0);
      r = bitcast<V>(splat<B>(0x54a1f5bc) - convert<B>(third));
    } else {  // the upper half of them; the rounder makes them a number and back
      const V rounder = splat<V>(format_t<V>::kRounder);
      const V upper = bitcast<V>((bitcast<B>(a) >> 32) + bitcast<B>(rounder)) - rounder;
      const V rest = fma(upper, constant<V>(-1.0 / 3.0), constant<V>(format_t<V>::kRounder + 0x553ee961));
      r = bitcast<V>(bitcast<B>(rest) << 32);
    }
    // ((1 - e)^(-1/3) - 1) / e: error of r 2^-18.
    const V one = constant<V>(1.0);
    V e = fma(-(a * r), r * r, one);
    r = fma(r * e, polynomial(e, 0.33332860469818115, 0.22367803752422333, 0.17465361952781677), r);
    if constexpr (!kSingle) {
      e = fma(-(a * r), r * r, one);
      r = fma(r * e, fma(e, constant<V>(2.0 / 9.0), constant<V>(1.0 / 3.0)), r);
    }
    // y = a r^2, corrected by (y^3 - a) / (3 y^2), of which the difference is found to its last bits.
    const V inverse = r * r;
    const V y = a * inverse;
    const Sum<V> square = exact_product(y, y);
    const V excess = fma(square.low, y, -minus_product(a, square.high, y));
    const V root = fma(-excess, inverse * constant<V>(1.0 / 3.0), y);
    const V down = select(tiny, constant<V>(kSingle ? 0x1p-24 : 0x1p-72), constant<V>(2.0));
    const auto unchanged = (ax == constant<V>(0.0)) | (without_sign(x) == infinity<V>());
    return select(unchanged, x, with_sign(root * down, x));
  }
};

/// sqrt(x^2 + y^2), what its rounding lost corrected (Borges 2020, arXiv:1904.09481).
struct hypot {
  template <class V>
  static UFUSE_INLINE V apply(V x, V y) {
    using namespace math;
    using B = bits_t<V>;
    const V ax = without_sign(x);
    const V ay = without_sign(y);
    const auto ordered = ax >= ay;
    const V large = select(ordered, ax, ay);  // one of them for a NaN, the other is in `small`
    const V small = select(ordered, ay, ax);
    // By the power of two that brings the larger into [2, 4): nothing overflows, and what underflows does not
    // count. Both powers are normal numbers.
    const B top = bitcast<B>(infinity<V>());
    const B exponent = bitcast<B>(at_least(large, format_t<V>::kLeastNormal)) & top;
    const V down = bitcast<V>(top - exponent);
    const V a = large * down;
    const V b = small * down;
    const Sum<V> a2 = exact_product(a, a);
    const Sum<V> b2 = exact_product(b, b);
    const Sum<V> sum = sum_of_larger(a2.high, b2.high);
    const V s = sum.high;
    // r near 1 / sqrt(s) by half of the bits: e = 1 - s r^2 is in [-0.0682, 0.0682].
    V r;
    if constexpr (is_single<V>) {
      r = bitcast<V>(splat<B>(0x5f374756) - (bitcast<B>(s) >> 1));
    } else {
      r = bitcast<V>(splat<B>(0x5fe6e8eaddbc73d7) - (bitcast<B>(s) >> 1));
    }
    // ((1 - e)^(-1/2) - 1) / e: error of r 2^-19.
    const V one = constant<V>(1.0);
    V e = fma(-(s * r), r, one);
    r = fma(r * e, polynomial(e, 0.49999886751174927, 0.37612998485565186, 0.31383857131004333), r);
    if constexpr (!is_single<V>) {
      e = fma(-(s * r), r, one);
      r = fma(r * e, fma(e, constant<V>(0.375), constant<V>(0.5)), r);
    }
    const V root = s * r;
    const V rest = minus_product(s, root, root) + (sum.low + (a2.low + b2.low));
    const V half = fma(constant<V>(0.25) * r, rest, constant<V>(0.5) * root);
    const auto endless = (ax == infinity<V>()) | (ay == infinity<V>());
    return select(endless, infinity<V>(), half * bitcast<V>(exponent));
  }
};

/// x log(y), and 0 for x = 0 whatever number y is.
struct xlogy {
  template <class V>
  static UFUSE_INLINE V apply(V x, V y) {
    using namespace math;
    const V zero = constant<V>(0.0);
    const auto nothing = (x == zero) & (y == y);
    const V by = select(nothing, constant<V>(1.0), y);
    V product;
    if constexpr (is_single<V>) {
      product = in_double<ShortProductWithLog>(x, by);
    } else {
      const Sum<V> l = long_log(by);
      const V high = log_special(by, l.high);
      const auto ordinary = (by > zero) & (by < infinity<V>()) & (without_sign(x) < infinity<V>());
      product = fma(x, high, select(ordinary, x * l.low, zero));
    }
    return select(nothing, zero, product);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
