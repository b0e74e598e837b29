// The labels of an axis of a product as one axis per array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "contract/contraction.hpp"
#include "contract/product.hpp"

namespace ufuse::contract {

/// Positions of all labels together.
std::int64_t extent(const std::vector<Label>& labels);

/// Drops labels of 1 and joins neighbours that step evenly in every array.
std::vector<Label> merged(const std::vector<Label>& labels);

/// Whether an array steps by the same from each position to the next.
bool steps_evenly(const std::vector<Label>& labels, std::size_t array);

/// How positions are cut in squares along two labels, so that the cache lines of the arrays are used whole.
struct Squares {
  std::size_t inner, other;  // labels: neighbours within a square lie along `inner`
  std::int64_t inner_side, other_side;
  std::vector<std::size_t> order;  // of all other labels, outermost first
  bool others_within = false;      // whether these are run through within a stripe of `other`
  bool whole_first = false;        // whether what fills no square comes last
};

/// Several labels as one axis per array: affine where they step evenly, else with offset vectors.
class FusedAxis {
 public:
  /// The last label is the innermost.
  FusedAxis(const std::vector<Label>& labels, std::size_t arrays);
  FusedAxis(const std::vector<Label>& labels, std::size_t arrays, const Squares& squares);

  std::int64_t size() const { return size_; }
  /// Its offsets, where it has any, are this object's.
  const Axis& axis(std::size_t array) const { return axes_[array]; }

 private:
  std::int64_t size_ = 1;
  std::vector<Axis> axes_;
  std::vector<std::vector<std::int64_t>> offsets_;
};

}  // namespace ufuse::contract
