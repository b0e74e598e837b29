// The axes of one reduction, arranged for its first pass.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

inline constexpr int kMaskOperand = kMaxReduceInputs;  // the mask walks along as one more input

/// Without initial values: a plan has room for 192 axes, and zeroing them would cost a small call 2 us.
struct ReduceAxis {
  std::int64_t extent;
  int id;                                     // the axis of the shape; of merged axes the innermost
  std::int64_t stride[kMaxReduceInputs + 1];  // bytes; the mask's last
  std::int64_t target[kMaxSlots];             // where results go: bytes of `out`, or states of the temporary
};

/// What stands for no axis at all.
inline constexpr ReduceAxis kSingleAxis{1, -1, {}, {}};

/// A later pass: merges `rows` states for each of what is left.
struct MergePass {
  std::int64_t rows;
  std::int64_t index_weight;  // elements of the groups inside this one
};

struct ReducePlan {
  // The first pass: `count` elements along the reduced axes (C order, slowest first) for each position of
  // the kept nest: `outer` axes, slowest first, and `inner`.
  int group_axes = 0;
  ReduceAxis group[kMaxReduceAxes];
  std::int64_t count = 1;
  int outer_axes = 0;
  ReduceAxis outer[kMaxReduceAxes];
  std::int64_t outers = 1;
  ReduceAxis inner = kSingleAxis;
  // `inner` is merged wherever the inputs allow, though its results may lie elsewhere: its parts, fastest
  // first, as far as `extent` and `target` go.
  int parts = 0;
  ReduceAxis part[kMaxReduceAxes];

  bool columns = false;  // walk along `inner` and not along the group

  int passes = 0;  // later passes, innermost group first
  MergePass pass[kMaxReduceAxes];
  std::int64_t results = 1;  // positions of the kept axes
  std::int64_t states = 1;   // what the first pass leaves: results times the rows of every later pass

  // The kept axes in C order, for the results of the last pass.
  int kept_axes = 0;
  ReduceAxis kept[kMaxReduceAxes];
};

void plan_reduction(ReducePlan& plan, const Reduction& reduction);

}  // namespace ufuse
