#include "count/weigh.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "count/arrangement.hpp"

namespace ufuse {
namespace {

// Weighted sums: parts of one lane, each with a table of its own.
constexpr std::int64_t kMostParts = 16;
// Elements, slots and weights of so many elements leave room in L1 for a small table.
constexpr std::int64_t kWeighed = 512;

class Weigher {
 public:
  Weigher(const Counting& counting, const CountKernels& kernels, const PieceKernels& pieces)
      : c_(counting), bins_(*counting.bins), pieces_(pieces), axes_(counting), most_of_(kernels.most_of) {
    slots_ = bins_.map.slots();
    const bool f64 = bins_.map.wide == DType::F64;
    find_ = kernels.slots[static_cast<int>(bins_.map.kind)][f64][static_cast<int>(c_.x.dtype)];
    // As for the parts of a lane, nothing but its length and the bins decides.
    const bool many =
        slots_ <= kMostSumsInCopies && axes_.lane.count >= 4 * static_cast<std::int64_t>(slots_);
    copies_ = many ? kCopies : 1;
    threads_ = threads_for_bytes(axes_.kept.count * axes_.lane.count * 8);
  }

  std::int64_t run() {
    const std::int64_t lanes = axes_.kept.count, length = axes_.lane.count;
    const std::int64_t least = std::max<std::int64_t>(1 << 16, 16 * static_cast<std::int64_t>(slots_));
    const std::int64_t parts = std::clamp<std::int64_t>(length / least, 1, kMostParts);
    const int copies = copies_;
    const std::size_t size = static_cast<std::size_t>(slots_) * static_cast<std::size_t>(copies);
    if (parts == 1) {
      const std::int64_t together =
          std::clamp<std::int64_t>(kLeastOfTask / std::max<std::int64_t>(length, 1), 1, lanes);
      parallel_for((lanes + together - 1) / together, threads_, [&](std::int64_t task) {
        const ScratchFrame frame(size * 8);
        auto* table = reinterpret_cast<double*>(frame.data());
        for (std::int64_t lane = task * together; lane < std::min(lanes, (task + 1) * together); ++lane) {
          weigh_part(lane, 0, length, table, copies);
          emit_weights(table, lane, 1, size, copies);
        }
      });
      return most_.get();
    }
    const ScratchFrame frame(size * 8 * static_cast<std::size_t>(parts));
    auto* tables = reinterpret_cast<double*>(frame.data());
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      parallel_for(parts, threads_, [&](std::int64_t part) {
        weigh_part(lane, length * part / parts, length * (part + 1) / parts,
                   tables + static_cast<std::size_t>(part) * size, copies);
      });
      emit_weights(tables, lane, parts, size, copies);
    }
    return most_.get();
  }

 private:
  void weigh_part(std::int64_t lane, std::int64_t first, std::int64_t last, double* table, int copies) {
    const char* x = axes_.x + lane_offset(lane, false);
    const char* w = axes_.weights + lane_offset(lane, true);
    WalkReader elements(axes_.lane, c_.x, 0, pieces_), weights(axes_.lane, c_.weights, 1, pieces_);
    const std::int64_t block = slots_ <= kMostSlotsInCopies ? kWeighed : kWalkBlock;
    const ScratchFrame slots(kWalkBlock * 4), wide(kWalkBlock * 8);
    auto* found = reinterpret_cast<std::uint32_t*>(slots.data());
    auto* weight = reinterpret_cast<double*>(wide.data());
    std::fill_n(table, static_cast<std::size_t>(slots_) * static_cast<std::size_t>(copies), 0.0);
    std::uint32_t most = 0;
    for (; first < last; first += block) {
      const std::int64_t count = std::min(block, last - first);
      find_(found, elements.read(x, first, count), count, bins_.map);
      if (bins_.map.kind == BinKind::value) most = std::max(most, most_of_(found, count));
      const void* stored = weights.read(w, first, count);
      if (c_.weights.dtype != DType::F64) {
        pieces_.to_f64[static_cast<int>(c_.weights.dtype)](weight, stored, count);
        stored = weight;
      }
      const auto* of = static_cast<const double*>(stored);
      tally_copies(copies, table, found, count, [of](std::int64_t i) { return of[i]; });
    }
    most_.note(most);
  }

  /// Of a weighted call: lanes are in C order there, and both operands have strides of their own.
  std::int64_t lane_offset(std::int64_t lane, bool of_weights) const {
    const std::int64_t* strides = of_weights ? c_.weight_strides : c_.strides;
    std::int64_t bytes = 0;
    for (int i = c_.axes - 1; i >= 0; --i) {
      if (c_.reduced >> i & 1) continue;
      bytes += lane % c_.shape[i] * strides[i];
      lane /= c_.shape[i];
    }
    return bytes;
  }

  void emit_weights(const double* tables, std::int64_t lane, std::int64_t parts, std::size_t size,
                    int copies) {
    double* out = static_cast<double*>(c_.out) + lane * bins_.count;
    std::fill_n(out, bins_.count, 0.0);
    for (std::uint32_t slot = 0; slot < slots_; ++slot) {
      const std::int64_t bin = bins_.bin_of(slot);
      if (bin < 0) continue;
      for (std::int64_t part = 0; part < parts; ++part) {
        const double* at =
            tables + static_cast<std::size_t>(part) * size + static_cast<std::size_t>(slot) * copies;
        out[bin] += copies == 1 ? at[0] : (at[0] + at[1]) + (at[2] + at[3]);
      }
    }
  }

  const Counting& c_;
  const Bins& bins_;
  const PieceKernels& pieces_;
  Arrangement axes_;
  std::uint32_t (*most_of_)(const std::uint32_t* slots, std::int64_t count);
  std::uint32_t slots_;
  CountKernels::Slots find_;
  int copies_;
  int threads_;
  Most most_;  // of values
};

}  // namespace

std::int64_t weigh_lanes(const Counting& counting, const CountKernels& kernels, const PieceKernels& pieces) {
  return Weigher(counting, kernels, pieces).run();
}

}  // namespace ufuse
