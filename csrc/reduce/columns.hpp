// Chunks that run across memory: one accumulator per column and lane component.
//
// Up to kRowsPerStep rows of one lane are added per pass over the accumulators, which halves the traffic to
// them thrice.
#pragma once

#include "reduce/ahead.hpp"
#include "reduce/lanes.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// Registers of accumulators per step: independent additions for the pipelines. More only makes code.
inline constexpr int kColumnRegisters = 2;

/// Walks the columns of a call: `step(c)` for `Columns` of them from column c, `single(c)` for those left.
template <int Columns, class Step, class Single>
UFUSE_INLINE void walk_columns(std::int64_t columns, Step step, Single single) {
  std::int64_t c = 0;
  for (; c + Columns <= columns; c += Columns) step(c);
  for (; c < columns; ++c) single(c);
}

/// Calls `body(row, rows)`, with the number of rows as a constant where all are there, so that it unrolls.
/// Pointers go by value: stores to the accumulators cannot change those. (Folding the rows of two lanes per
/// call saves accumulators, and lost a third: 16 streams are more than the prefetcher follows.)
template <bool Unrolled = true, class Body>
UFUSE_INLINE void with_rows(const ColumnsCall& call, Body body) {
  const char* row[kRowsPerStep];
  for (std::int64_t r = 0; r < call.rows; ++r) row[r] = call.row[r];
  if constexpr (Unrolled)
    if (call.rows == kRowsPerStep) return body(row, std::integral_constant<std::int64_t, kRowsPerStep>{});
  body(row, call.rows);
}

/// Adds the sums of a step, of W columns, to those of their lanes.
template <class A, class P, int W>
UFUSE_INLINE void add_step(A* lanes, Vec<P, W> sums) {
  constexpr int N = kRegisterBytes / static_cast<int>(sizeof(A));
  alignas(64) P narrow[W];
  sums.store(narrow);
#pragma GCC unroll 8
  for (int k = 0; k < W; k += N)
    (Vec<A, N>::load(lanes + k) + convert<Vec<A, N>>(Vec<P, N>::load(narrow + k))).store(lanes + k);
}

template <class R, class T, class Source, bool Masked = false>
void simple_columns(const ColumnsCall& call) {
  using A = lane_sum_t<R, T>;
  using P = step_sum_t<R, T>;
  constexpr bool kPartial = !std::is_same_v<P, typename R::wide>;
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(P));
  constexpr int K = kColumnRegisters;
  auto* acc = static_cast<A*>(call.lanes[0]);
  const bool fresh = call.fresh;
  const std::int64_t ahead = call.ahead;
  const std::uint8_t* mask[kRowsPerStep] = {};
  for (std::int64_t r = 0; Masked && r < call.rows; ++r) mask[r] = call.mask[r];
  // Products of integers are rare, and unrolled they are half of the code of all reducers.
  constexpr bool kUnrolled = !(R::exact && std::is_same_v<R, reducers::prod<T>>);
  if (kPartial && fresh)
    for (std::int64_t c = 0; c < call.columns; ++c) acc[c] = static_cast<A>(R::identity);
  with_rows<kUnrolled>(call, [=](const char* const* row, auto rows) __attribute__((always_inline)) {
    auto step = [=](std::int64_t c) __attribute__((always_inline)) {
      if constexpr (asks_ahead<R, Source> || R::exact)
        prefetch_columns<K * W * Source::bytes>(row, rows, c * Source::bytes, ahead);
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        const std::int64_t at = c + k * W;
        auto element = [=](std::int64_t r) __attribute__((always_inline)) {
          using S = typename Source::value;
          const char* const from = row[r] + at * Source::bytes;
          if constexpr (Masked)
            return reducers::element_of<R, Vec<P, W>>(
                load_masked<W, S>(from, mask[r] + at, splat<Vec<S, W>>(static_cast<S>(R::element_identity))));
          else
            return reducers::element_of<R, Vec<P, W>>(Source::template load<W>(from));
        };
        if constexpr (kPartial) {
          auto p = splat<Vec<P, W>>(0);
          for (std::int64_t r = 0; r < rows; ++r) p = p + element(r);
          add_step<A>(acc + at, p);
        } else {
          auto a = fresh ? splat<Vec<A, W>>(R::identity) : Vec<A, W>::load(acc + at);
          for (std::int64_t r = 0; r < rows; ++r) a = reducers::fold_element<R>(a, element(r));
          a.store(acc + at);
        }
      }
    };
    // In the type of a state: eight comparisons that GCC 12 adds up in 16 bits it counts as -1 each.
    using Sum = typename R::wide;
    auto single = [=](std::int64_t c) {
      Sum a = fresh ? Sum{R::identity} : static_cast<Sum>(acc[c]);
      for (std::int64_t r = 0; r < rows; ++r)
        if (!Masked || mask[r][c] != 0)
          a = R::fold(a, reducers::element_of<R, Sum>(Source::one(row[r] + c * Source::bytes)));
      acc[c] = static_cast<A>(a);
    };
    walk_columns<K * W>(call.columns, step, single);
  });
}

/// Stores the results of a step, of W columns, as those of their states.
template <class A, class P, int W>
UFUSE_INLINE void store_step(A* states, Vec<P, W> folded) {
  if constexpr (std::is_same_v<A, P>) {
    folded.store(states);
  } else {
    constexpr int N = kRegisterBytes / static_cast<int>(sizeof(A));
    alignas(64) P narrow[W];
    folded.store(narrow);
#pragma GCC unroll 8
    for (int k = 0; k < W; k += N) convert<Vec<A, N>>(Vec<P, N>::load(narrow + k)).store(states + k);
  }
}

/// Lanes L, L + S, L + 2 * S... of `rows`, one element each, folded by halves.
template <class R, int L, int S, class Element>
UFUSE_INLINE auto fold_short(Element element, std::int64_t rows) {
  if constexpr (S >= kLanes) {
    return element(L);
  } else {
    auto folded = fold_short<R, L, 2 * S>(element, rows);
    if constexpr (L + S < kLanes)
      if (L + S < rows) folded = R::fold(folded, fold_short<R, L + S, 2 * S>(element, rows));
    return folded;
  }
}

/// Registers that are folded together.
template <class V, int K>
struct Several {
  V v[K];
};
template <class R>
struct FoldSeveral {
  template <class V, int K>
  static UFUSE_INLINE Several<V, K> fold(Several<V, K> a, Several<V, K> b) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) a.v[k] = R::fold(a.v[k], b.v[k]);
    return a;
  }
};

/// One element per lane: the lanes are folded in registers. What each lane would add to (nothing: 0.0, which
/// makes 0.0 of -0.0) is added at the end, to the same bits.
template <class R, class T, class Source>
void short_columns(const ShortCall& call) {
  using A = typename R::wide;
  using P = step_sum_t<R, T>;
  using S = typename Source::value;
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(P) > sizeof(S) ? sizeof(P) : sizeof(S));
  constexpr int K = sizeof(P) == 8 ? kColumnRegisters : 1;  // of others there are enough in a register
  using V = Vec<P, W>;
  const char* row[kLanes];
  const std::int64_t rows = call.rows;
  for (std::int64_t r = 0; r < rows; ++r) row[r] = call.row[r];
  auto* out = static_cast<A*>(call.state);
  std::int64_t c = 0;
  auto load = [&](std::int64_t r) __attribute__((always_inline)) {
    Several<V, K> x;
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      x.v[k] = reducers::element_of<R, V>(Source::template load<W>(row[r] + (c + k * W) * Source::bytes));
    return x;
  };
  auto put = [&](Several<V, K> folded) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      V& x = folded.v[k];
      if constexpr (reducers::floating<V>) {
        x = R::fold(splat<V>(static_cast<P>(R::identity)), x);
        x = select(x == x, x, splat<V>(std::numeric_limits<P>::quiet_NaN()));
      }
      store_step(out + c + k * W, x);
    }
  };
  if constexpr (!R::exact) {
    // A broadcast axis: one row many times, widened once.
    bool same = rows > 1;
    for (std::int64_t r = 1; r < rows; ++r) same &= row[r] == row[0];
    for (; same && c + K * W <= call.columns; c += K * W) {
      const auto x = load(0);
      put(fold_short<FoldSeveral<R>, 0, 1>([&](int) __attribute__((always_inline)) { return x; }, rows));
    }
  }
  for (; c + K * W <= call.columns; c += K * W) put(fold_short<FoldSeveral<R>, 0, 1>(load, rows));
  for (; c < call.columns; ++c) {
    auto element = [&](int r) { return reducers::element_of<R, A>(Source::one(row[r] + c * Source::bytes)); };
    out[c] = canonical(R::fold(A{R::identity}, fold_short<R, 0, 1>(element, rows)));
  }
}

/// Accumulated value of an arg reducer: at least two bytes wide, so that the index within the chunk fits
/// a lane of the same size.
template <class S>
using index_value_t = std::conditional_t<sizeof(S) == 1, std::int16_t, S>;
template <class S>
using index_lane_t = typename IntOf<sizeof(index_value_t<S>)>::type;

template <class R, class Source>
void index_columns(const ColumnsCall& call) {
  using S = typename R::element;
  using A = index_value_t<S>;
  using I = index_lane_t<S>;
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(A));
  constexpr int K = kColumnRegisters;
  auto* values = static_cast<A*>(call.lanes[0]);
  auto* indices = static_cast<I*>(call.lanes[1]);
  const bool fresh = call.fresh;
  const std::int64_t ahead = call.ahead;
  const std::int64_t first = call.index;
  with_rows(call, [=](const char* const* row, auto rows) __attribute__((always_inline)) {
    auto step = [=](std::int64_t c) __attribute__((always_inline)) {
      prefetch_columns<K * W * Source::bytes>(row, rows, c * Source::bytes, ahead);
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        const std::int64_t at = c + k * W;
        auto value = Vec<A, W>::load(values + at);
        auto index = Vec<I, W>::load(indices + at);
        if (fresh) {  // the first row is better than nothing, whatever it holds
          value = reducers::element_of<R, Vec<A, W>>(Source::template load<W>(row[0] + at * Source::bytes));
          index = splat<Vec<I, W>>(static_cast<I>(first));
        }
        for (std::int64_t r = 0; r < rows; ++r) {
          const auto x =
              reducers::element_of<R, Vec<A, W>>(Source::template load<W>(row[r] + at * Source::bytes));
          const auto wins = R::better(x, value);
          value = select(wins, x, value);
          index = select(wins, splat<Vec<I, W>>(static_cast<I>(first + r * kLanes)), index);
        }
        value.store(values + at);
        index.store(indices + at);
      }
    };
    auto single = [=](std::int64_t c) {
      for (std::int64_t r = 0; r < rows; ++r) {
        const A value = reducers::element_of<R, A>(Source::one(row[r] + c * Source::bytes));
        if (!(fresh && r == 0) && !R::better(value, values[c])) continue;
        values[c] = value;
        indices[c] = static_cast<I>(first + r * kLanes);
      }
    };
    walk_columns<K * W>(call.columns, step, single);
  });
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
