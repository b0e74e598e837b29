#include "formats/blocks.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "core/cache.hpp"
#include "core/scratch.hpp"
#include "core/streamed.hpp"
#include "core/threads.hpp"
#include "program/kernels.hpp"
#include "reduce/streaming.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(FormatKernels, format_kernels)

namespace {

// Elements of a tile where it is gathered, or streamed: reading and storing overlap (`ProgramRun`).
constexpr std::int64_t kTile = 512;
// What is encoded from memory is asked for so many bytes ahead, to L2, where `bytes_ahead` knows no better:
// on a Zen 4 Q8_0 takes 0.85 cycles an element instead of 1.2. (With scales apart it is the other way there:
// 1.7 instead of 1.1 for MXFP8.)
constexpr std::int64_t kAhead = 8 << 10;
// Rows that lie side by side are taken together: a cache line of float32.
constexpr std::int64_t kAcross = 16;
constexpr std::int64_t kTasksPerThread = 8;
// Of kernels that search for scales with importance, and not without: as the K-quants' cost, and blocks that
// are searched side by side (two registers of AVX-512).
constexpr int kCostOfSearch = 64;
constexpr std::int64_t kSearched = 32;

std::int64_t size_of(ValueKind kind) { return kind == ValueKind::f64 ? 8 : kind == ValueKind::f32 ? 4 : 2; }

/// One call's plan, shared by its threads.
class Run {
 public:
  Run(const BlockArrays& b, bool encode)
      : b_(b),
        block_(b.options.block),
        bytes_(b.options.bytes),
        scale_bytes_(b.options.scale_bytes),
        size_(size_of(b.kind)),
        log2_(size_ == 8   ? 3
              : size_ == 4 ? 2
                           : 1),
        encode_(encode),
        kernels_(format_kernels(active_tier())),
        kernel_(kernels_.format[static_cast<int>(b.format)]),
        pieces_(reduce_kernels(active_tier()).pieces),
        move_(program_kernels(active_tier()).move),
        row_(b.shape[b.axes - 1]),
        code_bytes_(b.code_bytes),
        step_(b.strides[b.axes - 1]),
        by_variance_(encode && b.importance != nullptr && kernel_.takes_variance) {
    per_row_ = period_ = (row_ + block_ - 1) / block_;
    if (row_ == 1) step_ = size_;
    collect_rows();
    join_rows();
    bring_near_rows_last();
    join_short_rows();
    plain_ = short_ == 0 && b.kind == ValueKind::f32 && !b.swapped && step_ == size_;
    const std::int64_t bytes = rows_ * (row_ * size_ + code_bytes_ + per_row_ * scale_bytes_);
    stream_ = bytes > streaming_threshold();
    const int cost = by_variance_ ? kCostOfSearch : kernel_.cost;
    threads_ = threads_for_bytes(bytes + (encode ? rows_ * row_ * cost : 0));
    tile_ = std::max<std::int64_t>(by_variance_ ? kSearched : encode ? kernel_.together : 1, kTile / block_);
  }

  void run() const {
    const std::int64_t groups = rows_ / across_.extent * near_groups();
    // Tasks of several rows, or of parts of one.
    const std::int64_t wanted = threads_ == 1 ? 1 : threads_ * kTasksPerThread;
    const std::int64_t tiles = (per_row_ + tile_ - 1) / tile_;
    // Where something is made of all of a row its parts are not encoded apart.
    const std::int64_t parts = by_variance_ ? 1 : std::clamp<std::int64_t>(wanted / groups, 1, tiles);
    const std::int64_t tasks = parts > 1 ? groups * parts : std::min(groups, wanted);
    parallel_for(tasks, threads_, [&](std::int64_t task) {
      if (parts > 1) {
        const std::int64_t part = task % parts;
        run_group(task / parts, tiles * part / parts * tile_,
                  std::min(per_row_, tiles * (part + 1) / parts * tile_));
      } else {
        for (std::int64_t g = groups * task / tasks; g < groups * (task + 1) / tasks; ++g)
          run_group(g, 0, per_row_);
      }
      if (stream_) end_streams(move_.stream);
    });
  }

  bool overflow() const { return overflow_.load(std::memory_order_relaxed); }

 private:
  struct Axis {
    std::int64_t extent, values, codes, scales;  // bytes from one row to the next
  };
  struct Row {
    char* values;
    std::uint8_t* codes;
    std::uint8_t* scales;
  };

  void collect_rows() {
    for (int i = 0; i < b_.axes - 1; ++i) {
      const Axis axis{b_.shape[i], b_.strides[i], b_.code_strides[i],
                      b_.scales != nullptr ? b_.scale_strides[i] : 0};
      rows_ *= axis.extent;
      if (axis.extent == 1) continue;
      Axis* const before = axes_ > 0 ? axis_ + axes_ - 1 : nullptr;
      if (before != nullptr && before->values == axis.values * axis.extent &&
          before->codes == axis.codes * axis.extent && before->scales == axis.scales * axis.extent)
        *before = {before->extent * axis.extent, axis.values, axis.codes, axis.scales};
      else
        axis_[axes_++] = axis;
    }
  }

  /// Rows that follow one another everywhere are one.
  void join_rows() {
    if (axes_ == 0 || (b_.importance != nullptr && kernel_.together == 1) || row_ % block_ != 0 ||
        code_bytes_ != per_row_ * bytes_)
      return;
    const Axis& last = axis_[axes_ - 1];
    if (last.values != row_ * step_ || last.codes != code_bytes_ ||
        (b_.scales != nullptr && last.scales != per_row_ * scale_bytes_))
      return;
    row_ *= last.extent;
    per_row_ *= last.extent;
    code_bytes_ *= last.extent;
    rows_ /= last.extent;
    --axes_;
  }

  /// Where elements of a row lie further apart than rows do, some rows are gathered together.
  void bring_near_rows_last() {
    if (axes_ == 0) return;
    Axis* const near = std::min_element(axis_, axis_ + axes_, [](const Axis& a, const Axis& c) {
      return std::abs(a.values) < std::abs(c.values);
    });
    if (std::abs(near->values) >= std::abs(step_) || near->values == 0) return;
    std::rotate(near, near + 1, axis_ + axes_);
    across_ = axis_[axes_ - 1];
    together_ = std::min(kAcross, across_.extent);
  }

  /// Short rows whose codes follow one another are encoded, and decoded, several at a time: one by one, rows
  /// of 32 values took 180 ns each.
  void join_short_rows() {
    if (axes_ == 0 || together_ > 1 || b_.importance != nullptr || row_ >= kTile || row_ % block_ != 0 ||
        code_bytes_ != per_row_ * bytes_)
      return;
    std::int64_t codes = code_bytes_, scales = per_row_ * scale_bytes_;
    for (int i = axes_ - 1; i >= 0; --i) {
      if (axis_[i].codes != codes || (b_.scales != nullptr && axis_[i].scales != scales)) return;
      codes *= axis_[i].extent;
      scales *= axis_[i].extent;
    }
    short_ = per_row_;
    row_ *= rows_;
    per_row_ *= rows_;
    code_bytes_ *= rows_;
    rows_ = 1;
  }

  /// Calls `body(values, n, first)` for each run of n elements that blocks [at, end) have in one of the rows
  /// that were joined; `first` is the place of the run among these elements.
  template <class Body>
  void each_short_row(std::int64_t at, std::int64_t end, Body body) const {
    for (std::int64_t block = at; block < end;) {
      const std::int64_t in_row = block % short_, some = std::min(short_ - in_row, end - block);
      body(locate(block / short_).values + in_row * block_ * step_, some * block_, (block - at) * block_);
      block += some;
    }
  }

  std::int64_t near_groups() const { return (across_.extent + together_ - 1) / together_; }

  Row locate(std::int64_t index) const {
    Row row{b_.values, b_.codes, b_.scales};
    for (int i = axes_ - 1; i >= 0; --i) {
      const std::int64_t at = index % axis_[i].extent;
      index /= axis_[i].extent;
      row.values += at * axis_[i].values;
      row.codes += at * axis_[i].codes;
      if (row.scales != nullptr) row.scales += at * axis_[i].scales;
    }
    return row;
  }

  /// Blocks [first, last) of the rows of a group.
  void run_group(std::int64_t group, std::int64_t first, std::int64_t last) const {
    const std::int64_t begin = group % near_groups() * together_;
    const Row row = locate(group / near_groups() * across_.extent + begin);
    const std::int64_t rows = std::min(together_, across_.extent - begin);
    if (encode_)
      encode_group(row, rows, first, last);
    else
      decode_group(row, rows, first, last);
  }

  bool ragged(std::int64_t last) const { return last * block_ > row_; }
  bool cut(std::int64_t last) const { return last * bytes_ > code_bytes_; }

  void encode_group(const Row& row, std::int64_t rows, std::int64_t first, std::int64_t last) const {
    const bool plain = plain_ && !ragged(last), stream = stream_ && together_ == 1 && !cut(last);
    const std::int64_t tile = plain && !stream && !cut(last) ? last - first : std::min(tile_, last - first);
    const std::int64_t raw = plain ? 0 : round_up(tile * block_ * size_, kCacheLine);
    const std::int64_t pitch = plain ? 0 : round_up(tile * block_ * 4, kCacheLine) + kCacheLine;
    const std::int64_t room = stream || cut(last) ? Streamed::room(tile * bytes_) : 0;
    const ScratchFrame frame(static_cast<std::size_t>((raw + pitch) * rows + room));
    char* const gathered = frame.data() + raw * rows;
    char* const buffer = gathered + pitch * rows;
    float variance[kAcross] = {};
    if (by_variance_) {
      for (std::int64_t at = 0; at < per_row_; at += tile) {
        const std::int64_t count = std::min(row_, (at + tile) * block_) - at * block_;
        const char* const from = row.values + at * block_ * step_;
        if (!plain) gather(frame.data(), gathered, raw, pitch, from, rows, count, count);
        for (std::int64_t r = 0; r < rows; ++r) {
          const auto* x = reinterpret_cast<const float*>(plain ? from : gathered + r * pitch);
          for (std::int64_t i = 0; i < count; ++i) variance[r] += x[i] * x[i];  // one by one, as ggml adds
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) variance[r] /= static_cast<float>(row_);
    }
    std::int64_t ahead = bytes_ahead();
    if (ahead == 0 && row.scales == nullptr) ahead = kAhead;
    if (!plain || !stream) ahead = 0;
    bool overflows = false;
    Streamed codes(reinterpret_cast<char*>(row.codes + first * bytes_), buffer, move_.stream);
    for (std::int64_t at = first; at < last; at += tile) {
      const std::int64_t end = std::min(last, at + tile), count = std::min(row_, end * block_) - at * block_;
      const char* from = row.values + at * block_ * step_;
      if (!plain) {
        if (short_ == 0) {
          gather(frame.data(), gathered, raw, pitch, from, rows, count, (end - at) * block_);
        } else {
          each_short_row(at, end, [&](const char* values, std::int64_t n, std::int64_t i) {
            gather(frame.data() + i * size_, gathered + i * 4, 0, 0, values, 1, n, n);
          });
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        const float* values = reinterpret_cast<const float*>(plain ? from : gathered + r * pitch);
        std::uint8_t* const to = row.codes + r * across_.codes + at * bytes_;
        void* const scales =
            row.scales == nullptr ? nullptr : row.scales + r * across_.scales + at * scale_bytes_;
        const bool kept = !stream && !cut(end);
        auto* const put = kept ? to : reinterpret_cast<std::uint8_t*>(stream ? codes.next() : buffer);
        EncodeCall call{values, b_.importance, end - at, put, scales, b_.options};
        if (b_.importance != nullptr && kernel_.together == 1) call.importance += at * block_;
        if (b_.importance != nullptr && kernel_.together > 1) {
          call.period = period_;
          call.phase = at % period_;
        }
        call.variance = variance[r];
        Overflow overflow = Overflow::unknown;
        call.overflow = &overflow;
        if (ahead != 0)
          for (std::int64_t byte = 0; byte < count * 4; byte += kCacheLine)
            __builtin_prefetch(from + ahead + byte, 0, 2);
        kernel_.encode(call);
        overflows |= overflow != Overflow::none;
        if (stream)
          codes.put((end - at) * bytes_);
        else if (!kept)
          std::memcpy(to, buffer, static_cast<std::size_t>(code_bytes_ - at * bytes_));
      }
    }
    if (stream) codes.finish();
    if (overflows) overflow_.store(true, std::memory_order_relaxed);
  }

  /// Elements of the rows of a group as float32, followed by zeros up to `padded` elements.
  void gather(char* raw, char* to, std::int64_t raw_pitch, std::int64_t pitch, const char* from,
              std::int64_t rows, std::int64_t count, std::int64_t padded) const {
    const bool narrow = b_.kind == ValueKind::f32;
    char* const moved = narrow ? to : raw;
    const std::int64_t moved_pitch = narrow ? pitch : raw_pitch;
    const char* at[kAcross];
    for (std::int64_t r = 0; r < rows; ++r) at[r] = from + r * across_.values;
    // What needs no more than a conversion is read where it lies.
    const bool in_place = !narrow && step_ == size_ && !b_.swapped;
    if (!in_place) kernels_.gather[log2_](moved, moved_pitch, at, rows, step_, count);
    for (std::int64_t r = 0; r < rows; ++r) {
      char* const mine = moved + r * moved_pitch;
      if (b_.swapped) pieces_.swap[log2_](mine, count);
      auto* const values = reinterpret_cast<float*>(to + r * pitch);
      const void* const source = in_place ? at[r] : mine;
      switch (b_.kind) {
        case ValueKind::f32:
          break;
        case ValueKind::f64:
          kernels_.narrow(values, source, count);
          break;
        case ValueKind::half:
          pieces_.decode[static_cast<int>(Coding::half)](values, source, count, nullptr);
          break;
        case ValueKind::bfloat16:
          pieces_.decode[static_cast<int>(Coding::bfloat16)](values, source, count, nullptr);
          break;
      }
      std::fill(values + count, values + padded, 0.0F);
    }
  }

  void decode_group(const Row& row, std::int64_t rows, std::int64_t first, std::int64_t last) const {
    const bool plain = plain_ && !ragged(last), stream = stream_ && plain && together_ == 1;
    const std::int64_t tile = plain && !stream && !cut(last) ? last - first : std::min(tile_, last - first);
    const bool scratch = !plain || stream;
    const std::int64_t room = scratch ? Streamed::room(tile * block_ * 4) : 0;
    const std::int64_t narrow = plain ? 0 : round_up(tile * block_ * size_, kCacheLine);
    const std::int64_t cut_room = cut(last) ? round_up(tile * bytes_, kCacheLine) : 0;
    const ScratchFrame frame(static_cast<std::size_t>(room + narrow + cut_room));
    char* const stored = frame.data() + room;
    char* const padded = stored + narrow;
    Streamed values(row.values + first * block_ * step_, frame.data(), move_.stream);
    for (std::int64_t at = first; at < last; at += tile) {
      const std::int64_t end = std::min(last, at + tile), count = std::min(row_, end * block_) - at * block_;
      for (std::int64_t r = 0; r < rows; ++r) {
        char* const to = row.values + r * across_.values + at * block_ * step_;
        const std::uint8_t* from = row.codes + r * across_.codes + at * bytes_;
        if (cut(end)) {
          std::memset(padded, 0, static_cast<std::size_t>(cut_room));
          std::memcpy(padded, from, static_cast<std::size_t>(code_bytes_ - at * bytes_));
          from = reinterpret_cast<const std::uint8_t*>(padded);
        }
        const void* const scales =
            row.scales == nullptr ? nullptr : row.scales + r * across_.scales + at * scale_bytes_;
        char* const put = stream ? values.next() : plain ? to : frame.data();
        kernel_.decode({from, scales, end - at, reinterpret_cast<float*>(put), b_.options});
        if (stream)
          values.put(count * 4);
        else if (short_ != 0)
          each_short_row(at, end, [&](char* out, std::int64_t n, std::int64_t i) {
            store(out, reinterpret_cast<float*>(put) + i, stored + i * size_, n);
          });
        else if (!plain)
          store(to, reinterpret_cast<float*>(put), stored, count);
      }
    }
    if (stream) values.finish();
  }

  /// Values to where they belong, as they are stored there.
  void store(char* to, float* values, char* stored, std::int64_t count) const {
    void* from = values;
    if (b_.kind == ValueKind::half) {
      pieces_.to_half[0](reinterpret_cast<std::uint16_t*>(stored), values, count);
      from = stored;
    } else if (b_.kind == ValueKind::bfloat16) {
      kernels_.to_bfloat16(reinterpret_cast<std::uint16_t*>(stored), values, count);
      from = stored;
    }
    if (b_.swapped) pieces_.swap[log2_](from, count);
    move_.store[log2_](to, step_, from, count);
  }

  const BlockArrays& b_;
  const std::int64_t block_, bytes_, scale_bytes_, size_;
  const int log2_;
  const bool encode_;
  const FormatKernels& kernels_;
  const FormatKernel& kernel_;
  const PieceKernels& pieces_;
  const MoveKernels& move_;
  std::int64_t period_;  // blocks of what is a row to the caller
  std::int64_t row_, per_row_, code_bytes_,
      step_;  // of a row: elements, blocks, bytes; bytes between elements
  std::int64_t rows_ = 1, together_ = 1;
  std::int64_t short_ = 0;   // blocks of each of the rows that `join_short_rows` joined
  Axis across_{1, 0, 0, 0};  // along which rows are taken together
  int axes_ = 0;
  Axis axis_[kMaxBlockAxes];
  bool plain_ = false, stream_ = false;
  bool by_variance_;  // of each row
  mutable std::atomic<bool> overflow_{false};
  int threads_ = 1;
  std::int64_t tile_ = 1;  // blocks
};

bool empty(const BlockArrays& b) {
  return std::any_of(b.shape, b.shape + b.axes, [](std::int64_t n) { return n == 0; });
}

}  // namespace

bool encode_blocks(const BlockArrays& b) {
  if (format_kernels(active_tier()).format[static_cast<int>(b.format)].encode == nullptr)
    throw std::invalid_argument("ufuse: a format that is decoded only");
  if (empty(b)) return false;
  const Run run(b, true);
  run.run();
  return run.overflow();
}

void decode_blocks(const BlockArrays& b) {
  if (b.kind == ValueKind::f64) throw std::invalid_argument("ufuse: blocks are not decoded to float64");
  if (!empty(b)) Run(b, false).run();
}

}  // namespace ufuse
