#include "exact/plan.hpp"

#include <algorithm>
#include <cstdlib>

namespace ufuse {
namespace {

std::int64_t pace(const ExactAxis& axis) { return axis.in == 0 ? INT64_MAX : std::abs(axis.in); }

/// Orders axes by their steps and merges those that continue each other.
void arrange(ExactAxes& axes) {
  std::stable_sort(axes.axis, axes.axis + axes.axes,
                   [](const ExactAxis& a, const ExactAxis& b) { return pace(a) < pace(b); });
  int last = 0;
  for (int i = 0; i < axes.axes; ++i) {
    axes.count *= axes.axis[i].extent;
    if (i == 0) continue;
    ExactAxis& before = axes.axis[last];
    const ExactAxis& next = axes.axis[i];
    if (next.in == before.in * before.extent && next.mask == before.mask * before.extent &&
        next.out == before.out * before.extent)
      before.extent *= next.extent;
    else
      axes.axis[++last] = next;
  }
  if (axes.axes > 0) axes.axes = last + 1;
}

}  // namespace

ExactPlan::ExactPlan(const ExactSum& sum)
    : data(sum.input.data), mask(sum.mask == nullptr ? nullptr : sum.mask->data), inner{1, 0, 0, 0} {
  std::int64_t results = 1;
  for (int i = sum.axes - 1; i >= 0; --i) {
    const bool fold = (sum.reduced >> i & 1) != 0;
    const std::int64_t extent = sum.shape[i];
    ExactAxis axis{extent, sum.input.strides[i], sum.mask == nullptr ? 0 : sum.mask->strides[i],
                   fold ? 0 : results};
    if (!fold) results *= extent;
    if (extent == 1) continue;
    if (fold && axis.in < 0 && extent > 0) {  // the order does not matter
      data += axis.in * (extent - 1);
      if (mask != nullptr) mask += axis.mask * (extent - 1);
      axis.in = -axis.in;
      axis.mask = -axis.mask;
    }
    ExactAxes& to = fold ? reduced : kept;
    to.axis[to.axes++] = axis;
  }
  arrange(reduced);
  arrange(kept);
  if (kept.axes > 0) {
    inner = kept.axis[0];
    std::copy(kept.axis + 1, kept.axis + kept.axes, kept.axis);
    --kept.axes;
    kept.count = inner.extent == 0 ? 0 : kept.count / inner.extent;
  }
  columns =
      inner.extent >= kExactShort && (pace(inner) < pace(reduced.fastest()) || reduced.count < kExactShort);
}

}  // namespace ufuse
