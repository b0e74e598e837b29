// The short way to a median or a linear quantile: rules in a handful of flops, no Python.
#include <algorithm>
#include <cmath>

#include "order/order.hpp"

namespace ufuse {
namespace {

// With NaN to leave out there is a rule for every count; more are left to the general way, which keeps them.
constexpr std::int64_t kMostCounts = 512;

KeyKind kind_of(DType dtype) {
  switch (code_of(dtype)[0]) {
    case 'f':
      return KeyKind::floating;
    case 'i':
      return KeyKind::signed_;
    default:
      return KeyKind::unsigned_;
  }
}

/// As in src/ufuse/order/rules.py, which has all methods.
void put_rule(RuleRows& rows, std::int64_t count, OrderQuery query) {
  std::int64_t previous = (count - 1) / 2, next = count / 2;
  double t = 0.5;
  Blend blend = previous == next ? Blend::previous : Blend::mean;
  if (!query.median) {
    const double last = static_cast<double>(count - 1), index = last * query.q, floor = std::floor(index);
    t = index - floor;
    previous = next = std::min(static_cast<std::int64_t>(floor), count - 1);
    blend = Blend::previous;
    if (index < last && t != 0) {
      ++next;
      blend = t >= 0.5 ? Blend::upper : Blend::lower;
    }
  }
  rows.counts.push_back(count);
  rows.previous.push_back(previous);
  rows.next.push_back(next);
  rows.t.push_back(t);
  rows.one_minus_t.push_back(1 - t);
  rows.blend.push_back(static_cast<std::uint8_t>(blend));
}

}  // namespace

bool order_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                DType dtype, std::uint64_t reduced, OrderQuery query, void* out,
                const std::int64_t* out_strides) {
  if (axes > kMaxAxes) return false;
  std::int64_t count = 1, results = 1;
  for (int i = 0; i < axes; ++i) (reduced >> i & 1 ? count : results) *= shape[i];
  const bool every = query.skip_nan && kind_of(dtype) == KeyKind::floating;
  if (count == 0 || results == 0 || (every && count > kMostCounts)) return false;
  RuleRows rows;
  rows.queries = 1;
  for (std::int64_t n = every ? 1 : count; n <= count; ++n) put_rule(rows, n, query);
  OrderJob job;
  const std::uint64_t infinity = dtype == DType::F32 ? 0x7f800000u : 0x7ff0000000000000u;
  job.input = {static_cast<const char*>(data),
               log2_size(dtype),
               kind_of(dtype),
               false,
               infinity,
               nullptr,
               axes,
               shape,
               strides,
               reduced};
  job.table = rows.table();
  job.skip_nan = every;
  job.result = dtype == DType::F32 ? OrderResult::f32 : OrderResult::f64;
  job.out[0] = static_cast<char*>(out);
  job.out_strides[0] = out_strides;
  job.query_stride[0] = 0;
  return order_statistics(job) == 0 || !every;
}

}  // namespace ufuse
