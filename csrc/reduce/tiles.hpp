// The first pass over one tile: some neighbouring results, some of their chunks.
#pragma once

#include <cstdlib>

#include "reduce/axes.hpp"
#include "reduce/tree.hpp"

namespace ufuse {

/// Columns per tile at most: 16 KB of float32 per row, since the hardware prefetches well in long runs only.
/// Sums of (4096, 4096) float32 over axis 0 on one core read 18 GB/s with 512 columns, 28 with 2048, 32 with
/// 4096 and 8192.
inline constexpr std::int64_t kTileColumns = 4096;
/// The accumulators of a tile's lanes stay in L2: 16 lanes of 4096 float64 columns, or of 2048 for moments.
inline constexpr std::int64_t kTileLaneBytes = 512 << 10;

/// How far ahead rows are asked for (`ahead.hpp`).
inline constexpr std::int64_t kRowsAhead = 8 << 10;

/// Elements of one input as the kernels want them: one element type, native byte order, contiguous.
struct Feed {
  int input;
  DType stored;
  DType element;  // what the reducer sees
  bool swapped;
  bool plain;      // can be read in place where the stride is the item size
  bool converted;  // to `element`, from what is stored
  Coding coding;
  std::int64_t stored_size;
  std::int64_t size;
  int stored_log2;
};

/// What all tiles of a reduction share.
struct FirstPass {
  /// `decoded`: codes of 16-bit floats are read as float32, as they are where there is a mask, and have no
  /// kernels of their own.
  FirstPass(const Reduction& reduction, const ReducePlan& plan, const ReduceKernels& kernels,
            bool decoded = false);

  const Reduction& reduction;
  const ReducePlan& plan;
  const ReduceKernels& kernels;
  bool masked;  // not every element counts
  std::int64_t chunks;
  int feeds = 0;
  Feed feed[kMaxSlots];
  // Slots of one reducer over the same elements share one state: a mean and a deviation are made of the same
  // moments.
  int states = 0;
  int state_of[kMaxSlots];                 // of a slot
  int slot_of[kMaxSlots];                  // of a state: the first that wants it
  int feed_of[kMaxSlots];                  // of a state
  const ReducerKernel* kernel[kMaxSlots];  // of a state
  std::int64_t tile_columns;

  /// Whether neighbours along the inner axis of the nest are nearer than those along the group.
  bool interleaved() const {
    return plan.group_axes > 0 &&
           std::abs(plan.inner.stride[0]) < std::abs(plan.group[plan.group_axes - 1].stride[0]);
  }
};

/// `width` positions along the inner axis of the nest, from `first`, at one position of the outer axes.
struct Tile {
  std::int64_t outer;
  std::int64_t first;
  std::int64_t width;
};

void fold_row_tile(const FirstPass& pass, const Tile& tile, std::int64_t first_chunk, std::int64_t last_chunk,
                   const States* states);
void fold_column_tile(const FirstPass& pass, const Tile& tile, std::int64_t first_chunk,
                      std::int64_t last_chunk, const States* states);

/// Folds chunks [first_chunk, last_chunk) of a tile to states: chunk c of position i to states[s] at
/// c * width + i, for each state s of the pass.
inline void fold_tile(const FirstPass& pass, const Tile& tile, std::int64_t first_chunk,
                      std::int64_t last_chunk, const States* states) {
  const auto fold = pass.plan.columns ? fold_column_tile : fold_row_tile;
  fold(pass, tile, first_chunk, last_chunk, states);
}

}  // namespace ufuse
