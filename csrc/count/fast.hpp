// Counts of small arrays, without Python: what their fast entries call.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"

namespace ufuse {

/// Counts `size` contiguous elements in `bins` uniform bins between range[0] and range[1], or between the
/// smallest and largest element where `range` is null. Fills the bins + 1 edges, float32 for such elements,
/// else float64, and the counts. False where the general way is asked for: what has no rising edges, what is
/// not finite, integers that float64 does not tell apart.
UFUSE_API bool histogram_fast(const void* x, std::int64_t size, DType dtype, std::int64_t bins,
                              const double* range, void* edges, std::int64_t* counts);

/// The same between given edges, bins + 1 of them. False where they fall, or one is NaN.
UFUSE_API bool histogram_between(const void* x, std::int64_t size, DType dtype, std::int64_t bins,
                                 const double* edges, std::int64_t* counts);

/// Elements of one dimension that are their own bins.
struct ValueArray {
  const char* data;
  std::int64_t size;
  std::int64_t stride;  // bytes
  DType dtype;
};

/// False where one is negative or beyond int64, or they are no integers.
UFUSE_API bool largest_value(const ValueArray& x, std::int64_t& largest);
/// Adds 1 to the count of each value, which begin with 0. False where one is none of the bins by now.
UFUSE_API bool count_values(const ValueArray& x, std::int64_t bins, std::int64_t* counts);
/// Adds the weight of each value, one after the other as numpy.bincount does. False as `count_values`.
UFUSE_API bool add_weights(const ValueArray& x, const char* weights, std::int64_t stride, std::int64_t bins,
                           double* sums);

}  // namespace ufuse
