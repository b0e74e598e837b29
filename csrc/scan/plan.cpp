#include "scan/plan.hpp"

#include <algorithm>
#include <cstdlib>

namespace ufuse {
namespace {

bool continues(const ScanAxis& outer, const ScanAxis& inner) {
  return outer.in == inner.in * inner.extent && outer.out == inner.out * inner.extent;
}

/// Distance in memory between neighbours; an axis that does not move counts as the slowest.
std::int64_t pace(std::int64_t stride) { return stride == 0 ? INT64_MAX : std::abs(stride); }

void add(ScanAxis* axes, int& count, const ScanAxis& next) {
  if (count > 0 && continues(axes[count - 1], next)) {
    const std::int64_t extent = axes[count - 1].extent * next.extent;
    axes[count - 1] = next;
    axes[count - 1].extent = extent;
  } else {
    axes[count++] = next;
  }
}

}  // namespace

void plan_scan(ScanPlan& plan, const Scan& s) {
  if (s.axis < 0) {
    plan.out_step = s.out_strides[0];
    std::int64_t out = plan.out_step;
    for (int i = 0; i < s.axes; ++i) plan.count *= s.shape[i];
    std::int64_t inside = plan.count;
    for (int i = 0; i < s.axes && plan.count > 0; ++i) {
      inside /= s.shape[i];
      if (s.shape[i] != 1) add(plan.group, plan.group_axes, {s.shape[i], s.in_strides[i], out * inside});
    }
    return;
  }
  plan.count = s.shape[s.axis];
  plan.out_step = s.out_strides[s.axis];
  if (plan.count != 1) plan.group[plan.group_axes++] = {plan.count, s.in_strides[s.axis], plan.out_step};

  ScanAxis kept[kMaxScanAxes];
  int axes = 0;
  for (int i = 0; i < s.axes; ++i)
    if (i != s.axis && s.shape[i] != 1) kept[axes++] = {s.shape[i], s.in_strides[i], s.out_strides[i]};
  std::stable_sort(kept, kept + axes,
                   [](const ScanAxis& a, const ScanAxis& b) { return pace(a.in) > pace(b.in); });
  for (int i = 0; i < axes; ++i) add(plan.outer, plan.outer_axes, kept[i]);
  if (plan.outer_axes > 0) plan.inner = plan.outer[--plan.outer_axes];
  for (int i = 0; i < plan.outer_axes; ++i) plan.outers *= plan.outer[i].extent;

  const std::int64_t along = plan.group_axes > 0 ? pace(plan.group[0].in) : INT64_MAX;
  plan.columns = plan.inner.extent >= kScanLanes && (pace(plan.inner.in) < along || plan.count < kShortLine);
}

}  // namespace ufuse
