// Division to whole numbers: fmod, remainder and floor_divide, bit for bit those of NumPy.
#pragma once

#include "ops/numbers.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// Lanes whose quotient has more digits than a lane, one by one.
template <class V>
UFUSE_INLINE V far_remainder(mask_t<V> near, V x, V y, V r) {
#if !UFUSE_DEVICE_CODE
  if constexpr (is_vector<V>) {
    for (int lane = 0; lane < V::size; ++lane)
      if (!near[lane]) r.v[lane] = UFUSE_TIER::fmod(x[lane], y[lane]);
    return r;
  } else
#endif
  {
    return near ? r : UFUSE_TIER::fmod(x, y);
  }
}

/// What is left of x after truncated multiples of y, as C's fmod: exact, of the sign of x; NaN for a zero y
/// or an infinite x. Where the quotient has fewer digits than a lane it is a division, a multiply-add whose
/// result is exact, and a step back where the quotient was rounded up.
template <class V>
UFUSE_INLINE V truncated_remainder(V x, V y) {
  using B = bits_t<V>;
  using F = format_t<V>;
  const V zero = constant<V>(0.0);
  const V ax = without_sign(x);
  const V ay = without_sign(y);
  // The exponents tell what the quotient may be, so that no division overflows.
  constexpr auto kLimit = static_cast<typename F::bits>(F::kMantissa - 2) << F::kMantissa;
  const auto near = ((bitcast<B>(ax) - bitcast<B>(ay)) < splat<B>(kLimit)) &
                    (ay >= splat<V>(F::kLeastNormal)) & (ay < infinity<V>()) & (ax < infinity<V>());
  const V a = select(near, ax, zero);
  const V b = select(near, ay, constant<V>(1.0));
  const V r = minus_product(a, UFUSE_TIER::trunc(static_cast<V>(a / b)), b);
  const V left = with_sign(without_sign(select(r < zero, r + b, r)), x);
  return all_of(near) ? left : far_remainder(near, x, y, left);
}

/// Of a floored quotient: it, and what is left, both whole numbers.
template <class V>
struct Division {
  V quotient, remainder;
};

/// For whole numbers in float lanes below 2^16, in double lanes below 2^32; b not 0. The inverse, which one b
/// for all has computed once, leaves an error of one, which the remainder shows.
template <class V>
UFUSE_INLINE Division<V> floored(V a, V b) {
  const V zero = constant<V>(0.0);
  const V one = constant<V>(1.0);
  V q = UFUSE_TIER::floor(static_cast<V>(a * (one / b)));
  V r = minus_product(a, q, b);
  const V size = without_sign(b);
  const V along = with_sign(one, b);
  const V below = select(r * along < zero, one, zero);
  q = q - below;
  r = fma(below, b, r);
  const V above = select(r * along >= size, one, zero);
  return {q + above, fma(-above, b, r)};
}

/// What of a division of integers is asked for.
enum class Part { kQuotient, kFloored, kTruncated };  // floor_divide, remainder, fmod

template <class T>
inline constexpr bool is_signed = static_cast<T>(-1) < T(0);

/// By one number for many: ops/invariant.hpp.
template <Part part, class T>
class InvariantDivision;

/// 0 for a divisor 0, and the smallest integer divided by -1 is itself.
template <Part part, class T>
UFUSE_INLINE T divide_one(T a, T b) {
  if (b == 0) {
    set_logarithm_flags(0.0);  // a division by zero
    return 0;
  }
  if (is_signed<T> && b == static_cast<T>(-1)) return part == Part::kQuotient ? static_cast<T>(-a) : T(0);
  const T q = static_cast<T>(a / b);
  const T r = static_cast<T>(a % b);
  const bool apart = is_signed<T> && part != Part::kTruncated && r != 0 && (r < 0) != (b < 0);
  if constexpr (part == Part::kQuotient) return static_cast<T>(q - (apart ? 1 : 0));
  return apart ? static_cast<T>(r + b) : r;
}

/// Of integers of 16 bits in float lanes, of 32 bits in double lanes.
template <Part part, class V>
UFUSE_INLINE V divide_whole(V a, V b) {
  const V zero = constant<V>(0.0);
  const auto by_zero = b == zero;
#if !UFUSE_DEVICE_CODE
  if (any(by_zero)) set_logarithm_flags(zero);  // a division by zero
#endif
  const Division<V> by = floored(a, select(by_zero, constant<V>(1.0), b));
  V result = part == Part::kQuotient ? by.quotient : by.remainder;
  if constexpr (part == Part::kTruncated)
    result = select((a < zero) & (result > zero), result - without_sign(b),
                    select((a > zero) & (result < zero), result + without_sign(b), result));
  return select(by_zero, zero, result);
}

#if defined(__AVX512DQ__) && !UFUSE_DEVICE_CODE
/// n / d and what is left, for 64 bits and d not 0. A quotient in double, made 2^-50 smaller, is never too
/// large, so that what is left is no negative number; a second one of that leaves less than 2 d. A third of
/// the time of eight divisions of the processor.
UFUSE_INLINE void divide_unsigned(__m512i n, __m512i d, __m512i& quotient, __m512i& left) {
  const __m512d less = _mm512_set1_pd(1 - 0x1p-50);
  const __m512d inverse = _mm512_div_pd(less, _mm512_maskz_cvtepu64_pd(0xff, d));
  const auto part = [&](__m512i of) __attribute__((always_inline)) {
    return _mm512_maskz_cvttpd_epu64(0xff, _mm512_mul_pd(_mm512_maskz_cvtepu64_pd(0xff, of), inverse));
  };
  quotient = part(n);
  left = _mm512_sub_epi64(n, _mm512_mullo_epi64(quotient, d));
  const __m512i more = part(left);
  quotient = _mm512_add_epi64(quotient, more);
  left = _mm512_sub_epi64(left, _mm512_mullo_epi64(more, d));
  const __mmask8 again = _mm512_cmpge_epu64_mask(left, d);
  quotient = _mm512_mask_add_epi64(quotient, again, quotient, _mm512_set1_epi64(1));
  left = _mm512_mask_sub_epi64(left, again, left, d);
}

template <Part part, bool Signed>
UFUSE_INLINE __m512i divide_eight(__m512i a, __m512i b) {
  const __m512i zero = _mm512_setzero_si512();
  const __mmask8 proper = _mm512_test_epi64_mask(b, b);
  if (proper != 0xff) set_logarithm_flags(0.0);  // a division by zero
  const __m512i divisor = _mm512_mask_mov_epi64(_mm512_set1_epi64(1), proper, b);
  __m512i q, r;
  if constexpr (!Signed) {
    divide_unsigned(a, divisor, q, r);
  } else {
    const __m512i size = _mm512_maskz_abs_epi64(0xff, divisor);
    divide_unsigned(_mm512_maskz_abs_epi64(0xff, a), size, q, r);
    const __mmask8 apart = _mm512_movepi64_mask(_mm512_xor_si512(a, divisor));
    const __mmask8 uneven = _mm512_mask_test_epi64_mask(apart, r, r);
    if constexpr (part == Part::kQuotient) {
      q = _mm512_mask_add_epi64(q, uneven, q, _mm512_set1_epi64(1));
      q = _mm512_mask_sub_epi64(q, apart, zero, q);
    } else if constexpr (part == Part::kFloored) {
      r = _mm512_mask_sub_epi64(r, uneven, size, r);
      r = _mm512_mask_sub_epi64(r, _mm512_movepi64_mask(divisor), zero, r);
    } else {
      r = _mm512_mask_sub_epi64(r, _mm512_movepi64_mask(a), zero, r);
    }
  }
  return _mm512_maskz_mov_epi64(proper, part == Part::kQuotient ? q : r);
}
#endif

#if !UFUSE_DEVICE_CODE
/// A register of integers, of which as many at a time as floating lanes make a register.
template <Part part, class T, int N>
UFUSE_INLINE Vec<T, N> divide_integers(Vec<T, N> a, Vec<T, N> b) {
  Vec<T, N> r;
#if defined(__AVX512DQ__)
  if constexpr (sizeof(T) == 8 && N == 8) {
    return {(typename Vec<T, N>::native)divide_eight<part, is_signed<T>>((__m512i)a.v, (__m512i)b.v)};
  } else
#endif
      if constexpr (sizeof(T) == 8) {  // no floating lane holds them
    T x[N], y[N];
    a.store(x);
    b.store(y);
#pragma GCC unroll 1  // unrolled, these loops made the library 0.5 MB larger
    for (int lane = 0; lane < N; ++lane) x[lane] = divide_one<part, T>(x[lane], y[lane]);
    r = Vec<T, N>::load(x);
  } else {
    constexpr int kLane = sizeof(T) == 4 ? 8 : 4;
    constexpr int kMost = kRegisterBytes / kLane;
    constexpr int M = N < kMost ? N : kMost;
    using Lanes = std::conditional_t<sizeof(T) == 4, Vec<double, M>, Vec<float, M>>;
    using Piece = Vec<T, M>;
#pragma GCC unroll 2
    for (int first = 0; first < N; first += M) {
      const auto at = [first](auto& all) __attribute__((always_inline)) {
        return reinterpret_cast<char*>(&all.v) + static_cast<std::size_t>(first) * sizeof(T);
      };
      const auto lanes = [](Piece p) __attribute__((always_inline)) {
        if constexpr (sizeof(T) == 4) {
          return convert<Lanes>(p);
        } else {
          return convert<Lanes>(convert<Vec<int32_t, M>>(p));
        }
      };
      const Lanes whole = divide_whole<part>(lanes(Piece::load(at(a))), lanes(Piece::load(at(b))));
      // The rounder leaves the integer in the low bits, of quotients beyond T as well.
      const auto bits =
          bitcast<bits_t<Lanes>>(static_cast<Lanes>(whole + splat<Lanes>(format_t<Lanes>::kRounder)));
      convert<Piece>(bits).store(at(r));
    }
  }
  return r;
}
#endif

template <Part part, class V>
UFUSE_INLINE V divide_integers(V a, V b)
  requires(!is_vector<V>)
{
  return divide_one<part, V>(a, b);
}

}  // namespace math

namespace ops {

struct fmod {
  template <class T>
  using invariant = math::InvariantDivision<math::Part::kTruncated, T>;
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V>) {
      return math::truncated_remainder(a, b);
    } else {
      return math::divide_integers<math::Part::kTruncated>(a, b);
    }
  }
};

/// a - b floor(a / b), computed from fmod's: of the sign of b.
struct remainder {
  template <class T>
  using invariant = math::InvariantDivision<math::Part::kFloored, T>;
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V>) {
      const V zero = V{};
      const V left = math::truncated_remainder(a, b);
      const V signed_zero = math::with_sign(zero, b);
      const V moved = select((left < zero) != (b < zero), left + b, left);
      return select(left == zero, signed_zero, moved);
    } else {
      return math::divide_integers<math::Part::kFloored>(a, b);
    }
  }
};

/// floor(a / b) as that of the exact quotient, by way of fmod's remainder.
struct floor_divide {
  template <class T>
  using invariant = math::InvariantDivision<math::Part::kQuotient, T>;
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V>) {
      using namespace math;
      const V zero = V{};
      const V one = constant<V>(1.0);
      const V left = truncated_remainder(a, b);
      // A zero divisor gives what division gives.
      V q = select(b == zero, a, a - left) / b;
      q = select((left != zero) & ((left < zero) != (b < zero)), q - one, q);
      const V down = UFUSE_TIER::floor(q);
      const V whole = select(q - down > constant<V>(0.5), down + one, down);
      const V signed_zero = bitcast<V>(bitcast<bits_t<V>>(sign_of(a)) ^ bitcast<bits_t<V>>(sign_of(b)));
      return select(q == zero, signed_zero, whole);
    } else {
      return math::divide_integers<math::Part::kQuotient>(a, b);
    }
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
