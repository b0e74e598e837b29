#include "count/count.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "core/threads.hpp"
#include "count/arrangement.hpp"
#include "count/weigh.hpp"

namespace ufuse {
namespace {

// A task's counts are uint32.
constexpr std::int64_t kMostOfTask = std::int64_t{1} << 31;
constexpr std::uint32_t kMostSlotsInL1 = 8192;
// Columns: rows whose slots are found before they are counted, and bytes of the tables of one tile. The
// tables of 16 columns at a time are in L1 then, those of the tile in L2.
constexpr std::int64_t kBatchRows = 128;
constexpr std::int64_t kTileBytes = 256 << 10;
constexpr std::int64_t kTileColumns = 256;
constexpr std::int64_t kSideBySide = 16;

/// Values into a table that L1 does not hold: to find the slots of many first gains nothing, to ask for their
/// lines early a tenth (200 000 bins: 3.7 cycles an element, 4.1 without that, 5.0 by way of slots).
template <class T>
void tally_values(std::uint32_t* table, const char* x, std::int64_t count, std::uint32_t top) {
  constexpr std::int64_t kAhead = 32;
  const auto slot = [&](std::int64_t i) {
    T value;
    std::memcpy(&value, x + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return value < top ? static_cast<std::uint32_t>(value) : top;
  };
  std::int64_t i = 0;
  for (; i + kAhead < count; ++i) {
    __builtin_prefetch(table + slot(i + kAhead), 1);
    ++table[slot(i)];
  }
  for (; i < count; ++i) ++table[slot(i)];
}

class Counter {
 public:
  Counter(const Counting& counting, const CountKernels& kernels, const PieceKernels& pieces)
      : c_(counting), bins_(*counting.bins), pieces_(pieces), axes_(counting) {
    slots_ = bins_.map.slots();
    size_ = static_cast<std::int64_t>(item_size(c_.x.dtype));
    const auto kind = static_cast<int>(bins_.map.kind);
    const bool f64 = bins_.map.wide == DType::F64;
    const auto type = static_cast<int>(c_.x.dtype);
    find_ = kernels.slots[kind][f64][type];
    count_ = kernels.count[kind][f64][type];
    const bool many =
        slots_ <= kMostSlotsInCopies && axes_.lane.count >= 4 * static_cast<std::int64_t>(slots_);
    copies_ = many ? kCopies : 1;
    threads_ = threads_for_bytes(axes_.kept.count * axes_.lane.count * 8);
  }

  std::int64_t run() {
    if (across())
      run_columns();
    else
      run_rows();
    return most_.get();
  }

 private:
  std::int64_t* out_of(std::int64_t lane) const {
    return static_cast<std::int64_t*>(c_.out) + lane * bins_.count;
  }

  /// Writes a table's counts, or adds them to those of other parts of the lane.
  void emit(const std::uint32_t* table, int copies, std::int64_t lane, bool shared) {
    std::int64_t* out = out_of(lane);
    const std::int64_t repeats = axes_.repeats;
    if (bins_.map.kind == BinKind::value) most_.note(most_counted(table, copies));
    std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
    if (shared)
      lock.lock();
    else
      std::fill_n(out, bins_.count, 0);
    if (bins_.slot_of_value.empty()) {
      const std::uint32_t* from = table + bins_.first_slot * copies;
      if (copies == 1) {
        for (std::int64_t bin = 0; bin < bins_.count; ++bin) out[bin] += repeats * from[bin];
      } else {
        for (std::int64_t bin = 0; bin < bins_.count; ++bin, from += kCopies)
          out[bin] += repeats * ((std::int64_t{from[0]} + from[1]) + (std::int64_t{from[2]} + from[3]));
      }
      return;
    }
    for (std::uint32_t slot = 0; slot < slots_; ++slot) {
      const std::int64_t bin = bins_.bin_of(slot);
      for (int k = 0; bin >= 0 && k < copies; ++k)
        out[bin] += repeats * table[static_cast<std::size_t>(slot) * copies + k];
    }
  }

  std::int64_t most_counted(const std::uint32_t* table, int copies) const {
    std::int64_t at = static_cast<std::int64_t>(slots_) * copies - 1;
    while (at >= 0 && table[at] == 0) --at;
    return at < 0 ? -1 : at / copies;
  }

  void empty_out() { std::fill_n(out_of(0), axes_.kept.count * bins_.count, 0); }

  // --- rows: a lane after the other ------------------------------------------------------------------------

  void run_rows() {
    const std::int64_t lanes = axes_.kept.count, length = axes_.lane.count;
    const std::int64_t least = std::max(kLeastOfTask, 4 * static_cast<std::int64_t>(slots_));
    std::int64_t parts = length / kMostOfTask + 1;
    if (lanes < 4 * threads_)
      parts =
          std::max(parts, std::min<std::int64_t>(length / least, slots_ <= 65536 ? 8 * threads_ : threads_));
    const std::int64_t together =
        parts > 1 ? 1 : std::clamp<std::int64_t>(kLeastOfTask / std::max<std::int64_t>(length, 1), 1, lanes);
    if (parts > 1) empty_out();
    const std::int64_t tasks = parts > 1 ? lanes * parts : (lanes + together - 1) / together;
    parallel_for(tasks, threads_, [&](std::int64_t task) {
      const ScratchFrame frame(static_cast<std::size_t>(slots_) * static_cast<std::size_t>(copies_) * 4);
      auto* table = reinterpret_cast<std::uint32_t*>(frame.data());
      WalkReader reader(axes_.lane, c_.x, 0, pieces_);
      if (parts > 1) {
        const std::int64_t part = task % parts;
        count_part(task / parts, length * part / parts, length * (part + 1) / parts, table, reader, true);
      } else {
        for (std::int64_t lane = task * together; lane < std::min(lanes, (task + 1) * together); ++lane)
          count_part(lane, 0, length, table, reader, false);
      }
    });
  }

  void count_piece(const char* x, std::int64_t count, std::uint32_t* table) const {
    if (bins_.map.kind == BinKind::value && slots_ > kMostSlotsInL1 && size_ >= 4) {
      (size_ == 8 ? tally_values<std::uint64_t> : tally_values<std::uint32_t>)(table, x, count,
                                                                               bins_.map.top);
      return;
    }
    if (count_ != nullptr && copies_ == kCopies) {
      count_(table, x, count, bins_.map);
      return;
    }
    alignas(64) std::uint32_t slots[kTurn];
    for (std::int64_t i = 0; i < count; i += kTurn) {
      const std::int64_t turn = std::min(kTurn, count - i);
      find_(slots, x + i * size_, turn, bins_.map);
      tally_copies(copies_, table, slots, turn, [](std::int64_t) { return 1u; });
    }
  }

  void count_part(std::int64_t lane, std::int64_t first, std::int64_t last, std::uint32_t* table,
                  WalkReader& reader, bool shared) {
    const char* base = axes_.x + axes_.kept.offset(lane, 0);
    std::fill_n(table, static_cast<std::size_t>(slots_) * static_cast<std::size_t>(copies_), 0u);
    while (first < last) {
      std::int64_t count = reader.in_place(base, first, last - first);
      if (count == 0) count = std::min(kWalkBlock, last - first);
      count_piece(static_cast<const char*>(reader.read(base, first, count)), count, table);
      first += count;
    }
    emit(table, copies_, axes_.first_lane + axes_.kept.offset(lane, 1), shared);
  }

  // --- columns: neighbouring lanes side by side ------------------------------------------------------------

  /// Whether memory runs across the lanes.
  bool across() const {
    if (axes_.kept.axes == 0 || axes_.lane.axes == 0) return false;
    const WalkAxis& inner = axes_.kept.axis[axes_.kept.axes - 1];
    return inner.extent >= kSideBySide && inner.stride[0] < axes_.lane.axis[axes_.lane.axes - 1].stride[0];
  }

  void run_columns() {
    WalkNest outer = axes_.kept;
    const WalkAxis inner = outer.axis[--outer.axes];
    outer.count /= inner.extent;
    const std::int64_t fitting =
        kTileBytes / (4 * static_cast<std::int64_t>(slots_)) / kSideBySide * kSideBySide;
    const std::int64_t width = std::clamp(fitting, kSideBySide, kTileColumns);
    const std::int64_t tiles = (inner.extent + width - 1) / width;
    const std::int64_t rows = axes_.lane.count;
    const std::int64_t wanted = (4 * threads_ + outer.count * tiles - 1) / (outer.count * tiles);
    const std::int64_t parts =
        std::max(rows / kMostOfTask + 1, std::min<std::int64_t>(threads_ > 1 ? wanted : 1, rows / 4096));
    if (parts > 1) empty_out();
    parallel_for(outer.count * tiles * parts, threads_, [&](std::int64_t task) {
      const std::int64_t part = task % parts, tile = task / parts % tiles, at = task / parts / tiles;
      const std::int64_t first = tile * width, columns = std::min(width, inner.extent - first);
      const char* base = axes_.x + outer.offset(at, 0) + first * inner.stride[0];
      const std::int64_t lane = axes_.first_lane + outer.offset(at, 1) + first * inner.stride[1];
      const std::size_t size = static_cast<std::size_t>(columns) * slots_;
      const ScratchFrame frame(size * 4);
      auto* table = reinterpret_cast<std::uint32_t*>(frame.data());
      std::fill_n(table, size, 0u);
      count_columns(base, inner.stride[0], columns, rows * part / parts, rows * (part + 1) / parts, table);
      for (std::int64_t k = 0; k < columns; ++k)
        emit(table + k * slots_, 1, lane + k * inner.stride[1], parts > 1);
    });
  }

  void count_columns(const char* base, std::int64_t stride, std::int64_t columns, std::int64_t first,
                     std::int64_t last, std::uint32_t* table) {
    const std::int64_t size = size_;
    const int log2 = c_.x.log2_stored();
    const ScratchFrame slots(static_cast<std::size_t>(kBatchRows * columns * 4));
    const ScratchFrame block(static_cast<std::size_t>(columns * size));
    const ScratchFrame decoded(c_.x.coding == Coding::plain ? 0 : static_cast<std::size_t>(columns * 4));
    auto* found = reinterpret_cast<std::uint32_t*>(slots.data());
    for (; first < last; first += kBatchRows) {
      const std::int64_t rows = std::min(kBatchRows, last - first);
      for (std::int64_t r = 0; r < rows; ++r) {
        const char* from = base + axes_.lane.offset(first + r, 0);
        const void* row = from;
        const bool direct = c_.x.plain() && (stride == size || columns == 1) &&
                            reinterpret_cast<std::uintptr_t>(from) % static_cast<std::uintptr_t>(size) == 0;
        if (!direct) {
          pieces_.gather[log2](block.data(), 0, &from, 1, stride, columns);
          row = c_.x.made(block.data(), reinterpret_cast<float*>(decoded.data()), columns, pieces_);
        }
        find_(found + r * columns, row, columns, bins_.map);
      }
      for (std::int64_t k = 0; k < columns; k += kSideBySide)
        add_columns(table + k * slots_, found + k, rows, columns, std::min(kSideBySide, columns - k));
    }
  }

  void add_columns(std::uint32_t* table, const std::uint32_t* found, std::int64_t rows, std::int64_t pitch,
                   std::int64_t columns) const {
    const std::size_t slots = slots_;
    if (columns == kSideBySide) {
      for (std::int64_t r = 0; r < rows; ++r, found += pitch)
        for (std::size_t k = 0; k < kSideBySide; ++k) ++table[k * slots + found[k]];
    } else {
      for (std::int64_t r = 0; r < rows; ++r, found += pitch)
        for (std::size_t k = 0; k < static_cast<std::size_t>(columns); ++k) ++table[k * slots + found[k]];
    }
  }

  const Counting& c_;
  const Bins& bins_;
  const PieceKernels& pieces_;
  Arrangement axes_;
  std::uint32_t slots_;
  CountKernels::Slots find_;
  CountKernels::Count count_;
  std::int64_t size_;
  int copies_;
  int threads_;
  std::mutex mutex_;
  Most most_;  // of values
};

}  // namespace

std::int64_t count_lanes(const Counting& counting, const CountKernels& kernels, const PieceKernels& pieces) {
  if (counting.weighted) return weigh_lanes(counting, kernels, pieces);
  return Counter(counting, kernels, pieces).run();
}

UFUSE_TIER_TABLES(CountKernels, count_kernels)

}  // namespace ufuse
