// The searches for a scale alone: of values of both signs (Q3_K, Q6_K), and of scales, which have one.
#pragma once

#include "formats/kquants_affine.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {

/// What is largest in magnitude of `rows` rows: the first of those, with its sign.
struct Peak {
  V magnitude, value;
  bool ordinary;  // all of all lanes are finite and far from float32's ends, or nothing at all

  UFUSE_INLINE Peak(const float* x, int rows) {
    magnitude = value = splat<V>(0);
    V odd = splat<V>(0);  // NaN after a value that is not finite
    for (int i = 0; i < rows; ++i) {
      const V v = row(x, i), size = kquants::magnitude(v);
      const Mask more = size > magnitude;
      magnitude = select(more, size, magnitude);
      value = select(more, v, value);
      odd = odd + (v - v);
    }
    ordinary = !any(~((odd == splat<V>(0)) & (magnitude < splat<V>(0x1p100F))));
  }
};

/// Sums of the levels that `inverse` gives with the values and with themselves.
template <int kTop, bool kAnySize>
UFUSE_INLINE void symmetric_sums(const float* x, const float* weights, int rows, V inverse, V* with_x,
                                 V* squares) {
  V sum_x = splat<V>(0), sum_l = splat<V>(0);
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) {
    const V v = row(x, i), w = row(weights, i);
    const V level = clamp(nearest_float<kAnySize>(inverse * v), -kTop, kTop - 1);
    sum_x = sum_x + w * v * level;
    sum_l = sum_l + w * level * level;
  }
  *with_x = sum_x;
  *squares = sum_l;
}

template <int kTop, bool kAnySize>
UFUSE_INLINE Fit fit_symmetric(const float* x, const float* weights, int rows, const Peak& peak) {
  const V zero = splat<V>(0);
  const Mask nothing = peak.magnitude < splat<V>(kNothing);
  V with_x, squares;
  V inverse = splat<V>(-static_cast<float>(kTop)) / peak.value;
  symmetric_sums<kTop, kAnySize>(x, weights, rows, inverse, &with_x, &squares);
  V scale = select(squares != zero, with_x / squares, zero);
  V best = scale * with_x;
  for (int k = -9; k <= 9; ++k) {
    if (k == 0) continue;
    const float top = -(static_cast<float>(kTop) + 0.1F * static_cast<float>(k));
    const V tried = splat<V>(top) / peak.value;
    symmetric_sums<kTop, kAnySize>(x, weights, rows, tried, &with_x, &squares);
    const Mask better = (squares > zero) & (with_x * with_x > best * squares);
    scale = select(better, with_x / squares, scale);
    best = select(better, scale * with_x, best);
    inverse = select(better, tried, inverse);
  }
  return {select(nothing, zero, scale), zero, select(nothing, splat<V>(__builtin_nanf("")), inverse), zero};
}

template <int kTop>
__attribute__((noinline)) inline void fit_symmetric_of_any_size(const float* x, const float* weights,
                                                                int rows, const Peak& peak, Fit* fit) {
  *fit = fit_symmetric<kTop, true>(x, weights, rows, peak);
}

/// The scale that is best among those near -top / (the value largest in magnitude), for levels from -top to
/// top - 1.
template <int kTop>
inline Fit fit_symmetric(const float* x, const float* weights, int rows) {
  const Peak peak(x, rows);
  if (__builtin_expect(peak.ordinary, 1)) return fit_symmetric<kTop, false>(x, weights, rows, peak);
  Fit fit;
  fit_symmetric_of_any_size<kTop>(x, weights, rows, peak, &fit);
  return fit;
}

/// One sub-block of each lane whose levels are improved in turn, one after the other, up to five times over:
/// Q3_K. Weights are the values' squares.
template <int kSub, int kTop>
struct LevelsInTurn {
  const float* x;
  float* levels;
  float* x_terms;  // what each level adds to the sums
  float* square_terms;
  V with_x, squares;
  Mask nothing;

  UFUSE_INLINE void start() {
    const Peak peak(x, kSub);
    nothing = peak.magnitude < splat<V>(kNothing);
    const V inverse = splat<V>(-static_cast<float>(kTop)) / peak.value;
    with_x = squares = splat<V>(0);
    for (int i = 0; i < kSub; ++i) {
      const V v = row(x, i), w = v * v;
      const V level = clamp(nearest_float<true>(inverse * v), -kTop, kTop - 1);
      const V x_term = w * v * level, square_term = w * level * level;
      store_row(levels, i, level);
      store_row(x_terms, i, x_term);
      store_row(square_terms, i, square_term);
      with_x = with_x + x_term;
      squares = squares + square_term;
    }
    with_x = select(nothing, splat<V>(-1), with_x);  // nothing comes of levels without a positive sum
  }

  /// Levels, one after the other, as the others have them best, if that is better for all. Says whether some
  /// changed.
  UFUSE_INLINE bool improve() {
    bool changed = false;
#pragma GCC unroll 2
    for (int i = 0; i < kSub; ++i) {
      const V v = row(x, i), level = row(levels, i), old_x = row(x_terms, i),
              old_square = row(square_terms, i);
      V rest_x = with_x - old_x, rest = squares - old_square;
      const V nearer = clamp(nearest_float<true>(v * rest / rest_x), -kTop, kTop - 1);
      const V found = select(rest_x > splat<V>(0), nearer, level);
      // Of normal values 2 % have another level in the first turn, and then fewer: 28, 10, 4, 2 % of 16
      // lanes.
      if (__builtin_expect(!any_differs(found, level), 1)) continue;
      const V w = v * v, x_term = w * v * found, square_term = w * found * found;
      rest_x = rest_x + x_term;
      rest = rest + square_term;
      const Mask better =
          (found != level) & (rest > splat<V>(0)) & (rest_x * rest_x * squares > with_x * with_x * rest);
      store_row(levels, i, select(better, found, level));
      store_row(x_terms, i, select(better, x_term, old_x));
      store_row(square_terms, i, select(better, square_term, old_square));
      with_x = select(better, rest_x, with_x);
      squares = select(better, rest, squares);
      changed |= any(better);
    }
    return changed;
  }

  UFUSE_INLINE V scale() const {
    const Mask some = ~nothing & (squares > splat<V>(0));
    return select(some, with_x / squares, splat<V>(0));
  }
};

/// The scale of a sub-block; its levels, from 0 on, are left in `levels`. `scratch` are twice as many rows.
template <int kSub, int kTop>
inline V fit_in_turn(const float* x, float* levels, float* scratch) {
  LevelsInTurn<kSub, kTop> sub = {x, levels, scratch, scratch + kSub * kLanes, {}, {}, {}};
  sub.start();
  for (int turn = 0; turn < 5; ++turn)
    if (!sub.improve()) break;
  for (int i = 0; i < kSub; ++i) {
    const V level = row(levels, i) + splat<V>(static_cast<float>(kTop));
    store_row(levels, i, select(sub.nothing, splat<V>(0), level));
  }
  return sub.scale();
}

/// Scales, of which few if any are negative, as whole numbers up to `top`; the weights are those of their
/// sub-blocks. Returns the scale of these; `levels` are bytes, as a uint8_t keeps them.
inline V fit_scales(const float* x, const float* weights, int rows, float top, float* levels) {
  const V zero = splat<V>(0);
  const auto byte = [](V level) { return convert<V>(convert<I>(level) & splat<I>(0xff)); };
  V most = zero;
  for (int i = 0; i < rows; ++i) {
    const V v = row(x, i);
    most = select(most > v, most, v);
  }
  const Mask nothing = most < splat<V>(kNothing);
  V inverse = splat<V>(top) / most;
  const auto error = [&](V tried, auto level_of) {
    const V scale = splat<V>(1) / tried;
    V sum = zero;
    for (int i = 0; i < rows; ++i) {
      const V v = row(x, i);
      const V difference = v - scale * level_of(convert<V>(nearest(tried * v)));
      sum = sum + row(weights, i) * difference * difference;
    }
    return sum;
  };
  V best = error(inverse, byte);
  const auto below_top = [&](V level) { return smaller(splat<V>(top), level); };
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const V tried = splat<V>(0.1F * static_cast<float>(k) + top) / most;
    const V sum = error(tried, below_top);
    const Mask better = sum < best;
    best = select(better, sum, best);
    inverse = select(better, tried, inverse);
  }
  V with_x = zero, squares = zero;
  for (int i = 0; i < rows; ++i) {
    const V v = row(x, i), w = row(weights, i);
    const V level = below_top(convert<V>(nearest(inverse * v)));
    byte(level).store(levels + i * kLanes);
    with_x = with_x + w * v * level;
    squares = squares + w * level * level;
  }
  for (int turn = 0; turn < 5; ++turn) {
    bool changed = false;
    for (int i = 0; i < rows; ++i) {
      const V v = row(x, i), w = row(weights, i), level = row(levels, i);
      V rest_x = with_x - w * v * level, rest = squares - w * level * level;
      const V found = below_top(convert<V>(nearest(v * rest / rest_x)));
      const Mask other = (rest_x > zero) & (rest > zero) & (found != level);
      rest_x = rest_x + w * v * found;
      rest = rest + w * found * found;
      const Mask better = other & (rest_x * rest_x * squares > with_x * with_x * rest);
      select(better, byte(found), level).store(levels + i * kLanes);
      with_x = select(better, rest_x, with_x);
      squares = select(better, rest, squares);
      changed |= any(better);
    }
    if (!changed) break;
  }
  for (int i = 0; i < rows; ++i) select(nothing, zero, row(levels, i)).store(levels + i * kLanes);
  return select(~nothing & (squares > zero), with_x / squares, zero);
}

}  // namespace kquants
}  // namespace UFUSE_TIER
}  // namespace ufuse
