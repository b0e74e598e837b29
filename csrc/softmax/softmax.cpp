#include "softmax/softmax.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "core/cache.hpp"
#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "program/kernels.hpp"
#include "reduce/streaming.hpp"
#include "reduce/tiles.hpp"
#include "softmax/kernels.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(SoftmaxKernels, softmax_kernels)

namespace {

// Lines side by side of more elements outgrow the caches: of (16384, 1024) float32 over axis 0 they went at
// 14 GB/s, and two reads at 20.
constexpr std::int64_t kMostElements = 8192;
// Lines so short that most of a register, or of a line's work, would be for nothing; and how many elements of
// such lines are few.
constexpr std::int64_t kShortLine = kLanes, kFew = 65536;
constexpr std::int64_t kTaskBytes = 128 << 10, kTasksPerThread = 8;

struct Axis {
  std::int64_t extent, in, out;  // bytes from one element to the next
};

class Lines {
 public:
  explicit Lines(const Softmax& s)
      : s_(s),
        size_(static_cast<std::int64_t>(item_size(s.dtype))),
        log2_(s.dtype == DType::F64 ? 3 : 2),
        kernels_(softmax_kernels(active_tier())),
        pieces_(reduce_kernels(active_tier()).pieces),
        move_(program_kernels(active_tier()).move) {
    for (int i = 0; i < s.axes; ++i) {
      const Axis axis{s.shape[i], s.in_strides[i], s.out_strides[i]};
      (s.reduced >> i & 1 ? count_ : lines_) *= axis.extent;
      if (axis.extent == 1) continue;
      Axis* const axes = s.reduced >> i & 1 ? along_ : kept_;
      int& used = s.reduced >> i & 1 ? alongs_ : kepts_;
      Axis* const before = used > 0 ? axes + used - 1 : nullptr;
      if (before != nullptr && before->in == axis.in * axis.extent && before->out == axis.out * axis.extent)
        *before = {before->extent * axis.extent, axis.in, axis.out};
      else
        axes[used++] = axis;
    }
    if (alongs_ == 0) along_[alongs_++] = {1, size_, size_};
    // The fastest of the kept axes comes last.
    std::stable_sort(kept_, kept_ + kepts_,
                     [](const Axis& a, const Axis& b) { return std::abs(a.in) > std::abs(b.in); });
    if (kepts_ == 0) kept_[kepts_++] = {1, 0, 0};
    across_ = kept_[kepts_ - 1];
    const std::int64_t bytes = 2 * count_ * lines_ * size_;
    stream_ = bytes > streaming_threshold();
    threads_ = threads_for_bytes(4 * bytes);  // an exponential costs more than moving its element
  }

  void run() {
    const Axis& last = along_[alongs_ - 1];
    if (across_.extent >= kLanes && std::abs(across_.in) < std::abs(last.in))
      run_tiles();
    else
      run_rows();
  }

 private:
  /// Where line `index` of the kept axes but the fastest begins.
  void locate(std::int64_t index, const char*& in, char*& out) const {
    in = s_.in;
    out = s_.out;
    for (int i = kepts_ - 2; i >= 0; --i) {
      const std::int64_t at = index % kept_[i].extent;
      index /= kept_[i].extent;
      in += at * kept_[i].in;
      out += at * kept_[i].out;
    }
  }

  /// Calls `body(in, out, n, first)` for each run of n elements of a line along its last axis.
  template <class Body>
  void each_run(Body body) const {
    const Axis& last = along_[alongs_ - 1];
    for (std::int64_t first = 0; first < count_; first += last.extent) {
      std::int64_t in = 0, out = 0, index = first / last.extent;
      for (int i = alongs_ - 2; i >= 0; --i) {
        in += index % along_[i].extent * along_[i].in;
        out += index % along_[i].extent * along_[i].out;
        index /= along_[i].extent;
      }
      body(in, out, last.extent, first);
    }
  }

  void run_rows() const {
    const Axis& last = along_[alongs_ - 1];
    const bool read = alongs_ == 1 && last.in == size_, written = alongs_ == 1 && last.out == size_;
    const std::int64_t bytes = count_ * size_;
    const std::int64_t ahead = read ? (kRowsAhead + bytes - 1) / bytes * across_.in : 0;
    const std::int64_t batch =
        std::max({std::int64_t{1}, kTaskBytes / bytes, lines_ / (threads_ * kTasksPerThread)});
    const auto kernel = kernels_.rows[log2_ - 2];
    const std::int64_t pitch = softmax_row_bytes(count_, size_);
    parallel_for((lines_ + batch - 1) / batch, threads_, [&](std::int64_t task) {
      const ScratchFrame frame(static_cast<std::size_t>(pitch * (softmax_rows_together(pitch) + 1)));
      char* const gathered = frame.data();
      char* const values = gathered + pitch;
      const std::int64_t end = std::min(lines_, (task + 1) * batch);
      for (std::int64_t line = task * batch; line < end;) {
        const char* in;
        char* out;
        locate(line / across_.extent, in, out);
        const std::int64_t at = line % across_.extent, some = std::min(end - line, across_.extent - at);
        in += at * across_.in;
        out += at * across_.out;
        SoftmaxRows rows{in,     out,    some,  across_.in,   across_.out,
                         count_, values, ahead, s_.logarithm, written && stream_};
        if (read && written) {
          kernel(rows);
        } else {
          rows.rows = 1;
          for (std::int64_t i = 0; i < some; ++i, in += across_.in, out += across_.out) {
            if (!read)
              each_run([&](std::int64_t from, std::int64_t, std::int64_t n, std::int64_t first) {
                const char* const run = in + from;
                pieces_.gather[log2_](gathered + first * size_, 0, &run, 1, last.in, n);
              });
            rows.in = read ? in : gathered;
            rows.out = written ? out : gathered;
            kernel(rows);
            if (!written)
              each_run([&](std::int64_t, std::int64_t to, std::int64_t n, std::int64_t first) {
                move_.store[log2_](out + to, last.out, gathered + first * size_, n);
              });
          }
        }
        line += some;
      }
      if (stream_) end_streams(move_.stream);
    });
  }

  void run_tiles() const {
    std::vector<std::int64_t> in_offset(static_cast<std::size_t>(count_)), out_offset(in_offset);
    const Axis& last = along_[alongs_ - 1];
    each_run([&](std::int64_t in, std::int64_t out, std::int64_t n, std::int64_t first) {
      for (std::int64_t i = 0; i < n; ++i) {
        in_offset[static_cast<std::size_t>(first + i)] = in + i * last.in;
        out_offset[static_cast<std::size_t>(first + i)] = out + i * last.out;
      }
    });
    const bool read = across_.in == size_, written = across_.out == size_;
    const std::int64_t width = kSoftmaxTileBytes / size_;
    // A line more than a power of two: elements of one lane would share the sets of L1.
    const std::int64_t pitch = width + kCacheLine / size_;
    // Tiles begin where a cache line of the results does, if all rows lie alike: the first may not.
    const std::int64_t shift = written ? reinterpret_cast<std::intptr_t>(s_.out) % kCacheLine / size_ : 0;
    const std::int64_t across = (across_.extent + shift + width - 1) / width;
    const std::int64_t outers = lines_ / across_.extent;
    // Tasks of several tiles of one position of the other kept axes.
    const std::int64_t parts = std::clamp(threads_ * kTasksPerThread / outers, std::int64_t{1}, across);
    const auto kernel = kernels_.tiles[log2_ - 2];
    parallel_for(outers * parts, threads_, [&](std::int64_t task) {
      const ScratchFrame frame(static_cast<std::size_t>(count_ * pitch * size_));
      const char* in;
      char* out;
      locate(task / parts, in, out);
      const std::int64_t part = task % parts;
      auto begin_of = [&](std::int64_t tile) {
        return std::clamp(tile * width - shift, std::int64_t{0}, across_.extent);
      };
      const std::int64_t from = begin_of(across * part / parts), to = begin_of(across * (part + 1) / parts);
      const std::int64_t first = begin_of(across * part / parts + 1) - from;
      SoftmaxTiles tiles{read ? in + from * size_ : nullptr,
                         in_offset.data(),
                         written ? out + from * size_ : nullptr,
                         out_offset.data(),
                         count_,
                         to - from,
                         first,
                         width,
                         frame.data(),
                         pitch,
                         s_.logarithm,
                         stream_};
      if (read && written) {
        kernel(tiles);
      } else {
        for (std::int64_t at = from; at < to; at += tiles.columns) {
          tiles.columns = tiles.first = at == from ? first : std::min(width, to - at);
          if (read) tiles.in = in + at * size_;
          if (written) tiles.out = out + at * size_;
          for (std::int64_t r = 0; !read && r < count_; ++r) {
            const char* const row = in + in_offset[static_cast<std::size_t>(r)] + at * across_.in;
            pieces_.gather[log2_](frame.data() + r * pitch * size_, 0, &row, 1, across_.in, tiles.columns);
          }
          kernel(tiles);
          for (std::int64_t r = 0; !written && r < count_; ++r)
            move_.store[log2_](out + out_offset[static_cast<std::size_t>(r)] + at * across_.out, across_.out,
                               frame.data() + r * pitch * size_, tiles.columns);
        }
      }
      if (stream_) end_streams(move_.stream);
    });
  }

  const Softmax& s_;
  const std::int64_t size_;
  const int log2_;
  const SoftmaxKernels& kernels_;
  const PieceKernels& pieces_;
  const MoveKernels& move_;
  std::int64_t count_ = 1, lines_ = 1;
  int alongs_ = 0, kepts_ = 0;
  Axis along_[kMaxReduceAxes + 1], kept_[kMaxReduceAxes + 1];
  Axis across_{1, 0, 0};  // the fastest kept axis
  bool stream_ = false;
  int threads_ = 1;
};

}  // namespace

bool softmax_by_line(std::int64_t count, std::int64_t size) noexcept {
  return count <= kMostElements && (count >= kShortLine || size <= kFew);
}

void softmax(const Softmax& s) {
  if ((s.dtype != DType::F32 && s.dtype != DType::F64) || s.axes > kMaxReduceAxes)
    throw std::invalid_argument("ufuse: softmax of another type, or of too many axes");
  for (int i = 0; i < s.axes; ++i)
    if (s.shape[i] == 0) return;
  Lines(s).run();
}

}  // namespace ufuse
