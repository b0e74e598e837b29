// What the functions of ops/math_*.hpp share: polynomials, exact products, powers of two.
//
// Each function is one branch-free formula over V, a register of lanes or a plain float or double. Where
// two intervals need two polynomials of similar degree, the coefficients are selected and one polynomial is
// evaluated: on AVX-512 a select runs beside the multiply-adds, so it is nearly free.
//
// Polynomials are weighted minimax fits (Lawson's iteratively reweighted least squares on Chebyshev nodes,
// 60 digits), coefficients rounded to the lane type from the lowest degree up, the others refitted after
// each rounding. A comment gives function, interval and weighted error; that is all a refit needs. The
// error says 2^-k relative to the function's result unless it says otherwise.
#pragma once

#include "core/macros.hpp"
#include "simd/scalar.hpp"
#if !UFUSE_DEVICE_CODE
#include "simd/vec.hpp"
#endif

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

template <class T>
struct Format;
template <>
struct Format<float> {
  using bits = int32_t;
  static constexpr int kMantissa = 23;
  static constexpr int kBias = 127;
  static constexpr float kRounder = 12582912.0f;            // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int32_t kUpperHalf = ~0xfff;             // keeps 12 significant bits
  static constexpr int32_t kLeastSignificand = 0x3f2ab170;  // 0.66677, see reduce_log
  static constexpr float kLeastNormal = 0x1p-126f;
  static constexpr int32_t kInverseSum = 0x7ef6db6e;  // see rough_inverse
};
template <>
struct Format<double> {
  using bits = int64_t;
  static constexpr int kMantissa = 52;
  static constexpr int kBias = 1023;
  static constexpr double kRounder = 6755399441055744.0;            // 1.5 * 2^52
  static constexpr int64_t kUpperHalf = ~int64_t{0x7ffffff};        // keeps 26 significant bits
  static constexpr int64_t kLeastSignificand = 0x3fe6a09e667f3bcd;  // sqrt(1/2)
  static constexpr double kLeastNormal = 0x1p-1022;
  static constexpr int64_t kInverseSum = 0x7fdedb6db6db6db7;
};

template <class V>
using format_t = Format<lane_t<V>>;
template <class V>
using bits_t = rebind_t<V, typename format_t<V>::bits>;
template <class V>
inline constexpr bool is_single = sizeof(lane_t<V>) == 4;

template <class V>
UFUSE_INLINE V constant(double value) {
  return splat<V>(static_cast<lane_t<V>>(value));
}
template <class V>
UFUSE_INLINE V infinity() {
  return splat<V>(static_cast<lane_t<V>>(__builtin_huge_valf()));
}

/// c0 + c2 x2 + c4 x2^2 + ...
template <class V>
UFUSE_INLINE V every_other(V, double c0) {
  return constant<V>(c0);
}
template <class V>
UFUSE_INLINE V every_other(V, double c0, double) {
  return constant<V>(c0);
}
template <class V, class... C>
UFUSE_INLINE V every_other(V x2, double c0, double, double c2, C... rest) {
  return fma(every_other(x2, c2, rest...), x2, constant<V>(c0));
}

/// c0 + c1 x + c2 x^2 + ... A long chain of dependent multiply-adds outlasts the scheduler's window, so from
/// degree 8 up the even and odd powers go side by side.
template <class V, class... C>
UFUSE_INLINE V polynomial(V x, double c0, C... rest) {
  if constexpr (sizeof...(rest) == 0) {
    return constant<V>(c0);
  } else if constexpr (sizeof...(rest) >= 8) {
    const V x2 = x * x;
    return fma(every_other(x2, rest...), x, every_other(x2, c0, rest...));
  } else {
    return fma(polynomial(x, rest...), x, constant<V>(c0));
  }
}

template <class V>
UFUSE_INLINE V every_other_of_two(mask_t<V> mask, V, double a0, double b0) {
  return select(mask, constant<V>(a0), constant<V>(b0));
}
template <class V>
UFUSE_INLINE V every_other_of_two(mask_t<V> mask, V, double a0, double b0, double, double) {
  return select(mask, constant<V>(a0), constant<V>(b0));
}
template <class V, class... C>
UFUSE_INLINE V every_other_of_two(mask_t<V> mask, V x2, double a0, double b0, double, double, double a2,
                                  double b2, C... rest) {
  const V c0 = select(mask, constant<V>(a0), constant<V>(b0));
  return fma(every_other_of_two<V>(mask, x2, a2, b2, rest...), x2, c0);
}

/// As polynomial. Coefficients in pairs, lowest degree first: of each pair the first where `mask` holds,
/// else the second.
template <class V, class... C>
UFUSE_INLINE V polynomial_of_two(mask_t<V> mask, V x, double a0, double b0, C... rest) {
  const V c0 = select(mask, constant<V>(a0), constant<V>(b0));
  if constexpr (sizeof...(rest) == 0) {
    return c0;
  } else if constexpr (sizeof...(rest) >= 16) {
    const V x2 = x * x;
    return fma(every_other_of_two<V>(mask, x2, rest...), x, every_other_of_two<V>(mask, x2, a0, b0, rest...));
  } else {
    return fma(polynomial_of_two<V>(mask, x, rest...), x, c0);
  }
}

template <class V>
UFUSE_INLINE V sign_of(V x) {
  return bitcast<V>(bitcast<bits_t<V>>(x) & bitcast<bits_t<V>>(constant<V>(-0.0)));
}
template <class V>
UFUSE_INLINE V without_sign(V x) {
  return bitcast<V>(bitcast<bits_t<V>>(x) & ~bitcast<bits_t<V>>(constant<V>(-0.0)));
}
/// x with the sign bit of `sign` set as well; for x >= 0 that is copysign.
template <class V>
UFUSE_INLINE V with_sign(V x, V sign) {
  return bitcast<V>(bitcast<bits_t<V>>(x) | bitcast<bits_t<V>>(sign_of(sign)));
}

/// x, with its sign flipped where the first bit of `sign` is set.
template <class V>
UFUSE_INLINE V flip_sign(V x, bits_t<V> sign) {
  return bitcast<V>(bitcast<bits_t<V>>(x) ^ (sign & bitcast<bits_t<V>>(constant<V>(-0.0))));
}

/// a < b ? a : b, so b where either is a NaN: one instruction where the compiler makes two of the operators,
/// of which the comparison competes with the multiply-adds for ports. AVX-512 leaves the flag of an
/// invalid value alone, which AVX2 sets at NaN.
template <class V>
UFUSE_INLINE V smaller(V a, V b) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    if constexpr (is_single<V>) {
      return {_mm512_maskz_min_round_ps(0xffff, a.v, b.v, _MM_FROUND_NO_EXC)};
    } else {
      return {_mm512_maskz_min_round_pd(0xff, a.v, b.v, _MM_FROUND_NO_EXC)};
    }
  } else
#endif
#if defined(__AVX2__) && !UFUSE_DEVICE_CODE
      if constexpr (is_vector<V> && sizeof(V) == 32) {
    if constexpr (is_single<V>) {
      return {_mm256_min_ps(a.v, b.v)};
    } else {
      return {_mm256_min_pd(a.v, b.v)};
    }
  } else
#endif
  {
    return select(a < b, a, b);
  }
}
/// a > b ? a : b.
template <class V>
UFUSE_INLINE V larger(V a, V b) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    if constexpr (is_single<V>) {
      return {_mm512_maskz_max_round_ps(0xffff, a.v, b.v, _MM_FROUND_NO_EXC)};
    } else {
      return {_mm512_maskz_max_round_pd(0xff, a.v, b.v, _MM_FROUND_NO_EXC)};
    }
  } else
#endif
#if defined(__AVX2__) && !UFUSE_DEVICE_CODE
      if constexpr (is_vector<V> && sizeof(V) == 32) {
    if constexpr (is_single<V>) {
      return {_mm256_max_ps(a.v, b.v)};
    } else {
      return {_mm256_max_pd(a.v, b.v)};
    }
  } else
#endif
  {
    return select(a > b, a, b);
  }
}

/// Has x computed for the flags it sets alone.
template <class V>
UFUSE_INLINE void set_flags([[maybe_unused]] V x) {
#if defined(__x86_64__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) >= 16) {
    __asm__ volatile("" : : "x"(x.v));
    return;
  }
#endif
#if !UFUSE_DEVICE_CODE
  __asm__ volatile("" : : "m"(x));
#endif
}
/// Sets the flag of a division by zero where a number of x is 0, and of an invalid value where one is less.
template <class V>
UFUSE_INLINE void set_logarithm_flags(V x) {
#if !UFUSE_DEVICE_CODE
  __asm__ volatile("" : "+m"(x));  // not to be known when it is compiled
#endif
  const V one = constant<V>(1.0);
  set_flags(static_cast<V>(one / select(x == constant<V>(0.0), x, one)));
  set_flags(UFUSE_TIER::sqrt(x));
}

/// The smaller of the two; a NaN in x stays.
template <class V>
UFUSE_INLINE V at_most(V x, double limit) {
  return smaller(constant<V>(limit), x);
}
template <class V>
UFUSE_INLINE V at_least(V x, double limit) {
  return larger(constant<V>(limit), x);
}

/// any(x >= limit): without the way from a mask to lanes and back, 2 of 4 instructions.
template <class V>
UFUSE_INLINE bool any_at_least(V x, double limit) {
  const V least = constant<V>(limit);
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    if constexpr (is_single<V>) {
      return _mm512_cmp_ps_mask(x.v, least.v, _CMP_GE_OQ) != 0;
    } else {
      return _mm512_cmp_pd_mask(x.v, least.v, _CMP_GE_OQ) != 0;
    }
  } else
#endif
  {
    return any(x >= least);
  }
}

#if UFUSE_DEVICE_CODE || defined(__FMA__) || defined(__aarch64__)
template <class V>
inline constexpr bool has_fma = true;
#else
template <class V>
inline constexpr bool has_fma = !is_vector<V>;  // for one value the C library's fma() rounds once
#endif

/// a * b - product, exact for product = the rounded a * b. Without the instruction the factors are cut in
/// half (Dekker 1971).
template <class V>
UFUSE_INLINE V product_error(V a, V b, V product) {
  if constexpr (has_fma<V>) {
    return fma(a, b, -product);
  } else {
    const bits_t<V> upper = splat<bits_t<V>>(format_t<V>::kUpperHalf);
    const V a1 = bitcast<V>(bitcast<bits_t<V>>(a) & upper);
    const V b1 = bitcast<V>(bitcast<bits_t<V>>(b) & upper);
    const V a2 = a - a1;
    const V b2 = b - b1;
    return (((a1 * b1 - product) + a1 * b2) + a2 * b1) + a2 * b2;
  }
}

/// 1/x to 7 %, for normal x whose inverse is normal: a difference of the patterns. Enough to divide by where
/// the quotient is a rounding error.
template <class V>
UFUSE_INLINE V rough_inverse(V x) {
  using B = bits_t<V>;
  return bitcast<V>(splat<B>(format_t<V>::kInverseSum) - bitcast<B>(x));
}

/// The integer nearest to x * factor, below 2^22 (float) or 2^51 (double); ties as the addition breaks them.
template <class V>
UFUSE_INLINE V nearest(V x, double factor) {
  const V rounder = splat<V>(format_t<V>::kRounder);
  return fma(x, constant<V>(factor), rounder) - rounder;
}
template <class V>
UFUSE_INLINE V nearest(V x) {
  const V rounder = splat<V>(format_t<V>::kRounder);
  return (x + rounder) - rounder;
}

/// 2^n for an integer-valued n with a normal result: the rounder leaves n + bias in the low bits.
template <class V>
UFUSE_INLINE V power_of_two(V n) {
  const V biased = n + constant<V>(static_cast<double>(format_t<V>::kRounder) + format_t<V>::kBias);
  return bitcast<V>(bitcast<bits_t<V>>(biased) << format_t<V>::kMantissa);
}

/// x * 2^n, rounded once, for x in [2^-10, 2^10] and |n| up to twice the exponent range: overflows to
/// infinity and underflows gradually.
template <class V>
UFUSE_INLINE V scale(V x, V n) {
#if defined(__AVX512F__) && !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V> && sizeof(V) == 64) {
    if constexpr (is_single<V>) {
      return {_mm512_maskz_scalef_ps(0xffff, x.v, n.v)};
    } else {
      return {_mm512_maskz_scalef_pd(0xff, x.v, n.v)};
    }
  } else
#endif
  {
    const V half = nearest(n, 0.5);
    return x * power_of_two(half) * power_of_two(n - half);
  }
}

/// table[index] for each lane, index in [0, 16): registers permute, so no lane touches memory on its own.
template <class V, class B>
UFUSE_INLINE V lookup16(const float (&table)[16], B index) {
#if !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V>) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64) {
      const __m512i i = reinterpret_cast<__m512i>(index.v);
      return {_mm512_maskz_permutexvar_ps(0xffff, i, _mm512_load_ps(table))};
    }
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(V) == 32) {
      const __m256i i = reinterpret_cast<__m256i>(index.v);
      const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), i);
      const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), i);
      return {_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)))};
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

/// (2^f - 1) / f on |f| <= 0.5. Error of 2^f: float 2^-28.3, double 2^-57.8.
template <class V>
UFUSE_INLINE V exp2_slope(V f) {
  if constexpr (is_single<V>) {
    return polynomial(f, 0.6931471824645996, 0.24022650718688965, 0.055503591895103455, 0.009618071839213371,
                      0.001339115435257554, 0.0001545884006191045);
  } else {
    return polynomial(f, 0.6931471805599453, 0.24022650695910122, 0.055504108664822645, 0.009618129107596681,
                      0.0013333558146247212, 0.00015403530454648909, 1.525273395563485e-05,
                      1.32154362686038e-06, 1.0178018887938253e-07, 7.073642293714764e-09,
                      4.4606697948478624e-10);
  }
}

/// A number in two lanes: the rounded one, and what it lacks.
template <class V>
struct Sum {
  V high;
  V low;
};

/// a + b with what rounding loses, for |a| >= |b| or a = 0 (Dekker 1971).
template <class V>
UFUSE_INLINE Sum<V> sum_of_larger(V a, V b) {
  const V high = a + b;
  return {high, (a - high) + b};
}
/// a + b with what rounding loses (Knuth's sum of two).
template <class V>
UFUSE_INLINE Sum<V> sum_of_two(V a, V b) {
  const V high = a + b;
  const V from_b = high - a;
  return {high, (a - (high - from_b)) + (b - from_b)};
}

inline constexpr double kLog2E = 1.4426950408889634;
template <class V>
inline constexpr double kLog2ELow = is_single<V> ? 1.925963033500011e-08 : 2.0355273740931033e-17;

/// x = n ln 2 + r, |r| <= 0.35 (Cody and Waite 1980): the high part of ln 2 is so short (float 16 bits,
/// double 42) that n times it is exact on every tier, with fused multiply-add or without.
template <class V>
inline constexpr double kLn2High = is_single<V> ? 0.693145751953125 : 0.6931471805598903;
template <class V>
inline constexpr double kLn2Low = is_single<V> ? 1.4286068203094173e-06 : 5.497923018708371e-14;
template <class V>
UFUSE_INLINE V reduce_by_ln2(V x, V n) {
  return fma(n, constant<V>(-kLn2Low<V>), fma(n, constant<V>(-kLn2High<V>), x));
}

/// (e^r - 1 - r) / r^2 on |r| <= 0.3466. Error of e^r: float 2^-28.2, double 2^-57.9.
template <class V>
UFUSE_INLINE V exp_curvature(V r) {
  if constexpr (is_single<V>) {
    return polynomial(r, 0.4999999403953552, 0.1666652113199234, 0.04166824370622635, 0.008368664421141148,
                      0.0013822754845023155);
  } else {
    return polynomial(r, 0.5000000000000011, 0.1666666666666643, 0.041666666666526894, 0.008333333333482339,
                      0.0013888888944362022, 0.00019841269533569852, 2.480149243304389e-05,
                      2.7557562009770134e-06, 2.7630460836667944e-07, 2.500780704782336e-08);
  }
}

}  // namespace math
}  // namespace UFUSE_TIER
}  // namespace ufuse
