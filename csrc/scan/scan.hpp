// Scans (running sums and products) along an axis of strided arrays, in one read and one write.
//
// What is computed depends on the logical shape alone, never on strides, threads or tier: a line is cut into
// blocks of kScanBlock elements; within a block elements are added one after the other; the offset of a block
// is the last running value before it.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "scan/kernels.hpp"

namespace ufuse {

/// 65 lines of the cache of float32, and not 64: lanes that are 4 KB apart would share their sets of L1.
inline constexpr std::int64_t kScanBlock = 1040;
inline constexpr int kMaxScanAxes = 64;

struct Scan {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  int axis = 0;  // -1: all of them, in C order; the output then has one axis
  ScanId scan = ScanId::sum;
  const char* in = nullptr;
  const std::int64_t* in_strides = nullptr;  // bytes, any
  DType in_type = DType::F32;
  bool in_swapped = false;  // non-native byte order
  char* out = nullptr;
  const std::int64_t* out_strides = nullptr;
  DType out_type = DType::F32;
};

/// Runs a scan. The output may be the input itself, but not overlap it otherwise.
/// Throws `std::invalid_argument` where there is no such kernel, `std::bad_alloc`.
UFUSE_API void scan(const Scan& scan);

}  // namespace ufuse
