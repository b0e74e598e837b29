// The short way to the histogram of a small array in uniform bins, and to the counts of small integers.
#include "count/fast.hpp"

#include <cmath>
#include <cstring>
#include <type_traits>

#include "count/count.hpp"

namespace ufuse {
namespace {

// Integers that float64 tells apart.
constexpr double kExact = 9007199254740992.0;

/// Smallest and largest of contiguous elements.
bool range_of(const void* x, std::int64_t size, DType dtype, void* low, void* high) {
  const std::int64_t stride = static_cast<std::int64_t>(item_size(dtype)), none = 0;
  for (const int component : {0, 1})
    if (!reduce_fast(x, 1, &size, &stride, dtype, 1, component == 0 ? low : high, &none, dtype,
                     ReducerId::minmax, Finish::value, component, 0.0))
      return false;
  return true;
}

/// numpy.linspace, operation by operation. False where edges do not rise.
template <class W, class Made>
bool put_edges(Made first, Made last, std::int64_t bins, W* edges) {
  const Made step = (last - first) / static_cast<Made>(bins);
  if (!(step > 0) || !std::isfinite(step)) return false;
  for (std::int64_t i = 0; i < bins; ++i) edges[i] = static_cast<W>(static_cast<Made>(i) * step + first);
  edges[bins] = static_cast<W>(last);
  bool rise = true;
  for (std::int64_t i = 0; i < bins; ++i) rise &= edges[i] < edges[i + 1];
  return rise;
}

/// Counts contiguous elements in bins whose edges are there; `width` as for `make_bins`.
bool count_between(const void* x, std::int64_t size, DType dtype, std::int64_t bins, const void* edges,
                   DType wide, double width, std::int64_t* counts) {
  const Tier tier = active_tier();
  const CountKernels& kernels = count_kernels(tier);
  Bins how;
  if (!make_bins(how, edges, bins, wide, width, kernels)) return false;
  const auto stride = static_cast<std::int64_t>(item_size(dtype));
  Counting c;
  c.axes = 1;
  c.shape = &size;
  c.reduced = 1;
  c.x.data = static_cast<const char*>(x);
  c.x.dtype = dtype;
  c.strides = &stride;
  c.bins = &how;
  c.out = counts;
  count_lanes(c, kernels, reduce_kernels(tier).pieces);
  return true;
}

template <class F>
bool with_integers(DType dtype, F f) {
  switch (dtype) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  case DType::name:                         \
    if constexpr (std::is_integral_v<cpp>)  \
      return f(storage_t<cpp>{});           \
    else                                    \
      return false;
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
    default:
      return false;
  }
}

/// Calls `body(i, value)` for each element. False where one is no bin: another thread may write to the array
/// after its largest value was looked for, so that each is checked as it is read.
template <class Body>
bool each_value(const ValueArray& x, std::int64_t bins, Body body) {
  return with_integers(x.dtype, [&](auto one) {
    for (std::int64_t i = 0; i < x.size; ++i) {
      decltype(one) value;
      std::memcpy(&value, x.data + i * x.stride, sizeof value);
      const auto bin = static_cast<std::uint64_t>(value);  // a negative one is beyond all
      if (bin >= static_cast<std::uint64_t>(bins)) return false;
      body(i, bin);
    }
    return true;
  });
}

}  // namespace

bool histogram_fast(const void* x, std::int64_t size, DType dtype, std::int64_t bins, const double* range,
                    void* edges, std::int64_t* counts) {
  const bool single = dtype == DType::F32;
  double width;
  bool made;
  if (range != nullptr) {
    const double first = range[0], last = range[1];
    if (!(std::abs(first) < kExact && std::abs(last) < kExact && first < last)) return false;
    width = last - first;
    made = single ? put_edges(first, last, bins, static_cast<float*>(edges))
                  : put_edges(first, last, bins, static_cast<double*>(edges));
  } else if (single) {
    float low, high;
    if (!range_of(x, size, dtype, &low, &high) || !std::isfinite(low) || !std::isfinite(high)) return false;
    width = static_cast<double>(high - low);
    made = put_edges(low, high, bins, static_cast<float*>(edges));
  } else {
    double low, high;
    if (dtype == DType::F64) {
      if (!range_of(x, size, dtype, &low, &high) || !std::isfinite(low) || !std::isfinite(high)) return false;
    } else {
      const bool exact = with_integers(dtype, [&](auto one) {
        decltype(one) least, most;
        if (!range_of(x, size, dtype, &least, &most)) return false;
        low = static_cast<double>(least);
        high = static_cast<double>(most);
        return std::abs(low) < kExact && std::abs(high) < kExact;
      });
      if (!exact) return false;
    }
    width = high - low;
    made = put_edges(low, high, bins, static_cast<double*>(edges));
  }
  if (!made) return false;
  return count_between(x, size, dtype, bins, edges, single ? DType::F32 : DType::F64, width, counts);
}

bool histogram_between(const void* x, std::int64_t size, DType dtype, std::int64_t bins, const double* edges,
                       std::int64_t* counts) {
  for (std::int64_t i = 0; i < bins; ++i)
    if (!(edges[i] <= edges[i + 1])) return false;
  return count_between(x, size, dtype, bins, edges, DType::F64, 0.0, counts);
}

bool largest_value(const ValueArray& x, std::int64_t& largest) {
  return with_integers(x.dtype, [&](auto one) {
    using T = decltype(one);
    T low = 0, high = 0;
    for (std::int64_t i = 0; i < x.size; ++i) {
      T value;
      std::memcpy(&value, x.data + i * x.stride, sizeof value);
      low = value < low ? value : low;
      high = high < value ? value : high;
    }
    largest = static_cast<std::int64_t>(high);
    return low >= T{0} && largest >= 0;
  });
}

bool count_values(const ValueArray& x, std::int64_t bins, std::int64_t* counts) {
  return each_value(x, bins, [counts](std::int64_t, std::uint64_t value) { ++counts[value]; });
}

bool add_weights(const ValueArray& x, const char* weights, std::int64_t stride, std::int64_t bins,
                 double* sums) {
  return each_value(x, bins, [=](std::int64_t i, std::uint64_t value) {
    double weight;
    std::memcpy(&weight, weights + i * stride, sizeof weight);
    sums[value] += weight;
  });
}

}  // namespace ufuse
