// Chunks that are contiguous in memory, one row each.
#pragma once

#include "reduce/lanes.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// One chunk of a simple reducer. An exact one may use any lanes: four registers hide the latency.
template <class R, class T, class P>
UFUSE_INLINE P fold_chunk(const char* data, std::int64_t count) {
  using S = reducers::storage_t<T>;
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(P));
  constexpr int K = R::exact ? 4 : kLanes / W;
  using Narrow = Vec<S, W>;
  using Wide = Vec<P, W>;
  constexpr std::int64_t kStep = W * sizeof(S);
  Wide acc[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) acc[k] = splat<Wide>(static_cast<P>(R::identity));
  std::int64_t i = 0;
  for (; i + K * W <= count; i += K * W, data += K * kStep) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      acc[k] = R::fold(acc[k], reducers::element_of<R, Wide>(Narrow::load(data + k * kStep)));
  }
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) {
    const std::int64_t left = count - i - k * W;
    if (left <= 0) break;
    const auto x = left >= W ? Narrow::load(data + k * kStep)
                             : load_partial<Narrow>(data + k * kStep, left, R::element_identity);
    acc[k] = R::fold(acc[k], reducers::element_of<R, Wide>(x));
  }
  return fold_registers<R>(acc);
}

template <class R, class T>
void simple_rows(const RowsCall& call) {
  using P = partial_t<R, T>;
  auto* out = static_cast<typename R::wide*>(call.states[0]);
  for (std::int64_t r = 0; r < call.rows; ++r)
    out[r * call.state_step] = static_cast<typename R::wide>(
        canonical(fold_chunk<R, T, P>(call.data + r * call.row_stride, call.count)));
}

template <class T>
void moments_rows(const RowsCall& call) {
  using R = reducers::moments<T>;
  using Add = reducers::sum<double>;
  constexpr int W = kRegisterBytes / 8;
  constexpr int K = kLanes / W;
  using Narrow = Vec<T, W>;
  using Wide = Vec<double, W>;
  constexpr std::int64_t kStep = W * sizeof(T);
  auto* counts = static_cast<double*>(call.states[0]);
  auto* means = static_cast<double*>(call.states[1]);
  auto* lows = static_cast<double*>(call.states[2]);
  auto* m2s = static_cast<double*>(call.states[3]);
  for (std::int64_t r = 0; r < call.rows; ++r) {
    const char* data = call.data + r * call.row_stride;
    T first;
    std::memcpy(&first, data, sizeof first);
    const double pivot = call.pivots != nullptr ? call.pivots[r] : R::pivot_of(first);
    const double n = call.counts != nullptr ? call.counts[r] : static_cast<double>(call.count);
    const Wide p = splat<Wide>(pivot);
    Wide s[K], q[K];
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) s[k] = q[k] = splat<Wide>(0.0);
    std::int64_t i = 0;
    for (; i + kLanes <= call.count; i += kLanes, data += K * kStep) {
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        const Wide d = R::shifted(convert<Wide>(Narrow::load(data + k * kStep)), p);
        s[k] = s[k] + d;
        q[k] = R::add_square(q[k], d);
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const std::int64_t left = call.count - i - k * W;
      if (left <= 0) break;
      // Lanes past the end get the pivot: d = +0 changes neither sum (they start at +0).
      const auto x = left >= W ? Narrow::load(data + k * kStep)
                               : load_partial<Narrow>(data + k * kStep, left, static_cast<T>(pivot));
      const Wide d = R::shifted(convert<Wide>(x), p);
      s[k] = s[k] + d;
      q[k] = R::add_square(q[k], d);
    }
    const double total = fold_registers<Add>(s), squares = fold_registers<Add>(q);
    const double m2 = n > 0.0 ? squares - total * total / n : 0.0;
    counts[r * call.state_step] = n;
    const auto mean = n > 0.0 ? reducers::mean_of(pivot, total / n) : reducers::Mean{0.0, 0.0};
    means[r * call.state_step] = mean.high;
    lows[r * call.state_step] = mean.low;
    m2s[r * call.state_step] = m2 < 0.0 ? 0.0 : m2;
  }
}

/// Where `value` is first; where it is a NaN, the first NaN. There is one.
template <class S>
UFUSE_INLINE std::int64_t first_of(const char* data, std::int64_t count, S value) {
  using V = Register<S>;
  const V wanted = splat<V>(value);
  const bool nan = value != value;
  std::int64_t i = 0;
  if (nan) {
    for (; i + V::size <= count; i += V::size) {
      const V x = V::load(data + i * static_cast<std::int64_t>(sizeof(S)));
      if (any(x != x)) break;
    }
  } else {
    for (; i + V::size <= count; i += V::size)
      if (any(V::load(data + i * static_cast<std::int64_t>(sizeof(S))) == wanted)) break;
  }
  for (; i < count; ++i) {
    S x;
    std::memcpy(&x, data + i * static_cast<std::int64_t>(sizeof(S)), sizeof x);
    if (nan ? x != x : x == value) return i;
  }
  return 0;
}

template <class R, class T>
void index_rows(const RowsCall& call) {
  using S = typename R::element;
  auto* values = static_cast<S*>(call.states[0]);
  auto* indices = static_cast<std::int64_t*>(call.states[1]);
  // Neighbouring rows are often chunks of one long row (index_step > 0), where a chunk that does not beat
  // the best before it need not be searched: nobody will ask where its extreme is.
  S best{};
  for (std::int64_t r = 0; r < call.rows; ++r) {
    const char* data = call.data + r * call.row_stride;
    const S value = canonical(fold_chunk<typename R::fold_value, T, S>(data, call.count));
    values[r * call.state_step] = value;
    std::int64_t& index = indices[r * call.state_step];
    index = call.first_index + r * call.index_step;
    if (call.index_step == 0 || r == 0 || R::better(value, best)) {
      index += first_of<S>(data, call.count, value);
      best = value;
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
