#include "calibrate/calibrate.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "count/arrangement.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(CalibrateKernels, calibrate_kernels)

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// What a thread takes of the elements at a time, and adds up of the tables.
constexpr std::int64_t kShare = std::int64_t{1} << 18;
constexpr std::int64_t kSlotsOfTask = 4096;
// Counts of a thread's tables are uint32: so many elements at most before they are added up.
constexpr std::int64_t kMostOfRound = std::int64_t{1} << 31;
// What one task of `squared_errors` looks at: some microseconds of it.
constexpr std::int64_t kValuesOfTask = 8192;
// Between tables, so that the same slot of two does not meet in one set of L1.
constexpr std::int64_t kGap = 2064;

/// One thread's part of the work.
struct Part {
  std::uint32_t* tables;
  bool used = false;
  Seen seen{kInfinity, -kInfinity, 0};
};

class Calibrator {
 public:
  Calibrator(Calibration& c, const Counting& counting)
      : c_(c),
        kernels_(calibrate_kernels(active_tier())),
        pieces_(reduce_kernels(active_tier()).pieces),
        axes_(counting),
        slots_(std::int64_t{1} << c.log2_slots),
        pitch_(slots_ + kGap) {
    const std::int64_t count = axes_.lane.count;
    // To empty and add up tables costs what so many elements do.
    if (2 * slots_ <= count) tables_ = 2;
    const auto most = static_cast<int>(std::clamp<std::int64_t>(count / (2 * slots_), 1, 256));
    threads_ = std::min(threads_for_bytes(count * 4), most);
  }

  void run() {
    const std::int64_t words = pitch_ * tables_;
    const ScratchFrame frame(static_cast<std::size_t>(words * threads_ * 4));
    parts_.resize(static_cast<std::size_t>(threads_));
    for (std::size_t k = 0; k < parts_.size(); ++k)
      parts_[k].tables =
          reinterpret_cast<std::uint32_t*>(frame.data()) + static_cast<std::int64_t>(k) * words;
    const std::int64_t count = axes_.lane.count;
    c_.seen = {kInfinity, -kInfinity, 0};
    // All or nothing: what is added up cannot be taken back. Several rounds are run without that first.
    for (const bool adds : {count <= kMostOfRound, true}) {
      for (std::int64_t first = 0; first < count && !c_.infinite; first += kMostOfRound) {
        count_round(first, std::min(count, first + kMostOfRound));
        if (adds && !c_.infinite) add_up();
      }
      if (adds) return;
    }
  }

 private:
  /// Calls `body(floats, n)` for elements [first, last), piece by piece.
  template <class Body>
  void each_piece(std::int64_t first, std::int64_t last, WalkReader& reader, float* converted, Body body) {
    const auto convert = kernels_.convert[static_cast<int>(c_.x.dtype)];
    while (first < last) {
      std::int64_t n = reader.in_place(axes_.x, first, last - first);
      if (n == 0 || converted != nullptr) n = std::min(kWalkBlock, n == 0 ? last - first : n);
      const void* from = reader.read(axes_.x, first, n);
      if (converted != nullptr) convert(converted, from, n);
      body(converted != nullptr ? converted : static_cast<const float*>(from), n);
      first += n;
    }
  }

  bool converts() const { return c_.x.dtype != DType::F32; }

  void count_round(std::int64_t first, std::int64_t last) {
    const std::int64_t shares = (last - first + kShare - 1) / kShare;
    std::atomic<std::int64_t> next = 0;
    parallel_for(threads_, threads_, [&](std::int64_t k) {
      Part& part = parts_[static_cast<std::size_t>(k)];
      part.used = false;
      const ScratchFrame frame(converts() ? static_cast<std::size_t>(kWalkBlock) * sizeof(float) : 0);
      auto* converted = converts() ? reinterpret_cast<float*>(frame.data()) : nullptr;
      WalkReader reader(axes_.lane, c_.x, 0, pieces_);
      for (std::int64_t share; (share = next++) < shares;) {
        if (!part.used) std::fill_n(part.tables, pitch_ * tables_, 0u);
        part.used = true;
        const std::int64_t from = first + share * kShare;
        each_piece(from, std::min(last, from + kShare), reader, converted,
                   [&](const float* x, std::int64_t n) {
                     kernels_.count[tables_ - 1](part.tables, static_cast<std::size_t>(pitch_), x, n,
                                                 32 - c_.log2_slots, part.seen);
                   });
      }
    });
    for (const Part& part : parts_) {
      if (!part.used) continue;
      c_.seen.low = std::min(c_.seen.low, part.seen.low);
      c_.seen.high = std::max(c_.seen.high, part.seen.high);
      c_.seen.bits |= part.seen.bits;
    }
    c_.infinite |= c_.seen.low == -kInfinity || c_.seen.high == kInfinity;
  }

  void add_up() {
    std::atomic<std::int64_t> nans = 0;
    const std::int64_t half = slots_ / 2, finite = half - half / 256;
    parallel_for((slots_ + kSlotsOfTask - 1) / kSlotsOfTask, threads_, [&](std::int64_t task) {
      const std::int64_t last = std::min(slots_, (task + 1) * kSlotsOfTask);
      for (const Part& part : parts_) {
        if (!part.used) continue;
        for (std::int64_t k = 0; k < tables_; ++k) {
          const std::uint32_t* const table = part.tables + k * pitch_;
          for (std::int64_t i = task * kSlotsOfTask; i < last; i += 16) {
            std::uint32_t any = 0;  // most slots are empty
            for (std::int64_t j = 0; j < 16; ++j) any |= table[i + j];
            if (any == 0) continue;
            if ((i & (half - 1)) >= finite) {
              for (std::int64_t j = 0; j < 16; ++j) nans += axes_.repeats * table[i + j];
            } else {
              for (std::int64_t j = 0; j < 16; ++j) c_.counts[i + j] += axes_.repeats * table[i + j];
            }
          }
        }
      }
    });
    c_.nans += nans;
  }

  Calibration& c_;
  const CalibrateKernels& kernels_;
  const PieceKernels& pieces_;
  const Arrangement axes_;
  const std::int64_t slots_, pitch_;
  int tables_ = 1;
  int threads_ = 1;
  std::vector<Part> parts_;
};

}  // namespace

void calibrate(Calibration& c) {
  // A line of 16 slots has one exponent.
  if (c.log2_slots < 13 || c.log2_slots > 24)
    throw std::invalid_argument("ufuse calibrate: too few or many slots");
  Counting counting;
  counting.axes = c.axes;
  counting.shape = c.shape;
  counting.reduced = ~std::uint64_t{0};
  counting.x = c.x;
  counting.strides = c.strides;
  c.seen = {kInfinity, -kInfinity, 0};
  c.nans = 0;
  c.infinite = false;
  for (int i = 0; i < c.axes; ++i)
    if (c.shape[i] == 0) return;
  Calibrator(c, counting).run();
}

void squared_errors(const Spread& spread, const Levels& levels, std::int64_t count, const double* scale,
                    const double* least, const double* most, double* out) {
  const CalibrateKernels& kernels = calibrate_kernels(active_tier());
  const auto of_points = kernels.of_points[levels.fraction >= 0];
  const auto of_edges = kernels.of_edges[levels.fraction >= 0];
  const std::int64_t all = spread.streams * count;
  const std::int64_t values = spread.point_start[spread.streams] + spread.edge_start[spread.streams];
  if (all == 0) return;
  // A task is so many candidates, of one stream or of several.
  const std::int64_t task = std::max<std::int64_t>(1, kValuesOfTask * spread.streams / (values + 1));
  parallel_for((all + task - 1) / task, threads_for_bytes(count * 8 * values), [&](std::int64_t t) {
    for (std::int64_t i = t * task; i < std::min(all, (t + 1) * task); ++i) {
      const std::int64_t stream = i / count;
      const std::int64_t point = spread.point_start[stream], edge = spread.edge_start[stream];
      const double inverse = 1 / scale[i];
      const double points =
          of_points(spread.points + point, spread.numbers + point, spread.point_start[stream + 1] - point,
                    inverse, least[i], most[i], levels);
      const double edges = of_edges(spread.edges + edge, spread.jumps + edge,
                                    spread.edge_start[stream + 1] - edge, inverse, least[i], most[i], levels);
      out[i] = (points + edges * scale[i]) * scale[i] * scale[i];
    }
  });
}

}  // namespace ufuse
