// What the driver of exact sums sees of its kernels: one table per CPU tier.
//
// A block of elements is cut at two fixed bit positions below its largest magnitude (Demmel and Nguyen,
// "Fast reproducible floating-point summation", 2013; Rump, Ogita and Oishi, "Accurate floating-point
// summation", 2008): q = (anchor + x) - anchor is x rounded to a multiple of the anchor's last bit, and
// x - q is exact. All q of a block are multiples of one unit, and few enough that their sums are exact in
// any order. What two cuts leave over (`rest`) is zero for elements that span fewer than 32 octaves.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// Elements that are cut at the same positions at most: sums of 2^11 of 42 bits are exact in float64.
inline constexpr std::int64_t kExactBlock = 2048;
/// Elements of one column of a block at most: they add up in one lane.
inline constexpr std::int64_t kExactRows = 256;
/// With 2^e <= the largest magnitude < 2^(e + 1), the anchors are 1.5 * 2^(e + kAnchor), and kNextAnchor
/// less.
inline constexpr int kAnchor = 11, kNextAnchor = 43;

struct ExactPair {
  double first, second;
};

struct ExactColumns {
  const char* const* row;  // contiguous elements of each row
  std::int64_t rows;       // <= kExactRows
  std::int64_t columns;
};

/// For one element type: float32 or float64.
struct ExactKernel {
  /// The largest magnitude, NaN aside.
  double (*largest)(const void* data, std::int64_t count);
  /// The sums of the two cuts of `count` <= kExactBlock elements; whether any have bits below, which go to
  /// `rest` unless it is null. A NaN has.
  bool (*cut)(const void* data, std::int64_t count, ExactPair anchors, ExactPair* sums, double* rest);
  /// The largest magnitude of each column.
  void (*largest_columns)(const ExactColumns& call, double* largest);
  /// Adds the cuts of the columns' elements to anchors that hold other cuts already; whether any have bits
  /// below: not 0. Where `second` is null there is one cut.
  void (*cut_columns)(const ExactColumns& call, const double* first, const double* second, double* next_first,
                      double* next_second, std::int64_t* left);
};

struct ExactKernels {
  ExactKernel of_float, of_double;
};

UFUSE_API const ExactKernels& exact_kernels(Tier tier);

}  // namespace ufuse
