// Reductions of groups: the elements along an axis that have the same label.
//
//   1. The axis is cut into parts whose number depends on the shape and the number of groups alone, never on
//      threads. In a part each group has a cell, to which its elements are added in the order of the axis:
//      sums in float64 or 64 bits, moments in chunks of kChunk shifted by their first element.
//   2. The states of the parts are merged by the tree of `reduce/reduction.hpp`.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

struct Groups {
  std::int64_t count = 0;         // at most kMostGroups
  ReduceInput labels;             // of an integer type; its one stride is that along the axis
  std::int64_t* sizes = nullptr;  // elements per group are written here, where it is not null
  bool all_needed = false;        // an empty group is an error
};
inline constexpr std::int64_t kMostGroups = std::int64_t{1} << 30;

/// What is wrong, with nothing written but sizes: -1 where it is not.
struct GroupErrors {
  std::int64_t label = -1;  // position of the first label that is no group
  std::int64_t group = -1;  // first group without elements, where all are needed
};

/// Runs a reduction of one axis for each group. The outputs' strides along the axis lead from one group's
/// result to the next. The divisor of a mean is the size of its group; a group without elements gives what
/// the reducer starts with. Masks are not taken; outputs must not overlap inputs.
/// Throws `std::invalid_argument` where the catalogue has no such kernel, `std::bad_alloc`.
UFUSE_API GroupErrors reduce_groups(const Reduction& reduction, int axis, const Groups& groups, Tier tier);

}  // namespace ufuse
