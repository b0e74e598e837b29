#include "reduce/still.hpp"

#include <cstring>

namespace ufuse {
namespace {

bool moves(const Reduction& r, int axis) {
  if (r.source != nullptr || (r.mask != nullptr && r.mask->strides[axis] != 0)) return true;
  for (int k = 0; k < r.inputs; ++k)
    if (r.input[k].strides[axis] != 0) return true;
  return false;
}

bool idempotent(const Reduction& r, const ReduceKernels& kernels) {
  for (int s = 0; s < r.slots; ++s) {
    const ReduceSlot& slot = r.slot[s];
    if (!kernels.at(slot.reducer, slot.element).idempotent && slot.finish != Finish::nonzero) return false;
  }
  return true;
}

/// `copies` elements of `size` bytes, `step` bytes apart, like the one at `first`.
void copy_along(char* first, std::int64_t step, std::int64_t copies, std::size_t size) {
  for (std::int64_t i = 1; i < copies; ++i) std::memcpy(first + i * step, first, size);
}

/// Repeats along `axis` what lies at its first position, for all positions of the other kept axes that hold
/// results: of the axes in `waiting` the first alone.
void repeat_along(const Reduction& r, const ReduceSlot& slot, int axis, std::uint64_t waiting) {
  std::int64_t index[kMaxReduceAxes] = {};
  const std::uint64_t fixed = r.reduced | waiting | std::uint64_t{1} << axis;
  const std::size_t size = item_size(slot.result);
  char* at = slot.out;
  while (true) {
    copy_along(at, slot.out_strides[axis], r.shape[axis], size);
    int i = r.axes - 1;
    for (; i >= 0; --i) {
      if (fixed >> i & 1) continue;
      at += slot.out_strides[i];
      if (++index[i] < r.shape[i]) break;
      at -= index[i] * slot.out_strides[i];
      index[i] = 0;
    }
    if (i < 0) return;
  }
}

}  // namespace

std::uint64_t still_axes(const Reduction& r, const ReduceKernels& kernels) {
  std::uint64_t still = 0;
  for (int i = 0; i < r.axes; ++i) {
    if (r.shape[i] == 0) return 0;
    if (r.shape[i] == 1 || moves(r, i)) continue;
    if (!(r.reduced >> i & 1) || idempotent(r, kernels)) still |= std::uint64_t{1} << i;
  }
  return still;
}

void repeat_results(const Reduction& r, std::uint64_t still) {
  std::uint64_t waiting = still & ~r.reduced;
  for (int i = 0; i < r.axes; ++i) {
    if (!(waiting >> i & 1)) continue;
    waiting &= ~(std::uint64_t{1} << i);
    for (int s = 0; s < r.slots; ++s) repeat_along(r, r.slot[s], i, waiting);
  }
}

}  // namespace ufuse
