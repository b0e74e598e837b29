// Angles in quarter turns: what sin, cos and tan begin with.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// An angle of `quarter` quarter turns, of which the last two bits count, and r + low, |r| <= 0.79.
template <class V>
struct Angle {
  bits_t<V> quarter;
  V r;
  V low;
};

/// pi/2 in three parts. n times the first is subtracted exactly by a fused multiply-add. The second of
/// double has 33 bits, so that n times it is exact for n < 2^20.
template <class V>
struct QuarterTurn {
  static constexpr double kTurns = 0.6366197723675814;  // of one radian
  static constexpr double k1 = is_single<V> ? 1.5707963705062866 : 1.5707963267948966;
  static constexpr double k2 = is_single<V> ? -4.371138828673793e-08 : 6.12323399538461e-17;
  static constexpr double k3 = is_single<V> ? -1.7151245100058819e-15 : 3.5215598651832e-27;
  static constexpr double kLimit = is_single<V> ? 0x1p17 : 0x1p20;  // of the angle
};

/// The bits of 2/pi, 64 to a word; the first word is what is before the point.
inline constexpr int kTurnWords = 20;
UFUSE_INLINE uint64_t turns_word(int i) {
  static constexpr uint64_t kWords[kTurnWords] = {
      0x0000000000000000, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
      0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41,
      0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7,
      0x4f463f669e5fea2d, 0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab};
  return kWords[i];
}

UFUSE_INLINE uint64_t high_product(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64);
#endif
}

/// The bits of 2/pi from that on whose product with 2^exponent is 2: at(0) has 64 of them, at(1) the next 64.
struct TurnsWindow {
  int word;
  int shift;
  explicit UFUSE_INLINE TurnsWindow(int exponent) : word((exponent + 62) >> 6), shift((exponent + 62) & 63) {}
  UFUSE_INLINE uint64_t at(int i) const {
    return (turns_word(word + i) << shift) | ((turns_word(word + i + 1) >> 1) >> (63 - shift));
  }
};

/// x >= 2^17 in quarter turns (Payne and Hanek 1983): of 2/pi only those bits are multiplied whose products
/// with the significand are less than four quarter turns and large enough to count. What is dropped is below
/// 2^-61 of a turn; no float is closer than 2^-30 to a quarter.
UFUSE_INLINE Angle<float> reduce_huge(float x) {
  const uint32_t bits = bitcast<uint32_t>(x);
  const int exponent = static_cast<int>(bits >> 23) - 150;  // of the significand's last bit
  if (exponent > 104) return {0, x - x, x - x};             // infinite
  const uint64_t m = (bits & 0x7fffff) | 0x800000;
  const TurnsWindow turns(exponent);
  const uint64_t product = m * turns.at(0) + ((m * (turns.at(1) >> 32)) >> 32);
  // The first two bits count quarters; the nearest quarter leaves a fraction in [-1/2, 1/2).
  const uint64_t quarter = (product + 0x2000000000000000) >> 62;
  const double r = static_cast<double>(static_cast<int64_t>(product << 2)) * (1.5707963267948966 * 0x1p-64);
  const float high = static_cast<float>(r);
  return {static_cast<int32_t>(quarter), high, static_cast<float>(r - static_cast<double>(high))};
}

/// As for float. What is dropped is below 2^-125; no double is closer than 2^-62 to a quarter turn.
UFUSE_INLINE Angle<double> reduce_huge(double x) {
  const int64_t bits = bitcast<int64_t>(x);
  const int exponent = static_cast<int>(bits >> 52) - 1075;
  if (exponent > 971) return {0, x - x, x - x};
  const uint64_t m = static_cast<uint64_t>((bits & 0xfffffffffffff) | 0x10000000000000);
  const TurnsWindow turns(exponent);
  const uint64_t w1 = turns.at(1);
  const uint64_t carried = high_product(m, turns.at(2));
  uint64_t low = m * w1 + carried;
  uint64_t high = m * turns.at(0) + high_product(m, w1) + (low < carried ? 1 : 0);
  const int64_t quarter = static_cast<int64_t>((high + 0x2000000000000000) >> 62);
  high = (high << 2) | (low >> 62);
  low <<= 2;
  const bool negative = static_cast<int64_t>(high) < 0;
  if (negative) {
    low = 0 - low;
    high = ~high + (low == 0 ? 1 : 0);
  }
  // 53 bits that are exact, and the other 75, which may be all that there is.
  const double first = static_cast<double>(static_cast<int64_t>(high & ~uint64_t{0x7ff})) * 0x1p-64;
  const double rest = static_cast<double>(static_cast<int64_t>(high & 0x7ff)) * 0x1p-64 +
                      static_cast<double>(static_cast<int64_t>(low >> 1)) * 0x1p-127;
  const double f = first + rest;
  const double f_low = (first - f) + rest;
  const double sign = negative ? -1.0 : 1.0;
  constexpr double kHigh = 1.5707963267948966;
  constexpr double kLow = 6.123233995736766e-17;
  const double r = f * kHigh;
  const double r_low = fma(f, kHigh, -r) + fma(f, kLow, f_low * kHigh);
  return {quarter, sign * r, sign * r_low};
}

/// x >= 0 in quarter turns (Cody and Waite 1980), r and low right to twice the precision. `quarter` has
/// `more` added, which costs nothing here.
template <class V>
UFUSE_INLINE Angle<V> reduce_angle(V x, int more = 0) {
  using Q = QuarterTurn<V>;
  const V rounder = constant<V>(static_cast<double>(format_t<V>::kRounder) + more);
  const V shifted = fma(x, constant<V>(Q::kTurns), rounder);
  const V n = shifted - rounder;
  Angle<V> angle;
  angle.quarter = bitcast<bits_t<V>>(shifted);
  // x - n k1 has few bits, as both are multiples of a last place of k1.
  V first;
  if constexpr (has_fma<V>) {
    first = fma(n, constant<V>(-Q::k1), x);
  } else {
    const V product = n * constant<V>(Q::k1);
    first = (x - product) - product_error(n, constant<V>(Q::k1), product);
  }
  // Fast sums of two (Dekker 1971): `first` may be the smaller, but is then a multiple of the other's last
  // place, which is as good.
  if constexpr (is_single<V>) {
    const V second = n * constant<V>(Q::k2);
    const V third = fma(n, constant<V>(Q::k3), product_error(n, constant<V>(Q::k2), second));
    angle.r = first - second;
    angle.low = ((first - angle.r) - second) - third;
  } else {
    const V minus_second = constant<V>(-Q::k2);
    angle.r = fma(n, minus_second, first);
    angle.low = fma(n, constant<V>(-Q::k3), fma(n, minus_second, first - angle.r));
  }
  return angle;
}

/// Replaces the angles of the lanes from the limit on.
template <class V>
UFUSE_INLINE void reduce_huge_lanes(V x, int more, Angle<V>& angle) {
  if constexpr (is_vector<V>) {
    for (int lane = 0; lane < V::size; ++lane) {
      if (!(x[lane] >= lane_t<V>(QuarterTurn<V>::kLimit))) continue;
      const Angle<lane_t<V>> huge = reduce_huge(x[lane]);
      angle.quarter.v[lane] = huge.quarter + more;
      angle.r.v[lane] = huge.r;
      angle.low.v[lane] = huge.low;
    }
  } else {
    angle = reduce_huge(x);
    angle.quarter += more;
  }
}

/// F::of_angle where lanes are huge: out of line and all of it again, so that the usual loop keeps its
/// registers.
template <class F, class V>
#if !UFUSE_DEVICE_CODE
[[gnu::noinline]] void
#else
UFUSE_INLINE void
#endif
of_huge_angle(const V& x, V& y) {
  const V ax = without_sign(x);
  Angle<V> angle = reduce_angle(ax, F::kMore);
  reduce_huge_lanes(ax, F::kMore, angle);
  y = F::of_angle(angle, x);
}

/// F::of_angle(the angle |x| with F::kMore quarters more, x).
template <class F, class V>
UFUSE_INLINE V of_angle(V x) {
  const V ax = without_sign(x);
  if (any_at_least(ax, QuarterTurn<V>::kLimit)) {
    V y;
    of_huge_angle<F>(x, y);
    return y;
  }
  return F::of_angle(reduce_angle(ax, F::kMore), x);
}

}  // namespace math
}  // namespace UFUSE_TIER
}  // namespace ufuse
