#include "segment/groups.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

#include "core/memory.hpp"
#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "reduce/feeds.hpp"
#include "segment/kernels.hpp"
#include "segment/results.hpp"

namespace ufuse {
namespace {

// Positions taken together: their labels and gathered elements stay in L1.
constexpr std::int64_t kPositions = 256;
// A part has that many elements at least, and that many for each group: what its cells cost then is little
// beside its elements.
constexpr std::int64_t kPartElements = 1 << 17;
constexpr std::int64_t kPartPerGroup = 4;
constexpr std::int64_t kMostParts = 64;
// The states of all parts take at most one of so many bytes of the input, unless there is one part.
constexpr std::int64_t kStatesShare = 4;
// Cells of a tile of columns stay in L2 where they can.
constexpr std::int64_t kTileBytes = 512 << 10;
constexpr std::int64_t kLeastColumns = 64, kMostColumns = 1024;
// States merged and finished by one task.
constexpr std::int64_t kMergeStates = 8192;
// What is added to count elements.
constexpr std::uint8_t kOne = 1;

struct Freed {
  void operator()(char* memory) const { pool_free(memory); }
};
using Memory = std::unique_ptr<char, Freed>;

Memory allocate(std::int64_t bytes) {
  auto* memory = static_cast<char*>(pool_allocate(static_cast<std::size_t>(bytes)));
  if (memory == nullptr) throw std::bad_alloc();
  return Memory(memory);
}

std::int64_t floor_power_of_two(std::int64_t n) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1))));
}

class Execution {
 public:
  Execution(const Reduction& r, int axis, const Groups& groups, const ReducePlan& plan, Tier tier)
      : r_(r),
        axis_(axis),
        groups_(groups),
        plan_(plan),
        kernels_(reduce_kernels(tier)),
        cells_(part_kernels(tier)),
        pass_(r, plan, kernels_, true),
        count_(r.shape[axis]) {
    const std::int64_t kept = std::max<std::int64_t>(plan.results, 1),
                       g = std::max<std::int64_t>(groups.count, 1);
    const std::int64_t least = std::max(kPartElements / kept, kPartPerGroup * g);
    std::int64_t state_bytes = 0;
    for (int s = 0; s < pass_.states; ++s)
      for (int i = 0; i < reducer(s).components; ++i) state_bytes += reducer(s).state_size[i];
    const std::int64_t input_bytes = count_ * kept * static_cast<std::int64_t>(item_size(r.input[0].dtype));
    parts_ = std::min({kMostParts, floor_power_of_two(count_ / std::max<std::int64_t>(least, kPositions)),
                       floor_power_of_two(input_bytes / (kStatesShare * g * kept * state_bytes))});
    const bool columns = plan.inner.extent > 1 && std::abs(plan.inner.stride[0]) < std::abs(stride_along(0));
    std::int64_t cell = 8;
    for (int s = 0; s < pass_.states; ++s) cell = std::max<std::int64_t>(cell, kernel(s).cell_size);
    width_ = columns ? std::clamp(kTileBytes / (g * cell), kLeastColumns, kMostColumns) : 1;
    width_ = std::min(width_, plan.inner.extent);
    across_ = (plan.inner.extent + width_ - 1) / width_;
    pitch_ = groups.count * plan.results;
    std::int64_t element_bytes = static_cast<std::int64_t>(item_size(groups.labels.dtype));
    for (int f = 0; f < pass_.feeds; ++f) element_bytes += pass_.feed[f].stored_size * plan.results;
    threads_ = threads_for_bytes(count_ * element_bytes);
  }

  GroupErrors run() {
    allocate_states();
    const std::int64_t tiles = across_ * plan_.outers;
    parallel_for(parts_ * tiles, threads_, [&](std::int64_t task) { add_part(task / tiles, task % tiles); });
    GroupErrors errors;
    if (bad_.load() < count_) {
      errors.label = bad_.load();
      return errors;
    }
    if (sizes_ != nullptr) {
      const std::int64_t empty = sum_sizes();
      if (groups_.all_needed) errors.group = empty;
    }
    if (errors.group < 0 && pitch_ > 0)
      for (std::int64_t tile = 0; tile < tiles; ++tile) finish_tile(tile);
    return errors;
  }

 private:
  const GroupKernel& kernel(int s) const {
    const ReduceSlot& slot = r_.slot[pass_.slot_of[s]];
    return cells_.at(slot.reducer, slot.element);
  }
  const ReducerKernel& reducer(int s) const { return *pass_.kernel[s]; }
  std::int64_t stride_along(int input) const { return r_.input[input].strides[axis_]; }

  Tile tile_of(std::int64_t t) const {
    const std::int64_t first = t % across_ * width_;
    return {t / across_, first, std::min(width_, plan_.inner.extent - first)};
  }
  /// Where the states of a tile start in each row of states.
  std::int64_t offset_of(const Tile& tile) const {
    return groups_.count * (tile.outer * plan_.inner.extent + tile.first);
  }

  void allocate_states() {
    for (int s = 0; s < pass_.states; ++s) {
      memory_[s] = allocate(bytes_of_states(reducer(s), parts_ * pitch_));
      states_[s] = states_in(memory_[s].get(), reducer(s), parts_ * pitch_);
    }
    bool wanted = groups_.sizes != nullptr || groups_.all_needed;
    for (int s = 0; s < r_.slots; ++s) wanted |= divides(r_.slot[s].finish);
    if (!wanted) return;
    size_memory_ = allocate(std::max<std::int64_t>(parts_ * groups_.count * 8, 64));
    sizes_ = reinterpret_cast<std::int64_t*>(size_memory_.get());
  }

  /// The part's cells of one tile, and of the first tile the sizes of groups.
  void add_part(std::int64_t part, std::int64_t t) {
    const std::int64_t first = count_ * part / parts_, last = count_ * (part + 1) / parts_;
    const Tile tile = tile_of(t);
    const std::int64_t cells = groups_.count * tile.width;
    std::int64_t bytes = 0;
    for (int s = 0; s < pass_.states; ++s)
      bytes += kernel(s).cells_are_states ? 0 : cells * kernel(s).cell_size;
    const Memory memory = allocate(std::max<std::int64_t>(bytes, 64));
    char* at = memory.get();
    char* cell[kMaxSlots];
    for (int s = 0; s < pass_.states; ++s) {
      if (kernel(s).cells_are_states) {
        cell[s] = states_of(s, part, tile).component[0];
      } else {
        cell[s] = at;
        at += cells * kernel(s).cell_size;
      }
      kernel(s).start(cell[s], cells);
    }
    if (t == 0 && sizes_ != nullptr) std::fill_n(sizes_ + part * groups_.count, groups_.count, 0);
    if (!add_positions(part, tile, t == 0, first, last, cell)) return;
    for (int s = 0; s < pass_.states; ++s)
      kernel(s).close(cell[s], states_of(s, part, tile).pointers(), cells);
  }

  /// The states of a part: banks of a 1-d array follow each other, as rows of states do.
  States states_of(int s, std::int64_t part, const Tile& tile) const {
    return states_[s].at(reducer(s), part * pitch_ + offset_of(tile));
  }

  bool add_positions(std::int64_t part, const Tile& tile, bool sizes, std::int64_t first, std::int64_t last,
                     char* const* cell) {
    const bool rows = tile.width == 1;
    const std::int64_t together =
        rows ? kPositions : std::clamp(kPositions * 8 / tile.width, std::int64_t{kRowsPerStep}, kPositions);
    bool gathered = false;
    for (int f = 0; f < pass_.feeds; ++f) gathered |= !in_place(f, rows);
    Pieces pieces(pass_, gathered ? together * tile.width : 0);
    Labels labels;
    Place place = pieces.place(tile);
    pieces.advance_group(place, first);
    const GroupKernel& size = cells_.at(ReducerId::sum, DType::Bool);
    for (std::int64_t i = first; i < last; i += together) {
      const std::int64_t some = std::min(together, last - i);
      if (!read_labels(labels, i, some)) return false;
      if (sizes && sizes_ != nullptr) {
        auto* counts = reinterpret_cast<char*>(sizes_ + part * groups_.count);
        size.add({counts, reinterpret_cast<const char*>(&kOne), 0, labels.narrow, some, 1, i});
      }
      prefetch_labels(i + some, std::min(together, last - i - some));
      fetch(pieces, place, tile, some);
      for (int s = 0; s < pass_.states; ++s) {
        const int f = pass_.feed_of[s];
        const Feed& feed = pass_.feed[f];
        const bool direct = in_place(f, rows);
        const GroupCall call{cell[s],
                             direct ? place.data[feed.input] : pieces.block(f),
                             direct ? stride_along(feed.input) : feed.size * tile.width,
                             labels.narrow,
                             some,
                             tile.width,
                             i};
        kernel(s).add(call);
      }
      pieces.advance_group(place, some);
    }
    return true;
  }

  /// Whether the elements of a feed can be read where they are: columns that are contiguous, or any row.
  bool in_place(int f, bool rows) const {
    const Feed& feed = pass_.feed[f];
    return feed.plain && feed.coding == Coding::plain &&
           (rows || plan_.inner.stride[feed.input] == feed.stored_size);
  }

  void fetch(Pieces& pieces, const Place& place, const Tile& tile, std::int64_t count) const {
    if (tile.width == 1) {
      for (int f = 0; f < pass_.feeds; ++f)
        if (!in_place(f, true)) return pieces.fetch(&place, 1, plan_.group[0], count, 0, 0, true);
      return;
    }
    bool coded = false;  // their kernels would read codes in place
    for (int f = 0; f < pass_.feeds; ++f) coded |= pass_.feed[f].coding != Coding::plain;
    Place places[kRowsPerStep];
    for (std::int64_t i = 0; i < count; i += kRowsPerStep) {
      const std::int64_t rows = std::min<std::int64_t>(kRowsPerStep, count - i);
      for (std::int64_t r = 0; r < rows; ++r) {
        places[r] = place;
        pieces.advance_group(places[r], i + r);
      }
      pieces.fetch(places, rows, plan_.inner, tile.width, i * tile.width, tile.width, coded);
    }
  }

  struct Labels {
    alignas(64) std::uint32_t narrow[kPositions];
    char block[kPositions * 8];  // where they must be gathered
  };

  /// The next labels are on their way while the elements of these are added: they are read in bursts, before
  /// which the hardware's prefetching has stopped (1000 groups, two threads: 3.7 ms instead of 3.9). Cells
  /// are not: 16 to 128 positions ahead gained nothing for 1 M groups, nor did sorting blocks of 256 K and 1
  /// M elements by their labels' high bits, which took longer than the additions.
  void prefetch_labels(std::int64_t first, std::int64_t count) const {
    const std::int64_t stride = groups_.labels.strides[0];
    if (stride != static_cast<std::int64_t>(item_size(groups_.labels.dtype))) return;
    const char* from = groups_.labels.data + first * stride;
    for (std::int64_t byte = 0; byte < count * stride; byte += 64) __builtin_prefetch(from + byte);
  }

  /// Labels as the kernels take them: a copy in L1, since another Python thread may write to the array after
  /// they were checked. False where one is no group.
  bool read_labels(Labels& labels, std::int64_t first, std::int64_t count) {
    const ReduceInput& input = groups_.labels;
    const auto size = static_cast<std::int64_t>(item_size(input.dtype));
    const std::int64_t stride = input.strides[0];
    const char* from = input.data + first * stride;
    if (stride != size || input.swapped) {
      const int log2 = log2_size(input.dtype);
      kernels_.pieces.gather[log2](labels.block, 0, &from, 1, stride, count);
      if (input.swapped && size > 1) kernels_.pieces.swap[log2](labels.block, count);
      from = labels.block;
    }
    const auto groups = static_cast<std::uint32_t>(groups_.count);
    if (cells_.read_labels[static_cast<int>(input.dtype)](labels.narrow, from, count) < groups) return true;
    const auto bad = std::find_if(labels.narrow, labels.narrow + count,
                                  [groups](std::uint32_t label) { return label >= groups; });
    const std::int64_t at = first + (bad - labels.narrow);
    std::int64_t known = bad_.load();
    while (at < known && !bad_.compare_exchange_weak(known, at)) {
    }
    return false;
  }

  /// Adds the sizes of the parts; finds the first empty group.
  std::int64_t sum_sizes() {
    std::atomic<std::int64_t> empty{INT64_MAX};
    const std::int64_t tasks = (groups_.count + kMergeStates - 1) / kMergeStates;
    const int threads = std::min(threads_, threads_for_bytes(groups_.count * parts_ * 8));
    parallel_for(tasks, threads, [&](std::int64_t task) {
      const std::int64_t first = task * kMergeStates, last = std::min(groups_.count, first + kMergeStates);
      for (std::int64_t part = 1; part < parts_; ++part)
        for (std::int64_t g = first; g < last; ++g) sizes_[g] += sizes_[part * groups_.count + g];
      if (groups_.sizes != nullptr) std::copy(sizes_ + first, sizes_ + last, groups_.sizes + first);
      const std::int64_t found = std::find(sizes_ + first, sizes_ + last, 0) - sizes_;
      std::int64_t known = empty.load();
      while (found < last && found < known && !empty.compare_exchange_weak(known, found)) {
      }
    });
    return empty.load() == INT64_MAX ? -1 : empty.load();
  }

  /// Merges the parts of a tile and writes its results.
  void finish_tile(std::int64_t t) {
    const Tile tile = tile_of(t);
    const std::int64_t some = std::max<std::int64_t>(1, kMergeStates / tile.width);
    const std::int64_t tasks = (groups_.count + some - 1) / some;
    const int threads = std::min(threads_, threads_for_bytes(groups_.count * tile.width * parts_ * 8));
    parallel_for(tasks, threads, [&](std::int64_t task) {
      const std::int64_t first = task * some, groups = std::min(some, groups_.count - first);
      for (int state = 0; state < pass_.states; ++state) {
        const States at = states_[state].at(reducer(state), offset_of(tile) + first * tile.width);
        merge_rows(reducer(state), at, parts_, groups * tile.width, pitch_);
        for (int s = 0; s < r_.slots; ++s)
          if (pass_.state_of[s] == state) write_groups(s, tile, at, first, groups);
      }
    });
  }

  void write_groups(int s, const Tile& tile, const States& states, std::int64_t first,
                    std::int64_t groups) const {
    ReduceSlot slot = r_.slot[s];
    const std::int64_t step = slot.out_strides[axis_];
    if (tile.width == 1) {
      const ScratchFrame frame(static_cast<std::size_t>(groups) * sizeof(double));
      if (divides(slot.finish)) {
        auto* divisors = reinterpret_cast<double*>(frame.data());
        std::transform(sizes_ + first, sizes_ + first + groups, divisors,
                       [](std::int64_t size) { return static_cast<double>(size); });
        slot.divisors = divisors;
      }
      std::int64_t target[kMaxSlots] = {}, offset[kMaxReduceInputs] = {};
      place_of(r_, plan_, tile, target, offset);
      write_results(slot, kernels_, states, groups, slot.out + target[s] + first * step, step);
      return;
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      if (sizes_ != nullptr) slot.divisor = static_cast<double>(sizes_[first + g]);
      const States at = states.at(reducer(pass_.state_of[s]), g * tile.width);
      write_tile(r_, plan_, kernels_, tile, s, slot, at, (first + g) * step);
    }
  }

  const Reduction& r_;
  const int axis_;
  const Groups& groups_;
  const ReducePlan& plan_;
  const ReduceKernels& kernels_;
  const PartKernels& cells_;
  FirstPass pass_;
  const std::int64_t count_;
  std::int64_t parts_, width_, across_;
  std::int64_t pitch_;  // states in a row: all cells of a part
  int threads_;
  Memory memory_[kMaxSlots];
  States states_[kMaxSlots];
  Memory size_memory_;
  std::int64_t* sizes_ = nullptr;  // of each group in each part; then in all
  std::atomic<std::int64_t> bad_{INT64_MAX};
};

}  // namespace

GroupErrors reduce_groups(const Reduction& reduction, int axis, const Groups& groups, Tier tier) {
  check_slots(reduction, reduce_kernels(tier));
  for (int s = 0; s < reduction.slots; ++s)
    if (part_kernels(tier).at(reduction.slot[s].reducer, reduction.slot[s].element).add == nullptr)
      throw std::invalid_argument("reduce_groups: this reducer has no cells");
  if (groups.count < 0 || groups.count > kMostGroups)
    throw std::invalid_argument("reduce_groups: too many groups");
  // An axis of one is dropped from plans.
  std::int64_t shape[kMaxReduceAxes];
  std::copy_n(reduction.shape, reduction.axes, shape);
  shape[axis] = std::max<std::int64_t>(shape[axis], 2);
  Reduction any = reduction;
  any.shape = shape;
  ReducePlan plan;
  plan_reduction(plan, any);
  return Execution(reduction, axis, groups, plan, tier).run();
}

}  // namespace ufuse
