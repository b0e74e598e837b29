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

/// Folds the accumulators of lanes, which may be narrower than states.
template <class R, class A>
void simple_fold(void* const* a, const void* const* b, std::int64_t count) {
  if constexpr (std::is_same_v<A, typename R::wide>) {
    simple_merge<R>(a, b, count);
  } else {
    auto* to = static_cast<A*>(a[0]);
    const auto* from = static_cast<const A*>(b[0]);
    for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
  }
}

template <class R, class A, class Source = Plain<A>>
void simple_close(void* const* states, const void* const* lanes, std::int64_t columns, const double*,
                  const double*, std::int64_t, std::int64_t) {
  using State = decltype(state_value<Source>(typename R::wide{}));
  auto* to = static_cast<State*>(states[0]);
  const auto* from = static_cast<const A*>(lanes[0]);
  for (std::int64_t c = 0; c < columns; ++c) to[c] = static_cast<State>(state_value<Source>(from[c]));
}

// --- several accumulators
// ------------------------------------------------------------------------------------------------

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
    // Of an infinite mean and another, their distance says nothing.
    const auto mean = d - d == 0.0 ? reducers::mean_of(high_a[i], low_a[i] + d * share)
                                   : reducers::Mean{high_a[i] * (1.0 - share) + high_b[i] * share, 0.0};
    const double m2 = m2_a[i] + m2_b[i] + d * d * (na[i] * share);
    const bool a_empty = na[i] == 0.0, b_empty = nb[i] == 0.0;
    high_a[i] = b_empty ? high_a[i] : a_empty ? high_b[i] : mean.high;
    low_a[i] = b_empty ? low_a[i] : a_empty ? low_b[i] : mean.low;
    m2_a[i] = b_empty ? m2_a[i] : a_empty ? m2_b[i] : m2;
    na[i] = n;
  }
}

// Pebay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical
// moments" (2008).
inline void central_moments_merge(void* const* a, const void* const* b, std::int64_t count) {
  auto of = [](auto* state, int i) { return static_cast<const double*>(state[i]); };
  auto* m3 = static_cast<double*>(a[4]);
  auto* m4 = static_cast<double*>(a[5]);
  for (std::int64_t i = 0; i < count; ++i) {
    const double na = of(a, 0)[i], nb = of(b, 0)[i], n = na + nb;
    if (nb == 0.0) continue;
    if (na == 0.0) {
      m3[i] = of(b, 4)[i];
      m4[i] = of(b, 5)[i];
      continue;
    }
    const double d = (of(b, 1)[i] - of(a, 1)[i]) + (of(b, 2)[i] - of(a, 2)[i]);
    const double p = na / n, q = nb / n, square = d * d;
    const double m2a = of(a, 3)[i], m2b = of(b, 3)[i], m3a = m3[i], m3b = of(b, 4)[i];
    m3[i] = m3a + m3b + d * (square * (na * q) * (p - q) + 3.0 * (p * m2b - q * m2a));
    m4[i] = m4[i] + of(b, 5)[i] + square * square * (na * q) * (p * p - p * q + q * q) +
            6.0 * square * (p * p * m2b + q * q * m2a) + 4.0 * d * (p * m3b - q * m3a);
  }
  moments_merge(a, b, count);  // last: the powers want the means of before
}

inline void nan_mean_merge(void* const* a, const void* const* b, std::int64_t count) {
  simple_merge<reducers::sum<double>>(a, b, count);
  simple_merge<reducers::sum<double>>(a + 1, b + 1, count);
}

template <class T>
void summary_merge(void* const* a, const void* const* b, std::int64_t count) {
  moments_merge(a, b, count);
  simple_merge<reducers::sum<double>>(a + 4, b + 4, count);
  simple_merge<reducers::min<T>>(a + 5, b + 5, count);
  simple_merge<reducers::max<T>>(a + 6, b + 6, count);
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

template <class R, class Source>
void index_close(void* const* states, const void* const* lanes, std::int64_t columns, const double*,
                 const double*, std::int64_t, std::int64_t first_index) {
  using S = typename R::element;
  const auto* value = static_cast<const index_value_t<S>*>(lanes[0]);
  const auto* index = static_cast<const index_lane_t<S>*>(lanes[1]);
  auto* out = static_cast<decltype(state_value<Source>(S{}))*>(states[0]);
  auto* out_index = static_cast<std::int64_t*>(states[1]);
  for (std::int64_t c = 0; c < columns; ++c) {
    out[c] = state_value<Source>(static_cast<S>(value[c]));
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

template <class From, class To>
void finish_value(const FinishCall& call) {
  const auto* from = static_cast<const From*>(call.states[0]);
  auto* to = static_cast<To*>(call.out);
  // Merged states may hold NaN with bits of their own.
  for (std::int64_t i = 0; i < call.count; ++i) to[i] = static_cast<To>(reducers::canonical(from[i]));
}

UFUSE_INLINE double divisor_of(const FinishCall& call, std::int64_t i) {
  return call.divisors == nullptr ? call.divisor : call.divisors[i];
}

template <class From, class To>
void finish_mean(const FinishCall& call) {
  const auto* from = static_cast<const From*>(call.states[0]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i)
    to[i] = reducers::canonical(static_cast<To>(static_cast<double>(from[i]) / divisor_of(call, i)));
}

template <class To>
void finish_ratio(const FinishCall& call) {
  const auto* sum = static_cast<const double*>(call.states[0]);
  const auto* count = static_cast<const double*>(call.states[1]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i)
    to[i] = reducers::canonical(static_cast<To>(sum[i] / count[i]));
}

inline void finish_nonzero(const FinishCall& call) {
  const auto* from = static_cast<const std::int64_t*>(call.states[0]);
  auto* to = static_cast<std::uint8_t*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) to[i] = from[i] != 0;
}

inline void finish_complete(const FinishCall& call) {
  const auto* from = static_cast<const std::int64_t*>(call.states[0]);
  auto* to = static_cast<std::uint8_t*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) to[i] = static_cast<double>(from[i]) == divisor_of(call, i);
}

template <class To>
void finish_root(const FinishCall& call) {
  const auto* from = static_cast<const double*>(call.states[0]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) to[i] = static_cast<To>(__builtin_sqrt(from[i]));
}

template <class To>
void finish_skewness(const FinishCall& call) {
  const auto* n = static_cast<const double*>(call.states[0]);
  const auto* m2 = static_cast<const double*>(call.states[3]);
  const auto* m3 = static_cast<const double*>(call.states[4]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) {
    const double variance = m2[i] / n[i];
    to[i] = static_cast<To>(m3[i] / n[i] / (variance * __builtin_sqrt(variance)));
  }
}

template <class To>
void finish_kurtosis(const FinishCall& call) {
  const auto* n = static_cast<const double*>(call.states[0]);
  const auto* m2 = static_cast<const double*>(call.states[3]);
  const auto* m4 = static_cast<const double*>(call.states[5]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) {
    const double variance = m2[i] / n[i];
    to[i] = static_cast<To>(m4[i] / n[i] / (variance * variance) - 3.0);
  }
}

template <class T>
void finish_span(const FinishCall& call) {
  const auto* least = static_cast<const T*>(call.states[0]);
  const auto* most = static_cast<const T*>(call.states[1]);
  auto* to = static_cast<T*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) {
    if constexpr (std::is_integral_v<T>) {  // wraps, as NumPy's
      using U = std::make_unsigned_t<T>;
      to[i] = static_cast<T>(static_cast<U>(static_cast<U>(most[i]) - static_cast<U>(least[i])));
    } else {
      to[i] = reducers::canonical(most[i] - least[i]);
    }
  }
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
