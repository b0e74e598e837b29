// Order statistics of the lanes of an array: what median, quantile and their like are made of.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/dtype.hpp"
#include "order/lanes.hpp"

namespace ufuse {

/// Which order statistics each query wants, and how they are blended, by the number of elements that count in
/// a lane: without `skip_nan` there is one row, that of all elements.
struct QuantileTable {
  std::int64_t rows;
  std::int64_t queries;
  const std::int64_t* counts;    // [rows], ascending
  const std::int64_t* previous;  // [rows][queries]; next[i] is previous[i] or one more
  const std::int64_t* next;
  const double* t;            // [rows][queries]
  const double* one_minus_t;  // [rows][queries]
  const std::uint8_t* blend;  // [rows][queries], a Blend
};

/// A table that holds its rows.
struct RuleRows {
  std::int64_t queries = 0;
  std::vector<std::int64_t> counts, previous, next;
  std::vector<double> t, one_minus_t;
  std::vector<std::uint8_t> blend;

  QuantileTable table() const {
    return {static_cast<std::int64_t>(counts.size()),
            queries,
            counts.data(),
            previous.data(),
            next.data(),
            t.data(),
            one_minus_t.data(),
            blend.data()};
  }
};

enum class OrderResult : int {
  elements,  // the previous order statistic, an element
  pair,      // previous and next, elements of two outputs
  f32,       // blended
  f64,
};

struct OrderJob {
  OrderInput input;
  QuantileTable table;
  /// Makes the rows of ascending counts, where the table has none: lanes are then long, and how much of one
  /// is NaN is known only when it has been read.
  std::function<RuleRows(const std::vector<std::int64_t>&)> rows_of;
  bool skip_nan;  // NaN do not count; otherwise a lane with one gives NaN
  OrderResult result;
  char* out[2];
  const std::int64_t* out_strides[2];
  std::int64_t query_stride[2];
};

/// Fills the outputs; returns how many lanes have nothing that counts. Every lane has elements, and with
/// `skip_nan` the table, unless it is empty, has a row for every count but 0 that is found.
UFUSE_API std::int64_t order_statistics(const OrderJob& job);

/// The median, or quantiles by linear interpolation.
struct OrderQuery {
  bool median;
  const double* q;  // not looked at for a median
  int count;        // of quantiles; 1 for a median
  bool skip_nan;
};

/// Queries of a small array, as float64, or as float32 of float32. False where the general way is asked for:
/// there is nothing to order, or a lane of NaN alone.
UFUSE_API bool order_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                          DType dtype, std::uint64_t reduced, const OrderQuery& query, DType result,
                          void* out, const std::int64_t* out_strides, std::int64_t query_stride);

struct TopkJob {
  OrderInput input;                   // one axis is reduced
  std::int64_t k;                     // between 1 and the length of a lane
  bool descending;                    // the largest, NaN among them, come first
  char* values;                       // elements, in this machine's byte order
  char* indices;                      // int64
  const std::int64_t* value_strides;  // of the input's axes
  const std::int64_t* index_strides;
};

/// Finds the first `k` of each lane in sorted order, and where they are: of equal ones those of the lowest
/// index. Zeros are equal whatever their sign, and so are NaN, which are the largest.
UFUSE_API void topk(const TopkJob& job);

/// The same of float32, float64, integers or bool in this machine's byte order.
UFUSE_API void topk_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                         DType dtype, int axis, std::int64_t k, bool descending, void* values, void* indices,
                         const std::int64_t* value_strides, const std::int64_t* index_strides);

/// Counts what is no NaN in each lane. `out` is int64.
UFUSE_API void count_valid(const OrderInput& input, char* out, const std::int64_t* out_strides);

}  // namespace ufuse
