// Reductions of segments of an axis: x[start:stop] for each of many, in one call.
//
// A segment is folded by the tree of `reduce/reduction.hpp` over its own elements, so that its result has the
// bits of a reduction of that slice alone. Segments may be empty, overlap and come in any order.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

/// Segment i is [starts[i], stops[i]) along the axis, within it; empty where it ends before it starts.
/// Both may change at any time: what is read later than it was checked is clamped to the axis.
struct Segments {
  std::int64_t count = 0;
  const std::int64_t* starts = nullptr;
  const std::int64_t* stops = nullptr;  // null: where the next one starts, the last at the end of the axis
  bool all_needed = false;              // an empty segment is an error
};

/// What is wrong, with nothing written: -1 where it is not. And how short segments are.
struct SegmentFacts {
  std::int64_t start = -1, stop = -1;  // the first that is not within the axis
  std::int64_t empty = -1;             // the first empty segment, where all are needed
  std::int64_t shortest = INT64_MAX;
};

/// Runs a reduction of one axis for each segment of that axis. The outputs' strides along the axis lead from
/// one segment's result to the next. A segment's length is the divisor of its mean; an empty segment gives
/// what the reducer starts with. Outputs must not overlap inputs, nor the positions.
/// Throws `std::invalid_argument` where the catalogue has no such kernel, `std::bad_alloc`.
UFUSE_API SegmentFacts reduce_segments(const Reduction& reduction, int axis, const Segments& segments,
                                       Tier tier);

}  // namespace ufuse
