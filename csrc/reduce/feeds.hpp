// Pieces of the inputs as the kernels want them, read in place or brought into blocks that stay in L1.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/scratch.hpp"
#include "reduce/tiles.hpp"

namespace ufuse {

/// Elements from one row of a block to the next. Rows of 4 KB would share the sets of L1 among each other
/// and, as often as not, with the rows they are gathered from.
constexpr std::int64_t pitch_of(std::int64_t count) { return count < 128 ? count : count + 16; }

/// Where a run of elements starts: one address per operand (the mask's last), and the position in the nest
/// and in the group, from which computed inputs have their multi-index.
struct Place {
  const char* data[kMaxReduceInputs + 1];
  std::int64_t outer, inner, element;
};

/// A piece among those of computed inputs.
struct Sequence {
  NextPiece next;
  bool follows = false;  // it is the one that came next, and of the shape of the one before
};

/// The pieces of one task: blocks of `capacity` elements for every feed.
class Pieces {
 public:
  Pieces(const FirstPass& pass, std::int64_t capacity);

  /// The place of a tile's first position, at the group's first element.
  Place place(const Tile& tile) const;
  void advance_inner(Place& place, std::int64_t steps) const {
    move(place, pass_.plan.inner, steps);
    place.inner += steps;
  }
  /// Moves a place along a group of one axis.
  void advance_group(Place& place, std::int64_t steps) const {
    move(place, pass_.plan.group[0], steps);
    place.element += steps;
  }
  /// Moves a place at the group's first element to its element `j`.
  void seek(Place& place, std::int64_t j) const;
  /// Addresses of one operand at elements `j` + k * kLanes of the group, k < `count`.
  void seek_lane(const Place& start, int operand, std::int64_t j, std::int64_t count, const char** to) const;

  /// Whether a feed is read in place along `axis`.
  bool in_place(const Feed& feed, const ReduceAxis& axis) const {
    return feed.plain && (axis.stride[feed.input] == feed.stored_size || axis.extent == 1);
  }
  /// Brings `count` elements along `axis` from each of `rows` <= kMostInterleaved places to its block, row r
  /// at `at` + r * `pitch`: of every feed that is not in place, or of `all`.
  void fetch(const Place* places, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
             std::int64_t at, std::int64_t pitch, bool all, const Sequence& sequence = {});
  /// `count` elements along `axis` of computed inputs, from `place` and the rows - 1 places after it along
  /// the inner axis, to rows that follow each other in the blocks. `follows`: as in `Sequence`.
  void fetch_computed(const Place& place, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                      bool follows);
  /// What of the next piece the one who folds this one should ask for.
  const char* unasked() const { return reader_->unasked(); }
  /// Which elements of a masked reduction count; `data` are those of its rows, as they are reduced. A mask
  /// that can be read in place (`mask_row`) is fetched only where `all` is set.
  void fetch_mask(const Place* places, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                  std::int64_t at, std::int64_t pitch, const char* const* data, bool all);
  /// All feeds' elements [j, j + count) of the group, from `rows` <= kMostInterleaved neighbours along the
  /// inner axis, to rows `pitch` apart in the blocks, from `at` on.
  void fetch_group(const Place& start, std::int64_t rows, std::int64_t j, std::int64_t count, std::int64_t at,
                   std::int64_t pitch, bool mask);

  /// The mask of row `r`, after `fetch_mask` of what cannot be read in place.
  const std::uint8_t* mask_row(const Place& place, const ReduceAxis& axis, std::int64_t r,
                               std::int64_t pitch) const {
    if (mask_in_place(axis)) return reinterpret_cast<const std::uint8_t*>(place.data[kMaskOperand]);
    return mask_ + r * pitch;
  }

  char* block(int feed) const { return block_[feed]; }
  std::uint8_t* mask() const { return mask_; }
  /// A block for a masked copy of a feed.
  char* copy() const { return copy_; }

 private:
  bool mask_in_place(const ReduceAxis& axis) const {
    return pass_.reduction.mask != nullptr && !pass_.reduction.skip_nan && axis.stride[kMaskOperand] == 1;
  }
  void move(Place& place, const ReduceAxis& axis, std::int64_t steps) const {
    const int inputs = pass_.reduction.source == nullptr ? pass_.reduction.inputs : 0;
    for (int k = 0; k < inputs; ++k) place.data[k] += steps * axis.stride[k];
    if (pass_.reduction.mask != nullptr) place.data[kMaskOperand] += steps * axis.stride[kMaskOperand];
  }
  void index_of(const Place& place, std::int64_t* index) const;
  /// Elements of a computed input from each place, to rows `pitch` apart.
  void read_source(const Place* places, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                   std::int64_t pitch, void* const* to, const Sequence& sequence);
  /// The elements of computed inputs as feeds take them, from where `read_source` has put them: `from`.
  void convert_computed(void* const* from, std::int64_t rows, std::int64_t count, std::int64_t at,
                        std::int64_t pitch);
  /// Whether rows of computed inputs, the whole group side by side, are together one run of elements.
  bool interleaves(std::int64_t rows, const ReduceAxis& axis) const;
  void fetch_interleaved(const Place& place, std::int64_t rows, std::int64_t count, std::int64_t pitch,
                         const Sequence& sequence);
  void computed_blocks(std::int64_t at, void** to) const;
  void convert(const Feed& feed, char* to, const void* from, std::int64_t count) const;
  void fetch_feed(const Feed& feed, const Place* places, std::int64_t rows, std::int64_t stride,
                  std::int64_t count, char* to, std::int64_t pitch);

  const FirstPass& pass_;
  ScratchFrame frame_;
  char* block_[kMaxSlots];
  char* raw_[kMaxReduceInputs];
  char* copy_;
  std::uint8_t* mask_;
  std::unique_ptr<PieceReader> reader_;  // of computed inputs
};

}  // namespace ufuse
