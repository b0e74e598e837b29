#include "reduce/views.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/threads.hpp"
#include "reduce/streaming.hpp"

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

/// The reduced axes of more than one element, as they come and in order of memory, slowest first.
struct ReducedAxes {
  int given[kMaxReduceAxes], sorted[kMaxReduceAxes];
  int count = 0;

  explicit ReducedAxes(const Reduction& r) {
    for (int i = 0; i < r.axes; ++i)
      if (r.reduced >> i & 1 && r.shape[i] > 1) given[count++] = i;
    std::copy_n(given, count, sorted);
    auto pace = [&r](int axis) {  // an axis that does not move counts as the slowest
      const std::int64_t stride = std::abs(r.input[0].strides[axis]);
      return stride == 0 ? INT64_MAX : stride;
    };
    std::stable_sort(sorted, sorted + count, [pace](int a, int b) { return pace(a) > pace(b); });
  }
  bool in_order() const { return std::equal(given, given + count, sorted); }
};

/// `count` copies of one element from `at` on.
template <class U>
void fill(char* at, std::int64_t count) {
  U value;
  std::memcpy(&value, at, sizeof value);
  for (std::int64_t i = 1; i < count; ++i)
    std::memcpy(at + i * static_cast<std::int64_t>(sizeof(U)), &value, sizeof(U));
}

void fill(char* at, std::int64_t size, std::int64_t count) {
  switch (size) {
    case 1:
      return fill<std::uint8_t>(at, count);
    case 2:
      return fill<std::uint16_t>(at, count);
    case 4:
      return fill<std::uint32_t>(at, count);
    default:
      return fill<std::uint64_t>(at, count);
  }
}

/// Copies of what lies at the first position of one axis, for all positions of other axes.
class Repeat {
 public:
  /// Of the kept axes but those in `waiting`, whose first positions alone hold results.
  Repeat(const Reduction& r, const ReduceSlot& slot, int axis, std::uint64_t waiting)
      : out_(slot.out),
        size_(static_cast<std::int64_t>(item_size(slot.result))),
        copies_(r.shape[axis]),
        step_(slot.out_strides[axis]),
        stream_(stream_of_results(r)) {
    const std::uint64_t fixed = r.reduced | waiting | std::uint64_t{1} << axis;
    for (int i = 0; i < r.axes; ++i)
      if (!(fixed >> i & 1) && r.shape[i] > 1) axis_[axes_++] = {r.shape[i], slot.out_strides[i]};
    std::stable_sort(axis_, axis_ + axes_,
                     [](const Axis& a, const Axis& b) { return std::abs(a.stride) > std::abs(b.stride); });
    run_ = size_;
    while (axes_ > 0 && axis_[axes_ - 1].stride == run_) run_ *= axis_[--axes_].extent;
  }

  void run() const {
    // What is copied many times over stays in L1.
    constexpr std::int64_t kPiece = 16 << 10, kTaskBytes = 128 << 10;
    const bool filled = step_ == size_;  // copies side by side
    const std::int64_t line = filled ? copies_ * size_ : run_;
    const std::int64_t pieces = (line + kPiece - 1) / kPiece;
    std::int64_t places = 1;
    for (int i = 0; i < axes_; ++i) places *= axis_[i].extent;
    const std::int64_t each = std::min(line, kPiece) * (filled ? 1 : copies_);
    const std::int64_t batch = std::max<std::int64_t>(1, kTaskBytes / each);
    const std::int64_t tasks = (places * pieces + batch - 1) / batch;
    parallel_for(tasks, threads_for_bytes(places * pieces * each), [&](std::int64_t task) {
      const std::int64_t end = std::min(places * pieces, (task + 1) * batch);
      for (std::int64_t t = task * batch; t < end; ++t) {
        const std::int64_t first = t % pieces * kPiece, bytes = std::min(kPiece, line - first);
        char* const place = place_of(t / pieces);
        if (filled)
          fill_piece(place, first, bytes);
        else
          for (std::int64_t i = 1; i < copies_; ++i) copy(place + i * step_ + first, place + first, bytes);
      }
      end_streams(stream_);
    });
  }

 private:
  struct Axis {
    std::int64_t extent, stride;
  };

  char* place_of(std::int64_t index) const {
    char* at = out_;
    for (int i = axes_ - 1; i >= 0; --i) {
      at += index % axis_[i].extent * axis_[i].stride;
      index /= axis_[i].extent;
    }
    return at;
  }
  void copy(char* to, const char* from, std::int64_t bytes) const {
    if (stream_ != nullptr)
      stream_(to, from, bytes);
    else
      std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  /// Fills a block in L1 and copies that.
  void fill_piece(char* place, std::int64_t first, std::int64_t bytes) const {
    constexpr std::int64_t kBlock = 1024;
    alignas(64) char block[kBlock];
    const auto size = static_cast<std::size_t>(size_);
    if (bytes <= kBlock && first == 0) return fill(place, size_, bytes / size_);
    std::memcpy(block, place, size);
    fill(block, size_, std::min(bytes, kBlock) / size_);
    for (std::int64_t done = first == 0 ? size_ : 0; done < bytes; done += kBlock)
      copy(place + first + done, block, std::min(kBlock, bytes - done));
  }

  char* out_;
  std::int64_t size_, copies_, step_, run_;
  StreamKernel stream_;
  int axes_ = 0;
  Axis axis_[kMaxReduceAxes];  // of the places of runs, slowest first
};

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
  for (int s = 0; s < r.slots; ++s) {
    // From the innermost axis outwards, in ever longer runs.
    int order[kMaxReduceAxes], axes = 0;
    for (int i = 0; i < r.axes; ++i)
      if (still & ~r.reduced & std::uint64_t{1} << i) order[axes++] = i;
    const std::int64_t* strides = r.slot[s].out_strides;
    std::stable_sort(order, order + axes,
                     [strides](int a, int b) { return std::abs(strides[a]) < std::abs(strides[b]); });
    std::uint64_t waiting = still & ~r.reduced;
    for (int k = 0; k < axes; ++k) {
      waiting &= ~(std::uint64_t{1} << order[k]);
      Repeat(r, r.slot[s], order[k], waiting).run();
    }
  }
}

bool out_of_order(const Reduction& r, const ReduceKernels& kernels) {
  const bool all = any_order(r, kernels);
  for (int i = 0; i < r.axes; ++i)
    if (is_backward(r, i) && (all || !(r.reduced >> i & 1))) return true;
  return all && r.source == nullptr && !ReducedAxes(r).in_order();
}

InMemoryOrder::InMemoryOrder(const Reduction& r, const ReduceKernels& kernels) : reduction_(r) {
  std::copy_n(r.shape, r.axes, shape_);
  reduction_.shape = shape_;
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
  if (all && r.source == nullptr) sort();
}

void InMemoryOrder::sort() {
  const ReducedAxes axes(reduction_);
  auto permute = [&axes](std::int64_t* of) {
    std::int64_t before[kMaxReduceAxes];
    for (int i = 0; i < axes.count; ++i) before[i] = of[axes.sorted[i]];
    for (int i = 0; i < axes.count; ++i) of[axes.given[i]] = before[i];
  };
  permute(shape_);
  for (int k = 0; k < reduction_.inputs + (reduction_.mask != nullptr); ++k) permute(strides_[k]);
}

void InMemoryOrder::turn(int axis) {
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
