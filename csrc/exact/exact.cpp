#include "exact/exact.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/threads.hpp"
#include "exact/columns.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(ExactKernels, exact_kernels)

namespace {

constexpr std::int64_t kTaskBytes = 256 << 10;
/// Rows of a tile of columns, in bytes: the hardware prefetches well in long runs only.
constexpr std::int64_t kTileRowBytes = 8 << 10;

class Execution {
 public:
  explicit Execution(const ExactSum& sum) : run_(sum), plan_(run_.plan) {
    const std::int64_t lines = plan_.kept.count * plan_.inner.extent;
    threads_ = threads_for_bytes(lines * plan_.reduced.count * run_.stored);
    // Lines that interleave in memory take turns at its blocks.
    const bool interleaved = std::abs(plan_.inner.in) < std::abs(plan_.reduced.fastest().in);
    if (plan_.columns)
      width_ = std::min(kTileRowBytes / run_.size, plan_.inner.extent);
    else
      width_ = interleaved ? std::min(kExactShort, plan_.inner.extent) : 1;
    across_ = (plan_.inner.extent + width_ - 1) / width_;
    tiles_ = plan_.kept.count * across_;
  }

  void run() {
    const std::int64_t step = plan_.columns ? kColumnRows : kExactBlock;
    const std::int64_t steps = (plan_.reduced.count + step - 1) / step;
    const std::int64_t wanted = threads_ > 1 ? 4 * threads_ : 1;
    if (tiles_ >= wanted || steps == 1) {
      const std::int64_t bytes = std::max<std::int64_t>(1, width_ * plan_.reduced.count * run_.stored);
      const std::int64_t batch =
          std::clamp<std::int64_t>(kTaskBytes / bytes, 1, (tiles_ + wanted - 1) / wanted);
      parallel_for((tiles_ + batch - 1) / batch, threads_, [&](std::int64_t task) {
        const ScratchFrame frame(static_cast<std::size_t>(width_) * sizeof(ExactAccumulator));
        auto* sums = reinterpret_cast<ExactAccumulator*>(frame.data());
        ExactBlocks blocks = blocks_of_task();
        for (std::int64_t t = task * batch; t < std::min(tiles_, (task + 1) * batch); ++t)
          whole_tile(blocks, t, sums);
      });
      return;
    }
    // Few long lines: threads share each.
    const std::int64_t parts = std::min(steps, (wanted + tiles_ - 1) / tiles_);
    const auto sums =
        std::make_unique_for_overwrite<ExactAccumulator[]>(static_cast<std::size_t>(tiles_ * parts * width_));
    parallel_for(tiles_ * parts, threads_, [&](std::int64_t task) {
      const std::int64_t part = task % parts;
      ExactBlocks blocks = blocks_of_task();
      ExactAccumulator* to = sums.get() + task * width_;
      add(blocks, task / parts, steps * part / parts * step,
          std::min(plan_.reduced.count, steps * (part + 1) / parts * step), to);
    });
    for (std::int64_t t = 0; t < tiles_; ++t) {
      ExactAccumulator* to = sums.get() + t * parts * width_;
      for (std::int64_t part = 1; part < parts; ++part)
        for (std::int64_t i = 0; i < width_of(t); ++i) to[i].add(to[part * width_ + i]);
      finish(t, to);
    }
  }

 private:
  ExactBlocks blocks_of_task() const {
    return plan_.columns ? ExactBlocks(run_, in_place() ? 0 : kColumnRows, width_)
                         : ExactBlocks(run_, 1, kExactBlock);
  }
  bool in_place() const { return run_.plain && plan_.inner.in == run_.size; }

  std::int64_t width_of(std::int64_t tile) const {
    return std::min(width_, plan_.inner.extent - tile % across_ * width_);
  }
  ExactAxes::Offset start_of(std::int64_t tile) const {
    ExactAxes::Offset at = plan_.kept.offset(tile / across_);
    const std::int64_t first = tile % across_ * width_;
    at.in += first * plan_.inner.in;
    at.mask += first * plan_.inner.mask;
    at.out += first * plan_.inner.out;
    return at;
  }

  void finish(std::int64_t tile, ExactAccumulator* sums) const {
    double* out = run_.sum.out + start_of(tile).out;
    for (std::int64_t i = 0; i < width_of(tile); ++i) {
      if (run_.sum.initial != nullptr) sums[i].add(*run_.sum.initial);
      out[i * plan_.inner.out] = sums[i].rounded(run_.sum.divisor);
    }
  }

  /// Adds elements [first, last) of the lines of a tile to `sums`.
  void add(ExactBlocks& blocks, std::int64_t tile, std::int64_t first, std::int64_t last,
           ExactAccumulator* sums) const {
    if (plan_.columns) {
      ColumnSums columns(blocks, width_, sums);
      add_rows(blocks, tile, first, last, columns);
      columns.close();
      return;
    }
    const ExactAxes::Offset start = start_of(tile);
    const std::int64_t width = width_of(tile);
    for (std::int64_t i = 0; i < width; ++i) sums[i].clear();
    for (std::int64_t j = first; j < last; j += kExactBlock)
      for (std::int64_t i = 0; i < width; ++i) {
        ExactPair pair;
        if (!add_line(blocks, start, i, j, std::min(kExactBlock, last - j), sums[i], pair)) continue;
        sums[i].add(pair.first);
        sums[i].add(pair.second);
      }
  }

  void whole_tile(ExactBlocks& blocks, std::int64_t tile, ExactAccumulator* sums) const {
    const std::int64_t count = plan_.reduced.count, width = width_of(tile);
    const ExactAxes::Offset start = start_of(tile);
    double* out = run_.sum.out + start.out;
    if (plan_.columns) {
      ColumnSums columns(blocks, width, sums);
      add_rows(blocks, tile, 0, count, columns);
      for (std::int64_t i = 0; i < width; ++i)
        out[i * plan_.inner.out] = columns.result(i, run_.sum.divisor, run_.sum.initial);
      return;
    }
    if (count > kExactBlock || run_.sum.initial != nullptr) {
      add(blocks, tile, 0, count, sums);
      finish(tile, sums);
      return;
    }
    // A line of one block needs its accumulator only for what the cuts leave.
    for (std::int64_t i = 0; i < width; ++i) {
      ExactPair pair;
      sums[i].clear();
      const bool clean = add_line(blocks, start, i, 0, count, sums[i], pair);
      out[i * plan_.inner.out] =
          clean ? rounded_pair(pair.first, pair.second, run_.sum.divisor) : sums[i].rounded(run_.sum.divisor);
    }
  }

  /// Adds elements [first, first + count) of line `line` of a tile: see `ExactBlocks::add`.
  bool add_line(ExactBlocks& blocks, const ExactAxes::Offset& start, std::int64_t line, std::int64_t first,
                std::int64_t count, ExactAccumulator& sum, ExactPair& pair) const {
    const ExactAxis& along = plan_.reduced.fastest();
    for (std::int64_t done = 0; done < count;) {
      ExactAxes::Offset at = plan_.reduced.offset(first + done);
      at.in += start.in + line * plan_.inner.in;
      at.mask += start.mask + line * plan_.inner.mask;
      const std::int64_t some = std::min(count - done, along.extent - (first + done) % along.extent);
      if (some == count && (blocks.in_place(along) || (run_.plain && count == 1)))
        return blocks.add(plan_.data + at.in, count, sum, pair);
      blocks.fetch(at, along, some, 0, done);
      done += some;
    }
    return blocks.add(blocks.row(0), count, sum, pair);
  }

  /// Adds rows [first, last) of a tile.
  void add_rows(ExactBlocks& blocks, std::int64_t tile, std::int64_t first, std::int64_t last,
                ColumnSums& columns) const {
    const ExactAxes::Offset start = start_of(tile);
    const std::int64_t width = width_of(tile);
    columns.begin(width);
    for (std::int64_t j = first; j < last; j += kColumnRows) {
      const std::int64_t rows = std::min(kColumnRows, last - j);
      const char* row[kColumnRows];
      for (std::int64_t r = 0; r < rows; ++r) {
        ExactAxes::Offset at = plan_.reduced.offset(j + r);
        at.in += start.in;
        at.mask += start.mask;
        row[r] = plan_.data + at.in;
        if (in_place()) continue;
        blocks.fetch(at, plan_.inner, width, r, 0);
        row[r] = blocks.row(r);
      }
      columns.add(row, rows);
    }
  }

  const ExactRun run_;
  const ExactPlan& plan_;
  int threads_;
  std::int64_t width_, across_, tiles_;
};

}  // namespace

void exact_sum(const ExactSum& sum) { Execution(sum).run(); }

}  // namespace ufuse
