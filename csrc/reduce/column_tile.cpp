// Tiles whose chunks run across memory: neighbouring results side by side, an accumulator for each and lane.
#include <cstdlib>
#include <numeric>
#include <vector>

#include "reduce/elements.hpp"
#include "reduce/feeds.hpp"

namespace ufuse {
namespace {

/// Rows of a column chunk are taken in windows of this many, lane by lane: where rows follow each other in
/// memory, that is kRowsPerStep sequential streams.
constexpr std::int64_t kWindow = kLanes * kRowsPerStep;
/// Columns gathered together: kRowsPerStep rows of 512 float32, or twice the rows of 256, stay in L1.
constexpr std::int64_t kGatheredColumns = 512;
/// Elements of computed inputs brought to the blocks at once, which stay in L1.
constexpr std::int64_t kComputed = 2048;
/// How far ahead short columns are asked for, into L2, while those before are finished and stored: maxima of
/// one row went at 13 GB/s without, at 20 with 8 KB; sums of 4 rows at 16 and 19. More rows keep the
/// prefetcher busy enough: 8 rows, 19 and 18.
constexpr std::int64_t kShortAhead = 8 << 10;
constexpr std::int64_t kFewRows = 4;
/// How far ahead the rows of longer ones are (`ahead.hpp`): of 32 to 128 KB, any.
constexpr std::int64_t kColumnsAhead = 64 << 10;

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

  /// Columns brought to the blocks at once.
  std::int64_t piece() const {
    if (pass_.reduction.source != nullptr) return std::min(tile_.width, kComputed / rows_together());
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
      pieces_.fetch(places, rows, plan_.inner, columns, 0, pitch, false,
                    {{columns, 0}, c > 0 && columns == piece()});
      for (int s = 0; s < pass_.states; ++s) {
        const int f = pass_.feed_of[s];
        const Feed& feed = pass_.feed[f];
        const bool in_place = pieces_.in_place(feed, plan_.inner);
        const char* row[kLanes];
        for (std::int64_t r = 0; r < rows; ++r) {
          row[r] = in_place ? places[r].data[feed.input] : pieces_.block(f) + r * pitch * feed.size;
          if (!in_place || rows > kFewRows || (r > 0 && row[r] == row[r - 1])) continue;
          for (std::int64_t b = 0; b < columns * feed.size; b += 64)
            __builtin_prefetch(row[r] + kShortAhead + b, 0, 2);
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
      pieces_.fetch(places, rows, plan_.inner, columns, 0, pitch, false, sequence(c, columns, base + first));
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

  /// What comes after `columns` from `c` on, of rows from `element` of the group on: the columns beside them,
  /// or the first ones of the next lane.
  Sequence sequence(std::int64_t c, std::int64_t columns, std::int64_t element) const {
    const bool follows = c > 0 && columns == piece();
    if (c + columns < tile_.width) return {{columns, 0}, follows};
    return {{-c, element % kLanes + 1 < kLanes ? 1 : kWindow - kLanes + 1}, follows};
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

void fold_column_tile(const FirstPass& pass, const Tile& tile, std::int64_t first_chunk,
                      std::int64_t last_chunk, const States* states) {
  ColumnTile(pass, tile, states).run(first_chunk, last_chunk);
}

}  // namespace ufuse
