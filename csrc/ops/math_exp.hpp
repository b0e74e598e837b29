// exp and what softmax and its like make of it, exp2, expm1.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// e^x for x that is not so large that it is infinite.
template <class V>
UFUSE_INLINE V exp_not_above(V x) {
  using namespace math;
  x = at_least(x, is_single<V> ? -104.0 : -746.0);  // below, e^x rounds to zero
  const V n = nearest(x, kLog2E);
  const V r = reduce_by_ln2(x, n);
  const V one = constant<V>(1.0);
  const V p = fma(fma(exp_curvature(r), r, one), r, one);
  return scale(p, n);
}

struct exp {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    return exp_not_above(math::at_most(x, math::is_single<V> ? 89.0 : 710.0));
  }
};

struct exp_difference {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return exp::apply(static_cast<V>(a - b));
  }
};

struct exp2 {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    x = at_least(at_most(x, is_single<V> ? 129.0 : 1025.0), is_single<V> ? -151.0 : -1076.0);
    const V n = nearest(x);
    const V f = x - n;  // exact
    return scale(fma(exp2_slope(f), f, constant<V>(1.0)), n);
  }
};

struct expm1 {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    // Below -18 (float) or -38 the result rounds to -1.
    const V t = at_least(at_most(x, is_single<V> ? 89.0 : 710.0), is_single<V> ? -18.0 : -38.0);
    const V n = nearest(t, kLog2E);
    const V r0 = fma(n, constant<V>(-kLn2High<V>), t);
    const V r = fma(n, constant<V>(-kLn2Low<V>), r0);
    const V r_low = fma(n, constant<V>(-kLn2Low<V>), r0 - r);
    // 2^n e^r - 1 = 2 (2^(n-1) (r + r^2 c) + (2^(n-1) - 1/2)): halved, so that n = 128 stays finite. For
    // n = +-1 the sum cancels in part, so what r and the first sum lost is carried along.
    const V half = power_of_two(n - constant<V>(1.0));
    const V base = half - constant<V>(0.5);
    const V base_low = (half - base) - constant<V>(0.5);
    const V linear = half * r;
    const V sum = base + linear;
    const V lost =
        select(without_sign(base) < without_sign(linear), (linear - sum) + base, (base - sum) + linear);
    const V q = r * r;
    const V c = exp_curvature(r);
    const V curved = fma(q, c, fma(product_error(r, r, q), c, r_low));
    const V y = sum + fma(half, curved, lost + base_low);
    // Tiny x, where half of r would lose a bit of a denormal, and -0.0.
    return select(without_sign(x) < constant<V>(is_single<V> ? 0x1p-26 : 0x1p-55), x, y + y);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
