// Powers, roots and a product with a logarithm.
#pragma once

#include "ops/math_log.hpp"
#include "ops/math_wide.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// 2^(y log2 x) for float values in double lanes: x positive and finite, y finite or NaN.
struct ShortPower {
  template <class V>
  static UFUSE_INLINE V apply(V x, V y) {
    // Beyond these a float is 0 or infinite.
    const V z = at_least(at_most(static_cast<V>(y * short_log2(x)), 130.0), -152.0);
    return short_exp2(z);
  }
};

/// x^y for positive finite x and finite y.
template <class V>
UFUSE_INLINE V positive_power(V x, V y) {
  if constexpr (is_single<V>) {
    return in_double<ShortPower>(x, y);
  } else {
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
    const V one = constant<V>(1.0);
    const V base = without_sign(x);
    const auto proper =
        (base > constant<V>(0.0)) & (base < infinity<V>()) & (without_sign(y) < infinity<V>());
    const V r = positive_power(select(proper, base, one), select(proper, y, one));
    return all_of(proper & (x > constant<V>(0.0))) ? r : any_power(x, y, r);
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
