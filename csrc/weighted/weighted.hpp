// Sums of weighted elements: two arrays of one shape are multiplied in float64, piece by piece, while the
// reduction engine folds them.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

struct WeightedSum {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  std::uint64_t reduced = 0;  // bit per axis
  ReduceInput values, weights;
  // float64, of the shape with 1 for each reduced axis; sums of the weights only where not null.
  char* sums = nullptr;
  const std::int64_t* sum_strides = nullptr;
  char* totals = nullptr;
  const std::int64_t* total_strides = nullptr;
};

/// Throws `std::bad_alloc`.
UFUSE_API void weighted_sum(const WeightedSum& sum);

struct WeightedKernels {
  /// products[i] = values[i] * weights[i] of contiguous elements, and kept[i] = weights[i] unless null. By
  /// whether the values and the weights are float64, and not float32.
  void (*multiply[2][2])(double* products, double* kept, const void* values, const void* weights,
                         std::int64_t count);
  /// The sums of chunks (reduction.hpp) of `count` products of contiguous elements, the last one shorter.
  void (*add[2][2])(double* sums, const void* values, const void* weights, std::int64_t count);
};

UFUSE_API const WeightedKernels& weighted_kernels(Tier tier);

}  // namespace ufuse
