// Exact operations of numbers: signs, order, neighbours, powers of two.
#pragma once

#include "ops/compare.hpp"
#include "ops/math_wide.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

struct copysign {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return math::with_sign(math::without_sign(a), b);
  }
};

struct signbit {
  template <class R, class V>
  static UFUSE_INLINE R apply(V a) {
    using I = int_of_t<V>;
    return bytes_of<R>(bitcast<I>(a) < I{});
  }
};

struct sign {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    const V zero = V{};
    const V one = splat<V>(lane_t<V>(1));
    if constexpr (is_floating<V>) {  // NaN stays; -0.0 becomes 0.0
      return select(a > zero, one, select(a < zero, -one, a + zero));
    } else if constexpr (static_cast<lane_t<V>>(-1) < lane_t<V>(0)) {
      return select(a > zero, one, select(a < zero, splat<V>(lane_t<V>(-1)), zero));
    } else {
      return select(a != zero, one, zero);
    }
  }
};

// A NaN gives way to a number, which maximum and minimum pass on.
struct fmax {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V> && has_quiet_extremes<V>) {
      return select(is_nan(a), b, math::larger(b, a));
    } else if constexpr (is_floating<V>) {
      return select(UFUSE_TIER::is_greater_equal(a, b) | is_nan(b), a, b);
    } else {
      return maximum::apply(a, b);
    }
  }
};

struct fmin {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V> && has_quiet_extremes<V>) {
      return select(is_nan(a), b, math::smaller(b, a));
    } else if constexpr (is_floating<V>) {
      return select(UFUSE_TIER::is_less_equal(a, b) | is_nan(b), a, b);
    } else {
      return minimum::apply(a, b);
    }
  }
};

struct heaviside {
  template <class V>
  static UFUSE_INLINE V apply(V a, V at_zero) {
    const V zero = V{};
    const V step = select(a > zero, splat<V>(lane_t<V>(1)), select(is_nan(a), a, zero));
    return select(a == zero, at_zero, step);
  }
};

/// The number after a on the way to b: one more or one less of the bits, which count away from zero.
struct nextafter {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    using I = int_of_t<V>;
    const V zero = V{};
    const I one = splat<I>(lane_t<I>(1));
    const I bits = bitcast<I>(a);
    const auto outward = (a < b) == (a > zero);
    const V stepped =
        select(outward, bitcast<V>(static_cast<I>(bits + one)), bitcast<V>(static_cast<I>(bits - one)));
    const V least = math::with_sign(bitcast<V>(one), b);
    const V next = select(a == zero, least, stepped);
    return select(is_nan(a) | is_nan(b), a + b, select(a == b, b, next));
  }
};

/// a 2^n, rounded once.
struct ldexp {
  template <class V, class N>
  static UFUSE_INLINE V apply(V a, N n) {
    using namespace math;
    using B = bits_t<V>;
    using F = format_t<V>;
    constexpr double kUp = is_single<V> ? 0x1p24 : 0x1p53;
    constexpr double kMost = is_single<V> ? 600.0 : 4400.0;
    const V magnitude = without_sign(a);
    const auto denormal = magnitude < splat<V>(F::kLeastNormal);
    const V normal = select(denormal, magnitude * constant<V>(kUp), magnitude);
    // a as m 2^e, m in [1, 2), so that scale() rounds at its last step alone.
    const B exponent = (bitcast<B>(normal) >> F::kMantissa) - splat<B>(F::kBias);
    const V m = bitcast<V>(bitcast<B>(normal) - (exponent << F::kMantissa));
    const V e = bitcast<V>(exponent + bitcast<B>(splat<V>(F::kRounder))) - splat<V>(F::kRounder);
    const V shift = at_least(at_most(convert<V>(n), kMost), -kMost);
    const V lift = select(denormal, constant<V>(is_single<V> ? -24.0 : -53.0), constant<V>(0.0));
    constexpr double kEdge = is_single<V> ? 250.0 : 2000.0;
    const V total = at_least(at_most((shift + e) + lift, kEdge), -kEdge);
    const auto kept = (magnitude == constant<V>(0.0)) | is_nan(a) | (magnitude == math::infinity<V>());
    return select(kept, a, with_sign(scale(m, total), a));
  }
};

/// a b + c, rounded once on every tier.
struct multiply_add {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b, V c) {
    if constexpr (math::has_fma<V>) {
      return UFUSE_TIER::fma(a, b, c);
    } else {
      V r = V{};
      for (int lane = 0; lane < V::size; ++lane) r.v[lane] = UFUSE_TIER::fma(a[lane], b[lane], c[lane]);
      return r;
    }
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
