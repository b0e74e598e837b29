#include "reduce/views.hpp"

#include <algorithm>
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

bool any_order(const Reduction& r, const ReduceKernels& kernels) {
  for (int s = 0; s < r.slots; ++s) {
    const ReducerKernel& kernel = kernels.at(r.slot[s].reducer, r.slot[s].element);
    // Moments of integers are exact within a chunk.
    if (!kernel.exact || kernel.indexed || kernel.shifted) return false;
  }
  return true;
}

/// Whether no operand runs forwards along `axis`, and one backwards.
bool is_backward(const Reduction& r, int axis) {
  if (r.source != nullptr || r.shape[axis] < 2) return false;
  bool backward = false;
  for (int k = 0; k <= r.inputs; ++k) {
    if (k == r.inputs && r.mask == nullptr) break;
    const std::int64_t stride = (k == r.inputs ? *r.mask : r.input[k]).strides[axis];
    if (stride > 0) return false;
    backward |= stride < 0;
  }
  return backward;
}

/// Repeats along `axis` what lies at its first position, for all positions of the other kept axes that hold
/// results: of the axes in `waiting` the first alone.
void repeat_along(const Reduction& r, const ReduceSlot& slot, int axis, std::uint64_t waiting) {
  const std::uint64_t fixed = r.reduced | waiting | std::uint64_t{1} << axis;
  const auto size = static_cast<std::int64_t>(item_size(slot.result));
  // The innermost other axis in runs, where it is contiguous.
  int inner = r.axes - 1;
  while (inner >= 0 && (fixed >> inner & 1 || r.shape[inner] == 1)) --inner;
  const bool runs = inner >= 0 && slot.out_strides[inner] == size;
  const std::int64_t bytes = runs ? size * r.shape[inner] : size;
  std::int64_t index[kMaxReduceAxes] = {};
  char* at = slot.out;
  while (true) {
    for (std::int64_t i = 1; i < r.shape[axis]; ++i)
      std::memcpy(at + i * slot.out_strides[axis], at, static_cast<std::size_t>(bytes));
    int i = r.axes - 1;
    for (; i >= 0; --i) {
      if (fixed >> i & 1 || (runs && i == inner)) continue;
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

bool runs_backwards(const Reduction& r, const ReduceKernels& kernels) {
  for (int i = 0; i < r.axes; ++i)
    if (is_backward(r, i) && (!(r.reduced >> i & 1) || any_order(r, kernels))) return true;
  return false;
}

Forwards::Forwards(const Reduction& r, const ReduceKernels& kernels) : reduction_(r) {
  for (int k = 0; k < r.inputs; ++k) {
    std::copy_n(r.input[k].strides, r.axes, strides_[k]);
    reduction_.input[k].strides = strides_[k];
  }
  if (r.mask != nullptr) {
    mask_ = *r.mask;
    std::copy_n(r.mask->strides, r.axes, strides_[r.inputs]);
    mask_.strides = strides_[r.inputs];
    reduction_.mask = &mask_;
  }
  for (int s = 0; s < r.slots; ++s) {
    std::copy_n(r.slot[s].out_strides, r.axes, out_strides_[s]);
    reduction_.slot[s].out_strides = out_strides_[s];
  }
  const bool all = any_order(r, kernels);
  for (int i = 0; i < r.axes; ++i)
    if (is_backward(r, i) && (all || !(r.reduced >> i & 1))) turn(i);
}

void Forwards::turn(int axis) {
  Reduction& r = reduction_;
  const std::int64_t last = r.shape[axis] - 1;
  for (int k = 0; k < r.inputs; ++k) {
    r.input[k].data += last * strides_[k][axis];
    strides_[k][axis] = -strides_[k][axis];
  }
  if (r.mask != nullptr) {
    mask_.data += last * strides_[r.inputs][axis];
    strides_[r.inputs][axis] = -strides_[r.inputs][axis];
  }
  for (int s = 0; s < r.slots && !(r.reduced >> axis & 1); ++s) {
    r.slot[s].out += last * out_strides_[s][axis];
    out_strides_[s][axis] = -out_strides_[s][axis];
  }
}

}  // namespace ufuse
