// Sums without rounding over any axes of a strided array, or means of them, rounded once.
//
// What is exact has no order: memory is walked as it lies, and any thread adds any part.
#pragma once

#include "exact/kernels.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {

struct ExactSum {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  std::uint64_t reduced = 0;          // bit per axis
  ReduceInput input;                  // its coding says how narrow floats are read
  const ReduceInput* mask = nullptr;  // bool; null: every element counts
  const double* initial = nullptr;    // one more element of every sum
  std::uint64_t divisor = 1;
  double* out = nullptr;  // contiguous, C order of the kept axes
};

/// Throws `std::bad_alloc`.
UFUSE_API void exact_sum(const ExactSum& sum);

}  // namespace ufuse
