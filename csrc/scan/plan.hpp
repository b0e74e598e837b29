// The axes of one scan, arranged for its loops.
#pragma once

#include "scan/scan.hpp"

namespace ufuse {

struct ScanAxis {
  std::int64_t extent;
  std::int64_t in, out;  // bytes
};

struct ScanPlan {
  // The elements of a line: several axes only where all are scanned and memory does not merge them.
  int group_axes = 0;
  ScanAxis group[kMaxScanAxes];  // C order, slowest first
  std::int64_t count = 1;
  std::int64_t out_step = 0;  // bytes from one result of a line to the next

  // The lines: outer axes, slowest first, and the one that is fastest in memory.
  int outer_axes = 0;
  ScanAxis outer[kMaxScanAxes];
  std::int64_t outers = 1;
  ScanAxis inner{1, 0, 0};

  bool columns = false;  // walk along `inner` and not along the lines

  std::int64_t lines() const { return outers * inner.extent; }
};

/// Lines shorter than this are taken side by side at any stride: they would not fill registers.
inline constexpr std::int64_t kShortLine = 16;

void plan_scan(ScanPlan& plan, const Scan& scan);

}  // namespace ufuse
