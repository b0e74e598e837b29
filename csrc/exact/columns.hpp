// Exact sums of lines that run across memory, side by side.
#pragma once

#include "exact/blocks.hpp"

namespace ufuse {

/// Rows that are looked at twice, first for their largest magnitudes, while they are in L2. (With 16 KB from
/// row to row, more would share its sets.)
inline constexpr std::int64_t kColumnRows = 32;

/// Sums of the columns of one tile: those of their cuts while the anchors do, which go to `sums` when they
/// do not, or when there could be no room for more rows.
class ColumnSums {
 public:
  /// `sums` has room for `width` of them.
  ColumnSums(const ExactBlocks& blocks, std::int64_t width, ExactAccumulator* sums);

  void begin(std::int64_t width);
  /// Adds `rows` <= kColumnRows contiguous rows.
  void add(const char* const* row, std::int64_t rows);
  /// The sum of a column divided by `divisor`; `initial` is one more element, or null.
  double result(std::int64_t column, std::uint64_t divisor, const double* initial);
  /// Leaves all that was added in the accumulators.
  void close();

 private:
  ExactAccumulator& sum_of(std::int64_t column) {
    if (used_[column] == 0) sums_[column].clear();
    used_[column] = 1;
    return sums_[column];
  }
  void flush(std::int64_t column);
  void place_anchors(std::int64_t column);
  void add_column(const char* const* row, std::int64_t rows, std::int64_t column);

  const ExactBlocks& blocks_;
  ScratchFrame frame_;
  ExactAccumulator* sums_;
  std::int64_t width_ = 0, rows_ = 0;
  bool one_cut_ = false;
  double *largest_, *limit_;  // anchors serve magnitudes below the limit
  double *high_, *low_, *first_, *second_, *next_first_, *next_second_;
  std::int64_t* left_;
  std::uint8_t* used_;  // whether a column's accumulator holds anything
};

}  // namespace ufuse
