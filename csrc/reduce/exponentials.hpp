// Sums of exponentials in one read: of each lane the largest element so far, how many equal it, and the sum
// of the others' exponentials relative to it. What equals the largest is counted, not added, so that terms
// far below it are not lost beside it.
//
// A lane takes its elements in groups of kRowsPerStep: the group's largest comes first, and the sum of before
// is rescaled once for all of them (the online softmax of Milakov and Gimelshein 2018, in groups).
#pragma once

#include <algorithm>

#include "ops/math_exp.hpp"
#include "ops/math_log.hpp"
#include "reduce/columns.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// The accumulators of N lanes. Sums of float32 are float64: in as many registers as that takes.
template <class T, int N>
struct ExponentialLanes {
  using V = Vec<T, N>;
  static constexpr int kParts = N * 8 > kRegisterBytes ? N * 8 / kRegisterBytes : 1;
  using Sum = Vec<double, N / kParts>;
  V largest, count;
  Sum others[kParts];

  static UFUSE_INLINE Sum part(V v, int i) {
    Vec<T, N / kParts> some;
    std::memcpy(&some.v, reinterpret_cast<const char*>(&v.v) + static_cast<std::size_t>(i) * sizeof some.v,
                sizeof some.v);
    return convert<Sum>(some);
  }

  /// Adds the elements x(0) to x(rows - 1) of each lane; to nothing where `fresh`.
  template <class Rows, class Load>
  UFUSE_INLINE void add(bool fresh, Rows rows, Load x) {
    using reducers::larger_number;
    const V zero = splat<V>(0), one = splat<V>(1);
    V most = fresh ? x(0) : larger_number(largest, x(0));
    for (std::int64_t r = 1; r < rows; ++r) most = larger_number(most, x(r));
    V sum = zero, equal = zero;
    for (std::int64_t r = 0; r < rows; ++r) {
      const V v = x(r);
      const auto top = v == most;
      sum = sum + select(top, zero, ops::exp_not_above(v - most));
      equal = equal + select(top, one, zero);
    }
    if (fresh) {
      count = equal;
      for (int i = 0; i < kParts; ++i) others[i] = part(sum, i);
    } else {
      const auto same = largest == most;
      const V factor = select(same, one, ops::exp_not_above(largest - most));
      const V moved = select(same, zero, count);
      count = select(same, count, zero) + equal;
      for (int i = 0; i < kParts; ++i)
        others[i] = fma(others[i] + part(moved, i), part(factor, i), part(sum, i));
    }
    largest = most;
  }
};

/// Accumulators in memory: of lanes, where counts are T, and states, where they are float64.
template <class T, class Count>
struct ExponentialArrays {
  T* largest;
  Count* count;
  double* others;
  explicit ExponentialArrays(void* const* at)
      : largest(static_cast<T*>(at[0])),
        count(static_cast<Count*>(at[1])),
        others(static_cast<double*>(at[2])) {}
};

template <class V, class T, class Count>
UFUSE_INLINE void merge_exponentials(const ExponentialArrays<T, Count>& a,
                                     const ExponentialArrays<T, Count>& b, std::int64_t i) {
  constexpr int N = V::size;
  const V zero = splat<V>(0.0), one = splat<V>(1.0);
  const V la = convert<V>(Vec<T, N>::load(a.largest + i)), lb = convert<V>(Vec<T, N>::load(b.largest + i));
  const V na = convert<V>(Vec<Count, N>::load(a.count + i)),
          nb = convert<V>(Vec<Count, N>::load(b.count + i));
  const V most = reducers::larger_number(la, lb);
  const auto a_is = la == most, b_is = lb == most;
  const V factor = ops::exp_not_above(-reducers::magnitude(la - lb));
  const V rest_a = V::load(a.others + i) + select(a_is, zero, na);
  const V rest_b = V::load(b.others + i) + select(b_is, zero, nb);
  fma(rest_a, select(a_is, one, factor), rest_b * select(b_is, one, factor)).store(a.others + i);
  convert<Vec<Count, N>>(select(a_is, na, zero) + select(b_is, nb, zero)).store(a.count + i);
  convert<Vec<T, N>>(most).store(a.largest + i);
}

template <class T, class Count>
void exponentials_merge(void* const* to, const void* const* from, std::int64_t count) {
  void* others[3];
  for (int i = 0; i < 3; ++i) others[i] = const_cast<void*>(from[i]);  // read only
  const ExponentialArrays<T, Count> a(to), b(others);
  constexpr int W = kRegisterBytes / 8;
  std::int64_t i = 0;
  for (; i + W <= count; i += W) merge_exponentials<Vec<double, W>>(a, b, i);
  for (; i < count; ++i) merge_exponentials<Vec<double, 1>>(a, b, i);
}

template <class T>
void exponentials_close(void* const* states, const void* const* lanes, std::int64_t columns, const double*,
                        const double*, std::int64_t, std::int64_t) {
  const ExponentialArrays<T, double> to(states);
  const auto* largest = static_cast<const T*>(lanes[0]);
  const auto* count = static_cast<const T*>(lanes[1]);
  const auto* others = static_cast<const double*>(lanes[2]);
  for (std::int64_t c = 0; c < columns; ++c) {
    // A NaN may be left out of the largest, not of the sum.
    to.largest[c] = others[c] == others[c] ? largest[c] : std::numeric_limits<T>::quiet_NaN();
    to.count[c] = static_cast<double>(count[c]);
    to.others[c] = reducers::canonical(others[c]);
  }
}

/// One chunk into column `at` of lanes that are `kTogether` wide.
template <class T, class Source, int kTogether>
UFUSE_INLINE void exponential_chunk(const char* data, std::int64_t count, std::int64_t at,
                                    T (&largest)[kLanes][kTogether], T (&counts)[kLanes][kTogether],
                                    double (&others)[kLanes][kTogether]) {
  constexpr int W = std::min(kLanes, kRegisterBytes / static_cast<int>(sizeof(T)));
  constexpr std::int64_t kGroup = kLanes * kRowsPerStep;
  for (int first = 0; first < kLanes && first < count; first += W) {
    ExponentialLanes<T, W> lanes{};
    const char* lane = data + first * Source::bytes;
    std::int64_t i = 0;
    for (; i + kGroup <= count; i += kGroup, lane += kGroup * Source::bytes)
      lanes.add(i == 0, std::integral_constant<std::int64_t, kRowsPerStep>{},
                [=](std::int64_t r) __attribute__((always_inline)) {
                  return Source::template load<W>(lane + r * kLanes * Source::bytes);
                });
    const std::int64_t left = count - i - first;
    if (left > 0)
      lanes.add(i == 0, (left + kLanes - 1) / kLanes, [=](std::int64_t r) {
        const char* const from = lane + r * kLanes * Source::bytes;
        const std::int64_t n = left - r * kLanes;
        return n >= W ? Source::template load<W>(from)
                      : Source::template partial<W>(from, n, -std::numeric_limits<T>::infinity());
      });
    for (int l = 0; l < W; ++l) {
      largest[first + l][at] = lanes.largest[l];
      counts[first + l][at] = lanes.count[l];
      others[first + l][at] =
          lanes.others[l / ExponentialLanes<T, W>::Sum::size][l % ExponentialLanes<T, W>::Sum::size];
    }
  }
}

template <class T, class Source>
void exponentials_rows(const RowsCall& call) {
  // The lanes of several rows are folded side by side, as columns are: one row would wait for each step.
  constexpr int kTogether = 8;
  alignas(64) T largest[kLanes][kTogether] = {}, counts[kLanes][kTogether] = {};
  alignas(64) double others[kLanes][kTogether] = {};
  for (std::int64_t first = 0; first < call.rows; first += kTogether) {
    const std::int64_t rows = std::min<std::int64_t>(kTogether, call.rows - first);
    for (std::int64_t r = 0; r < rows; ++r)
      exponential_chunk<T, Source>(call.data + (first + r) * call.row_stride, call.count, r, largest, counts,
                                   others);
    auto lanes = static_cast<int>(std::min<std::int64_t>(call.count, kLanes));
    const std::int64_t wide = rows == 1 ? 1 : kTogether;  // a whole register costs what one value does
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int lane = half; lane < lanes; ++lane) {
        void* const to[] = {largest[lane - half], counts[lane - half], others[lane - half]};
        const void* const from[] = {largest[lane], counts[lane], others[lane]};
        exponentials_merge<T, T>(to, from, wide);
      }
      lanes = std::min(lanes, half);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t at = (first + r) * call.state_step;
      void* const states[] = {static_cast<T*>(call.states[0]) + at, static_cast<double*>(call.states[1]) + at,
                              static_cast<double*>(call.states[2]) + at};
      const void* const lane[] = {&largest[0][r], &counts[0][r], &others[0][r]};
      exponentials_close<T>(states, lane, 1, nullptr, nullptr, 0, 0);
    }
  }
}

template <class T, class Source, bool Masked = false>
void exponentials_columns(const ColumnsCall& given) {
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(T));
  const ColumnsCall call = given;  // by value: stores to the accumulators cannot change it
  auto* largest = static_cast<T*>(call.lanes[0]);
  auto* counts = static_cast<T*>(call.lanes[1]);
  auto* others = static_cast<double*>(call.lanes[2]);
  auto add = [=](auto width, std::int64_t c, const char* const* row, auto rows)
                 __attribute__((always_inline)) {
                   constexpr int N = decltype(width)::value;
                   using Lanes = ExponentialLanes<T, N>;
                   using V = typename Lanes::V;
                   Lanes lanes{};
                   if constexpr (N > 1)
                     prefetch_columns<N * Source::bytes>(row, rows, c * Source::bytes, call.ahead);
                   if (!call.fresh) {
                     lanes.largest = V::load(largest + c);
                     lanes.count = V::load(counts + c);
                     for (int i = 0; i < Lanes::kParts; ++i)
                       lanes.others[i] = Lanes::Sum::load(others + c + i * Lanes::Sum::size);
                   }
                   lanes.add(call.fresh, rows, [=](std::int64_t r) __attribute__((always_inline)) {
                     const char* const from = row[r] + c * Source::bytes;
                     const V none = splat<V>(-std::numeric_limits<T>::infinity());
                     if constexpr (N == 1) {
                       return Masked && call.mask[r][c] == 0 ? none : splat<V>(Source::one(from));
                     } else if constexpr (Masked) {
                       return load_masked<N, T>(from, call.mask[r] + c, none);
                     } else {
                       return Source::template load<N>(from);
                     }
                   });
                   lanes.largest.store(largest + c);
                   lanes.count.store(counts + c);
                   for (int i = 0; i < Lanes::kParts; ++i)
                     lanes.others[i].store(others + c + i * Lanes::Sum::size);
                 };
  with_rows(call, [=](const char* const* row, auto rows) __attribute__((always_inline)) {
    walk_columns<W>(
        call.columns,
        [=](std::int64_t c)
            __attribute__((always_inline)) { add(std::integral_constant<int, W>{}, c, row, rows); },
        [=](std::int64_t c) { add(std::integral_constant<int, 1>{}, c, row, rows); });
  });
}

/// log(1 + x) for 0 <= x < inf: what the sum rounds away is added again.
template <class V>
UFUSE_INLINE V log_of_one_plus(V x) {
  const V one = math::constant<V>(1.0);
  const V sum = one + x;
  return ops::log::apply(sum) + (x - (sum - one)) / sum;
}

template <class V>
UFUSE_INLINE V log_of_total(V count, V others) {
  return ops::log::apply(count) + log_of_one_plus(static_cast<V>(others / count));
}

template <class T, class To>
void finish_logsumexp(const FinishCall& call) {
  const auto* largest = static_cast<const T*>(call.states[0]);
  const auto* count = static_cast<const double*>(call.states[1]);
  const auto* others = static_cast<const double*>(call.states[2]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i)
    to[i] = static_cast<To>(
        reducers::canonical(static_cast<double>(largest[i]) + log_of_total(count[i], others[i])));
}

template <class To>
void finish_log_total(const FinishCall& call) {
  const auto* count = static_cast<const double*>(call.states[0]);
  const auto* others = static_cast<const double*>(call.states[1]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i)
    to[i] = static_cast<To>(reducers::canonical(log_of_total(count[i], others[i])));
}

/// What exponentials relative to the largest are multiplied by to add up to 1; NaN where that is infinite.
template <class T, class To>
void finish_share(const FinishCall& call) {
  const auto* largest = static_cast<const T*>(call.states[0]);
  const auto* count = static_cast<const double*>(call.states[1]);
  const auto* others = static_cast<const double*>(call.states[2]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) {
    const bool finite = largest[i] - largest[i] == T{0};
    to[i] = finite ? static_cast<To>(1.0 / (count[i] + others[i])) : std::numeric_limits<To>::quiet_NaN();
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
