// States: folding lanes, closing chunks, merging states, finishing results; contiguous arrays throughout.
#pragma once

#include "reduce/columns.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// --- simple reducers: the accumulator is the state -------------------------------------------------------

template <class R>
void simple_merge(void* const* a, const void* const* b, std::int64_t count) {
  using A = typename R::wide;
  auto* to = static_cast<A*>(a[0]);
  const auto* from = static_cast<const A*>(b[0]);
  using V = Register<A>;
  std::int64_t i = 0;
  for (; i + V::size <= count; i += V::size) R::fold(V::load(to + i), V::load(from + i)).store(to + i);
  for (; i < count; ++i) to[i] = R::fold(to[i], from[i]);
}

template <class R>
void simple_close(void* const* states, const void* const* lanes, std::int64_t columns, const double*,
                  const double*, std::int64_t, std::int64_t) {
  using A = typename R::wide;
  auto* to = static_cast<A*>(states[0]);
  const auto* from = static_cast<const A*>(lanes[0]);
  for (std::int64_t c = 0; c < columns; ++c) to[c] = canonical(from[c]);
}

// --- moments
// ------------------------------------------------------------------------------------------------

inline void moments_fold(void* const* a, const void* const* b, std::int64_t columns) {
  simple_merge<reducers::sum<double>>(a, b, columns);
  simple_merge<reducers::sum<double>>(a + 1, b + 1, columns);
}

inline void moments_close(void* const* states, const void* const* lanes, std::int64_t columns,
                          const double* pivots, const double* counts, std::int64_t count, std::int64_t) {
  auto* n = static_cast<double*>(states[0]);
  auto* high = static_cast<double*>(states[1]);
  auto* low = static_cast<double*>(states[2]);
  auto* m2 = static_cast<double*>(states[3]);
  const auto* total = static_cast<const double*>(lanes[0]);
  const auto* squares = static_cast<const double*>(lanes[1]);
  for (std::int64_t c = 0; c < columns; ++c) {
    const double k = counts != nullptr ? counts[c] : static_cast<double>(count);
    const double spread = squares[c] - total[c] * total[c] / k;
    const auto mean = k > 0.0 ? reducers::mean_of(pivots[c], total[c] / k) : reducers::Mean{0.0, 0.0};
    n[c] = k;
    high[c] = mean.high;
    low[c] = mean.low;
    m2[c] = k > 0.0 ? (spread < 0.0 ? 0.0 : spread) : 0.0;
  }
}

// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
// (1979).
inline void moments_merge(void* const* a, const void* const* b, std::int64_t count) {
  auto* na = static_cast<double*>(a[0]);
  auto* high_a = static_cast<double*>(a[1]);
  auto* low_a = static_cast<double*>(a[2]);
  auto* m2_a = static_cast<double*>(a[3]);
  const auto* nb = static_cast<const double*>(b[0]);
  const auto* high_b = static_cast<const double*>(b[1]);
  const auto* low_b = static_cast<const double*>(b[2]);
  const auto* m2_b = static_cast<const double*>(b[3]);
  for (std::int64_t i = 0; i < count; ++i) {
    const double n = na[i] + nb[i];
    const double share = nb[i] / (n > 0.0 ? n : 1.0);
    const double d = (high_b[i] - high_a[i]) + (low_b[i] - low_a[i]);
    const auto mean = reducers::mean_of(high_a[i], low_a[i] + d * share);
    const double m2 = m2_a[i] + m2_b[i] + d * d * (na[i] * share);
    const bool a_empty = na[i] == 0.0, b_empty = nb[i] == 0.0;
    high_a[i] = b_empty ? high_a[i] : a_empty ? high_b[i] : mean.high;
    low_a[i] = b_empty ? low_a[i] : a_empty ? low_b[i] : mean.low;
    m2_a[i] = b_empty ? m2_a[i] : a_empty ? m2_b[i] : m2;
    na[i] = n;
  }
}

// --- argmin, argmax
// -----------------------------------------------------------------------------------------

template <class R, class A, class I>
UFUSE_INLINE void index_merge_of(A* value_a, I* index_a, const A* value_b, const I* index_b,
                                 std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const A x = value_b[i], y = value_a[i];
    const bool tie = x == y || (x != x && y != y);
    if (!(R::better(x, y) || (tie && index_b[i] < index_a[i]))) continue;
    value_a[i] = x;
    index_a[i] = index_b[i];
  }
}

template <class R>
void index_fold(void* const* a, const void* const* b, std::int64_t columns) {
  using A = index_value_t<typename R::element>;
  using I = index_lane_t<typename R::element>;
  index_merge_of<R>(static_cast<A*>(a[0]), static_cast<I*>(a[1]), static_cast<const A*>(b[0]),
                    static_cast<const I*>(b[1]), columns);
}

template <class R>
void index_close(void* const* states, const void* const* lanes, std::int64_t columns, const double*,
                 const double*, std::int64_t, std::int64_t first_index) {
  using S = typename R::element;
  const auto* value = static_cast<const index_value_t<S>*>(lanes[0]);
  const auto* index = static_cast<const index_lane_t<S>*>(lanes[1]);
  auto* out = static_cast<S*>(states[0]);
  auto* out_index = static_cast<std::int64_t*>(states[1]);
  for (std::int64_t c = 0; c < columns; ++c) {
    out[c] = static_cast<S>(value[c]);
    out_index[c] = first_index + index[c];
  }
}

template <class R>
void index_merge(void* const* a, const void* const* b, std::int64_t count) {
  using S = typename R::element;
  index_merge_of<R>(static_cast<S*>(a[0]), static_cast<std::int64_t*>(a[1]), static_cast<const S*>(b[0]),
                    static_cast<const std::int64_t*>(b[1]), count);
}

// --- results
// ------------------------------------------------------------------------------------------------

template <class From, class To, int Component>
void finish_value(const FinishCall& call) {
  const auto* from = static_cast<const From*>(call.states[Component]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) to[i] = static_cast<To>(from[i]);
}

template <class From, class To>
void finish_mean(const FinishCall& call) {
  const auto* from = static_cast<const From*>(call.states[0]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i)
    to[i] = static_cast<To>(static_cast<double>(from[i]) / call.divisor);
}

/// Four float64 per result: count, mean, what rounding took from it, sum of squared deviations.
inline void finish_state(const FinishCall& call) {
  auto* to = static_cast<double*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i)
    for (int c = 0; c < kMaxComponents; ++c)
      to[kMaxComponents * i + c] = static_cast<const double*>(call.states[c])[i];
}

template <class To, bool Root>
void finish_variance(const FinishCall& call) {
  const auto* n = static_cast<const double*>(call.states[0]);
  const auto* m2 = static_cast<const double*>(call.states[3]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) {
    const double left = n[i] - call.ddof;
    const double variance = m2[i] / (left < 0.0 ? 0.0 : left);  // NumPy's: NaN or infinity, with a warning
    to[i] = static_cast<To>(Root ? __builtin_sqrt(variance) : variance);
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
