// Division by what stays the same from one element to the next.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// A number to divide many others by. A quotient is rounded as division rounds it, for a multiplication and
/// three multiply-adds: 16 float32 in 2.5 cycles of an Intel core, where a division takes 16, and in 4 of a
/// Zen 4, where it takes 10.
///
/// The inverse in two parts gives x / scale within an ulp, whose remainder is then exact, and the correctly
/// rounded inverse times that remainder corrects it to the nearest (P. Markstein, "Computation of elementary
/// functions on the IBM RISC System/6000 processor", 1990, theorem 7). The remainder of a small x is not
/// exact: quotients below 2^-26 are those of a number some ulp away. Nor has a zero its sign.
template <class V>
struct Divisor {
  V scale, inverse, rest;
};

#if !UFUSE_DEVICE_CODE
/// Divisors made side by side, one for each lane of V; kept in memory, from which one is in all lanes at
/// once.
template <class V>
struct Divisors {
  using T = lane_t<V>;
  static constexpr int size = V::size;

  alignas(64) T scale[size], inverse[size], rest[size];
  /// Whether quotients of finite numbers up to 2^20 are right: nothing that is added overflows, or is so
  /// small that digits are lost.
  bool holds;

  explicit UFUSE_INLINE Divisors(V by) {
    const V one = splat<V>(T{1}), inverse_of_each = one / by;
    by.store(scale);
    inverse_of_each.store(inverse);
    (UFUSE_TIER::fma(-by, inverse_of_each, one) * inverse_of_each).store(rest);
    constexpr bool kSingle = sizeof(T) == 4;
    const V least = splat<V>(static_cast<T>(kSingle ? 0x1p-64 : 0x1p-800)),
            most = splat<V>(static_cast<T>(kSingle ? 0x1p90 : 0x1p800));
    // With a multiply-add of two roundings the remainder is not exact.
    holds = math::has_fma<V> && !any(~((by >= least) & (by <= most)));
  }

  UFUSE_INLINE Divisor<V> at(int k) const {
    return {splat<V>(scale[k]), splat<V>(inverse[k]), splat<V>(rest[k])};
  }
};
#endif

template <class V>
UFUSE_INLINE V operator/(V x, const Divisor<V>& by) {
  const V near = UFUSE_TIER::fma(x, by.inverse, x * by.rest);
  return UFUSE_TIER::fma(UFUSE_TIER::fma(-near, by.scale, x), by.inverse, near);
}

#if !UFUSE_DEVICE_CODE
/// Quotients of any numbers by one, rounded as division rounds them, where the numbers are zeros or far from
/// the limits of their type: `look_at` all, ask `are_exact`, and only then compute them, since of others (an
/// infinity) flags would be set that a division does not set.
template <class V>
class Quotients {
  using T = lane_t<V>;
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  using U = Vec<Bits, V::size>;
  static constexpr bool kSingle = sizeof(T) == 4;
  static constexpr Bits power(int exponent) {
    return static_cast<Bits>(static_cast<Bits>(exponent + (kSingle ? 127 : 1023)) << (kSingle ? 23 : 52));
  }
  // Nothing that `Divisor` adds is rounded at the lower end of the type then, and nothing sets a flag: the
  // smallest of it is 2^-48 of a float32 quotient, 2^-106 of a float64 one.
  static constexpr Bits kLeast = power(kSingle ? -50 : -400), kMost = power(kSingle ? 60 : 400),
                        kLeastDivisor = power(kSingle ? -28 : -200), kMostDivisor = power(kSingle ? 28 : 200);

 public:
  explicit UFUSE_INLINE Quotients(T by) {
    const auto bits = bitcast<Bits>(by);  // of negative numbers more than of any positive one
    holds = bits >= kLeastDivisor && bits <= kMostDivisor;
    const V one = splat<V>(T{1});
    by_.scale = splat<V>(holds ? by : T{1});  // the inverse of a zero sets a flag
    by_.inverse = one / by_.scale;
    by_.rest = UFUSE_TIER::fma(-by_.scale, by_.inverse, one) * by_.inverse;
  }
  UFUSE_INLINE void look_at(V x) {
    const U magnitude = bitcast<U>(x) << 1, but_zero = magnitude - splat<U>(1);
    least_ = least_of(but_zero, least_);
    most_ = most_of(magnitude, most_);
  }
  UFUSE_INLINE bool are_exact() const {
    return !any((least_ < splat<U>(static_cast<Bits>(2 * kLeast - 1))) |
                (most_ > splat<U>(static_cast<Bits>(2 * kMost))));
  }
  UFUSE_INLINE V of(V x) const {
    const U sign = bitcast<U>(x) & splat<U>(static_cast<Bits>(Bits{1} << (8 * sizeof(T) - 1)));
    return bitcast<V>(bitcast<U>(x / by_) | sign);  // which a zero would lose
  }
  /// Of integers of 8 or 16 bits, whose zero has no sign.
  UFUSE_INLINE V of_small(V x) const { return x / by_; }
  bool holds;  // else by division

 private:
  // One instruction, where the compiler makes two of comparing and choosing.
  static UFUSE_INLINE U least_of(U a, U b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(U) == 64) {
      const auto x = (__m512i)a.v, y = (__m512i)b.v;
      return {(typename U::native)(kSingle ? _mm512_maskz_min_epu32(0xffff, x, y)
                                           : _mm512_maskz_min_epu64(0xff, x, y))};
    } else
#endif
      return select(a < b, a, b);
  }
  static UFUSE_INLINE U most_of(U a, U b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(U) == 64) {
      const auto x = (__m512i)a.v, y = (__m512i)b.v;
      return {(typename U::native)(kSingle ? _mm512_maskz_max_epu32(0xffff, x, y)
                                           : _mm512_maskz_max_epu64(0xff, x, y))};
    } else
#endif
      return select(a > b, a, b);
  }

  Divisor<V> by_;
  U least_ = splat<U>(static_cast<Bits>(~Bits{0})), most_ = splat<U>(Bits{0});
};
#endif

template <class V>
UFUSE_INLINE V inverse_of(V by) {
  return splat<V>(1) / by;
}
template <class V>
UFUSE_INLINE V inverse_of(const Divisor<V>& by) {
  return by.inverse;
}

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
