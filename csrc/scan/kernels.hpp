// What the driver sees of the scans: tables of functions, one table per CPU tier.
//
// A scan keeps a running value (float64 or 64-bit integers) in two parts, `offset` and `carry`: the blocks
// before this one, and the elements of this block so far. Result j is offset + carry, rounded once.
//
//   rows      kScanLanes lines, or blocks of a line, that lie along memory: one lane of a register each
//   columns   lines that lie across memory, neighbours side by side
//   line      one line, element by element
//
// All of them do the same additions in the same order.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/tiers.hpp"

namespace ufuse {

inline constexpr int kScanLanes = 8;
inline constexpr int kScanRows = 8;  // rows per call of `columns` at most

enum class ScanId : std::uint8_t { sum, prod, nansum, nanprod };
inline constexpr int kScans = 4;
inline constexpr int kScanTypes = 11;

/// `count` contiguous elements of each of kScanLanes lines.
struct ScanRowsCall {
  const char* const* in;
  char* const* out;  // null: only the carries are wanted
  std::int64_t count;
  void* carry;         // one per lane; left at the last element
  const void* offset;  // one per lane
};

/// `rows` <= kScanRows successive elements of `columns` lines.
struct ScanColumnsCall {
  const char* const* in;  // contiguous elements of each row
  char* const* out;       // null: only the carries are wanted
  std::int64_t rows;
  std::int64_t columns;
  void* carry;         // one per column
  const void* offset;  // one per column
};

/// One scan of one element type to one type of results. Running values have 8 bytes.
struct ScanKernel {
  void (*rows)(const ScanRowsCall&);
  void (*columns)(const ScanColumnsCall&);
  void (*line)(const char* in, char* out, std::int64_t count, void* carry, const void* offset);
  /// Sets `count` running values to what changes nothing.
  void (*start)(void* values, std::int64_t count);
  /// Ends a block: each offset takes its carry in, and the carry starts anew.
  void (*advance)(void* offsets, void* carries, std::int64_t count);
  bool blocked;  // lines are cut into blocks
};

struct ScanKernels {
  /// Null functions where there is no such kernel.
  ScanKernel kernel[kScans][kScanTypes][kScanTypes];

  const ScanKernel& at(ScanId id, DType in, DType out) const {
    return kernel[static_cast<int>(id)][static_cast<int>(in)][static_cast<int>(out)];
  }
};

UFUSE_API const ScanKernels& scan_kernels(Tier tier);

}  // namespace ufuse
