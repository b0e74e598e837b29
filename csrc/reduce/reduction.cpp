#include "reduce/reduction.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "reduce/tiles.hpp"
#include "reduce/views.hpp"

namespace ufuse {
namespace {

// A task is worth handing out from this many bytes on (a few microseconds), and stays below it where it
// can, so that threads end together.
constexpr std::int64_t kTaskBytes = 128 << 10;
// Tasks per thread, for even ends where cores run at different speeds.
constexpr std::int64_t kTasksPerThread = 8;

struct Freed {
  void operator()(char* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<char, Freed>;

Memory allocate(std::int64_t bytes) {
  auto* memory = static_cast<char*>(std::aligned_alloc(64, static_cast<std::size_t>((bytes + 63) / 64 * 64)));
  if (memory == nullptr) throw std::bad_alloc();
  return Memory(memory);
}

class Execution {
 public:
  Execution(const Reduction& r, const ReducePlan& plan, const ReduceKernels& kernels)
      : r_(r), plan_(plan), kernels_(kernels), first_(r, plan, kernels) {
    std::int64_t bytes = 0;
    for (int k = 0; k < r.inputs; ++k) bytes += static_cast<std::int64_t>(item_size(r.input[k].dtype));
    element_bytes_ = bytes;
    threads_ = threads_for_bytes(plan.states * plan.count * bytes);
    stream_ = plan.passes == 0 ? stream_of_results(r) : nullptr;
    if (plan.passes > 0) {
      for (int s = 0; s < first_.states; ++s) {
        memory_[s] = allocate(bytes_of_states(kernel(s), plan.states));
        states_[s] = states_in(memory_[s].get(), kernel(s), plan.states);
      }
    }
  }

  void run() {
    first_pass();
    if (plan_.passes == 0) return;
    std::int64_t states = plan_.states;
    for (int p = 0; p < plan_.passes; ++p) {
      merge_pass(plan_.pass[p], states);
      states /= plan_.pass[p].rows;
    }
    write_merged();
  }

 private:
  const ReducerKernel& kernel(int s) const { return *first_.kernel[s]; }

  void first_pass() {
    const std::int64_t inner = plan_.inner.extent, chunks = first_.chunks;
    const std::int64_t row_bytes = std::max<std::int64_t>(1, plan_.count * element_bytes_);
    width_ =
        plan_.columns ? first_.tile_columns : std::clamp<std::int64_t>(kTaskBytes / row_bytes, 1, kChunk);
    // Rows that interleave in memory share its lines.
    if (!plan_.columns && first_.interleaved()) width_ = std::max<std::int64_t>(width_, kLanes);
    width_ = std::min(width_, inner);
    const std::int64_t across = (inner + width_ - 1) / width_;
    const std::int64_t tiles = across * plan_.outers;
    auto tile_of = [&](std::int64_t t) {
      const std::int64_t first = t % across * width_;
      return Tile{t / across, first, std::min(width_, inner - first)};
    };

    const std::int64_t wanted = threads_ * kTasksPerThread;
    if (threads_ > 1 && tiles < wanted && chunks > 1) {
      split_tiles(tiles, std::min(chunks, (wanted + tiles - 1) / tiles), tile_of);
      return;
    }
    // Tasks are long stretches of memory: at 128 KB, which mostly left every other stretch to the other
    // thread, two threads summed rows of 16 KB at 50 GB/s instead of 58, and rows of 512 bytes, whose threads
    // then write to the same lines of the results, at 28 instead of 50.
    const std::int64_t batch =
        std::max({std::int64_t{1}, kTaskBytes / (width_ * row_bytes), tiles / (threads_ * kTasksPerThread)});
    parallel_for((tiles + batch - 1) / batch, threads_, [&](std::int64_t task) {
      const std::int64_t end = std::min(tiles, (task + 1) * batch);
      std::int64_t bytes = 0;
      for (int s = 0; s < first_.states; ++s) bytes += bytes_of_states(kernel(s), chunks * width_);
      const ScratchFrame frame(static_cast<std::size_t>(bytes));
      States states[kMaxSlots];
      char* at = frame.data();
      for (int s = 0; s < first_.states; ++s) {
        states[s] = states_in(at, kernel(s), chunks * width_);
        at += bytes_of_states(kernel(s), chunks * width_);
      }
      for (std::int64_t t = task * batch; t < end; ++t) {
        const Tile tile = tile_of(t);
        fold_tile(first_, tile, 0, chunks, states);
        finish_tile(tile, states);
      }
      end_streams(stream_);
    });
  }

  /// Few results of many elements: threads share the chunks of each tile.
  template <class TileOf>
  void split_tiles(std::int64_t tiles, std::int64_t parts, TileOf tile_of) {
    const std::int64_t chunks = first_.chunks;
    std::int64_t bytes = 0;
    for (int s = 0; s < first_.states; ++s) bytes += bytes_of_states(kernel(s), chunks * width_);
    const Memory memory = allocate(bytes * tiles);
    auto states_of = [&](std::int64_t t, States* states) {
      char* at = memory.get() + t * bytes;
      for (int s = 0; s < first_.states; ++s) {
        states[s] = states_in(at, kernel(s), chunks * width_);
        at += bytes_of_states(kernel(s), chunks * width_);
      }
    };
    parallel_for(tiles * parts, threads_, [&](std::int64_t task) {
      const std::int64_t part = task % parts;
      States states[kMaxSlots];
      states_of(task / parts, states);
      fold_tile(first_, tile_of(task / parts), chunks * part / parts, chunks * (part + 1) / parts, states);
    });
    parallel_for(tiles,
                 static_cast<int>(std::min<std::int64_t>(threads_, 1 + chunks * tiles * width_ / 65536)),
                 [&](std::int64_t t) {
                   States states[kMaxSlots];
                   states_of(t, states);
                   finish_tile(tile_of(t), states);
                   end_streams(stream_);
                 });
  }

  /// Merges the chunks of a tile and puts its states, or its results, where they belong.
  void finish_tile(const Tile& tile, const States* states) {
    std::int64_t base[kMaxSlots] = {};
    std::int64_t left = tile.outer;
    for (int i = plan_.outer_axes - 1; i >= 0; --i) {
      for (int s = 0; s < r_.slots; ++s) base[s] += left % plan_.outer[i].extent * plan_.outer[i].target[s];
      left /= plan_.outer[i].extent;
    }
    for (int s = 0; s < first_.states; ++s)
      merge_rows(kernel(s), states[s], first_.chunks, tile.width, tile.width);
    if (plan_.parts == 0) {
      put_run(states, 0, 1, base, kSingleAxis);
      return;
    }
    const ReduceAxis& fastest = plan_.part[0];
    for (std::int64_t done = 0; done < tile.width;) {
      const std::int64_t at = tile.first + done;
      const std::int64_t run = std::min(tile.width - done, fastest.extent - at % fastest.extent);
      std::int64_t target[kMaxSlots];
      for (int s = 0; s < r_.slots; ++s) target[s] = base[s];
      left = at;
      for (int i = 0; i < plan_.parts; ++i) {
        const std::int64_t index = i + 1 < plan_.parts ? left % plan_.part[i].extent : left;
        for (int s = 0; s < r_.slots; ++s) target[s] += index * plan_.part[i].target[s];
        left /= plan_.part[i].extent;
      }
      put_run(states, done, run, target, fastest);
      done += run;
    }
  }

  /// Puts `count` states from the `first` on at equal steps from `target`.
  void put_run(const States* states, std::int64_t first, std::int64_t count, const std::int64_t* target,
               const ReduceAxis& axis) {
    if (plan_.passes == 0) {
      for (int s = 0; s < r_.slots; ++s) {
        const int state = first_.state_of[s];
        write_results(r_.slot[s], kernels_, states[state].at(kernel(state), first), count,
                      r_.slot[s].out + target[s], axis.target[s], stream_);
      }
      return;
    }
    for (int s = 0; s < first_.states; ++s) {
      const int slot = first_.slot_of[s];
      const std::int64_t step = axis.target[slot];
      const States from = states[s].at(kernel(s), first);
      const States to = states_[s].at(kernel(s), target[slot]);
      for (int i = 0; i < kernel(s).components; ++i) {
        const std::int64_t size = kernel(s).state_size[i];
        for (std::int64_t c = 0; c < count; ++c)
          std::memcpy(to.component[i] + c * step * size, from.component[i] + c * size,
                      static_cast<std::size_t>(size));
      }
    }
  }

  /// Merges one later group: blocks of `rows` rows of one state per result.
  void merge_pass(const MergePass& pass, std::int64_t states) {
    const std::int64_t width = plan_.results, block = pass.rows * width, blocks = states / block;
    constexpr std::int64_t kColumns = 512;
    const bool wide = width > kColumns;
    const std::int64_t parts = wide ? (width + kColumns - 1) / kColumns : 1;
    const int threads = std::min(threads_, threads_for_bytes(states * 8));
    parallel_for(blocks * parts, threads, [&](std::int64_t task) {
      const std::int64_t b = task / parts, part = task % parts;
      const std::int64_t first = part * kColumns, some = wide ? std::min(kColumns, width - first) : width;
      for (int s = 0; s < first_.states; ++s) {
        const States at = states_[s].at(kernel(s), b * block + first);
        if (kernel(s).indexed) {  // indices count within the groups inside this one
          auto* index = reinterpret_cast<std::int64_t*>(at.component[1]);
          for (std::int64_t row = 1; row < pass.rows; ++row)
            for (std::int64_t c = 0; c < some; ++c) index[row * width + c] += row * pass.index_weight;
        }
        merge_rows(kernel(s), at, pass.rows, some, width);
      }
    });
    for (std::int64_t b = 1; b < blocks; ++b)
      for (int s = 0; s < first_.states; ++s) {
        const States to = states_[s].at(kernel(s), b * width), from = states_[s].at(kernel(s), b * block);
        for (int i = 0; i < kernel(s).components; ++i)
          std::memmove(to.component[i], from.component[i],
                       static_cast<std::size_t>(width * kernel(s).state_size[i]));
      }
  }

  /// The merged states are in C order of the kept axes.
  void write_merged() {
    const ReduceAxis& inner = plan_.kept_axes > 0 ? plan_.kept[plan_.kept_axes - 1] : kSingleAxis;
    for (std::int64_t done = 0; done < plan_.results; done += inner.extent) {
      std::int64_t target[kMaxSlots] = {};
      std::int64_t left = done / inner.extent;
      for (int i = plan_.kept_axes - 2; i >= 0; --i) {
        for (int s = 0; s < r_.slots; ++s) target[s] += left % plan_.kept[i].extent * plan_.kept[i].target[s];
        left /= plan_.kept[i].extent;
      }
      for (int s = 0; s < r_.slots; ++s) {
        const int state = first_.state_of[s];
        write_results(r_.slot[s], kernels_, states_[state].at(kernel(state), done), inner.extent,
                      r_.slot[s].out + target[s], inner.target[s]);
      }
    }
  }

  const Reduction& r_;
  const ReducePlan& plan_;
  const ReduceKernels& kernels_;
  FirstPass first_;
  std::int64_t element_bytes_;
  std::int64_t width_ = 1;
  int threads_;
  StreamKernel stream_;  // of the first pass
  Memory memory_[kMaxSlots];
  States states_[kMaxSlots];
};

void run(const Reduction& reduction, const ReduceKernels& kernels) {
  if (out_of_order(reduction, kernels)) return run(InMemoryOrder(reduction, kernels).reduction(), kernels);
  ReducePlan plan;
  plan_reduction(plan, reduction);
  if (plan.states == 0 || plan.count == 0) return;
  Execution(reduction, plan, kernels).run();
}

}  // namespace

void check_slots(const Reduction& r, const ReduceKernels& kernels) {
  const DType element = r.slot[0].element;
  if (r.skip_nan && (r.inputs != 1 || (element != DType::F32 && element != DType::F64)))
    throw std::invalid_argument("reduce: NaN can only be skipped in one input of floats");
  for (int s = 0; s < r.slots; ++s) {
    const ReduceSlot& slot = r.slot[s];
    const DType stored = r.input[slot.input].dtype;
    const bool known =
        kernels.at(slot.reducer, slot.element).rows != nullptr &&
        (r.input[slot.input].coding != Coding::plain ? slot.element == DType::F32
                                                     : stored == slot.element || slot.element == DType::F64);
    if ((r.mask != nullptr || r.skip_nan) && !kernels.at(slot.reducer, slot.element).maskable)
      throw std::invalid_argument("reduce: this reducer takes no mask");
    const int component = slot.component;
    if (!known || component >= kernels.at(slot.reducer, slot.element).components ||
        kernels.finish[static_cast<int>(slot.finish)][static_cast<int>(
            component_type(slot.reducer, slot.element, component))][static_cast<int>(slot.result)] == nullptr)
      throw std::invalid_argument("reduce: no kernel for slot " + std::to_string(s) + " (elements " +
                                  std::string(code_of(stored)) + " as " + std::string(code_of(slot.element)) +
                                  ", result " + std::string(code_of(slot.result)) + ")");
  }
}

void reduce(const Reduction& reduction, const ReduceKernels& kernels) {
  check_slots(reduction, kernels);
  const std::uint64_t still = still_axes(reduction, kernels);
  if (still == 0) return run(reduction, kernels);
  std::int64_t shape[kMaxReduceAxes];
  for (int i = 0; i < reduction.axes; ++i) shape[i] = still >> i & 1 ? 1 : reduction.shape[i];
  Reduction once = reduction;
  once.shape = shape;
  run(once, kernels);
  repeat_results(reduction, still);
}

}  // namespace ufuse
