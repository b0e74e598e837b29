#include "reduce/axes.hpp"

#include <algorithm>
#include <cstdlib>

namespace ufuse {
namespace {

ReduceAxis axis_of(const Reduction& r, int id) {
  ReduceAxis axis;
  axis.extent = r.shape[id];
  axis.id = id;
  for (int k = 0; k < r.inputs; ++k) axis.stride[k] = r.input[k].strides[id];
  if (r.mask != nullptr) axis.stride[kMaskOperand] = r.mask->strides[id];
  return axis;
}

/// Whether every operand walks `outer` as the continuation of `inner`.
bool continues(const Reduction& r, const ReduceAxis& outer, const ReduceAxis& inner, bool targets) {
  if (r.source != nullptr && !r.source->continues(outer.id, inner.id, inner.extent)) return false;
  for (int k = 0; k < r.inputs && r.source == nullptr; ++k)
    if (outer.stride[k] != inner.stride[k] * inner.extent) return false;
  if (r.mask != nullptr && outer.stride[kMaskOperand] != inner.stride[kMaskOperand] * inner.extent)
    return false;
  for (int s = 0; targets && s < r.slots; ++s)
    if (outer.target[s] != inner.target[s] * inner.extent) return false;
  return true;
}

void absorb(ReduceAxis& outer, const ReduceAxis& inner) {
  const std::int64_t extent = outer.extent * inner.extent;
  outer = inner;
  outer.extent = extent;
}

/// Distance in memory between neighbours; an axis that does not move counts as the slowest.
std::int64_t pace(const ReduceAxis& axis) {
  const std::int64_t stride = std::abs(axis.stride[0]);
  return stride == 0 ? INT64_MAX : stride;
}

}  // namespace

void plan_reduction(ReducePlan& plan, const Reduction& r) {
  // Groups, from the shape alone.
  int group_of[kMaxReduceAxes];
  std::int64_t group_count[kMaxReduceAxes];
  int groups = 0;
  for (int id = r.axes - 1; id >= 0; --id) {
    if (!(r.reduced >> id & 1)) continue;
    if (groups == 0 || group_count[groups - 1] >= kShortGroup) group_count[groups++] = 1;
    group_of[id] = groups - 1;
    group_count[groups - 1] *= r.shape[id];
  }
  // A last group of one element is no pass.
  while (groups > 1 && group_count[groups - 1] == 1) --groups;

  plan.count = groups > 0 ? group_count[0] : 1;
  std::int64_t weight = plan.count;
  for (int g = 1; g < groups; ++g) {
    plan.pass[plan.passes++] = {group_count[g], weight};
    weight *= group_count[g];
  }

  // Kept axes in C order; then everything the first pass keeps, with where it goes.
  const bool direct = plan.passes == 0;
  ReduceAxis nest[kMaxReduceAxes];
  int nested = 0;
  std::int64_t step = 1;
  for (int id = r.axes - 1; id >= 0; --id) {
    if ((r.reduced >> id & 1) || r.shape[id] == 1) continue;
    ReduceAxis axis = axis_of(r, id);
    for (int s = 0; s < r.slots; ++s) axis.target[s] = r.slot[s].out_strides[id];
    plan.kept[plan.kept_axes++] = axis;  // fastest first for now
    if (!direct)
      for (int s = 0; s < r.slots; ++s) axis.target[s] = step;
    step *= axis.extent;
    nest[nested++] = axis;
  }
  std::reverse(plan.kept, plan.kept + plan.kept_axes);
  plan.results = step;
  for (int id = r.axes - 1; id >= 0; --id) {
    if (!(r.reduced >> id & 1) || r.shape[id] == 1 || group_of[id] == 0) continue;
    ReduceAxis axis = axis_of(r, id);
    for (int s = 0; s < r.slots; ++s) axis.target[s] = step;
    step *= axis.extent;
    nest[nested++] = axis;
  }
  plan.states = step;

  // The group of the first pass, slowest first, merged where memory allows.
  for (int id = 0; id < r.axes; ++id) {
    if (!(r.reduced >> id & 1) || group_of[id] != 0 || r.shape[id] == 1) continue;
    const ReduceAxis axis = axis_of(r, id);
    if (plan.group_axes > 0 && continues(r, plan.group[plan.group_axes - 1], axis, false))
      absorb(plan.group[plan.group_axes - 1], axis);
    else
      plan.group[plan.group_axes++] = axis;
  }

  // The nest in order of memory. The fastest axis is merged with all that continue it for the inputs (long
  // rows are worth more than where their few results go), the others where the results continue too.
  std::stable_sort(nest, nest + nested,
                   [](const ReduceAxis& a, const ReduceAxis& b) { return pace(a) > pace(b); });
  if (nested > 0) {
    plan.inner = plan.part[plan.parts++] = nest[--nested];
    while (nested > 0 && continues(r, nest[nested - 1], plan.inner, false)) {
      const ReduceAxis& next = nest[--nested];
      ReduceAxis& last = plan.part[plan.parts - 1];
      bool one = true;
      for (int s = 0; s < r.slots; ++s) one &= next.target[s] == last.target[s] * last.extent;
      if (one)
        last.extent *= next.extent;
      else
        plan.part[plan.parts++] = next;
      plan.inner.extent *= next.extent;
    }
  }
  for (int i = 0; i < nested; ++i) {
    if (plan.outer_axes > 0 && continues(r, plan.outer[plan.outer_axes - 1], nest[i], true))
      absorb(plan.outer[plan.outer_axes - 1], nest[i]);
    else
      plan.outer[plan.outer_axes++] = nest[i];
  }
  for (int i = 0; i < plan.outer_axes; ++i) plan.outers *= plan.outer[i].extent;

  // Columns where memory runs along a kept axis that is long enough to fill registers. A group shorter than
  // the lanes leaves most of them empty in rows, so columns take it at any stride.
  const std::int64_t group_pace = plan.group_axes > 0 ? pace(plan.group[plan.group_axes - 1]) : INT64_MAX;
  plan.columns = plan.inner.extent >= kLanes && (pace(plan.inner) < group_pace || plan.count < kLanes);
}

}  // namespace ufuse
