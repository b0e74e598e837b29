// Sums that keep what rounding takes from them, lane by lane (Neumaier 1974; the sum of two and its error by
// Knuth, which needs no comparison).
#pragma once

#include "reduce/columns.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// Adds x to `sum`, and what that rounds away to `lost`.
template <class V>
UFUSE_INLINE void add_compensated(V& sum, V& lost, V x) {
  const V next = sum + x;
  const V part = next - sum;
  lost = lost + ((sum - (next - part)) + (x - part));
  sum = next;
}

inline void compensated_merge(void* const* a, const void* const* b, std::int64_t count) {
  auto* sum = static_cast<double*>(a[0]);
  auto* lost = static_cast<double*>(a[1]);
  const auto* other = static_cast<const double*>(b[0]);
  const auto* other_lost = static_cast<const double*>(b[1]);
  for (std::int64_t i = 0; i < count; ++i) {
    lost[i] += other_lost[i];
    add_compensated(sum[i], lost[i], other[i]);
  }
}

template <class Source>
void compensated_rows(const RowsCall& call) {
  constexpr int W = kRegisterBytes / 8;
  constexpr int K = kLanes / W;
  using Wide = Vec<double, W>;
  for (std::int64_t r = 0; r < call.rows; ++r) {
    const char* data = call.data + r * call.row_stride;
    Wide sum[K] = {}, lost[K] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= call.count; i += kLanes, data += kLanes * Source::bytes) {
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k)
        add_compensated(sum[k], lost[k],
                        convert<Wide>(Source::template load<W>(data + k * W * Source::bytes)));
    }
    alignas(64) double sums[kLanes], rests[kLanes];
    for (int k = 0; k < K; ++k) {
      sum[k].store(sums + k * W);
      lost[k].store(rests + k * W);
    }
    for (int lane = 0; i < call.count; ++i, ++lane, data += Source::bytes)
      add_compensated(sums[lane], rests[lane], static_cast<double>(Source::one(data)));
    for (int half = kLanes / 2; half > 0; half /= 2) {
      void* const to[] = {sums, rests};
      const void* const from[] = {sums + half, rests + half};
      compensated_merge(to, from, half);
    }
    static_cast<double*>(call.states[0])[r * call.state_step] = sums[0];
    static_cast<double*>(call.states[1])[r * call.state_step] = rests[0];
  }
}

template <class Source>
void compensated_columns(const ColumnsCall& given) {
  constexpr int W = kRegisterBytes / 8;
  const ColumnsCall call = given;  // by value: stores to the accumulators cannot change it
  auto* sums = static_cast<double*>(call.lanes[0]);
  auto* rests = static_cast<double*>(call.lanes[1]);
  with_rows(call, [=](const char* const* row, auto rows) __attribute__((always_inline)) {
    walk_columns<W>(
        call.columns,
        [=](std::int64_t c) __attribute__((always_inline)) {
          using Wide = Vec<double, W>;
          prefetch_columns<W * Source::bytes>(row, rows, c * Source::bytes, call.ahead);
          Wide sum = call.fresh ? Wide{} : Wide::load(sums + c);
          Wide lost = call.fresh ? Wide{} : Wide::load(rests + c);
          for (std::int64_t r = 0; r < rows; ++r)
            add_compensated(sum, lost, convert<Wide>(Source::template load<W>(row[r] + c * Source::bytes)));
          sum.store(sums + c);
          lost.store(rests + c);
        },
        [=](std::int64_t c) {
          double sum = call.fresh ? 0.0 : sums[c], lost = call.fresh ? 0.0 : rests[c];
          for (std::int64_t r = 0; r < rows; ++r)
            add_compensated(sum, lost, static_cast<double>(Source::one(row[r] + c * Source::bytes)));
          sums[c] = sum;
          rests[c] = lost;
        });
  });
}

inline void compensated_close(void* const* states, const void* const* lanes, std::int64_t columns,
                              const double*, const double*, std::int64_t, std::int64_t) {
  for (int i = 0; i < 2; ++i)
    std::memcpy(states[i], lanes[i], static_cast<std::size_t>(columns) * sizeof(double));
}

template <class To>
void finish_restored(const FinishCall& call) {
  const auto* sum = static_cast<const double*>(call.states[0]);
  const auto* lost = static_cast<const double*>(call.states[1]);
  auto* to = static_cast<To*>(call.out);
  for (std::int64_t i = 0; i < call.count; ++i) {
    const double whole = sum[i] + lost[i];
    to[i] = static_cast<To>((sum[i] - sum[i] == 0.0 ? whole : reducers::canonical(sum[i])) / call.divisor);
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
