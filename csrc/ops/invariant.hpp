// Integers divided by one number: a multiplication and shifts instead of a division (T. Granlund and P. L.
// Montgomery, "Division by invariant integers using multiplication", 1994).
#pragma once

#include <type_traits>

#include "ops/division.hpp"

#if !UFUSE_DEVICE_CODE
namespace ufuse {
namespace UFUSE_TIER {
namespace math {

#if defined(__x86_64__)
#if defined(__AVX512BW__)
#define UFUSE_512(expression) \
  if constexpr (sizeof(a.v) == 64) return {(typename V::native)(expression)};
#else
#define UFUSE_512(expression)
#endif
#if defined(__AVX2__)
#define UFUSE_256(expression) \
  if constexpr (sizeof(a.v) == 32) return {(typename V::native)(expression)};
#else
#define UFUSE_256(expression)
#endif
#define UFUSE_128(expression) \
  if constexpr (sizeof(a.v) == 16) return {(typename V::native)(expression)};
#else
#define UFUSE_512(expression)
#define UFUSE_256(expression)
#define UFUSE_128(expression)
#endif

/// The upper halves of products of 16 bits.
template <int N>
UFUSE_INLINE Vec<uint16_t, N> upper_product(Vec<uint16_t, N> a, Vec<uint16_t, N> b) {
  using V = Vec<uint16_t, N>;
  UFUSE_512(_mm512_mulhi_epu16((__m512i)a.v, (__m512i)b.v))
  UFUSE_256(_mm256_mulhi_epu16((__m256i)a.v, (__m256i)b.v))
  UFUSE_128(_mm_mulhi_epu16((__m128i)a.v, (__m128i)b.v))
  using Wide = Vec<uint32_t, N>;
  return convert<V>(Wide{(convert<Wide>(a) * convert<Wide>(b)).v >> 16});
}

/// Products of the lower halves of 64 bits.
template <int N>
UFUSE_INLINE Vec<uint64_t, N> lower_halves_product(Vec<uint64_t, N> a, Vec<uint64_t, N> b) {
  using V = Vec<uint64_t, N>;
  UFUSE_512(_mm512_maskz_mul_epu32(0xff, (__m512i)a.v, (__m512i)b.v))
  UFUSE_256(_mm256_mul_epu32((__m256i)a.v, (__m256i)b.v))
  UFUSE_128(_mm_mul_epu32((__m128i)a.v, (__m128i)b.v))
  return V{(a.v & 0xffffffff) * (b.v & 0xffffffff)};
}
#undef UFUSE_512
#undef UFUSE_256
#undef UFUSE_128

template <int N>
UFUSE_INLINE Vec<uint32_t, N> upper_product(Vec<uint32_t, N> a, Vec<uint32_t, N> b) {
  using V = Vec<uint32_t, N>;
  using Pair = Vec<uint64_t, N / 2>;
  const Pair x = bitcast<Pair>(a), y = bitcast<Pair>(b);
  const Pair even = lower_halves_product(x, y) >> 32;
  const Pair odd = lower_halves_product<N / 2>(x >> 32, y >> 32) & splat<Pair>(0xffffffff00000000);
  return bitcast<V>(Pair{even.v | odd.v});
}

template <int N>
UFUSE_INLINE Vec<uint64_t, N> upper_product(Vec<uint64_t, N> a, Vec<uint64_t, N> b) {
  using V = Vec<uint64_t, N>;
  const V a_upper = a >> 32, b_upper = b >> 32;
  const V middle = lower_halves_product(a_upper, b) + (lower_halves_product(a, b) >> 32);
  const V other = lower_halves_product(a, b_upper) + (middle & splat<V>(0xffffffff));
  return lower_halves_product(a_upper, b_upper) + (middle >> 32) + (other >> 32);
}

/// The quotient of 2^bits `upper` and the bits of U, `upper` below b; at run time for one number a block.
template <class U>
UFUSE_INLINE U divide_wide(U upper, U b) {
  if constexpr (sizeof(U) == 8) {
    uint64_t quotient = 0;
#pragma GCC unroll 1
    for (int bit = 0; bit < 64; ++bit) {  // the library's division of 128 bits is no inline function
      const bool carried = (upper >> 63) != 0;
      upper <<= 1;
      quotient <<= 1;
      if (carried || upper >= b) {
        upper -= b;
        quotient |= 1;
      }
    }
    return quotient;
  } else {
    return static_cast<U>((static_cast<uint64_t>(upper) << (8 * sizeof(U))) / b);
  }
}

/// What is asked for of a division by a positive number d of T, in (2^(l-1), 2^l].
///
/// Of n below 2^w the quotient is the upper part of n m, m = ceil(2^(w+l) / d): m d is too large by less than
/// d, so n m / 2^(w+l) by less than 1/d. For unsigned n, w is all bits, and m has one more, whose product is
/// an addition: n + (the upper half of n (m - 2^w)), halved before it can overflow. Of signed n < 0 the
/// floored quotient is ~(~n / d). Bytes are divided in lanes of 16 bits, where m fits.
template <Part part, class T>
class InvariantDivision {
  using U = std::make_unsigned_t<T>;
  static constexpr int kBits = 8 * static_cast<int>(sizeof(T));

 public:
  explicit UFUSE_INLINE InvariantDivision(T divisor) : divisor_(divisor), holds(divisor > 0) {
    if (!holds) return;
    const U d = static_cast<U>(divisor);
    while (shift_ < kBits && (static_cast<U>(d - 1) >> shift_) != 0) ++shift_;
    if constexpr (kBits == 8) {
      multiplier_ = static_cast<uint16_t>(((256U << shift_) + d - 1) / d);
    } else {
      // 2^bits (2^l - d) / d + 1, where 2^l may be one more than U holds
      const U power = shift_ == kBits ? U(0) : static_cast<U>(U(1) << shift_);
      multiplier_ = static_cast<Multiplier>(divide_wide<U>(static_cast<U>(power - d), d) + 1);
    }
  }

  template <class V>
  UFUSE_INLINE V apply(V a) const {
    constexpr int N = V::size;
    using Unsigned = Vec<U, N>;
    Unsigned n = bitcast<Unsigned>(a);
    Unsigned below{};
    if constexpr (is_signed<T>) {
      if constexpr (kBits == 8) {
        below = bitcast<Unsigned>(a < splat<V>(T(0)));
      } else {
        below = bitcast<Unsigned>(a >> (kBits - 1));
      }
      n = n ^ below;
    }
    Unsigned q;
    if constexpr (kBits == 8) {
      q = bytes(n);
    } else {
      const Unsigned t = upper_product(n, splat<Unsigned>(multiplier_));
      const int first = shift_ < 1 ? shift_ : 1;
      q = (t + ((n - t) >> first)) >> (shift_ - first);
    }
    if constexpr (is_signed<T>) q = q ^ below;
    if constexpr (part == Part::kQuotient) return bitcast<V>(q);
    const V r = a - bitcast<V>(times_divisor(q));
    if constexpr (part == Part::kTruncated && is_signed<T>) {
      const V zero = splat<V>(T(0));
      return r - ((a < zero) & (r != zero) & splat<V>(divisor_));
    }
    return r;
  }

 private:
  template <int N>
  UFUSE_INLINE Vec<U, N> times_divisor(Vec<U, N> q) const {
    if constexpr (kBits == 8) {  // there is no product of bytes
      using Pair = Vec<uint16_t, N / 2>;
      const Pair both = bitcast<Pair>(q);
      const Pair d = splat<Pair>(static_cast<uint16_t>(divisor_));
      return bitcast<Vec<U, N>>(((both * d) & splat<Pair>(0xff)) | (((both >> 8) * d) << 8));
    } else {
      return q * splat<Vec<U, N>>(static_cast<U>(divisor_));
    }
  }

  template <int N>
  UFUSE_INLINE Vec<uint8_t, N> bytes(Vec<uint8_t, N> n) const {
    using Pair = Vec<uint16_t, N / 2>;
    const Pair both = bitcast<Pair>(n);
    const Pair m = splat<Pair>(multiplier_);
    const int up = 8 - shift_;
    const Pair even = upper_product<N / 2>((both & splat<Pair>(0xff)) << up, m);
    const Pair odd = upper_product<N / 2>((both >> 8) << up, m);
    return bitcast<Vec<uint8_t, N>>(even | (odd << 8));
  }

  using Multiplier = std::conditional_t<kBits == 8, uint16_t, U>;
  T divisor_;
  Multiplier multiplier_ = 0;
  int shift_ = 0;  // l

 public:
  bool holds;  // else element by element
};

}  // namespace math
}  // namespace UFUSE_TIER
}  // namespace ufuse
#endif
