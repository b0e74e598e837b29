// Counting: one histogram for each lane of an array.
#pragma once

#include <cstdint>

#include "count/bins.hpp"
#include "count/walk.hpp"

namespace ufuse {

struct Counting {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  std::uint64_t reduced = 0;  // bit mask of the axes a lane runs along
  WalkOperand x;
  const std::int64_t* strides = nullptr;
  bool weighted = false;
  WalkOperand weights;
  const std::int64_t* weight_strides = nullptr;
  const Bins* bins = nullptr;
  void* out = nullptr;  // kept axes in C order, then bins: int64, or float64 where weighted
};

/// Counts are exact. A sum of weights is that of at most 16 parts of its lane, whose number depends on the
/// lane's length and the bins alone: neither threads nor memory layout change a bit. Returns the largest of
/// all values (bincount's elements), or the number of bins where some were out of range; -1 without elements.
UFUSE_API std::int64_t count_lanes(const Counting& counting, const CountKernels& kernels,
                                   const PieceKernels& pieces);

}  // namespace ufuse
