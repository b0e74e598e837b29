// What the driver and the kernels of a tier share: lanes side by side, and the cut of the axis.
//
// The axis is cut into *segments* of L elements, L a power of two chosen by the window alone, aligned to the
// logical index. With window - 1 = q L + r, the window that ends at element j of segment s is
//
//   j >= r:  the end of segment s - q from element j - r on;          segments s - q + 1 ... s - 1;  and
//   j <  r:  the end of segment s - q - 1 from element L + j - r on;  segments s - q ... s - 1;      and
//            the beginning of segment s up to element j.
//
// Ends and beginnings are one fold per element (van Herk 1992, Gil and Werman 1993); the *middle*, whole
// segments, is the same problem on the segments' totals, 1/L of the elements. Nothing is ever subtracted, so
// that nothing drifts and an infinity leaves with its element, and which elements are folded in which order
// depends on the index and the window alone. Windows of up to `kDoubled` elements are folded by doubling.
#pragma once

#include "reduce/kernels.hpp"
#include "window/window.hpp"

namespace ufuse {

inline constexpr int kWindowLanes = 16;             // folded side by side
inline constexpr int kSegmentRows = 64;             // the longest segment
inline constexpr int kTileRows = 128;               // rows of the largest tile
inline constexpr std::int64_t kDoubled = 160;       // longest window that is folded by doubling
inline constexpr std::int64_t kLongLane = 512;      // shorter ones are folded side by side
inline constexpr int kMaxBundle = 8;                // groups of lanes that advance together
inline constexpr std::int64_t kSortedWindow = 192;  // longest window that is kept as a sorted column

/// Lanes, or pieces of lanes: row k of lane i is the element `base[i]` + k of its axis.
struct LaneGroup {
  int lanes = 0;  ///< that are written; the others repeat the first
  const char* x[kWindowLanes];
  char* out[kWindowLanes];
  std::int64_t base[kWindowLanes];
  std::int64_t rows[kWindowLanes];  ///< to be written
  /// Records of the segment of row 0: the fold of each segment, and of the middle before it. A record is the
  /// parts of a state and the count, of the type the operation is folded in.
  char* totals[kWindowLanes];
  char* middles[kWindowLanes];
};

struct WindowJob {
  WindowOp op;
  DType stored;   ///< what `x` holds
  DType element;  ///< what is folded: F32 or F64
  DType result;
  bool swapped;
  bool plain;       ///< `x` holds `element` in this machine's byte order
  bool plain_out;   ///< results are of `element`
  int stored_log2;  ///< of the size of a stored element
  bool columns;     ///< lanes of a group are neighbours, `lane_stride` apart, with one base
  bool along;       ///< lanes are folded one by one, along memory
  bool stream;      ///< store past the cache
  std::int64_t length, window, min_count;
  double ddof;
  std::int64_t stride, lane_stride, out_stride, out_lane_stride;  ///< bytes
  std::int64_t segment, whole, rest;                              ///< L, q, r
  const PieceKernels* pieces;
};

struct WindowKernel {
  std::int64_t scratch;  ///< bytes per group of a bundle
  std::int64_t record;   ///< bytes of a record; 0 where there are no totals
  /// Rows [0, segments * L) of each group.
  void (*run)(const WindowJob& job, const LaneGroup* groups, int count, std::int64_t segments, char* scratch);
  void (*totals)(const WindowJob& job, const LaneGroup& group, std::int64_t segments, char* scratch);
  /// The middles of the segments [m b, m b + m) of one lane, m = q - 1; `segments` are all of the lane.
  void (*middles)(const WindowJob& job, const char* totals, char* middles, std::int64_t b,
                  std::int64_t segments);
};

struct WindowKernels {
  WindowKernel kernel[kWindowOps][2];  ///< by operation, and whether float64 is folded
  /// For windows of up to `kDoubled` elements; none for medians and ranks.
  WindowKernel doubling[kWindowOps][2];
};

const WindowKernels& window_kernels(Tier tier);

/// Medians and ranks in windows longer than `kSortedWindow`: `lane` is one lane of job.length elements.
void order_lane(const WindowJob& job, const char* x, char* out, std::int64_t first_block,
                std::int64_t blocks);

}  // namespace ufuse
