// Where the order statistics of some lanes go: rules looked up, blended and written.
#pragma once

#include "order/order.hpp"

namespace ufuse {

/// The row of a table for a count; the nearest one above where there is none.
inline std::int64_t row_of(const QuantileTable& table, std::int64_t count) {
  const std::int64_t guess = count - table.counts[0];  // tables of every count are common
  if (guess >= 0 && guess < table.rows && table.counts[guess] == count) return guess;
  std::int64_t low = 0, high = table.rows - 1;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (table.counts[middle] < count)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// Order statistics of up to `kMost` lanes: for each query those of the lanes side by side.
template <class K>
struct Found {
  static constexpr std::int64_t kMost = 64;
  K* previous;  // [queries][kMost]
  K* next;
  std::int64_t row[kMost];    // of the table
  std::int64_t valid[kMost];  // elements that count
};

template <class K>
void emit(const OrderJob& job, const QuantileTable& table, const LanePlan& plan, const KeyKernels<K>& kernels,
          const Found<K>& found, std::int64_t first, std::int64_t lanes) {
  const OrderInput& input = plan.input;
  const int size = input.log2_size, kind = static_cast<int>(input.kind);
  const bool blended = job.result == OrderResult::f32 || job.result == OrderResult::f64;
  const int outputs = job.result == OrderResult::pair ? 2 : 1;
  const auto write =
      blended ? kernels.blend[size][kind][job.result == OrderResult::f64] : kernels.store[size][kind];
  each_stretch(plan.kept, first, lanes, [&](std::int64_t lane, std::int64_t run, const std::int64_t* at) {
    for (std::int64_t done = 0; done < run;) {
      const std::int64_t row = found.row[lane + done];
      std::int64_t same = 1;  // lanes of one rule
      while (done + same < run && found.row[lane + done + same] == row) ++same;
      for (std::int64_t q = 0; q < table.queries; ++q)
        for (int k = 0; k < outputs; ++k) {
          const K* keys = k == 0 ? found.previous : found.next;
          const std::int64_t rule = row * table.queries + q, from = q * Found<K>::kMost + lane + done;
          const std::int64_t stride = plan.kept.axes > 0 ? plan.kept.stride[k + 1][0] : 0;
          write({keys + from,
                 found.next + from,
                 same,
                 {static_cast<Blend>(table.blend[rule]), table.t[rule], table.one_minus_t[rule]},
                 plan.kept.data[k + 1] + at[k + 1] + q * job.query_stride[k] + done * stride,
                 stride});
        }
      done += same;
    }
  });
}

}  // namespace ufuse
