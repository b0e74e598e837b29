// The loop planner: one loop nest for any strides.
//
// Axes of size 1 are dropped, axes along which every operand runs backwards are turned round, the rest are
// ordered by stride (fastest first, the first operand deciding), and neighbours that every operand walks as
// one are merged.
#pragma once

#include <cstdint>

namespace ufuse {

inline constexpr int kMaxAxes = 64;
inline constexpr int kMaxOperands = 32;

/// An operand as the caller has it: strides in bytes, one per axis of the common (broadcast) shape.
struct StridedOperand {
  char* data;
  const std::int64_t* strides;
};

/// The nest, fastest axis first. Zero axes mean a single element; `size` is the product of the extents.
struct LoopPlan {
  int axes = 0;
  std::int64_t size = 1;
  std::int64_t extent[kMaxAxes];
  std::int64_t stride[kMaxOperands][kMaxAxes];
  char* data[kMaxOperands];
};

/// Plans a loop over `shape` (C order, slowest first). `fixed_inner`: the last axis stays the fastest and
/// unmerged, whatever its strides, for programs that reduce along it.
inline void plan_loop(LoopPlan& plan, int axes, const std::int64_t* shape, int operands,
                      const StridedOperand* operand, bool fixed_inner = false) {
  plan.axes = 0;
  plan.size = 1;
  for (int k = 0; k < operands; ++k) plan.data[k] = operand[k].data;
  for (int axis = axes - 1; axis >= 0; --axis) {
    const std::int64_t extent = shape[axis];
    plan.size *= extent;
    const bool keep = fixed_inner && axis == axes - 1;
    if (extent == 1 && !keep) continue;

    bool backwards = false, forwards = false;
    for (int k = 0; k < operands; ++k) {
      backwards |= operand[k].strides[axis] < 0;
      forwards |= operand[k].strides[axis] > 0;
    }
    const bool turn = backwards && !forwards && !keep;

    // Insertion by stride: an axis moves inwards past another where the first operand that walks both
    // walks it in smaller steps.
    int place = plan.axes;
    const int innermost = fixed_inner ? 1 : 0;
    while (place > innermost) {
      bool inner = false;
      for (int k = 0; k < operands; ++k) {
        const std::int64_t mine = operand[k].strides[axis], other = plan.stride[k][place - 1];
        if (mine == 0 || other == 0 || mine == other || mine == -other) continue;
        inner = (mine < 0 ? -mine : mine) < (other < 0 ? -other : other);
        break;
      }
      if (!inner) break;
      plan.extent[place] = plan.extent[place - 1];
      for (int k = 0; k < operands; ++k) plan.stride[k][place] = plan.stride[k][place - 1];
      --place;
    }
    plan.extent[place] = extent;
    for (int k = 0; k < operands; ++k) {
      const std::int64_t stride = operand[k].strides[axis];
      plan.stride[k][place] = turn ? -stride : stride;
      if (turn) plan.data[k] += stride * (extent - 1);
    }
    ++plan.axes;
  }

  // Merge: an axis that starts where the one inside it ends, for every operand, continues it.
  int last = 0;
  for (int axis = 1; axis < plan.axes; ++axis) {
    bool continues = !(fixed_inner && last == 0);
    for (int k = 0; k < operands && continues; ++k)
      continues = plan.stride[k][axis] == plan.stride[k][last] * plan.extent[last];
    if (continues) {
      plan.extent[last] *= plan.extent[axis];
    } else {
      ++last;
      plan.extent[last] = plan.extent[axis];
      for (int k = 0; k < operands; ++k) plan.stride[k][last] = plan.stride[k][axis];
    }
  }
  if (plan.axes > 0) plan.axes = last + 1;
}

}  // namespace ufuse
