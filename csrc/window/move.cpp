// The driver of moving windows: lanes to groups and bundles, long lanes to pieces, tasks to threads.
#include <algorithm>
#include <bit>
#include <memory>
#include <stdexcept>
#include <vector>

#include "core/cache.hpp"
#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "window/kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ufuse {

UFUSE_TIER_TABLES(WindowKernels, window_kernels)

namespace {

// Longest piece of a lane: 16 of them are the strip of memory a group of pieces works on.
constexpr std::int64_t kPieceRows = 8192;
// Neighbouring lanes that are worth reading side by side.
constexpr std::int64_t kFewLanes = 8;
// Tasks per thread, so that a slow thread does not hold up the others for long.
constexpr std::int64_t kTasksPerThread = 4;

struct Axis {
  std::int64_t extent, stride, out_stride;
};

bool is_order(WindowOp op) { return op == WindowOp::median || op == WindowOp::rank; }

class Execution {
 public:
  Execution(const WindowReduction& r, Tier tier) : r_(r) {
    choose_axes();
    fill_job(tier);
    const WindowKernels& table = window_kernels(tier);
    doubled_ = !is_order(r.op) && r.window <= kDoubled;
    const int op = static_cast<int>(r.op), wide = job_.element == DType::F64;
    kernel_ = doubled_ ? table.doubling[op][wide] : table.kernel[op][wide];
    cut();
  }

  void run() {
    if (lanes_ == 0 || job_.length == 0) return;
    if (is_order(r_.op) && r_.window > kSortedWindow) return run_ordered();
    if (kernel_.record == 0 || job_.whole <= 1) {
      parallel_for(tasks(), threads_, [&](std::int64_t task) { run_task(task, nullptr, 0); });
    } else if (pieces_ == 1) {
      parallel_for(bundles_, threads_, [&](std::int64_t task) { run_whole(task); });
    } else {
      run_phases();
    }
  }

 private:
  void choose_axes() {
    for (int i = 0; i < r_.axes; ++i) {
      if (i == r_.axis || r_.shape[i] == 1) continue;
      outer_.push_back({r_.shape[i], r_.strides[i], r_.out_strides[i]});
      lanes_ *= r_.shape[i];
    }
    // Lanes that are closer than the elements of one are read side by side.
    const auto magnitude = [](std::int64_t stride) { return stride < 0 ? -stride : stride; };
    int nearest = -1;
    for (int i = 0; i < static_cast<int>(outer_.size()); ++i)
      if (nearest < 0 || magnitude(outer_[at(i)].stride) < magnitude(outer_[at(nearest)].stride)) nearest = i;
    if (nearest < 0 || outer_[at(nearest)].extent < kFewLanes ||
        magnitude(outer_[at(nearest)].stride) >= magnitude(r_.strides[r_.axis]))
      return;
    if (is_order(r_.op) && r_.window > kSortedWindow) return;  // a lane at a time
    inner_ = outer_[at(nearest)];
    outer_.erase(outer_.begin() + nearest);
    job_.columns = true;
  }

  void fill_job(Tier tier) {
    const bool extreme = r_.op == WindowOp::min || r_.op == WindowOp::max;
    job_.op = r_.op;
    job_.stored = r_.dtype;
    // Windows of more elements than a float32 can count are folded in float64.
    const bool countable = !extreme || r_.window < (std::int64_t{1} << 24);
    job_.element = r_.dtype == DType::F32 && countable ? DType::F32 : DType::F64;
    job_.result = r_.result;
    job_.swapped = r_.swapped;
    job_.plain = job_.stored == job_.element && !r_.swapped;
    job_.plain_out = job_.result == job_.element;
    job_.stored_log2 = log2_size(r_.dtype);
    job_.length = r_.shape[r_.axis];
    job_.window = r_.window;
    job_.min_count = r_.min_count;
    job_.ddof = r_.ddof;
    job_.stride = r_.strides[r_.axis];
    job_.out_stride = r_.out_strides[r_.axis];
    job_.lane_stride = inner_.stride;
    job_.out_lane_stride = inner_.out_stride;
    job_.pieces = &reduce_kernels(tier).pieces;
    const auto bytes = static_cast<std::int64_t>(item_size(job_.stored) + item_size(job_.result));
    traffic_ = lanes_ * job_.length * bytes;
    job_.stream = traffic_ > streaming_threshold();
  }

  /// Cuts the axis into segments and pieces, the lanes into bundles.
  void cut() {
    const auto power =
        static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(r_.window - 1) | 1));
    job_.segment = is_order(r_.op) || doubled_ ? kSegmentRows : std::min<std::int64_t>(power, kSegmentRows);
    job_.along = doubled_ && !job_.columns && job_.length >= kLongLane;
    job_.whole = (r_.window - 1) / job_.segment;
    job_.rest = (r_.window - 1) % job_.segment;
    segments_ = (job_.length + job_.segment - 1) / job_.segment;
    threads_ = threads_for_bytes(traffic_ * (is_order(r_.op) ? 8 : 1));
    const std::int64_t tasks = threads_ > 1 ? threads_ * kTasksPerThread : 1;
    // A piece is long beside what it reads before its first row.
    const std::int64_t before = kernel_.record != 0 ? 2 * job_.segment : r_.window;
    const std::int64_t shortest = std::max<std::int64_t>({8 * before, 4 * job_.segment, 128});
    if (job_.columns) {
      groups_per_row_ = (inner_.extent + kWindowLanes - 1) / kWindowLanes;
      bundles_per_row_ = (groups_per_row_ + kMaxBundle - 1) / kMaxBundle;
      bundles_ = lanes_ / inner_.extent * bundles_per_row_;
      pieces_ = (tasks + bundles_ - 1) / bundles_;
    } else {
      pieces_ = (tasks * kWindowLanes + lanes_ - 1) / lanes_;
      pieces_ = std::max(pieces_, std::min<std::int64_t>(kWindowLanes, job_.length / shortest) / lanes_);
      if (lanes_ < kWindowLanes * tasks) pieces_ = std::max(pieces_, job_.length / kPieceRows);
    }
    pieces_ = std::clamp<std::int64_t>(std::min(pieces_, job_.length / shortest), 1, segments_);
    if (doubled_ && !job_.columns && !job_.along) pieces_ = 1;  // lanes of a group have one beginning
    if (!job_.columns) bundles_ = (lanes_ * pieces_ + kWindowLanes - 1) / kWindowLanes;
  }

  static std::size_t at(int i) { return static_cast<std::size_t>(i); }

  /// First segment of a piece.
  std::int64_t piece_start(std::int64_t piece) const { return segments_ * piece / pieces_; }

  /// Offsets of a lane among the outer axes.
  void seek(std::int64_t lane, std::int64_t& x, std::int64_t& out) const {
    for (auto axis = outer_.rbegin(); axis != outer_.rend(); ++axis) {
      x += lane % axis->extent * axis->stride;
      out += lane % axis->extent * axis->out_stride;
      lane /= axis->extent;
    }
  }

  void set_lane(LaneGroup& g, int i, std::int64_t x, std::int64_t out, std::int64_t piece, char* records,
                std::int64_t slot) const {
    const std::int64_t first = piece_start(piece), base = first * job_.segment;
    g.x[i] = r_.x + x + base * job_.stride;
    g.out[i] = r_.out + out + base * job_.out_stride;
    g.base[i] = base;
    g.rows[i] = std::min(piece_start(piece + 1) * job_.segment, job_.length) - base;
    if (records == nullptr) return;
    g.totals[i] = records + (2 * slot * segments_ + first) * kernel_.record;
    g.middles[i] = g.totals[i] + segments_ * kernel_.record;
  }

  /// The groups of a task, and how many segments they take. Records are those of all lanes from `slot` 0 on,
  /// or of the lanes of this task alone.
  struct Work {
    LaneGroup group[kMaxBundle];
    int groups = 0;
    std::int64_t segments = 0;
  };
  void collect(std::int64_t task, char* records, std::int64_t first_slot, Work& work) const {
    if (!job_.columns) {
      LaneGroup& g = work.group[work.groups++];
      const std::int64_t first = task * kWindowLanes, all = lanes_ * pieces_;
      g.lanes = static_cast<int>(std::min<std::int64_t>(kWindowLanes, all - first));
      for (int i = 0; i < g.lanes; ++i) {
        const std::int64_t lane = (first + i) / pieces_, piece = (first + i) % pieces_;
        std::int64_t x = 0, out = 0;
        seek(lane, x, out);
        set_lane(g, i, x, out, piece, records, lane - first_slot);
        work.segments = std::max(work.segments, piece_start(piece + 1) - piece_start(piece));
      }
      return;
    }
    const std::int64_t bundle = task / pieces_, piece = task % pieces_;
    const std::int64_t row = bundle / bundles_per_row_, first = bundle % bundles_per_row_ * kMaxBundle;
    std::int64_t x = 0, out = 0;
    seek(row, x, out);
    work.groups = static_cast<int>(std::min<std::int64_t>(kMaxBundle, groups_per_row_ - first));
    for (int k = 0; k < work.groups; ++k) {
      LaneGroup& g = work.group[k];
      const std::int64_t column = (first + k) * kWindowLanes;
      g.lanes = static_cast<int>(std::min<std::int64_t>(kWindowLanes, inner_.extent - column));
      for (int i = 0; i < g.lanes; ++i)
        set_lane(g, i, x + (column + i) * inner_.stride, out + (column + i) * inner_.out_stride, piece,
                 records, row * inner_.extent + column + i - first_slot);
    }
    work.segments = piece_start(piece + 1) - piece_start(piece);
  }
  /// The lane whose records come first where a task keeps its own.
  std::int64_t first_lane(std::int64_t task) const {
    if (!job_.columns) return task * kWindowLanes / pieces_;
    const std::int64_t bundle = task / pieces_;
    return bundle / bundles_per_row_ * inner_.extent + bundle % bundles_per_row_ * kMaxBundle * kWindowLanes;
  }
  std::int64_t tasks() const { return job_.columns ? bundles_ * pieces_ : bundles_; }

  void run_task(std::int64_t task, char* records, std::int64_t first_slot) const {
    Work work;
    collect(task, records, first_slot, work);
    // Doubling keeps nothing from tile to tile.
    const ScratchFrame frame(static_cast<std::size_t>(kernel_.scratch * (doubled_ ? 1 : work.groups)));
    kernel_.run(job_, work.group, work.groups, work.segments, frame.data());
#if defined(__x86_64__)
    if (job_.stream) _mm_sfence();  // streamed results become visible before the task counts as done
#endif
  }
  void run_totals(std::int64_t task, char* records, std::int64_t first_slot) const {
    Work work;
    collect(task, records, first_slot, work);
    const ScratchFrame frame(static_cast<std::size_t>(kernel_.scratch));
    for (int k = 0; k < work.groups; ++k) kernel_.totals(job_, work.group[k], work.segments, frame.data());
  }
  std::int64_t middle_blocks() const { return (segments_ + job_.whole - 2) / (job_.whole - 1); }
  void run_middles(char* records, std::int64_t slot, std::int64_t block) const {
    char* totals = records + 2 * slot * segments_ * kernel_.record;
    kernel_.middles(job_, totals, totals + segments_ * kernel_.record, block, segments_);
  }

  /// Whole lanes, everything of one task while it is in cache.
  void run_whole(std::int64_t task) const {
    Work work;
    collect(task, nullptr, 0, work);
    std::int64_t lanes = 0;
    for (int k = 0; k < work.groups; ++k) lanes += work.group[k].lanes;
    const ScratchFrame frame(static_cast<std::size_t>(2 * lanes * segments_ * kernel_.record));
    const std::int64_t first = first_lane(task);
    run_totals(task, frame.data(), first);
    for (std::int64_t lane = 0; lane < lanes; ++lane)
      for (std::int64_t b = 0; b < middle_blocks(); ++b) run_middles(frame.data(), lane, b);
    run_task(task, frame.data(), first);
  }

  /// Pieces of lanes: all totals, then all middles, then the results.
  void run_phases() const {
    const std::unique_ptr<char[]> records(
        new char[static_cast<std::size_t>(2 * lanes_ * segments_ * kernel_.record)]);
    parallel_for(tasks(), threads_, [&](std::int64_t task) { run_totals(task, records.get(), 0); });
    const std::int64_t blocks = middle_blocks(), all = lanes_ * blocks;
    const std::int64_t parts = std::min<std::int64_t>(all, threads_ * kTasksPerThread);
    parallel_for(parts, threads_, [&](std::int64_t part) {
      for (std::int64_t i = all * part / parts; i < all * (part + 1) / parts; ++i)
        run_middles(records.get(), i / blocks, i % blocks);
    });
    parallel_for(tasks(), threads_, [&](std::int64_t task) { run_task(task, records.get(), 0); });
  }

  /// Medians and ranks of long windows: runs of blocks of a lane, each of which sorts one block more.
  void run_ordered() const {
    const std::int64_t blocks = (job_.length + job_.window - 1) / job_.window;
    const std::int64_t wanted = (threads_ * kTasksPerThread + lanes_ - 1) / lanes_;
    const std::int64_t runs = std::clamp<std::int64_t>(std::min(wanted, blocks / 2), 1, blocks);
    parallel_for(lanes_ * runs, threads_, [&](std::int64_t task) {
      std::int64_t x = 0, out = 0;
      seek(task / runs, x, out);
      const std::int64_t part = task % runs, first = blocks * part / runs;
      order_lane(job_, r_.x + x, r_.out + out, first, blocks * (part + 1) / runs - first);
    });
  }

  const WindowReduction& r_;
  WindowJob job_{};
  WindowKernel kernel_{};
  bool doubled_ = false;
  std::vector<Axis> outer_;
  Axis inner_{1, 0, 0};
  std::int64_t lanes_ = 1, segments_ = 0, pieces_ = 1, traffic_ = 0;
  std::int64_t bundles_ = 0, bundles_per_row_ = 1, groups_per_row_ = 1;
  int threads_ = 1;
};

}  // namespace

void move_reduce(const WindowReduction& r, Tier tier) {
  if (r.axes < 1 || r.axes > kMaxWindowAxes || r.axis < 0 || r.axis >= r.axes)
    throw std::invalid_argument("ufuse move_reduce: axis out of range");
  if (r.window < 1 || r.window > r.shape[r.axis] || r.min_count < 1 || r.min_count > r.window)
    throw std::invalid_argument("ufuse move_reduce: expected 1 <= min_count <= window <= length");
  if (r.result != (r.dtype == DType::F32 ? DType::F32 : DType::F64))
    throw std::invalid_argument("ufuse move_reduce: expected float32 results of float32, else float64");
  Execution(r, tier).run();
}

}  // namespace ufuse
