// Elements of one task as the kernels want them: float32 or float64, contiguous, in place where they lie so.
#pragma once

#include "core/scratch.hpp"
#include "exact/accumulator.hpp"
#include "exact/plan.hpp"

namespace ufuse {

/// What all tasks of an exact sum share.
struct ExactRun {
  explicit ExactRun(const ExactSum& sum);

  const ExactSum& sum;
  ExactPlan plan;
  const PieceKernels& pieces;
  bool wide;  // elements become float64, and not float32
  const ExactKernel& kernel;
  const ExactKernel& of_double;  // of what cuts leave
  std::int64_t stored, size;     // bytes of an element: in memory, for the kernels
  bool plain;                    // elements at steps of `size` are read in place
};

class ExactBlocks {
 public:
  /// Blocks of `rows` rows of `columns` elements.
  ExactBlocks(const ExactRun& run, std::int64_t rows, std::int64_t columns);

  /// Brings `count` elements, from positions `in` of the data and `mask` of the mask on, to row `row` of the
  /// block, from element `at` on.
  void fetch(const ExactAxes::Offset& from, const ExactAxis& along, std::int64_t count, std::int64_t row,
             std::int64_t at);
  bool in_place(const ExactAxis& along) const { return run_.plain && along.in == run_.size; }
  const char* row(std::int64_t row) const { return block_ + row * pitch_; }

  /// Adds `count` <= kExactBlock elements to `sum`, or where all cuts are clean leaves it alone and says so:
  /// their sum is then that of `pair`.
  bool add(const void* data, std::int64_t count, ExactAccumulator& sum, ExactPair& pair) const;

  const ExactRun& run() const { return run_; }

 private:
  void add_singly(const void* data, std::int64_t count, bool wide, ExactAccumulator& sum) const;

  const ExactRun& run_;
  std::int64_t pitch_;
  ScratchFrame frame_;
  char* block_;
  char* raw_;
  std::uint8_t* mask_;
  double* rest_;
};

/// The anchors for elements of at most `largest`; zeros where there are none.
ExactPair anchors_of(double largest);

}  // namespace ufuse
