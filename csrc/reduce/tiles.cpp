#include "reduce/tiles.hpp"

#include <cstdlib>

#include "reduce/feeds.hpp"

namespace ufuse {
namespace {

/// Rows of a column chunk are taken in windows of this many, lane by lane: where rows follow each other in
/// memory, that is kRowsPerStep sequential streams.
constexpr std::int64_t kWindow = kLanes * kRowsPerStep;

/// With several slots, pieces of this size go through all of them while in L1.
constexpr std::int64_t kSharedBytes = 16 << 10;
constexpr std::int64_t kRowBlock = 64;  // rows gathered together at most

double as_double(const char* at, DType type) {
  if (type == DType::F32) {
    float x;
    std::memcpy(&x, at, sizeof x);
    return static_cast<double>(x);
  }
  double x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

double usable_pivot(double x) { return x - x == 0.0 ? x : 0.0; }

void put_element(char* at, DType type, double value) {
  const auto narrow = static_cast<float>(value);
  if (type == DType::F32)
    std::memcpy(at, &narrow, sizeof narrow);
  else
    std::memcpy(at, &value, sizeof value);
}

// --- rows
// ---------------------------------------------------------------------------------------------------

class RowTile {
 public:
  RowTile(const FirstPass& pass, const Tile& tile, const States* states)
      : pass_(pass), tile_(tile), states_(states), plan_(pass.plan) {}

  void run(std::int64_t first_chunk, std::int64_t last_chunk) {
    const ReduceAxis& axis = plan_.group_axes > 0 ? plan_.group[plan_.group_axes - 1] : kSingleAxis;
    bool direct = plan_.group_axes <= 1 && pass_.reduction.mask == nullptr;
    for (int f = 0; f < pass_.feeds && direct; ++f) {
      const Feed& feed = pass_.feed[f];
      direct = feed.plain && (axis.stride[feed.input] == feed.stored_size || axis.extent == 1);
    }
    if (direct)
      read(first_chunk, last_chunk);
    else
      gather(first_chunk, last_chunk);
  }

 private:
  std::int64_t length(std::int64_t chunk) const { return std::min(kChunk, plan_.count - chunk * kChunk); }

  void call(int s, const char* data, std::int64_t row_stride, std::int64_t rows, std::int64_t count,
            std::int64_t position, std::int64_t chunk, bool along_chunks) {
    const std::int64_t at = chunk * tile_.width + position;
    const States states = states_[s].at(*pass_.kernel[s], at);
    pass_.kernel[s]->rows({data, row_stride, rows, count, states.pointers(), along_chunks ? tile_.width : 1,
                           chunk * kChunk, along_chunks ? kChunk : 0, nullptr, nullptr});
  }

  void read(std::int64_t first_chunk, std::int64_t last_chunk) {
    const Pieces pieces(pass_, 0);
    const Place place = pieces.place(tile_);
    const bool shared = pass_.reduction.slots > 1;
    const std::int64_t size = pass_.feed[0].size;
    if (pass_.chunks == 1) {  // many short rows
      const std::int64_t some =
          shared ? std::max<std::int64_t>(1, kSharedBytes / (plan_.count * size)) : tile_.width;
      for (std::int64_t i = 0; i < tile_.width; i += some)
        for (int s = 0; s < pass_.reduction.slots; ++s) {
          const int input = pass_.reduction.slot[s].input;
          const std::int64_t stride = plan_.inner.stride[input];
          call(s, place.data[input] + i * stride, stride, std::min(some, tile_.width - i), plan_.count, i, 0,
               false);
        }
      return;
    }
    const std::int64_t full = std::min(last_chunk, plan_.count / kChunk);
    const std::int64_t some = shared ? kSharedBytes / (kChunk * 8) : full - first_chunk;
    for (std::int64_t i = 0; i < tile_.width; ++i) {
      auto run = [&](std::int64_t chunk, std::int64_t rows, std::int64_t count) {
        for (int s = 0; s < pass_.reduction.slots; ++s) {
          const Feed& feed = pass_.feed[pass_.feed_of[s]];
          const char* data = place.data[feed.input] + i * plan_.inner.stride[feed.input];
          call(s, data + chunk * kChunk * feed.size, kChunk * feed.size, rows, count, i, chunk, true);
        }
      };
      for (std::int64_t chunk = first_chunk; chunk < full; chunk += some)
        run(chunk, std::min(some, full - chunk), kChunk);
      if (full < last_chunk) run(full, 1, length(full));
    }
  }

  void gather(std::int64_t first_chunk, std::int64_t last_chunk) {
    Pieces pieces(pass_, kChunk);
    const Place start = pieces.place(tile_);
    // Rows that interleave in memory share its lines, so all of them take one chunk before the next; rows
    // apart go one after the other, as far as the prefetcher likes.
    const bool interleaved =
        plan_.group_axes > 0 &&
        std::abs(plan_.inner.stride[0]) < std::abs(plan_.group[plan_.group_axes - 1].stride[0]);
    const std::int64_t together = interleaved || pass_.chunks == 1 ? tile_.width : 1;
    for (std::int64_t i = 0; i < tile_.width; i += together)
      for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk)
        gather_chunk(pieces, start, chunk, i, std::min(together, tile_.width - i));
  }

  void gather_chunk(Pieces& pieces, const Place& start, std::int64_t chunk, std::int64_t first,
                    std::int64_t width) {
    const bool masked = pass_.reduction.mask != nullptr;
    const std::int64_t count = length(chunk);
    const std::int64_t block = std::clamp<std::int64_t>(kChunk / count, 1, kRowBlock);
    for (std::int64_t i = first; i < first + width; i += block) {
      const std::int64_t rows = std::min(block, first + width - i);
      for (std::int64_t r = 0; r < rows; ++r) {
        Place place = start;
        pieces.advance_inner(place, i + r);
        pieces.fetch_group(place, chunk * kChunk, count, r * count, masked);
      }
      for (int s = 0; s < pass_.reduction.slots; ++s) {
        const int f = pass_.feed_of[s];
        if (masked)
          fold_masked(pieces, s, rows, count, i, chunk);
        else
          call(s, pieces.block(f), count * pass_.feed[f].size, rows, count, i, chunk, false);
      }
    }
  }

  void fold_masked(const Pieces& pieces, int s, std::int64_t rows, std::int64_t count, std::int64_t position,
                   std::int64_t chunk) {
    const ReducerKernel& kernel = *pass_.kernel[s];
    const Feed& feed = pass_.feed[pass_.feed_of[s]];
    const auto mask_kernel = pass_.kernels.pieces.mask[feed.size == 8   ? 3
                                                       : feed.size == 4 ? 2
                                                       : feed.size == 2 ? 1
                                                                        : 0];
    double pivots[kRowBlock], counts[kRowBlock];
    std::memcpy(pieces.copy(), pieces.block(pass_.feed_of[s]),
                static_cast<std::size_t>(rows * count * feed.size));
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::uint8_t* mask = pieces.mask() + r * count;
      char* data = pieces.copy() + r * count * feed.size;
      alignas(8) char fill[8];
      std::memcpy(fill, kernel.identity, sizeof fill);
      if (kernel.shifted) {
        const auto* first =
            static_cast<const std::uint8_t*>(std::memchr(mask, 1, static_cast<std::size_t>(count)));
        pivots[r] =
            first == nullptr ? 0.0 : usable_pivot(as_double(data + (first - mask) * feed.size, feed.element));
        std::int64_t kept = 0;
        for (std::int64_t j = 0; j < count; ++j) kept += mask[j];
        counts[r] = static_cast<double>(kept);
        put_element(fill, feed.element, pivots[r]);
      }
      mask_kernel(data, mask, fill, count);
    }
    const States states = states_[s].at(kernel, chunk * tile_.width + position);
    kernel.rows({pieces.copy(), count * feed.size, rows, count, states.pointers(), 1, chunk * kChunk, 0,
                 pivots, counts});
  }

  const FirstPass& pass_;
  const Tile& tile_;
  const States* states_;
  const ReducePlan& plan_;
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
        masked_(pass.reduction.mask != nullptr),
        all_in_place_(block_elements() == 0),
        pieces_(pass, block_elements()),
        frame_(static_cast<std::size_t>(bytes_needed())) {
    char* at = frame_.data();
    auto take = [&at, this] {
      char* block = at;
      at += lane_bytes();
      return block;
    };
    for (int s = 0; s < pass.reduction.slots; ++s) {
      const ReducerKernel& kernel = *pass.kernel[s];
      const int lanes = kernel.exact ? 1 : kLanes;
      for (int lane = 0; lane < lanes; ++lane)
        for (int i = 0; i < kernel.lane_components; ++i) lanes_[s][lane][i] = take();
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
    for (int s = 0; s < pass_.reduction.slots; ++s) {
      const ReducerKernel& kernel = *pass_.kernel[s];
      arrays += kernel.lane_components * (kernel.exact ? 1 : kLanes) + (kernel.shifted ? 2 : 0);
    }
    return arrays * lane_bytes();
  }

  std::int64_t block_elements() const {
    bool in_place = pass_.reduction.source == nullptr && !masked_;
    for (int f = 0; f < pass_.feeds; ++f)
      in_place &= pass_.feed[f].plain && plan_.inner.stride[pass_.feed[f].input] == pass_.feed[f].stored_size;
    return in_place ? 0 : tile_.width * kRowsPerStep;
  }

  void fold_chunk(const Place& start, std::int64_t chunk) {
    const std::int64_t rows = std::min(kChunk, plan_.count - chunk * kChunk);
    find_pivots(start, chunk, rows);
    for (std::int64_t window = 0; window < rows; window += kWindow)
      for (std::int64_t lane = 0; lane < kLanes && window + lane < rows; ++lane)
        add_rows(start, chunk * kChunk, window + lane, rows);
    for (int s = 0; s < pass_.reduction.slots; ++s) {
      const ReducerKernel& kernel = *pass_.kernel[s];
      auto lanes = static_cast<int>(kernel.exact ? 1 : std::min<std::int64_t>(rows, kLanes));
      for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int lane = half; lane < lanes; ++lane) {
          const void* from[] = {lanes_[s][lane][0], lanes_[s][lane][1]};
          kernel.fold(lanes_[s][lane - half], from, tile_.width);
        }
        lanes = std::min(lanes, half);
      }
      const void* from[] = {lanes_[s][0][0], lanes_[s][0][1]};
      const States states = states_[s].at(kernel, chunk * tile_.width);
      kernel.close(states.pointers(), from, tile_.width, pivots_[s], masked_ ? counts_[s] : nullptr, rows,
                   chunk * kChunk);
    }
  }

  void find_pivots(const Place& start, std::int64_t chunk, std::int64_t rows) {
    for (int s = 0; s < pass_.reduction.slots; ++s) {
      if (!pass_.kernel[s]->shifted) continue;
      const int f = pass_.feed_of[s];
      const Feed& feed = pass_.feed[f];
      bool missing = true;
      std::fill(counts_[s], counts_[s] + tile_.width, 0.0);  // here: whether a column has its pivot
      std::fill(pivots_[s], pivots_[s] + tile_.width, 0.0);
      for (std::int64_t j = 0; j < rows && missing; ++j) {
        Place place = start;
        pieces_.seek(place, chunk * kChunk + j);
        pieces_.fetch(place, plan_.inner, tile_.width, 0);
        if (masked_) pieces_.fetch_mask(place, plan_.inner, tile_.width, 0);
        const char* data = pieces_.in_place(feed, plan_.inner) ? place.data[feed.input] : pieces_.block(f);
        missing = false;
        for (std::int64_t c = 0; c < tile_.width; ++c) {
          if (counts_[s][c] != 0.0) continue;
          if (masked_ && pieces_.mask()[c] == 0) {
            missing = true;
            continue;
          }
          counts_[s][c] = 1.0;
          pivots_[s][c] = usable_pivot(as_double(data + c * feed.size, feed.element));
        }
      }
      std::fill(counts_[s], counts_[s] + tile_.width, 0.0);
    }
  }

  /// Adds elements `first` + k * kLanes of the chunk at `base`, up to kRowsPerStep of its `count`, to their
  /// lane.
  void add_rows(const Place& start, std::int64_t base, std::int64_t first, std::int64_t count) {
    const std::int64_t rows = std::min<std::int64_t>((count - first + kLanes - 1) / kLanes, kRowsPerStep);
    if (!all_in_place_) {
      for (std::int64_t r = 0; r < rows; ++r) {
        Place place = start;
        pieces_.seek(place, base + first + r * kLanes);
        pieces_.fetch(place, plan_.inner, tile_.width, r * tile_.width);
        if (masked_) pieces_.fetch_mask(place, plan_.inner, tile_.width, r * tile_.width);
      }
    }
    for (int s = 0; s < pass_.reduction.slots; ++s) {
      const ReducerKernel& kernel = *pass_.kernel[s];
      const int f = pass_.feed_of[s];
      const Feed& feed = pass_.feed[f];
      const char* row[kRowsPerStep];
      if (pieces_.in_place(feed, plan_.inner)) {
        pieces_.seek_lane(start, feed.input, base + first, rows, row);
      } else {
        for (std::int64_t r = 0; r < rows; ++r) row[r] = pieces_.block(f) + r * tile_.width * feed.size;
      }
      if (masked_)
        for (std::int64_t r = 0; r < rows; ++r) row[r] = mask_row(s, row[r], r);
      const auto lane = static_cast<std::size_t>(kernel.exact ? 0 : first % kLanes);
      const bool fresh = kernel.exact ? first == 0 : first < kLanes;
      kernel.columns({lanes_[s][lane], row, rows, tile_.width, pivots_[s], first, fresh});
    }
  }

  /// A copy of row `r` with what the mask leaves out replaced by what changes nothing.
  const char* mask_row(int s, const char* data, std::int64_t r) {
    const ReducerKernel& kernel = *pass_.kernel[s];
    const Feed& feed = pass_.feed[pass_.feed_of[s]];
    const std::uint8_t* mask = pieces_.mask() + r * tile_.width;
    char* to = pieces_.copy() + r * tile_.width * feed.size;
    std::memcpy(to, data, static_cast<std::size_t>(tile_.width * feed.size));
    if (!kernel.shifted) {
      pass_.kernels.pieces.mask[feed.size == 8   ? 3
                                : feed.size == 4 ? 2
                                : feed.size == 2 ? 1
                                                 : 0](to, mask, kernel.identity, tile_.width);
      return to;
    }
    for (std::int64_t c = 0; c < tile_.width; ++c) {
      counts_[s][c] += mask[c];
      if (mask[c] == 0) put_element(to + c * feed.size, feed.element, pivots_[s][c]);
    }
    return to;
  }

  const FirstPass& pass_;
  const Tile& tile_;
  const States* states_;
  const ReducePlan& plan_;
  const bool masked_;
  const bool all_in_place_;
  Pieces pieces_;
  ScratchFrame frame_;
  void* lanes_[kMaxSlots][kLanes][2];
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
