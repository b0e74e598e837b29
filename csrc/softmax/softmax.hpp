// Softmax and its logarithm of lines that stay in a core's cache: one read of memory, one exponential per
// element, one write.
//
// A line is the elements along the reduced axes, in C order. Its sum is kept in `kLanes` lanes, element j in
// lane j % kLanes: of each lane the terms of kRowsPerStep elements are added in the type of the elements,
// these sums in float64, and the lanes by halves. What equals the largest is counted, not added, so that the
// small terms are not lost beside it. Lines in rows and lines side by side do the same additions.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

struct Softmax {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  std::uint64_t reduced = 0;  // bit i: axis i is summed over
  const char* in = nullptr;
  const std::int64_t* in_strides = nullptr;
  char* out = nullptr;  // apart from `in`, or the same elements at the same places
  const std::int64_t* out_strides = nullptr;
  DType dtype = DType::F32;  // of both; F32 or F64
  bool logarithm = false;
};

/// Whether lines of `count` elements, `size` in all, are for `softmax`: a matter of the shape alone, since
/// other ways add in another order. Longer ones would not stay in cache; of many short ones, each costs more
/// than its elements.
UFUSE_API bool softmax_by_line(std::int64_t count, std::int64_t size) noexcept;

/// Throws `std::invalid_argument` for other types or more axes than `kMaxReduceAxes`, `std::bad_alloc`.
UFUSE_API void softmax(const Softmax& s);

}  // namespace ufuse
