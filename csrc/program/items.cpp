// A program over many items laid out alike, most of them small: planned once, and shared out to threads by
// items rather than by tiles.
#include <algorithm>
#include <numeric>
#include <vector>

#include "core/threads.hpp"
#include "program/run.hpp"

namespace ufuse {
namespace {

// A thread is worth so many times what it is in one call, and items of so many bytes: `2*a + 3*b` into `out`
// of 1000 times 100 float32 took 98 us with one thread and 126 with two, 400: 230 with either, 1000: 534 and
// 390.
constexpr std::int64_t kFewerThreads = 8;
constexpr std::int64_t kLeastShared = 4096;

struct Extent {
  std::int64_t low, high;  // bytes around where an operand begins
};

Extent extent_of(int axes, const std::int64_t* shape, const ProgramOperand& operand, DType dtype) {
  Extent found{0, static_cast<std::int64_t>(item_size(dtype))};
  for (int axis = 0; axis < axes; ++axis) {
    const std::int64_t last = (shape[axis] - 1) * operand.strides[axis];
    (last < 0 ? found.low : found.high) += last;
  }
  return found;
}

/// Whether no item writes what another one reads or writes. `extents` are of one output, then the inputs.
bool items_apart(const ItemData& items, const std::vector<Extent>& extents) {
  const auto operands = static_cast<std::int64_t>(extents.size());
  const auto begin = [&](std::int64_t i, std::int64_t k) {
    return items.data[i * operands + k] + extents[static_cast<std::size_t>(k)].low;
  };
  const auto end = [&](std::int64_t i, std::int64_t k) {
    return items.data[i * operands + k] + extents[static_cast<std::size_t>(k)].high;
  };
  std::vector<std::int64_t> order(static_cast<std::size_t>(items.count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::int64_t a, std::int64_t b) { return begin(a, 0) < begin(b, 0); });
  for (std::size_t n = 1; n < order.size(); ++n)
    if (begin(order[n], 0) < end(order[n - 1], 0)) return false;
  for (std::int64_t i = 0; i < items.count; ++i)
    for (std::int64_t k = 1; k < operands; ++k) {
      // The last output that begins before the input ends: if none overlaps it, no other one does.
      const auto after =
          std::lower_bound(order.begin(), order.end(), end(i, k),
                           [&](std::int64_t item, const char* at) { return begin(item, 0) < at; });
      if (after == order.begin()) continue;
      const std::int64_t item = *(after - 1);
      const bool itself = item == i && begin(i, 0) <= begin(i, k);
      if (end(item, 0) > begin(i, k) && !itself) return false;
    }
  return true;
}

}  // namespace

void Program::run_items(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands,
                        const ItemData& items, bool fresh) const {
  if (items.count == 1) {
    run(axes, shape, operands);
    return;
  }
  const auto each = static_cast<std::int64_t>(operands.size());
  std::vector<Extent> extents;
  std::int64_t size = 1, bytes = 0;
  for (int axis = 0; axis < axes; ++axis) size *= shape[axis];
  for (int k = 0; k < static_cast<int>(each); ++k) {
    const DType dtype = k < outputs() ? output_dtype(k) : input_dtype(k - outputs());
    extents.push_back(extent_of(axes, shape, operands[static_cast<std::size_t>(k)], dtype));
    bytes += extents.back().high - extents.back().low;
  }
  bytes = std::max<std::int64_t>(bytes, size * 8 * steps());  // as `ProgramRun::run` counts
  const auto run_some = [&](std::int64_t first, std::int64_t last) {
    const ItemData some{items.data + first * each, last - first};
    const auto one = prepare(axes, shape, operands, false);
    for (std::int64_t i = 0; i < some.count; ++i) one->run(some.data + i * each, nullptr);
  };
  // Large items have tiles to share out.
  const bool alone = bytes < kLeastShared || threads_for_bytes(bytes) > 1;
  int threads = alone ? 1 : threads_for_bytes(items.count * bytes / kFewerThreads);
  if (threads > 1 && !fresh && !(outputs() == 1 && items_apart(items, extents))) threads = 1;
  if (threads == 1) {
    run_some(0, items.count);
    return;
  }
  const std::int64_t tasks = std::min<std::int64_t>(items.count, threads * 8);
  parallel_for(tasks, threads, [&](std::int64_t task) {
    run_some(items.count * task / tasks, items.count * (task + 1) / tasks);
  });
}

}  // namespace ufuse
