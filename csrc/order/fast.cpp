// The short way to a median or to linear quantiles: rules in a handful of flops, no Python.
#include <algorithm>
#include <cmath>

#include "core/scratch.hpp"
#include "order/order.hpp"
#include "order/select.hpp"

namespace ufuse {
namespace {

// With NaN to leave out there is a rule for every count; more are left to the general way, which keeps them.
constexpr std::int64_t kMostCounts = 512;
// A lane of its own up to this long is loaded and searched without a plan of blocks and threads.
constexpr std::int64_t kAlone = 4096;

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

OrderInput input_of(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                    DType dtype, std::uint64_t reduced) {
  const std::uint64_t infinity = dtype == DType::F32 ? 0x7f800000u : 0x7ff0000000000000u;
  return {static_cast<const char*>(data),
          log2_size(dtype),
          kind_of(dtype),
          false,
          infinity,
          nullptr,
          axes,
          shape,
          strides,
          reduced};
}

struct Rule {
  std::int64_t previous, next;
  BlendRule blend;
};

/// As in src/ufuse/order/rules.py, which has all methods.
Rule rule_of(std::int64_t count, bool median, double q) {
  if (median) {
    const std::int64_t previous = (count - 1) / 2, next = count / 2;
    return {previous, next, {previous == next ? Blend::previous : Blend::mean, 0.5, 0.5}};
  }
  const double last = static_cast<double>(count - 1), index = last * q, floor = std::floor(index);
  const double t = index - floor;
  const std::int64_t previous = std::min(static_cast<std::int64_t>(floor), count - 1);
  if (index >= last || t == 0) return {previous, previous, {Blend::previous, t, 1 - t}};
  return {previous, previous + 1, {t >= 0.5 ? Blend::upper : Blend::lower, t, 1 - t}};
}

void put_rules(RuleRows& rows, std::int64_t count, const OrderQuery& query) {
  rows.counts.push_back(count);
  for (int i = 0; i < query.count; ++i) {
    const Rule rule = rule_of(count, query.median, query.median ? 0.5 : query.q[i]);
    rows.previous.push_back(rule.previous);
    rows.next.push_back(rule.next);
    rows.t.push_back(rule.blend.t);
    rows.one_minus_t.push_back(rule.blend.one_minus_t);
    rows.blend.push_back(static_cast<std::uint8_t>(rule.blend.blend));
  }
}

/// One lane of evenly spaced elements. False where nothing counts.
template <class K>
bool alone(const OrderInput& input, std::int64_t length, std::int64_t stride, const OrderQuery& query,
           bool skip_nan, bool wide, char* out, std::int64_t step) {
  constexpr K nan = static_cast<K>(~K{0});
  const KeyKernels<K>& kernels = keys_of<K>(order_kernels(active_tier()));
  const int kind = static_cast<int>(input.kind);
  const ScratchFrame frame(static_cast<std::size_t>(3 * (length + kSlack)) * sizeof(K));
  K* keys = reinterpret_cast<K*>(frame.data());
  kernels.load[input.log2_size][kind](
      {keys, length, input.data, 0, 1, stride, length, static_cast<K>(input.infinity), nullptr, false});
  const std::int64_t nans = input.kind == KeyKind::floating ? kernels.count_above(keys, length, nan - 1) : 0;
  if (skip_nan && nans == length) return false;
  const auto blend = kernels.blend[input.log2_size][kind][wide];
  Selector<K> selector(kernels, keys + length + kSlack, length);
  for (int i = 0; i < query.count; ++i) {
    const Rule rule = rule_of(length - nans, query.median, query.median ? 0.5 : query.q[i]);
    const auto [previous, next] = nans > 0 && !skip_nan
                                      ? std::pair<K, K>{nan, nan}
                                      : selector.select(keys, length, rule.previous, rule.next);
    blend({&previous, &next, 1, rule.blend, out + i * step, 0});
  }
  return true;
}

}  // namespace

bool order_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                DType dtype, std::uint64_t reduced, const OrderQuery& query, DType result, void* out,
                const std::int64_t* out_strides, std::int64_t query_stride) {
  if (axes > kMaxAxes) return false;
  std::int64_t count = 1, results = 1;
  for (int i = 0; i < axes; ++i) (reduced >> i & 1 ? count : results) *= shape[i];
  if (count == 0 || results == 0) return false;
  const bool every = query.skip_nan && kind_of(dtype) == KeyKind::floating;
  const OrderInput input = input_of(data, axes, shape, strides, dtype, reduced);
  char* to = static_cast<char*>(out);
  if (axes == 1 && reduced == 1 && count <= kAlone) {
    const bool wide = result == DType::F64;
    return input.log2_size == 3
               ? alone<std::uint64_t>(input, count, strides[0], query, every, wide, to, query_stride)
               : alone<std::uint32_t>(input, count, strides[0], query, every, wide, to, query_stride);
  }
  if (every && count > kMostCounts) return false;
  RuleRows rows;
  rows.queries = query.count;
  for (std::int64_t n = every ? 1 : count; n <= count; ++n) put_rules(rows, n, query);
  OrderJob job;
  job.input = input;
  job.table = rows.table();
  job.skip_nan = every;
  job.result = result == DType::F32 ? OrderResult::f32 : OrderResult::f64;
  job.out[0] = to;
  job.out_strides[0] = out_strides;
  job.query_stride[0] = query_stride;
  return order_statistics(job) == 0 || !every;
}

void topk_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
               DType dtype, int axis, std::int64_t k, bool descending, void* values, void* indices,
               const std::int64_t* value_strides, const std::int64_t* index_strides) {
  TopkJob job;
  job.input = input_of(data, axes, shape, strides, dtype, std::uint64_t{1} << axis);
  job.k = k;
  job.descending = descending;
  job.values = static_cast<char*>(values);
  job.indices = static_cast<char*>(indices);
  job.value_strides = value_strides;
  job.index_strides = index_strides;
  topk(job);
}

}  // namespace ufuse
