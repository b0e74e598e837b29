// What counting and weighing share: a call's axes, and slots into copies of a table.
#pragma once

#include <atomic>
#include <cstdint>

#include "count/count.hpp"

namespace ufuse {

// Copies of a table are for fewer slots than these, so that L1 holds them: of counts, and of float64 sums.
inline constexpr std::uint32_t kMostSlotsInCopies = 2048;
inline constexpr std::uint32_t kMostSumsInCopies = 512;
// Elements of one task at least: emptying and adding up its table is then little work beside them.
inline constexpr std::int64_t kLeastOfTask = 1 << 17;

template <class Count, class Weight>
inline void tally_copies(int copies, Count* table, const std::uint32_t* slots, std::int64_t count,
                         Weight weight) {
  if (copies == kCopies)
    tally<kCopies>(table, slots, count, weight);
  else
    tally<1>(table, slots, count, weight);
}

/// A call's axes, arranged: kept axes with the lane's number as second operand, and the lane's own. Axes that
/// repeat the same elements are left out of the lane, and its counts multiplied.
struct Arrangement {
  WalkNest kept, lane;
  const char* x;
  const char* weights = nullptr;
  std::int64_t first_lane = 0;
  std::int64_t repeats = 1;

  explicit Arrangement(const Counting& c) : x(c.x.data) {
    std::int64_t step[kMaxWalkAxes];
    std::int64_t lanes = 1;
    for (int i = c.axes - 1; i >= 0; --i) {
      step[i] = lanes;
      if (!(c.reduced >> i & 1)) lanes *= c.shape[i];
    }
    for (int i = 0; i < c.axes; ++i) {
      if ((c.reduced >> i & 1) && !c.weighted && c.strides[i] == 0)
        repeats *= c.shape[i];
      else if (c.reduced >> i & 1)
        lane.add({c.shape[i], {c.strides[i], c.weighted ? c.weight_strides[i] : 0}});
      else
        kept.add({c.shape[i], {c.strides[i], step[i]}});
    }
    if (!c.weighted) {
      // The order of elements does not matter, nor that of lanes.
      std::int64_t moved[2] = {0, 0};
      lane.sort(moved);
      kept.sort(moved);
      x += moved[0];
      first_lane = moved[1];
      kept.merge();
    } else {
      weights = c.weights.data;
    }
    lane.merge();
  }
};

/// The largest slot that any thread has seen.
class Most {
 public:
  void note(std::int64_t slot) {
    std::int64_t known = most_;
    while (known < slot && !most_.compare_exchange_weak(known, slot)) {
    }
  }
  std::int64_t get() const { return most_; }

 private:
  std::atomic<std::int64_t> most_ = -1;
};

}  // namespace ufuse
