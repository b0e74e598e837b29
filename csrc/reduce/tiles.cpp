#include "reduce/tiles.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "reduce/feeds.hpp"

namespace ufuse {
namespace {

/// Rows of a column chunk are taken in windows of this many, lane by lane: where rows follow each other in
/// memory, that is kRowsPerStep sequential streams.
constexpr std::int64_t kWindow = kLanes * kRowsPerStep;

/// With several slots, pieces of this size go through all of them while in L1.
constexpr std::int64_t kSharedBytes = 16 << 10;
constexpr std::int64_t kRowBlock = 64;  // rows gathered together at most
/// Elements from one gathered row to the next. Rows of 4 KB would share the sets of L1 among each other and,
/// as often as not, with the rows they are gathered from.
constexpr std::int64_t pitch_of(std::int64_t count) { return count < 128 ? count : count + 16; }
/// Columns gathered together: kRowsPerStep rows of 512 float32, or twice the rows of 256, stay in L1.
constexpr std::int64_t kGatheredColumns = 512;
/// How far ahead short columns are asked for, into L2, while those before are finished and stored: maxima of
/// one row went at 13 GB/s without, at 20 with 8 KB; sums of 4 rows at 16 and 19. More rows keep the
/// prefetcher busy enough: 8 rows, 19 and 18.
constexpr std::int64_t kAhead = 8 << 10;
constexpr std::int64_t kFewRows = 4;

/// How far ahead rows are asked for, and rows of columns (`ahead.hpp`).
constexpr std::int64_t kRowsAhead = 8 << 10, kColumnsAhead = 64 << 10;

template <class T>
double load_double(const char* at) {
  T x;
  std::memcpy(&x, at, sizeof x);
  return static_cast<double>(x);
}

template <class T>
void store_double(char* at, double value) {
  const auto x = static_cast<T>(value);
  std::memcpy(at, &x, sizeof x);
}

double as_double(const char* at, DType type) {
  switch (type) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  case DType::name:                         \
    return load_double<storage_t<cpp>>(at);
#include "catalogue.inc"
#undef UFUSE_ELEMENT_TYPE
  }
  return 0.0;
}

void put_element(char* at, DType type, double value) {
  switch (type) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  case DType::name:                         \
    return store_double<storage_t<cpp>>(at, value);
#include "catalogue.inc"
#undef UFUSE_ELEMENT_TYPE
  }
}

/// The value of one element of a feed, where it is stored or in a block.
double value_of(const Feed& feed, const char* data, std::int64_t index) {
  if (feed.converted || feed.coding == Coding::plain)
    return as_double(data + index * feed.size, feed.element);
  std::uint16_t code;
  std::memcpy(&code, data + index * feed.stored_size, sizeof code);
  if (feed.coding == Coding::bfloat16) {
    const std::uint32_t bits = static_cast<std::uint32_t>(code) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(value);
  }
  const int exponent = code >> 10 & 31, fraction = code & 1023;
  const double size = exponent == 31  ? (fraction == 0 ? HUGE_VAL : std::nan(""))
                      : exponent == 0 ? std::ldexp(fraction, -24)
                                      : std::ldexp(1024 + fraction, exponent - 25);
  return (code & 0x8000) != 0 ? -size : size;
}

double usable_pivot(double x) { return x - x == 0.0 ? x : 0.0; }

// --- rows
// ---------------------------------------------------------------------------------------------------

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

  void gather(std::int64_t first_chunk, std::int64_t last_chunk) {
    // Rows that interleave in memory share its lines, so all of them take one chunk before the next; rows
    // apart go side by side; others one after the other, as far as the prefetcher likes.
    const bool interleaved = pass_.interleaved();
    // The blocks of many feeds would not fit the thread's scratch, nor L2.
    const bool side = interleaved || plan_.count < kShortGroup || apart();
    side_ = side && pass_.feeds <= 2 ? kRowsPerStep : 1;
    // All rows that interleave are taken apart together.
    if (interleaved && pass_.feeds <= 2 && tile_.width <= kMostInterleaved) side_ = tile_.width;
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
  std::int64_t side_ = 1;  // rows gathered side by side
};

// --- columns
// ------------------------------------------------------------------------------------------------

class ColumnTile {
 public:
  ColumnTile(const FirstPass& pass, const Tile& tile, const States* states)
      : pass_(pass),
        tile_(tile),
        states_(states),
        plan_(pass.plan),
        masked_(pass.masked),
        one_step_(one_step()),
        all_in_place_(block_elements() == 0),
        masks_in_place_(masked_ && masks_in_place()),
        lanes_ahead_(lanes_ahead()),
        pieces_(pass, block_elements()),
        frame_(static_cast<std::size_t>(bytes_needed())) {
    char* at = frame_.data();
    auto take = [&at, this] {
      char* block = at;
      at += lane_bytes();
      return block;
    };
    for (int s = 0; s < pass.states; ++s) {
      const ReducerKernel& kernel = *pass.kernel[s];
      const int lanes = kernel.exact ? 1 : kLanes;
      for (int lane = 0; lane < lanes; ++lane)
        for (int i = 0; i < kernel.lane_components; ++i) {
          const bool shared = lane > 0 && kernel.shared_lanes >> i & 1;
          lanes_[s][lane][i] = shared ? lanes_[s][0][i] : take();
        }
      if (!kernel.shifted) continue;
      pivots_[s] = reinterpret_cast<double*>(take());
      counts_[s] = reinterpret_cast<double*>(take());
    }
  }

  void run(std::int64_t first_chunk, std::int64_t last_chunk) {
    const Place start = pieces_.place(tile_);
    for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) fold_chunk(start, chunk);
  }

 private:
  // Two lines more than a power of two, so that arrays do not start on the same set of the caches.
  std::int64_t lane_bytes() const { return (tile_.width * 8 + 63) / 64 * 64 + 128; }

  std::int64_t bytes_needed() const {
    std::int64_t arrays = 0;
    for (int s = 0; s < pass_.states; ++s) {
      const ReducerKernel& kernel = *pass_.kernel[s];
      arrays += kernel.lane_components * (kernel.exact ? 1 : kLanes) + (kernel.shifted ? 2 : 0);
    }
    return arrays * lane_bytes();
  }

  /// Columns brought to the blocks at once. Computed inputs cost a call of their program per piece.
  std::int64_t piece() const {
    if (pass_.reduction.source != nullptr) return tile_.width;
    return std::min(tile_.width, rows_together() > kRowsPerStep ? kGatheredColumns / 2 : kGatheredColumns);
  }
  std::int64_t rows_together() const { return one_step_ ? plan_.count : kRowsPerStep; }

  std::int64_t block_elements() const {
    bool in_place = pass_.reduction.source == nullptr && !masked_;
    for (int f = 0; f < pass_.feeds; ++f)
      in_place &= pass_.feed[f].plain && plan_.inner.stride[pass_.feed[f].input] == pass_.feed[f].stored_size;
    return in_place ? 0 : pitch_of(piece()) * rows_together();
  }

  /// Whether the whole group is one step, for kernels that keep its lanes in registers.
  bool one_step() const {
    if (plan_.count >= kLanes || masked_) return false;
    for (int s = 0; s < pass_.states; ++s)
      if (pass_.kernel[s]->short_columns == nullptr) return false;
    return true;
  }

  void fold_step(const Place& start) {
    const std::int64_t rows = plan_.count;
    Place places[kLanes];
    for (std::int64_t r = 0; r < rows; ++r) {
      places[r] = start;
      pieces_.seek(places[r], r);
    }
    for (std::int64_t c = 0; c < tile_.width; c += piece()) {
      const std::int64_t columns = std::min(piece(), tile_.width - c), pitch = pitch_of(columns);
      pieces_.fetch(places, rows, plan_.inner, columns, 0, pitch, false);
      for (int s = 0; s < pass_.states; ++s) {
        const int f = pass_.feed_of[s];
        const Feed& feed = pass_.feed[f];
        const bool in_place = pieces_.in_place(feed, plan_.inner);
        const char* row[kLanes];
        for (std::int64_t r = 0; r < rows; ++r) {
          row[r] = in_place ? places[r].data[feed.input] : pieces_.block(f) + r * pitch * feed.size;
          if (!in_place || rows > kFewRows || (r > 0 && row[r] == row[r - 1])) continue;
          for (std::int64_t b = 0; b < columns * feed.size; b += 64)
            __builtin_prefetch(row[r] + kAhead + b, 0, 2);
        }
        pass_.kernel[s]->short_columns({row, rows, columns, states_[s].at(*pass_.kernel[s], c).component[0]});
      }
      for (std::int64_t r = 0; r < rows; ++r) pieces_.advance_inner(places[r], columns);
    }
  }

  void fold_chunk(const Place& start, std::int64_t chunk) {
    if (one_step_) return fold_step(start);
    const std::int64_t rows = std::min(kChunk, plan_.count - chunk * kChunk);
    find_pivots(start, chunk, rows);
    for (std::int64_t window = 0; window < rows; window += kWindow)
      for (std::int64_t lane = 0; lane < kLanes && window + lane < rows; ++lane)
        add_rows(start, chunk * kChunk, window + lane, rows);
    for (int s = 0; s < pass_.states; ++s) {
      const ReducerKernel& kernel = *pass_.kernel[s];
      auto lanes = static_cast<int>(kernel.exact ? 1 : std::min<std::int64_t>(rows, kLanes));
      for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int lane = half; lane < lanes; ++lane) {
          const void* from[kMaxLaneComponents];
          std::copy_n(lanes_[s][lane], kernel.lane_components, from);
          kernel.fold(lanes_[s][lane - half], from, tile_.width);
        }
        lanes = std::min(lanes, half);
      }
      const void* from[kMaxLaneComponents];
      std::copy_n(lanes_[s][0], kernel.lane_components, from);
      const States states = states_[s].at(kernel, chunk * tile_.width);
      kernel.close(states.pointers(), from, tile_.width, pivots_[s], masked_ ? counts_[s] : nullptr, rows,
                   chunk * kChunk);
    }
  }

  void find_pivots(const Place& start, std::int64_t chunk, std::int64_t rows) {
    for (int s = 0; s < pass_.states; ++s) {
      const ReducerKernel& kernel = *pass_.kernel[s];
      if (!kernel.shifted || (kernel.exact && !masked_)) continue;  // exact sums need none but to mask
      std::fill(pivots_[s], pivots_[s] + tile_.width, 0.0);
      // The columns without a pivot yet: half of them at a time, where half of the elements are masked.
      missing_.resize(static_cast<std::size_t>(tile_.width));
      std::iota(missing_.begin(), missing_.end(), 0);
      for (std::int64_t j = 0; j < rows && !missing_.empty(); ++j) {
        Place place = start;
        pieces_.seek(place, chunk * kChunk + j);
        std::size_t left = 0;
        for (std::size_t next = 0; next < missing_.size();) {
          const std::int64_t c = missing_[next] / piece() * piece();
          const std::int64_t columns = std::min(piece(), tile_.width - c);
          Place piece_place = place;
          pieces_.advance_inner(piece_place, c);
          find_pivots(s, piece_place, c, columns, next, left);
        }
        missing_.resize(left);
      }
      std::fill(counts_[s], counts_[s] + tile_.width, 0.0);
    }
  }

  /// Takes the pivots of the missing columns from `next` on that lie in [first, first + columns); moves those
  /// that have none at `place` to `left`.
  void find_pivots(int s, const Place& place, std::int64_t first, std::int64_t columns, std::size_t& next,
                   std::size_t& left) {
    const int f = pass_.feed_of[s];
    const Feed& feed = pass_.feed[f];
    pieces_.fetch(&place, 1, plan_.inner, columns, 0, 0, false);
    const bool in_place = pieces_.in_place(feed, plan_.inner);
    const char* data = in_place ? place.data[feed.input] : pieces_.block(f);
    const std::uint8_t* mask = nullptr;
    if (masked_) {
      pieces_.fetch_mask(&place, 1, plan_.inner, columns, 0, 0, &data, false);
      mask = pieces_.mask_row(place, plan_.inner, 0, 0);
    }
    for (; next < missing_.size() && missing_[next] < first + columns; ++next) {
      const std::int64_t c = missing_[next] - first;
      const bool counts = mask == nullptr || mask[c] != 0;
      const double x = counts ? value_of(feed, data, c) : 0.0;
      if (!counts || (x != x && pass_.kernel[s]->skips_nan))
        missing_[left++] = missing_[next];
      else
        pivots_[s][first + c] = usable_pivot(x);
    }
  }

  /// Adds elements `first` + k * kLanes of the chunk at `base`, up to kRowsPerStep of its `count`, to their
  /// lane.
  void add_rows(const Place& start, std::int64_t base, std::int64_t first, std::int64_t count) {
    const std::int64_t rows = std::min<std::int64_t>((count - first + kLanes - 1) / kLanes, kRowsPerStep);
    if (masks_in_place_) return add_masked_rows(start, base, first, rows);
    if (all_in_place_) {
      // Several states take turns at pieces in L1.
      const std::int64_t some = pass_.states > 1 ? kGatheredColumns : tile_.width;
      for (std::int64_t c = 0; c < tile_.width; c += some)
        for (int s = 0; s < pass_.states; ++s) {
          const Feed& feed = pass_.feed[pass_.feed_of[s]];
          const char* row[kRowsPerStep];
          pieces_.seek_lane(start, feed.input, base + first, rows, row);
          for (std::int64_t r = 0; r < rows; ++r) row[r] += c * feed.stored_size;
          add_slot(s, row, rows, c, std::min(some, tile_.width - c), first,
                   s == 0 ? ahead(feed, base + first) : 0);
        }
      return;
    }
    Place places[kRowsPerStep];
    for (std::int64_t r = 0; r < rows; ++r) {
      places[r] = start;
      pieces_.seek(places[r], base + first + r * kLanes);
    }
    for (std::int64_t c = 0; c < tile_.width; c += piece()) {
      const std::int64_t columns = std::min(piece(), tile_.width - c), pitch = pitch_of(columns);
      pieces_.fetch(places, rows, plan_.inner, columns, 0, pitch, false);
      for (int s = 0; s < pass_.states; ++s) {
        const int f = pass_.feed_of[s];
        const Feed& feed = pass_.feed[f];
        const bool in_place = pieces_.in_place(feed, plan_.inner);
        const char* row[kRowsPerStep];
        for (std::int64_t r = 0; r < rows; ++r)
          row[r] = in_place ? places[r].data[feed.input] : pieces_.block(f) + r * pitch * feed.size;
        if (masked_) {
          if (s == 0) pieces_.fetch_mask(places, rows, plan_.inner, columns, 0, pitch, row, false);
          mask_rows(s, places, row, rows, c, columns);
        }
        add_slot(s, row, rows, c, columns, first, 0);
      }
      for (std::int64_t r = 0; r < rows; ++r) pieces_.advance_inner(places[r], columns);
    }
  }

  /// Whether elements and mask lie side by side, for kernels that mask as they load.
  bool masks_in_place() const {
    const Reduction& r = pass_.reduction;
    if (r.source != nullptr || r.mask == nullptr || r.skip_nan || plan_.inner.stride[kMaskOperand] != 1)
      return false;
    for (int s = 0; s < pass_.states; ++s) {
      const Feed& feed = pass_.feed[pass_.feed_of[s]];
      if (pass_.kernel[s]->masked_columns == nullptr || !feed.plain ||
          plan_.inner.stride[feed.input] != feed.stored_size)
        return false;
    }
    return true;
  }

  void add_masked_rows(const Place& start, std::int64_t base, std::int64_t first, std::int64_t rows) {
    const std::int64_t some = pass_.states > 1 ? kGatheredColumns : tile_.width;
    const char *data[kRowsPerStep], *masks[kRowsPerStep];
    const std::uint8_t* mask[kRowsPerStep];
    pieces_.seek_lane(start, kMaskOperand, base + first, rows, masks);
    for (std::int64_t c = 0; c < tile_.width; c += some) {
      const std::int64_t columns = std::min(some, tile_.width - c);
      for (std::int64_t r = 0; r < rows; ++r) mask[r] = reinterpret_cast<const std::uint8_t*>(masks[r]) + c;
      for (int s = 0; s < pass_.states; ++s) {
        const ReducerKernel& kernel = *pass_.kernel[s];
        const Feed& feed = pass_.feed[pass_.feed_of[s]];
        pieces_.seek_lane(start, feed.input, base + first, rows, data);
        for (std::int64_t r = 0; r < rows; ++r) data[r] += c * feed.stored_size;
        add_slot(s, data, rows, c, columns, first, s == 0 ? ahead(feed, base + first) : 0, mask);
        if (kernel.shifted && !kernel.skips_nan)
          pass_.kernels.pieces.count_columns(counts_[s] + c, mask, rows, columns);
      }
    }
  }

  std::int64_t lanes_ahead() const {
    const std::int64_t bytes = tile_.width * pass_.feed[0].stored_size * kRowsPerStep;
    return std::clamp<std::int64_t>(kColumnsAhead / bytes, 1, kLanes);
  }

  /// Bytes from the rows of a lane to those that are asked for while it is folded: the rows of a lane after
  /// it.
  std::int64_t ahead(const Feed& feed, std::int64_t element) const {
    if (!(all_in_place_ || masks_in_place_) || plan_.group_axes == 0) return 0;
    const ReduceAxis& axis = plan_.group[plan_.group_axes - 1];
    const bool wraps = element % kLanes + lanes_ahead_ >= kLanes;
    const std::int64_t steps = lanes_ahead_ + (wraps ? kWindow - kLanes : 0);
    // Past the end of the group only where another one follows it in memory.
    if (element + steps >= plan_.count &&
        (plan_.outer_axes == 0 ||
         plan_.outer[plan_.outer_axes - 1].stride[feed.input] != plan_.count * axis.stride[feed.input]))
      return 0;
    return steps * axis.stride[feed.input];
  }

  /// Adds `rows` of one lane, of columns [c, c + columns), to the accumulators of slot s.
  void add_slot(int s, const char* const* row, std::int64_t rows, std::int64_t c, std::int64_t columns,
                std::int64_t first, std::int64_t ahead, const std::uint8_t* const* mask = nullptr) {
    const ReducerKernel& kernel = *pass_.kernel[s];
    const auto lane = static_cast<std::size_t>(kernel.exact ? 0 : first % kLanes);
    void* lanes[kMaxLaneComponents];
    for (int i = 0; i < kernel.lane_components; ++i)
      lanes[i] = static_cast<char*>(lanes_[s][lane][i]) + c * kernel.lane_size[i];
    const bool fresh = kernel.exact ? first == 0 : first < kLanes;
    const auto add = mask != nullptr ? kernel.masked_columns : kernel.columns;
    add({lanes, row, rows, columns, kernel.shifted ? pivots_[s] + c : nullptr, first, fresh, mask, ahead});
  }

  /// Copies columns [first, first + columns) of rows, with what the mask leaves out replaced by what changes
  /// nothing. A few lines of each row in turn, as `gather` does.
  void mask_rows(int s, const Place* places, const char** row, std::int64_t rows, std::int64_t first,
                 std::int64_t columns) {
    constexpr std::int64_t kTurn = 64;
    const ReducerKernel& kernel = *pass_.kernel[s];
    const Feed& feed = pass_.feed[pass_.feed_of[s]];
    const PieceKernels& moves = pass_.kernels.pieces;
    const bool by_column = kernel.shifted && !kernel.skips_nan;
    const auto mask_out = moves.mask[log2_size(feed.element)];
    const auto mask_columns = moves.mask_columns[static_cast<int>(feed.element)];
    const std::int64_t pitch = pitch_of(columns);
    const std::uint8_t* mask[kRowsPerStep];
    for (std::int64_t r = 0; r < rows; ++r) mask[r] = pieces_.mask_row(places[r], plan_.inner, r, pitch);
    for (std::int64_t c = 0; c < columns; c += kTurn) {
      const std::int64_t some = std::min(kTurn, columns - c), at = c * feed.size;
      for (std::int64_t r = 0; r < rows; ++r) {
        char* to = pieces_.copy() + r * pitch * feed.size + at;
        if (by_column)
          mask_columns(to, row[r] + at, mask[r] + c, pivots_[s] + first + c, counts_[s] + first + c, some);
        else
          mask_out(to, row[r] + at, mask[r] + c, kernel.identity, some);
      }
    }
    for (std::int64_t r = 0; r < rows; ++r) row[r] = pieces_.copy() + r * pitch * feed.size;
  }

  const FirstPass& pass_;
  const Tile& tile_;
  const States* states_;
  const ReducePlan& plan_;
  const bool masked_;
  const bool one_step_;
  const bool all_in_place_;
  const bool masks_in_place_;
  const std::int64_t lanes_ahead_;
  Pieces pieces_;
  ScratchFrame frame_;
  void* lanes_[kMaxSlots][kLanes][kMaxLaneComponents];
  std::vector<std::int32_t> missing_;  // columns without a pivot
  double* pivots_[kMaxSlots];
  double* counts_[kMaxSlots];
};

}  // namespace

void fold_tile(const FirstPass& pass, const Tile& tile, std::int64_t first_chunk, std::int64_t last_chunk,
               const States* states) {
  if (pass.plan.columns)
    ColumnTile(pass, tile, states).run(first_chunk, last_chunk);
  else
    RowTile(pass, tile, states).run(first_chunk, last_chunk);
}

}  // namespace ufuse
