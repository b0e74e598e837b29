// The axes of one exact sum, arranged for its loops.
#pragma once

#include "exact/exact.hpp"

namespace ufuse {

struct ExactAxis {
  std::int64_t extent;
  std::int64_t in, mask;  // bytes
  std::int64_t out;       // results
};

/// Positions along some axes, fastest first.
struct ExactAxes {
  int axes = 0;
  ExactAxis axis[kMaxReduceAxes];
  std::int64_t count = 1;

  struct Offset {
    std::int64_t in = 0, mask = 0, out = 0;
  };
  Offset offset(std::int64_t position) const {
    Offset found;
    for (int i = 0; i < axes; ++i) {
      const std::int64_t index = i + 1 < axes ? position % axis[i].extent : position;
      position /= axis[i].extent;
      found.in += index * axis[i].in;
      found.mask += index * axis[i].mask;
      found.out += index * axis[i].out;
    }
    return found;
  }
  const ExactAxis& fastest() const {
    static constexpr ExactAxis kNone{1, 0, 0, 0};
    return axes > 0 ? axis[0] : kNone;
  }
};

struct ExactPlan {
  explicit ExactPlan(const ExactSum& sum);

  const char* data;  // axes that were walked backwards are turned
  const char* mask;
  ExactAxes reduced;
  ExactAxes kept;   // but `inner`
  ExactAxis inner;  // the kept axis that is fastest in memory
  bool columns;     // walk along `inner`
};

/// Lines shorter than this, and at least as many, are taken side by side whatever their stride.
inline constexpr std::int64_t kExactShort = 32;

}  // namespace ufuse
