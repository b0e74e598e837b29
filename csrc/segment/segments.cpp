#include "segment/segments.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "segment/kernels.hpp"
#include "segment/results.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(PartKernels, part_kernels)
namespace {

// Segments whose states are finished together.
constexpr std::int64_t kBlock = 256;
// What a segment costs besides its elements, as memory traffic.
constexpr std::int64_t kSegmentBytes = 64;
// A task is worth handing out from this many bytes on; each thread gets some kTasksPerThread, since planning
// one costs a microsecond.
constexpr std::int64_t kTaskBytes = 128 << 10;
constexpr std::int64_t kTasksPerThread = 16;
// Segments measured by one task.
constexpr std::int64_t kMeasured = 1 << 15;
// A segment of this many bytes is a reduction of its own, in which all threads take part.
constexpr std::int64_t kLongBytes = 4 << 20;
// Rows gathered together at most: those that interleave in memory share its lines.
constexpr std::int64_t kRowTile = 64;
// From this many segments on, contiguous rows are taken one after the other, and not side by side.
constexpr std::int64_t kManySegments = 16;

std::int64_t pace(std::int64_t stride) { return stride == 0 ? INT64_MAX : std::abs(stride); }

/// Up to kBlock neighbouring segments, within the axis.
struct Block {
  std::int64_t starts[kBlock], stops[kBlock];
  std::int64_t length(std::int64_t i) const { return std::max<std::int64_t>(0, stops[i] - starts[i]); }
};

/// The axes of a plan that are in use: a plan has room for 256.
void copy_plan(ReducePlan& to, const ReducePlan& from) {
  to.group_axes = from.group_axes;
  to.group[0] = from.group[0];
  to.outer_axes = from.outer_axes;
  std::copy_n(from.outer, from.outer_axes, to.outer);
  to.outers = from.outers;
  to.inner = from.inner;
  to.parts = from.parts;
  std::copy_n(from.part, from.parts, to.part);
  to.results = to.states = from.results;
}

/// What one task works with: a plan of its own, whose group is one segment after another.
class Worker {
 public:
  Worker(const Reduction& r, int axis, const ReducePlan& plan, Tier tier)
      : given_(r),
        axis_(axis),
        kernels_(reduce_kernels(tier)),
        parts_(part_kernels(tier)),
        r_(r),
        pass_(prepared(plan)) {}

  /// Folds a tile of a segment and writes its results, those of segment `i`.
  void run(const Tile& tile, std::int64_t start, std::int64_t length, std::int64_t i) {
    const std::int64_t chunks = (length + kChunk - 1) / kChunk;
    std::int64_t bytes = 0;
    const std::int64_t count = std::max<std::int64_t>(chunks, 1) * tile.width;
    for (int s = 0; s < pass_.states; ++s) bytes += bytes_of_states(*pass_.kernel[s], count);
    const ScratchFrame frame(static_cast<std::size_t>(bytes));
    States states[kMaxSlots];
    char* at = frame.data();
    for (int s = 0; s < pass_.states; ++s) {
      states[s] = states_in(at, *pass_.kernel[s], count);
      at += bytes_of_states(*pass_.kernel[s], count);
    }
    if (chunks == 0) {
      for (int s = 0; s < pass_.states; ++s) empty_states(*pass_.kernel[s], states[s], tile.width);
    } else {
      move_to(start, length, chunks);
      fold_tile(pass_, tile, 0, chunks, states);
    }
    for (int s = 0; s < pass_.states; ++s)
      merge_rows(*pass_.kernel[s], states[s], chunks, tile.width, tile.width);
    for (int s = 0; s < r_.slots; ++s) {
      ReduceSlot& slot = r_.slot[s];
      slot.divisor = static_cast<double>(length);
      write_tile(r_, plan_, kernels_, tile, s, slot, states[pass_.state_of[s]], i * slot.out_strides[axis_]);
    }
  }

  /// Segments `from` to `to` of a block of one contiguous row: their states side by side, finished
  /// together. The block's first is segment `first`.
  void run_row(const Tile& tile, const Block& block, std::int64_t first, std::int64_t from, std::int64_t to) {
    std::int64_t target[kMaxSlots] = {};
    std::int64_t offset[kMaxReduceInputs] = {};
    place_of(r_, plan_, tile, target, offset);
    for (int state = 0; state < pass_.states; ++state) {
      const ReducerKernel& kernel = *pass_.kernel[state];
      const ScratchFrame frame(static_cast<std::size_t>(bytes_of_states(kernel, kBlock)));
      const States states = states_in(frame.data(), kernel, kBlock);
      const Feed& feed = pass_.feed[pass_.feed_of[state]];
      const char* row = given_.input[feed.input].data + offset[feed.input];
      const ReduceSlot& some = r_.slot[pass_.slot_of[state]];
      const auto spans = parts_.spans[static_cast<int>(some.reducer)][static_cast<int>(some.element)]
                                     [static_cast<int>(feed.coding)];
      for (std::int64_t i = from; i < to; ++i) {  // in the order of memory, if they are
        const States at = states.at(kernel, i - from);
        if (spans != nullptr) i += spans({row, block.starts + i, block.stops + i, to - i, at.component[0]});
        if (i < to)
          fold_segment(kernel, feed, row + block.starts[i] * feed.stored_size, block.length(i),
                       states.at(kernel, i - from));
      }
      for (int s = 0; s < r_.slots; ++s)
        if (pass_.state_of[s] == state) write_row(s, states, block, first, from, to, target[s]);
    }
  }

 private:
  const FirstPass prepared(const ReducePlan& plan) {
    copy_plan(plan_, plan);
    return {r_, plan_, kernels_};
  }

  void move_to(std::int64_t start, std::int64_t length, std::int64_t chunks) {
    for (int k = 0; k < r_.inputs; ++k)
      r_.input[k].data = given_.input[k].data + start * given_.input[k].strides[axis_];
    plan_.count = plan_.group[0].extent = length;
    pass_.chunks = chunks;
    // As `plan_reduction`: columns where memory runs along a kept axis, or the lanes of rows stayed empty.
    plan_.columns = plan_.inner.extent >= kLanes &&
                    (pace(plan_.inner.stride[0]) < pace(plan_.group[0].stride[0]) || length < kLanes);
  }

  static void fold_segment(const ReducerKernel& kernel, const Feed& feed, const char* data,
                           std::int64_t length, const States& to) {
    const auto fold = kernel.rows;
    if (length <= 0) return empty_states(kernel, to, 1);
    if (length <= kChunk) return fold({data, 0, 1, length, to.pointers(), 1, 0, 0, nullptr, nullptr});
    const std::int64_t size = feed.stored_size;
    const std::int64_t full = length / kChunk, chunks = (length + kChunk - 1) / kChunk;
    const ScratchFrame frame(static_cast<std::size_t>(bytes_of_states(kernel, chunks)));
    const States states = states_in(frame.data(), kernel, chunks);
    fold({data, kChunk * size, full, kChunk, states.pointers(), 1, 0, kChunk, nullptr, nullptr});
    if (full < chunks)
      fold({data + full * kChunk * size, 0, 1, length - full * kChunk, states.at(kernel, full).pointers(), 1,
            full * kChunk, 0, nullptr, nullptr});
    merge_rows(kernel, states, chunks, 1, 1);
    for (int i = 0; i < kernel.components; ++i)
      std::memcpy(to.component[i], states.component[i], static_cast<std::size_t>(kernel.state_size[i]));
  }

  void write_row(int s, const States& states, const Block& block, std::int64_t first, std::int64_t from,
                 std::int64_t to, std::int64_t target) {
    ReduceSlot& slot = r_.slot[s];
    double divisors[kBlock];
    if (divides(slot.finish)) {
      for (std::int64_t i = from; i < to; ++i) divisors[i - from] = static_cast<double>(block.length(i));
      slot.divisors = divisors;
    }
    const std::int64_t step = slot.out_strides[axis_];
    write_results(slot, kernels_, states, to - from, slot.out + target + (first + from) * step, step);
    slot.divisors = nullptr;
  }

  const Reduction& given_;
  const int axis_;
  const ReduceKernels& kernels_;
  const PartKernels& parts_;
  Reduction r_;
  ReducePlan plan_;
  FirstPass pass_;
};

class Execution {
 public:
  Execution(const Reduction& r, int axis, const Segments& segments, Tier tier)
      : r_(r),
        axis_(axis),
        segments_(segments),
        tier_(tier),
        kernels_(reduce_kernels(tier)),
        parts_(part_kernels(tier)) {
    // The plan is that of any segment: of two elements, because an axis of one is dropped.
    std::int64_t shape[kMaxReduceAxes];
    std::copy_n(r.shape, r.axes, shape);
    shape[axis] = 2;
    Reduction any = r;
    any.shape = shape;
    plan_reduction(plan_, any);
    for (int k = 0; k < r.inputs; ++k)
      element_bytes_ += static_cast<std::int64_t>(item_size(r.input[k].dtype));
    element_bytes_ *= plan_.results;
  }

  SegmentFacts run() {
    measure();
    SegmentFacts facts;
    facts.shortest = lengths_.shortest;
    if (lengths_.outside && find_outside(facts)) return facts;
    if (segments_.all_needed && lengths_.shortest == 0 && find_empty(facts)) return facts;
    if (plan_.results > 0) reduce_all();
    return facts;
  }

 private:
  void reduce_all() {
    some_long_ = lengths_.longest > kLongBytes / element_bytes_;
    std::int64_t total = lengths_.total;
    for (std::int64_t i = 0; some_long_ && i < segments_.count; ++i) {
      const std::int64_t start = clamped(segments_.starts + i), length = stop_of(i) - start;
      if (!is_long(length)) continue;
      alone(start, length, i);
      total -= length;
    }
    const std::int64_t bytes = total * element_bytes_ + segments_.count * kSegmentBytes;
    const int threads = threads_for_bytes(bytes);
    const bool rows = in_rows();
    const std::int64_t wide = plan_.inner.stride[0] == 0 ? kRowTile : tile_columns();
    width_ = std::min(plan_.inner.extent, rows ? 1 : columns() ? wide : kRowTile);
    across_ = (plan_.inner.extent + width_ - 1) / width_;
    const std::int64_t tiles = across_ * plan_.outers;
    const std::int64_t share = std::max<std::int64_t>(1, bytes / (segments_.count * tiles));  // of a segment
    const std::int64_t block = std::clamp<std::int64_t>(kTaskBytes / share, 1, kBlock);
    const std::int64_t blocks = (segments_.count + block - 1) / block, items = blocks * tiles;
    const std::int64_t task_bytes = std::max(kTaskBytes, bytes / (threads * kTasksPerThread));
    const std::int64_t batch = std::clamp<std::int64_t>(task_bytes / (block * share), 1, items);
    parallel_for((items + batch - 1) / batch, threads, [&](std::int64_t task) {
      Worker worker(r_, axis_, plan_, tier_);
      Block some;
      const std::int64_t end = std::min(items, (task + 1) * batch);
      for (std::int64_t item = task * batch; item < end; ++item) {
        const Tile tile = tile_of(item / blocks);
        const std::int64_t first = item % blocks * block, last = std::min(segments_.count, first + block);
        read_block(some, first, last);
        if (rows)
          run_rows(worker, tile, some, first, last - first);
        else
          for (std::int64_t i = 0; i < last - first; ++i)
            if (!is_long(some.length(i))) worker.run(tile, some.starts[i], some.length(i), first + i);
      }
    });
  }

  std::int64_t extent() const { return r_.shape[axis_]; }
  std::int64_t clamped(const std::int64_t* position) const {
    std::int64_t to;
    parts_.clamp(&to, position, 1, extent());
    return to;
  }
  bool last_stops_at_end(std::int64_t i) const {
    return segments_.stops == nullptr && i == segments_.count - 1;
  }
  const std::int64_t* stops() const {
    return segments_.stops != nullptr ? segments_.stops : segments_.starts + 1;
  }
  std::int64_t stop_of(std::int64_t i) const {
    return last_stops_at_end(i) ? extent() : clamped(stops() + i);
  }

  void read_block(Block& block, std::int64_t first, std::int64_t last) const {
    parts_.clamp(block.starts, segments_.starts + first, last - first, extent());
    const std::int64_t end = last_stops_at_end(last - 1) ? last - 1 : last;
    parts_.clamp(block.stops, stops() + first, end - first, extent());
    if (end < last) block.stops[end - first] = extent();
  }

  void measure() {
    const std::int64_t tasks = (segments_.count + kMeasured - 1) / kMeasured;
    std::vector<SegmentLengths> part(static_cast<std::size_t>(tasks));
    parallel_for(tasks, threads_for_bytes(segments_.count * 16), [&](std::int64_t task) {
      const std::int64_t first = task * kMeasured, last = std::min(segments_.count, first + kMeasured);
      const std::int64_t end = last_stops_at_end(last - 1) ? last - 1 : last;
      SegmentLengths& some = part[static_cast<std::size_t>(task)];
      some = parts_.measure(segments_.starts + first, stops() + first, end - first, extent());
      const std::int64_t axis_end = extent();
      if (end < last) join(some, parts_.measure(segments_.starts + end, &axis_end, 1, axis_end));
    });
    for (const SegmentLengths& some : part) join(lengths_, some);
  }

  static void join(SegmentLengths& to, const SegmentLengths& from) {
    to = {to.total + from.total, std::max(to.longest, from.longest), std::min(to.shortest, from.shortest),
          to.outside || from.outside};
  }

  bool find_outside(SegmentFacts& facts) const {
    auto outside = [&](std::int64_t position) { return position < 0 || position > extent(); };
    for (std::int64_t i = 0; i < segments_.count && facts.start < 0; ++i)
      if (outside(segments_.starts[i])) facts.start = i;
    for (std::int64_t i = 0; segments_.stops != nullptr && i < segments_.count && facts.stop < 0; ++i)
      if (outside(segments_.stops[i])) facts.stop = i;
    return facts.start >= 0 || facts.stop >= 0;
  }

  bool find_empty(SegmentFacts& facts) const {
    for (std::int64_t i = 0; i < segments_.count && facts.empty < 0; ++i)
      if (stop_of(i) <= clamped(segments_.starts + i)) facts.empty = i;
    return facts.empty >= 0;
  }

  bool is_long(std::int64_t length) const { return some_long_ && length > kLongBytes / element_bytes_; }

  bool columns() const {
    return plan_.inner.extent >= kLanes && pace(plan_.inner.stride[0]) < pace(plan_.group[0].stride[0]);
  }

  std::int64_t tile_columns() const { return FirstPass(r_, plan_, kernels_).tile_columns; }

  /// Whether segments are contiguous rows, and many: one kernel call each.
  bool in_rows() const {
    if (columns()) return false;
    if (segments_.count < kManySegments && plan_.results > 1) return false;
    const FirstPass pass(r_, plan_, kernels_);
    for (int f = 0; f < pass.feeds; ++f)
      if (!pass.feed[f].plain || plan_.group[0].stride[pass.feed[f].input] != pass.feed[f].stored_size)
        return false;
    return true;
  }

  Tile tile_of(std::int64_t t) const {
    const std::int64_t first = t % across_ * width_;
    return {t / across_, first, std::min(width_, plan_.inner.extent - first)};
  }

  /// Runs what is not long of the first `count` segments of a block.
  void run_rows(Worker& worker, const Tile& tile, const Block& block, std::int64_t first,
                std::int64_t count) const {
    for (std::int64_t from = 0; from < count;) {
      std::int64_t to = some_long_ ? from : count;
      while (to < count && !is_long(block.length(to))) ++to;
      if (to > from) worker.run_row(tile, block, first, from, to);
      from = to + 1;
    }
  }

  /// A long segment: the reduction of that slice.
  void alone(std::int64_t start, std::int64_t length, std::int64_t i) const {
    std::int64_t shape[kMaxReduceAxes];
    std::copy_n(r_.shape, r_.axes, shape);
    shape[axis_] = length;
    Reduction slice = r_;
    slice.shape = shape;
    for (int k = 0; k < r_.inputs; ++k) slice.input[k].data += start * r_.input[k].strides[axis_];
    for (int s = 0; s < r_.slots; ++s) {
      slice.slot[s].out += i * r_.slot[s].out_strides[axis_];
      slice.slot[s].divisor = static_cast<double>(length);
    }
    reduce(slice, kernels_);
  }

  const Reduction& r_;
  const int axis_;
  const Segments& segments_;
  const Tier tier_;
  const ReduceKernels& kernels_;
  const PartKernels& parts_;
  ReducePlan plan_;
  SegmentLengths lengths_{0, 0, INT64_MAX, false};
  bool some_long_ = false;
  std::int64_t element_bytes_ = 0;  // of all positions of the kept axes
  std::int64_t width_ = 1, across_ = 1;
};

}  // namespace

SegmentFacts reduce_segments(const Reduction& reduction, int axis, const Segments& segments, Tier tier) {
  check_slots(reduction, reduce_kernels(tier));
  return segments.count > 0 ? Execution(reduction, axis, segments, tier).run() : SegmentFacts{};
}

}  // namespace ufuse
