// Tiles whose chunks lie along memory: one row of elements per result.
#include <cstdlib>
#include <cstring>

#include "core/cache.hpp"
#include "reduce/elements.hpp"
#include "reduce/feeds.hpp"

namespace ufuse {
namespace {

/// With several slots, pieces of this size go through all of them while in L1.
constexpr std::int64_t kSharedBytes = 16 << 10;
constexpr std::int64_t kRowBlock = 64;          // rows gathered together at most
constexpr std::int64_t kComputed = 2 * kChunk;  // elements of a program's piece: they stay in L1
constexpr std::int64_t kScattered = 64;  // elements in lines of their own that are gathered between folds

/// `count` elements of each row, `stride` bytes apart, to where they are side by side. So plain a loop leaves
/// it to the core how many lines it waits for at once.
template <class T>
void copy_rows(char* to, std::int64_t pitch, const char* from, std::int64_t row_stride, std::int64_t rows,
               std::int64_t stride, std::int64_t count) {
  for (std::int64_t r = 0; r < rows; ++r, to += pitch, from += row_stride) {
    const char* at = from;
    for (std::int64_t j = 0; j < count; ++j, at += stride)
      std::memcpy(to + j * static_cast<std::int64_t>(sizeof(T)), at, sizeof(T));
  }
}
constexpr void (*kCopyRows[])(char*, std::int64_t, const char*, std::int64_t, std::int64_t, std::int64_t,
                              std::int64_t) = {copy_rows<std::uint8_t>, copy_rows<std::uint16_t>,
                                               copy_rows<std::uint32_t>, copy_rows<std::uint64_t>};

class RowTile {
 public:
  RowTile(const FirstPass& pass, const Tile& tile, const States* states)
      : pass_(pass), tile_(tile), states_(states), plan_(pass.plan) {}

  void run(std::int64_t first_chunk, std::int64_t last_chunk) {
    const ReduceAxis& axis = plan_.group_axes > 0 ? plan_.group[plan_.group_axes - 1] : kSingleAxis;
    bool direct = plan_.group_axes <= 1 && !pass_.masked;
    for (int f = 0; f < pass_.feeds && direct; ++f) {
      const Feed& feed = pass_.feed[f];
      direct = feed.plain && (axis.stride[feed.input] == feed.stored_size || axis.extent == 1);
    }
    if (direct || backward(axis))
      read(first_chunk, last_chunk, !direct);
    else if (masked_in_place(axis))
      read_masked(first_chunk, last_chunk);
    else if (pass_.reduction.source != nullptr && plan_.group_axes <= 1 && !pass_.masked)
      read_computed(first_chunk, last_chunk);
    else if (scattered())
      read_scattered(first_chunk, last_chunk);
    else
      gather(first_chunk, last_chunk);
  }

 private:
  /// Whether reading rows one after the other breaks a core's prefetching: rows with gaps between them, and
  /// not long. Of (8192, 4096) float32 [::2, ::3] that costs 19 cycles a line, eight rows side by side 11; of
  /// [:, ::3], whose rows follow each other, 9 and 11.
  bool apart() const {
    constexpr std::int64_t kLongRow = 64 << 10, kNear = 256;
    if (plan_.group_axes == 0) return false;
    const ReduceAxis& axis = plan_.group[plan_.group_axes - 1];
    const std::int64_t span = axis.extent * std::abs(axis.stride[0]);
    return span <= kLongRow && std::abs(plan_.inner.stride[0] - span) > kNear;
  }

  /// Whether each element is in a line of its own, as on diagonals, and taken as it is.
  bool scattered() const {
    const Feed& feed = pass_.feed[0];
    return plan_.group_axes == 1 && pass_.feeds == 1 && !pass_.masked && !feed.converted && !feed.swapped &&
           pass_.reduction.source == nullptr && std::abs(plan_.group[0].stride[feed.input]) >= kCacheLine &&
           !pass_.interleaved();
  }

  /// Rows of such elements, one after the other, and folded while their lines are on their way: of (4096, 64,
  /// 64) float32 diagonals on a core of a Granite Rapids 7.7 GB/s of lines from memory, of (16384, 16, 16)
  /// 29.3 from its third cache, where eight rows side by side and 16 ahead asked for took 6.5 and 21. 1024
  /// elements between folds: 7.1 and 27; asking for up to 64 of the lines after them gains nothing, for more
  /// it costs.
  void read_scattered(std::int64_t first_chunk, std::int64_t last_chunk) {
    const Feed& feed = pass_.feed[0];
    const Pieces pieces(pass_, pitch_of(kChunk));
    const char* const start = pieces.place(tile_).data[feed.input];
    const std::int64_t step = plan_.inner.stride[feed.input], stride = plan_.group[0].stride[feed.input];
    for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
      const std::int64_t count = length(chunk), pitch = pitch_of(count);
      const std::int64_t block = std::clamp<std::int64_t>(kScattered / count, 1, kRowBlock);
      for (std::int64_t i = 0; i < tile_.width; i += block) {
        const std::int64_t rows = std::min(block, tile_.width - i);
        kCopyRows[feed.stored_log2](pieces.block(0), pitch * feed.size,
                                    start + i * step + chunk * kChunk * stride, step, rows, stride, count);
        for (int s = 0; s < pass_.states; ++s)
          call(s, pieces.block(0), pitch * feed.size, rows, count, i, chunk, false);
      }
    }
  }

  /// How many rows ahead to ask for, where each element is in a line of its own, but not `scattered`, since
  /// it is converted or swapped or one of several inputs; rows are short, and all lines are more than L2
  /// holds. When diagonals of (4096, 64, 64) float32 and float64 came this way, they took 1180 and 930 us,
  /// and 890 and 730 so; 1, 2 and 8 rows ahead 950, 920 and 910. From L2 asking costs half the time.
  std::int64_t rows_asked() const {
    constexpr std::int64_t kAhead = 16, kShortRow = 256;
    if (plan_.group_axes != 1 || plan_.count > kShortRow || pass_.reduction.source != nullptr) return 0;
    if (std::abs(plan_.group[0].stride[0]) < kCacheLine || pass_.interleaved()) return 0;
    return plan_.results * plan_.count > second_level_cache_bytes() / kCacheLine ? kAhead : 0;
  }

  /// Asks for `rows` rows from `place` on, of the first input.
  void ask_for(const Place& place, std::int64_t rows) const {
    for (std::int64_t r = 0; r < rows; ++r) {
      const char* at = place.data[0] + r * plan_.inner.stride[0];
      for (std::int64_t j = 0; j < plan_.count; ++j)
        __builtin_prefetch(at + j * plan_.group[0].stride[0], 0, 2);
    }
  }

  std::int64_t length(std::int64_t chunk) const { return std::min(kChunk, plan_.count - chunk * kChunk); }

  /// Whether the kernels read rows that run backwards where they are.
  bool backward(const ReduceAxis& axis) const {
    if (plan_.group_axes != 1 || pass_.masked) return false;
    for (int s = 0; s < pass_.states; ++s) {
      const Feed& feed = pass_.feed[pass_.feed_of[s]];
      if (pass_.kernel[s]->backward_rows == nullptr || !feed.plain || feed.coding != Coding::plain ||
          axis.stride[feed.input] != -feed.size)
        return false;
    }
    return true;
  }

  /// Bytes from what is read of a row to what is asked for meanwhile, by the first of several states: those
  /// after it find the piece in L1. Further along a long row, where the
  /// next rows are wanted of shorter ones.
  std::int64_t ahead(const Feed& feed, bool backward) const {
    const std::int64_t bytes = plan_.count * feed.stored_size;
    // Long rows that run backwards are taken last first.
    const std::int64_t stride = plan_.inner.stride[feed.input] * (backward && pass_.chunks > 1 ? -1 : 1);
    if (bytes <= kRowsAhead) return (kRowsAhead + bytes - 1) / bytes * stride;
    if (bytes <= 4 * kRowsAhead && stride != bytes && stride != -bytes) return stride;
    return backward ? -kRowsAhead : kRowsAhead;
  }

  void call(int s, const char* data, std::int64_t row_stride, std::int64_t rows, std::int64_t count,
            std::int64_t position, std::int64_t chunk, bool along_chunks, std::int64_t ahead = 0,
            bool backward = false) {
    const std::int64_t at = chunk * tile_.width + position;
    const ReducerKernel& kernel = *pass_.kernel[s];
    const States states = states_[s].at(kernel, at);
    const auto fold = backward ? kernel.backward_rows : kernel.rows;
    fold({data, row_stride, rows, count, states.pointers(), along_chunks ? tile_.width : 1, chunk * kChunk,
          along_chunks ? kChunk : 0, nullptr, nullptr, ahead});
  }

  void read(std::int64_t first_chunk, std::int64_t last_chunk, bool backward) {
    const Pieces pieces(pass_, 0);
    const Place place = pieces.place(tile_);
    const bool shared = pass_.states > 1;
    const std::int64_t size = pass_.feed[0].size;
    if (pass_.chunks == 1) {  // many short rows
      const std::int64_t some =
          shared ? std::max<std::int64_t>(1, kSharedBytes / (plan_.count * size)) : tile_.width;
      for (std::int64_t i = 0; i < tile_.width; i += some)
        for (int s = 0; s < pass_.states; ++s) {
          const Feed& feed = pass_.feed[pass_.feed_of[s]];
          const std::int64_t stride = plan_.inner.stride[feed.input];
          call(s, place.data[feed.input] + i * stride, stride, std::min(some, tile_.width - i), plan_.count,
               i, 0, false, s == 0 ? ahead(feed, backward) : 0, backward);
        }
      return;
    }
    const std::int64_t full = std::min(last_chunk, plan_.count / kChunk);
    const std::int64_t some = shared ? kSharedBytes / (kChunk * 8) : full - first_chunk;
    const std::int64_t direction = backward ? -1 : 1;
    for (std::int64_t k = 0; k < tile_.width; ++k) {
      const std::int64_t i = backward ? tile_.width - 1 - k : k;  // on from where the row before ended
      auto run = [&](std::int64_t chunk, std::int64_t rows, std::int64_t count) {
        for (int s = 0; s < pass_.states; ++s) {
          const Feed& feed = pass_.feed[pass_.feed_of[s]];
          const char* data = place.data[feed.input] + i * plan_.inner.stride[feed.input];
          const std::int64_t step = direction * kChunk * feed.stored_size;
          call(s, data + chunk * step, step, rows, count, i, chunk, true, s == 0 ? ahead(feed, backward) : 0,
               backward);
        }
      };
      for (std::int64_t chunk = first_chunk; chunk < full; chunk += some)
        run(chunk, std::min(some, full - chunk), kChunk);
      if (full < last_chunk) run(full, 1, length(full));
    }
  }

  /// Whether elements and mask lie side by side along the group.
  bool masked_in_place(const ReduceAxis& axis) const {
    bool in_place = plan_.group_axes <= 1 && pass_.reduction.mask != nullptr && !pass_.reduction.skip_nan &&
                    (axis.stride[kMaskOperand] == 1 || axis.extent == 1);
    for (int f = 0; f < pass_.feeds && in_place; ++f) {
      const Feed& feed = pass_.feed[f];
      in_place = feed.plain && (axis.stride[feed.input] == feed.stored_size || axis.extent == 1);
    }
    return in_place;
  }

  void read_masked(std::int64_t first_chunk, std::int64_t last_chunk) {
    const Pieces pieces(pass_, pitch_of(kChunk) * kRowsPerStep);
    const Place place = pieces.place(tile_);
    const std::int64_t block =
        pass_.chunks > 1
            ? 1
            : std::clamp<std::int64_t>(pitch_of(kChunk) * kRowsPerStep / pitch_of(plan_.count), 1, kRowBlock);
    for (std::int64_t i = 0; i < tile_.width; i += block) {
      const std::int64_t rows = std::min(block, tile_.width - i);
      for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk)
        for (int s = 0; s < pass_.states; ++s) {
          const Feed& feed = pass_.feed[pass_.feed_of[s]];
          const char* data[kRowBlock];
          const std::uint8_t* mask[kRowBlock];
          for (std::int64_t r = 0; r < rows; ++r) {
            const std::int64_t inner = i + r;
            data[r] = place.data[feed.input] + inner * plan_.inner.stride[feed.input] +
                      chunk * kChunk * feed.stored_size;
            mask[r] = reinterpret_cast<const std::uint8_t*>(
                place.data[kMaskOperand] + inner * plan_.inner.stride[kMaskOperand] + chunk * kChunk);
          }
          fold_masked(pieces, s, data, mask, rows, length(chunk), i, chunk, s == 0 ? ahead(feed, false) : 0);
        }
    }
  }

  /// Computed elements, piece by piece.
  void read_computed(std::int64_t first_chunk, std::int64_t last_chunk) {
    const ReduceAxis& axis = plan_.group_axes > 0 ? plan_.group[0] : kSingleAxis;
    Pieces pieces(pass_, kComputed);
    const Place start = pieces.place(tile_);
    if (pass_.chunks == 1) {
      const std::int64_t block = kComputed / plan_.count;
      for (std::int64_t i = 0; i < tile_.width; i += block) {
        const std::int64_t rows = std::min(block, tile_.width - i);
        Place place = start;
        pieces.advance_inner(place, i);
        pieces.fetch_computed(place, rows, axis, plan_.count, i > 0 && rows == block);
        fold_computed(pieces, plan_.count, rows, plan_.count, i, 0, false);
      }
      return;
    }
    constexpr std::int64_t kChunks = kComputed / kChunk;
    const std::int64_t full = std::min(last_chunk, plan_.count / kChunk);
    for (std::int64_t i = 0; i < tile_.width; ++i) {
      auto run = [&](std::int64_t chunk, std::int64_t chunks, std::int64_t count, bool follows) {
        Place place = start;
        pieces.advance_inner(place, i);
        pieces.advance_group(place, chunk * kChunk);
        pieces.fetch_computed(place, 1, axis, chunks * count, follows);
        fold_computed(pieces, kChunk, chunks, count, i, chunk, true);
      };
      for (std::int64_t chunk = first_chunk; chunk < full; chunk += kChunks)
        run(chunk, std::min(kChunks, full - chunk), kChunk, chunk > first_chunk && chunk + kChunks <= full);
      if (full < last_chunk) run(full, 1, length(full), false);
    }
  }

  void fold_computed(const Pieces& pieces, std::int64_t pitch, std::int64_t rows, std::int64_t count,
                     std::int64_t position, std::int64_t chunk, bool along_chunks) {
    for (int s = 0; s < pass_.states; ++s) {
      const int f = pass_.feed_of[s];
      const Feed& feed = pass_.feed[f];
      // The first state asks for what the next piece reads.
      const bool asks = s == 0 && feed.input == 0 && !feed.converted && pieces.unasked() != nullptr;
      call(s, pieces.block(f), pitch * feed.size, rows, count, position, chunk, along_chunks,
           asks ? pieces.unasked() - pieces.block(f) : 0);
    }
  }

  void gather(std::int64_t first_chunk, std::int64_t last_chunk) {
    // Rows that interleave in memory share its lines, so all of them take one chunk before the next; rows
    // apart go side by side; others one after the other, as far as the prefetcher likes.
    const bool interleaved = pass_.interleaved();
    // The blocks of many feeds would not fit the thread's scratch, nor L2.
    const bool side = interleaved || plan_.count < kShortGroup || apart();
    side_ = side && pass_.feeds <= 2 ? kRowsPerStep : 1;
    // All rows that interleave are taken apart together.
    if (interleaved && pass_.feeds <= 2 && tile_.width <= kMostInterleaved) side_ = tile_.width;
    ahead_ = rows_asked();
    Pieces pieces(pass_, pitch_of(kChunk) * side_);
    const Place start = pieces.place(tile_);
    const std::int64_t together = interleaved || pass_.chunks == 1 ? tile_.width : side_;
    // Chunks in order of memory, which the prefetcher likes best.
    const bool backwards = plan_.group_axes == 1 && plan_.group[0].stride[0] < 0;
    for (std::int64_t i = 0; i < tile_.width; i += together)
      for (std::int64_t k = 0; k < last_chunk - first_chunk; ++k)
        gather_chunk(pieces, start, backwards ? last_chunk - 1 - k : first_chunk + k, i,
                     std::min(together, tile_.width - i));
  }

  void gather_chunk(Pieces& pieces, const Place& start, std::int64_t chunk, std::int64_t first,
                    std::int64_t width) {
    const bool masked = pass_.masked;
    const std::int64_t count = length(chunk);
    const std::int64_t pitch = pitch_of(count);
    const std::int64_t block = std::clamp<std::int64_t>(pitch_of(kChunk) * side_ / pitch, 1, kRowBlock);
    for (std::int64_t i = first; i < first + width; i += block) {
      const std::int64_t rows = std::min(block, first + width - i);
      for (std::int64_t r = 0; r < rows; r += side_) {
        Place place = start;
        pieces.advance_inner(place, i + r);
        if (ahead_ > 0) {
          Place later = place;
          pieces.advance_inner(later, ahead_);
          ask_for(later, side_);
        }
        pieces.fetch_group(place, std::min(side_, rows - r), chunk * kChunk, count, r * pitch, pitch, masked);
      }
      for (int s = 0; s < pass_.states; ++s) {
        const int f = pass_.feed_of[s];
        if (masked) {
          const char* data[kRowBlock];
          const std::uint8_t* mask[kRowBlock];
          for (std::int64_t r = 0; r < rows; ++r) {
            data[r] = pieces.block(f) + r * pitch * pass_.feed[f].size;
            mask[r] = pieces.mask() + r * pitch;
          }
          fold_masked(pieces, s, data, mask, rows, count, i, chunk, 0);
        } else
          call(s, pieces.block(f), pitch * pass_.feed[f].size, rows, count, i, chunk, false);
      }
    }
  }

  void fold_masked(const Pieces& pieces, int s, const char* const* data, const std::uint8_t* const* mask,
                   std::int64_t rows, std::int64_t count, std::int64_t position, std::int64_t chunk,
                   std::int64_t ahead) {
    const ReducerKernel& kernel = *pass_.kernel[s];
    const Feed& feed = pass_.feed[pass_.feed_of[s]];
    const bool counted = kernel.shifted && !kernel.skips_nan;
    double pivots[kRowBlock], counts[kRowBlock];
    for (std::int64_t r = 0; kernel.shifted && r < rows; ++r) {
      pivots[r] = pivot_of(feed, data[r], mask[r], count, kernel.skips_nan);
      if (counted) counts[r] = static_cast<double>(pass_.kernels.pieces.count_bytes(mask[r], count));
    }
    const States states = states_[s].at(kernel, chunk * tile_.width + position);
    if (kernel.masked_rows != nullptr) {
      for (std::int64_t r = 0; r < rows; ++r)
        kernel.masked_rows({data[r], 0, 1, count, states.at(kernel, r).pointers(), 1, chunk * kChunk, 0,
                            kernel.shifted ? pivots + r : nullptr, counted ? counts + r : nullptr, ahead,
                            mask[r]});
      return;
    }
    const std::int64_t pitch = pitch_of(count);
    const auto mask_out = pass_.kernels.pieces.mask[log2_size(feed.element)];
    for (std::int64_t r = 0; r < rows; ++r) {
      alignas(8) char fill[8];
      std::memcpy(fill, kernel.identity, sizeof fill);
      if (counted) put_element(fill, feed.element, pivots[r]);
      mask_out(pieces.copy() + r * pitch * feed.size, data[r], mask[r], fill, count);
    }
    kernel.rows({pieces.copy(), pitch * feed.size, rows, count, states.pointers(), 1, chunk * kChunk, 0,
                 counted ? pivots : nullptr, counted ? counts : nullptr});
  }

  /// The first element of a row that counts, as a pivot; 0 where there is none.
  static double pivot_of(const Feed& feed, const char* data, const std::uint8_t* mask, std::int64_t count,
                         bool skip_nan) {
    for (std::int64_t at = 0; at < count; ++at) {
      const void* next = std::memchr(mask + at, 1, static_cast<std::size_t>(count - at));
      if (next == nullptr) break;
      at = static_cast<const std::uint8_t*>(next) - mask;
      const double x = as_double(data + at * feed.size, feed.element);
      if (x == x || !skip_nan) return usable_pivot(x);
    }
    return 0.0;
  }

  const FirstPass& pass_;
  const Tile& tile_;
  const States* states_;
  const ReducePlan& plan_;
  std::int64_t side_ = 1;   // rows gathered side by side
  std::int64_t ahead_ = 0;  // rows to those that are asked for meanwhile
};

}  // namespace

void fold_row_tile(const FirstPass& pass, const Tile& tile, std::int64_t first_chunk, std::int64_t last_chunk,
                   const States* states) {
  RowTile(pass, tile, states).run(first_chunk, last_chunk);
}

}  // namespace ufuse
