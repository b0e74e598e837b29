// The search for a scale and a smallest value of sub-blocks (Q2_K, Q4_K, Q5_K): x is about scale * level +
// low.
#pragma once

#include "formats/kquants_levels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {

/// Scales that are tried: (top + first + k * step) / range for k = 0 to last.
struct Steps {
  float first;
  float step;
  int last;
};

/// Of each lane the scale, minus the smallest value, and what gave its levels: nearest(inverse * (x -
/// origin)). A NaN for the inverse stands for levels that are all zero.
struct Fit {
  V scale;
  V shift;
  V inverse;
  V origin;
};

struct LevelSums {
  V w_l, w_l2, w_l_x;
};

/// Levels of one sub-block, and their weighted sums with themselves and the values.
template <int kSub, int kTop, bool kAnySize>
UFUSE_INLINE LevelSums find_levels(const float* x, const float* weights, float* levels, V inverse, V origin) {
  LevelSums sums = {splat<V>(0), splat<V>(0), splat<V>(0)};
#pragma GCC unroll 4
  for (int i = 0; i < kSub; ++i) {
    const V v = row(x, i);
    const V level = clamp(nearest_float<kAnySize>(inverse * (v - origin)), 0, kTop);
    level.store(levels + i * kLanes);
    const V w_l = row(weights, i) * level;
    sums.w_l = sums.w_l + w_l;
    sums.w_l2 = sums.w_l2 + w_l * level;
    sums.w_l_x = sums.w_l_x + w_l * v;
  }
  return sums;
}

template <int kSub, int kTop>
__attribute__((noinline)) inline void find_levels_of_any_size(const float* x, const float* weights,
                                                              float* levels, const V* inverse,
                                                              const V* origin, LevelSums* sums) {
  *sums = find_levels<kSub, kTop, true>(x, weights, levels, *inverse, *origin);
}

template <int kSub, bool kAbsolute>
UFUSE_INLINE V weighted_error(const float* x, const float* weights, const float* levels, V scale, V low) {
  V sum = splat<V>(0);
#pragma GCC unroll 4
  for (int i = 0; i < kSub; ++i) {
    const V difference = scale * row(levels, i) + low - row(x, i);
    sum = sum + row(weights, i) * (kAbsolute ? magnitude(difference) : difference * difference);
  }
  return sum;
}

/// One sub-block of each lane while it is searched.
template <int kSub, int kTop, bool kAbsolute>
struct AffineSearch {
  const float* x;
  const float* weights;
  float* levels;
  V low, high;  // the smallest value as it is seen by now, and the largest
  V sum_w, sum_x;
  V safe_range;  // from here on no quotient is beyond 2^22
  Mask flat;
  Fit best;
  V best_error;
  V scale, next_low, determinant, inverse, origin;  // of the try under way

  UFUSE_INLINE void start() {
    const V zero = splat<V>(0), infinity = splat<V>(__builtin_inff());
    low = high = row(x, 0);
    sum_w = row(weights, 0);
    sum_x = sum_w * low;
    V odd = low - low;  // NaN after a value that is not finite
    for (int i = 1; i < kSub; ++i) {
      const V v = row(x, i), w = row(weights, i);
      low = select(v < low, v, low);
      high = select(v > high, v, high);
      sum_w = sum_w + w;
      sum_x = sum_x + w * v;
      odd = odd + (v - v);
    }
    low = select(low > zero, zero, low);
    flat = high == low;
    // A value is at most the span away from either end. With a range of 2^-16 of the span on, the largest
    // quotient is below (top + 2) * (1 + 2^16) < 2^22; spans are kept off the ends of float32, so that none
    // overflows.
    const V span = high - low + odd;
    const Mask ordinary = (span > splat<V>(0x1p-100F)) & (span < splat<V>(0x1p100F));
    safe_range = select(flat, -infinity, select(ordinary, span * splat<V>(0x1p-16F), infinity));
    find(splat<V>(kTop) / (high - low));
    scale = splat<V>(1) / inverse;
    next_low = low;
    best = {scale, low, inverse, low};
    best_error = select(flat, -infinity, weighted_error<kSub, kAbsolute>(x, weights, levels, scale, low));
  }

  UFUSE_INLINE LevelSums find(V new_inverse) {
    inverse = new_inverse;
    origin = low;
    const V range = high - low;
    const Mask safe = (range >= safe_range) & (range < splat<V>(0x1p110F));
    if (__builtin_expect(!any(~safe), 1))
      return find_levels<kSub, kTop, false>(x, weights, levels, inverse, origin);
    LevelSums sums;
    find_levels_of_any_size<kSub, kTop>(x, weights, levels, &inverse, &origin, &sums);
    return sums;
  }

  /// Levels for a try, and the scale and smallest value that are best for them.
  UFUSE_INLINE void attempt(V top) {
    const LevelSums s = find(top / (high - low));
    determinant = sum_w * s.w_l2 - s.w_l * s.w_l;
    next_low = (s.w_l2 * sum_x - s.w_l * s.w_l_x) / determinant;
    const Mask above = next_low > splat<V>(0);  // then zero, and the scale alone is fitted
    next_low = select(above, splat<V>(0), next_low);
    scale = select(above, s.w_l_x, sum_w * s.w_l_x - sum_x * s.w_l) / select(above, s.w_l2, determinant);
  }

  UFUSE_INLINE void judge() {
    const V error = weighted_error<kSub, kAbsolute>(x, weights, levels, scale, next_low);
    const Mask better = (determinant > splat<V>(0)) & (error < best_error);
    best_error = select(better, error, best_error);
    best.scale = select(better, scale, best.scale);
    best.inverse = select(better, inverse, best.inverse);
    best.origin = select(better, origin, best.origin);
    low = select(better, next_low, low);  // tries that follow start from it
  }

  UFUSE_INLINE Fit result() const {
    return {select(flat, splat<V>(0), best.scale), -low,
            select(flat, splat<V>(__builtin_nanf("")), best.inverse), best.origin};
  }
};

/// kAbreast sub-blocks, whose rows follow one another in `x`, `weights` and the scratch `levels`.
template <int kSub, int kTop, bool kAbsolute>
inline void fit_affine(const float* x, const float* weights, float* levels, Steps steps, Fit* fits) {
  AffineSearch<kSub, kTop, kAbsolute> search[kAbreast];
  constexpr int kRows = kSub * kLanes;
  for (int m = 0; m < kAbreast; ++m) {
    search[m].x = x + m * kRows;
    search[m].weights = weights + m * kRows;
    search[m].levels = levels + m * kRows;
    search[m].start();
  }
  for (int k = 0; k <= steps.last; ++k) {
    const V top = splat<V>(steps.first + steps.step * static_cast<float>(k) + static_cast<float>(kTop));
#pragma GCC unroll 2
    for (int m = 0; m < kAbreast; ++m) search[m].attempt(top);
#pragma GCC unroll 2
    for (int m = 0; m < kAbreast; ++m) search[m].judge();
  }
  for (int m = 0; m < kAbreast; ++m) fits[m] = search[m].result();
}

}  // namespace kquants
}  // namespace UFUSE_TIER
}  // namespace ufuse
