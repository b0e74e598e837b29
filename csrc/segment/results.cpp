#include "segment/results.hpp"

#include <algorithm>
#include <cstring>

namespace ufuse {

void place_of(const Reduction& r, const ReducePlan& plan, const Tile& tile, std::int64_t* target,
              std::int64_t* offset) {
  auto step = [&](const ReduceAxis& axis, std::int64_t index, bool inputs) {
    for (int s = 0; s < r.slots; ++s) target[s] += index * axis.target[s];
    for (int k = 0; inputs && k < r.inputs; ++k) offset[k] += index * axis.stride[k];
  };
  std::int64_t left = tile.outer;
  for (int i = plan.outer_axes - 1; i >= 0; --i) {
    step(plan.outer[i], left % plan.outer[i].extent, true);
    left /= plan.outer[i].extent;
  }
  // The inner axis is merged as the inputs allow; results follow its parts.
  for (int k = 0; k < r.inputs; ++k) offset[k] += tile.first * plan.inner.stride[k];
  left = tile.first;
  for (int i = 0; i < plan.parts; ++i) {
    step(plan.part[i], i + 1 < plan.parts ? left % plan.part[i].extent : left, false);
    left /= plan.part[i].extent;
  }
}

void write_tile(const Reduction& r, const ReducePlan& plan, const ReduceKernels& kernels, const Tile& tile,
                int s, const ReduceSlot& slot, const States& states, std::int64_t base) {
  const ReducerKernel& kernel = kernels.at(slot.reducer, slot.element);
  const ReduceAxis& fastest = plan.parts > 0 ? plan.part[0] : kSingleAxis;
  for (std::int64_t done = 0; done < tile.width;) {
    const std::int64_t at = tile.first + done;
    const std::int64_t run = std::min(tile.width - done, fastest.extent - at % fastest.extent);
    std::int64_t target[kMaxSlots] = {}, offset[kMaxReduceInputs] = {};
    place_of(r, plan, {tile.outer, at, run}, target, offset);
    const std::int64_t step = run > 1 ? fastest.target[s] : static_cast<std::int64_t>(item_size(slot.result));
    write_results(slot, kernels, states.at(kernel, done), run, slot.out + base + target[s], step);
    done += run;
  }
}

void empty_states(const ReducerKernel& kernel, const States& states, std::int64_t count) {
  kernel.rows({kernel.identity, 0, count, 0, states.pointers(), 1, 0, 0, nullptr, nullptr});
}

}  // namespace ufuse
