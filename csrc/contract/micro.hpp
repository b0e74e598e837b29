// Micro-kernels (a tile of C in registers) and the loops around them over one packed block.
//
// Float results: within a k block one fused multiply-add per k, in order, from 0; blocks are added in order.
// Every tile size computes that same sequence for its elements, so the bits depend on neither the position
// in C nor the tier.
#pragma once

#include "contract/elements.hpp"
#include "contract/kernels.hpp"

#if defined(__x86_64__)
#define UFUSE_OPAQUE(vector) __asm__("" : "+v"(vector))
#elif defined(__aarch64__)
#define UFUSE_OPAQUE(vector) __asm__("" : "+w"(vector))
#else
#define UFUSE_OPAQUE(vector) (void)(vector)
#endif

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kMaxTileColumns = 32;
// Few rows wait for B, which comes from memory: it is asked for 4 KB ahead.
inline constexpr int kFewRows = 8, kGroupsAhead = 32;

template <class Acc>
struct Tile {
  std::int64_t groups;
  const char* a;
  std::int64_t a_row, a_k;
  const char* b;
  std::int64_t b_row;
  const char* init;  // a row of accumulators to start from, or null
  char* c;
  std::int64_t c_row;
  bool add;
};

template <class E, int R, int NV, class Rows>
void micro_kernel(const Tile<typename E::Accumulator>& tile) {
  using V = typename E::Vector;
  constexpr int kBytes = sizeof(V);
  V acc[R][NV];
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      acc[r][v] = V{};
      // GCC 12 shares one zero among all accumulators and then spills the copies (u8*s8: 579 instead of
      // 850 GOP/s); it cannot share what it cannot see through.
      UFUSE_OPAQUE(acc[r][v].v);
    }
  }
  if constexpr (E::kTrailer) {
    if (tile.init != nullptr) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) {
        const V start = V::load(tile.init + v * kBytes);
        UFUSE_UNROLL
        for (int r = 0; r < R; ++r) acc[r][v] = start;
      }
    }
  }
  Rows rows(tile.a, tile.a_row, tile.a_k);
  const char* b = tile.b;
  const std::int64_t b_row = tile.b_row;
  UFUSE_ROLLED
  for (std::int64_t g = tile.groups; g > 0; --g) {
    if constexpr (R <= kFewRows)
      for (int v = 0; v < NV; ++v) __builtin_prefetch(b + kGroupsAhead * b_row + v * kBytes, 0, 3);
    E::template step<R, NV>(acc, rows, b);
    rows.next();
    b += b_row;
  }
  char* c = tile.c;
  if (tile.add) {
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r, c += tile.c_row) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) (V::load(c + v * kBytes) + acc[r][v]).store(c + v * kBytes);
    }
  } else {
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r, c += tile.c_row) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v].store(c + v * kBytes);
    }
  }
}

/// The micro-kernel of every row count and register count. Exact rows cost code (about 8 KiB per table with
/// AVX-512) and save the waste where M is small: 16 rows are 14 + 2, not 28.
template <class E, bool kInPlace>
struct MicroTable {
  using Function = void (*)(const Tile<typename E::Accumulator>&);
  Function at[E::kShape.vectors][E::kShape.mr];

  template <int NV, int R>
  constexpr void fill() {
    using Packed = PackedRows<R, kGroupBytes<E> * E::kWordsOfA>;
    at[NV - 1][R - 1] = micro_kernel<E, R, NV, std::conditional_t<kInPlace, StridedRows<R>, Packed>>;
    if constexpr (R > 1)
      fill<NV, R - 1>();
    else if constexpr (NV > 1)
      fill<NV - 1, E::kShape.mr>();
  }
  constexpr MicroTable() : at{} { fill<E::kShape.vectors, E::kShape.mr>(); }
};
template <class E, bool kInPlace>
inline constexpr MicroTable<E, kInPlace> kMicro{};

/// Moves a finished tile from `from` to C, element by element.
template <class Acc>
void scatter(const BlockTask& task, const char* from, std::int64_t from_row, std::int64_t i, std::int64_t j,
             int rows, int columns) {
  constexpr int kSize = sizeof(Acc);
  std::int64_t offset[kMaxTileColumns];
  for (int q = 0; q < columns; ++q)
    offset[q] = task.c_rows == nullptr ? (j + q) * kSize : task.c_cols->at(task.col0 + j + q);
  for (int r = 0; r < rows; ++r, from += from_row) {
    char* row = task.c + (task.c_rows == nullptr ? (i + r) * task.c_row : task.c_rows->at(task.row0 + i + r));
    if (task.add) {
      for (int q = 0; q < columns; ++q) {
        const Acc sum = load_as<Acc>(row + offset[q]) + load_as<Acc>(from + q * kSize);
        std::memcpy(row + offset[q], &sum, kSize);
      }
    } else {
      for (int q = 0; q < columns; ++q) std::memcpy(row + offset[q], from + q * kSize, kSize);
    }
  }
}

template <class E>
void multiply_block(const BlockTask& task) {
  using Acc = typename E::Accumulator;
  constexpr int kRows = E::kShape.mr, kColumns = kTileColumns<E>, kLanes = E::Vector::size;
  constexpr int kAcc = sizeof(Acc);
  static_assert(kColumns <= kMaxTileColumns);
  alignas(64) char local[kRows * kColumns * kAcc];
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  const bool a_in_place = E::kGroup == 1 && task.a_in_place;
  const std::int64_t a_panel = kRows * (a_in_place ? task.a_row : groups * kGroupBytes<E> * E::kWordsOfA);
  for (std::int64_t j = 0; j < task.cols; j += kColumns) {
    const int columns = static_cast<int>(task.cols - j < kColumns ? task.cols - j : kColumns);
    const int vectors = (columns + kLanes - 1) / kLanes;
    const char* b = task.b + j / kColumns * task.b_panel;
    const std::int64_t packed_row = vectors * kLanes * static_cast<std::int64_t>(kGroupBytes<E>);
    const auto* micro = &kMicro<E, false>.at[vectors - 1][0];
    if constexpr (E::kGroup == 1)
      if (a_in_place) micro = &kMicro<E, true>.at[vectors - 1][0];
    Tile<Acc> tile{};
    tile.a_row = task.a_row;
    tile.a_k = task.a_k;
    tile.groups = groups;
    tile.b = b;
    tile.b_row = task.b_in_place ? task.b_row : packed_row;
    tile.init = task.correct ? b + groups * packed_row : nullptr;
    const bool direct = task.c_rows == nullptr && columns == vectors * kLanes;
    tile.add = direct && task.add;
    for (std::int64_t i = 0; i < task.rows; i += kRows) {
      const int rows = static_cast<int>(task.rows - i < kRows ? task.rows - i : kRows);
      tile.a = task.a + i / kRows * a_panel;
      tile.c = direct ? task.c + i * task.c_row + j * kAcc : local;
      tile.c_row = direct ? task.c_row : kColumns * kAcc;
      micro[rows - 1](tile);
      if (!direct) scatter<Acc>(task, local, kColumns * kAcc, i, j, rows, columns);
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
