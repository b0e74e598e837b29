// Micro-kernels (a tile of C in registers) and the loops around them over one packed block.
//
// Float results: within a k block one fused multiply-add per k, in order, from 0; blocks are added in order.
// Every tile size computes that same sequence for its elements, so the bits depend on neither the position
// in C nor the tier.
#pragma once

#include "contract/bfloat.hpp"
#include "contract/bits.hpp"
#include "contract/elements.hpp"
#include "contract/kernels.hpp"
#include "contract/scatter.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// Panels stream through the L1 cache from L2, or from further away, and the hardware's prefetcher follows
// late: they are asked for some groups of k ahead. One core of a Granite Rapids, float32, the loop over
// panels alone: 0.81 -> 0.89 of the peak that it sustains; 4 groups 0.86, 16 0.885, 32 0.87. Few rows wait
// for B, which comes from memory: 4 KB ahead. The tile of C is asked for before its first k: float64 2048^3
// another 1 to 2 %.
//
// The panel of B that comes next lies in the last cache, which one tile's prefetches do not hide: each tile
// asks for its share of it, into L2.
inline constexpr int kFewRows = 8, kGroupsAhead = 8, kGroupsAheadOfFew = 32;

template <class Acc>
struct Tile {
  std::int64_t groups;
  const char* a;
  std::int64_t a_row, a_k;
  const char* b;
  std::int64_t b_row;
  const char* init;  // a row of accumulators to start from, or null
  const char* next;  // what is asked for, so many bytes further with each group
  std::int64_t next_step;
  char* c;
  std::int64_t c_row;
  bool add;
  int columns;  // where operands are read in place: those of the tile
  // Where terms are numbered: the first one's number, and bytes from C to the numbers.
  std::int64_t k0, positions;
};

template <class E, int R, int NV, class Rows>
void micro_kernel(const Tile<typename E::Accumulator>& tile) {
  using V = typename E::Vector;
  constexpr int kBytes = sizeof(V);
  constexpr bool kFew = R <= kFewRows && R < E::kShape.mr;
  V acc[R][NV];
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      acc[r][v] = E::start();
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
  if constexpr (Rows::kPacked && !E::kSpecials) {  // a semiring takes longer for a tile
    const char* line = tile.c;
    UFUSE_ROLLED
    for (int r = 0; r < R; ++r, line += tile.c_row) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) __builtin_prefetch(line + v * kBytes, 1, 3);
    }
  }
  Rows rows(tile.a, tile.a_row, tile.a_k);
  const char* b = tile.b;
  const std::int64_t b_row = tile.b_row;
  const char* next = tile.next;
  const std::int64_t next_step = tile.next_step;
  UFUSE_ROLLED
  for (std::int64_t g = tile.groups; g > 0; --g) {
    if constexpr (Rows::kPacked || kFew) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v)
        __builtin_prefetch(b + (kFew ? kGroupsAheadOfFew : kGroupsAhead) * b_row + v * kBytes, 0, 3);
    }
    if constexpr (Rows::kPacked && !kFew) {
      rows.ask(kGroupsAhead);
      __builtin_prefetch(next, 0, 2);
      next += next_step;
    }
    E::template step<R, NV>(acc, rows, b);
    rows.next();
    b += b_row;
  }
  char* c = tile.c;
  if (tile.add) {
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r, c += tile.c_row) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) E::join(V::load(c + v * kBytes), acc[r][v]).store(c + v * kBytes);
    }
  } else {
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r, c += tile.c_row) {
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v].store(c + v * kBytes);
    }
  }
}

/// Rows of the micro-kernel that takes a panel of `rows`: as many, or one and all. Exact rows cost code
/// (about 8 KiB per table with AVX-512) and save the waste where M is small: 16 rows are 14 + 2, not 28.
template <class E>
constexpr int kernel_rows(int rows) {
  return E::kEveryRowCount || rows == 1 ? rows : E::kShape.mr;
}

/// Registers of columns of a panel of `columns`, likewise.
template <class E>
constexpr int kernel_vectors(int columns) {
  constexpr int kLanes = E::Vector::size;
  const int vectors = (columns + kLanes - 1) / kLanes;
  return E::kEveryRowCount || vectors <= 1 ? vectors : E::kShape.vectors;
}

template <class E, int R, int NV, class Rows>
void position_kernel(const Tile<typename E::Accumulator>& tile);  // args.hpp

template <class E, bool kInPlace>
struct MicroTable {
  using Function = void (*)(const Tile<typename E::Accumulator>&);
  Function at[E::kShape.vectors][E::kShape.mr];

  template <int NV, int R>
  constexpr void fill() {
    using Packed = PackedRows<R, E::kGroupBytes * E::kWordsOfA>;
    if constexpr (kernel_rows<E>(R) != R || kernel_vectors<E>(NV * E::Vector::size) != NV)
      at[NV - 1][R - 1] = nullptr;
    else if constexpr (E::kPositions)
      at[NV - 1][R - 1] = position_kernel<E, R, NV, Packed>;
    else
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

/// The micro-kernels for what is in a panel of A and of B.
template <class E>
UFUSE_INLINE const typename MicroTable<E, false>::Function* micro_kernels(int vectors, const BlockTask& task,
                                                                          const char* trailer) {
  if constexpr (E::kSpecials) {
    if (E::Semiring::careful(task.specials, load_as<unsigned>(trailer)))
      return &kMicro<typename E::Careful, false>.at[vectors - 1][0];
  }
  return &kMicro<E, false>.at[vectors - 1][0];
}

/// One panel of columns: what its tiles have in common, and the micro-kernels for them.
template <class E>
struct PanelOfColumns {
  using Function = typename MicroTable<E, false>::Function;
  Tile<typename E::Accumulator> tile{};
  const Function* micro;
  int columns, vectors;
  const char* next;    // the panel that follows
  std::int64_t share;  // of it, for each tile

  UFUSE_INLINE PanelOfColumns(const BlockTask& task, std::int64_t j, std::int64_t groups, bool a_in_place) {
    constexpr int kRows = E::kShape.mr, kColumns = kTileColumns<E>, kLanes = E::Vector::size;
    columns = static_cast<int>(task.cols - j < kColumns ? task.cols - j : kColumns);
    vectors = kernel_vectors<E>(columns);
    const char* b = task.b + j / kColumns * task.b_panel;
    const std::int64_t packed_row = vectors * kLanes * static_cast<std::int64_t>(E::kGroupBytes);
    micro = micro_kernels<E>(vectors, task, b + groups * packed_row);
    if constexpr (E::kInPlace)
      if (a_in_place) micro = &kMicro<E, true>.at[vectors - 1][0];
    tile.a_row = task.a_row;
    tile.a_k = task.a_k;
    tile.groups = groups;
    tile.b = b;
    tile.b_row = task.b_in_place ? task.b_row : packed_row;
    tile.init = task.correct ? b + groups * packed_row : nullptr;
    tile.k0 = task.k0;
    const bool last = j + kColumns >= task.cols;
    next = last ? task.b : b + task.b_panel;
    share = task.rows > kRows && !task.b_in_place ? task.b_panel / ((task.rows + kRows - 1) / kRows) : 0;
    tile.next_step = groups > 0 ? (share + groups - 1) / groups : 0;
  }

  /// Points the tile at its rows.
  UFUSE_INLINE void aim(const char* a, std::int64_t panel_of_rows) {
    tile.a = a;
    tile.next = next + panel_of_rows * share;
  }
};

/// A register's lanes of panels from column j on, whose sums are stored in squares.
template <class E>
void multiply_squares(const BlockTask& task, std::int64_t j, std::int64_t groups, std::int64_t a_panel,
                      bool a_in_place) {
  constexpr int kRows = E::kShape.mr, kColumns = kTileColumns<E>, kLanes = E::Vector::size;
  constexpr std::int64_t kRow = kColumns * sizeof(typename E::Accumulator), kTile = kRows * kRow;
  alignas(64) char tiles[kLanes * kTile];
  for (std::int64_t i = 0; i < task.rows; i += kRows) {
    const int rows = static_cast<int>(task.rows - i < kRows ? task.rows - i : kRows);
    if (!task.stream) ask_for_squares<E>(task, i, j, rows);
    for (int p = 0; p < kLanes; ++p) {
      PanelOfColumns<E> panel(task, j + p * kColumns, groups, a_in_place);
      panel.aim(task.a + i / kRows * a_panel, i / kRows);
      panel.tile.c = tiles + p * kTile;
      panel.tile.c_row = kRow;
      panel.micro[kernel_rows<E>(rows) - 1](panel.tile);
    }
    store_squares<E>(task, tiles, i, j, rows);
  }
#if defined(__x86_64__)
  if (task.stream) _mm_sfence();  // before others are told that it is done
#endif
}

template <class E>
void multiply_block(const BlockTask& task) {
  using Acc = typename E::Accumulator;
  constexpr int kRows = E::kShape.mr, kColumns = kTileColumns<E>, kLanes = E::Vector::size;
  constexpr int kAcc = sizeof(Acc);
  static_assert(kColumns <= kMaxTileColumns);
  [[maybe_unused]] std::conditional_t<E::kFlush, FlushDenormals, int> flushed{};
  constexpr std::int64_t kLocal = kRows * kColumns * kAcc;
  alignas(64) char local[(E::kPositions ? 2 : 1) * kLocal];
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  const bool a_in_place = E::kInPlace && task.a_in_place;
  const std::int64_t a_panel = kRows * (a_in_place ? task.a_row : groups * E::kGroupBytes * E::kWordsOfA);
  for (std::int64_t j = 0; j < task.cols; j += kColumns) {
    if constexpr (E::kSquares) {
      if (task.c_rows != nullptr && are_squares<E>(task, j)) {
        multiply_squares<E>(task, j, groups, a_panel, a_in_place);
        j += (kLanes - 1) * kColumns;
        continue;
      }
    }
    PanelOfColumns<E> panel(task, j, groups, a_in_place);
    auto& tile = panel.tile;
    const int columns = panel.columns;
    const bool scattered = task.c_rows != nullptr;
    const bool whole = !is_bits<E> && columns == panel.vectors * kLanes &&
                       (!scattered || columns_adjacent(task, j, columns, kAcc));
    for (std::int64_t i = 0; i < task.rows; i += kRows) {
      const int rows = static_cast<int>(task.rows - i < kRows ? task.rows - i : kRows);
      const int taken = kernel_rows<E>(rows);
      const bool direct = whole && taken == rows && (!scattered || rows_even(task, i, rows));
      panel.aim(task.a + i / kRows * a_panel, i / kRows);
      tile.add = direct && task.add;
      if (!direct) {
        tile.c = local;
        tile.c_row = kColumns * kAcc;
      } else if (!scattered) {
        tile.c = task.c + i * task.c_row + j * kAcc;
        tile.c_row = task.c_row;
      } else {
        tile.c = task.c + row_offset(task, i) + column_offset(task, j);
        tile.c_row = rows > 1 ? row_offset(task, i + 1) - row_offset(task, i) : 0;
      }
      tile.positions = direct ? task.positions : kLocal;
      if (!direct && scattered) ask_for_tile(task, i, j, rows, columns);
      panel.micro[taken - 1](tile);
      if (!direct) scatter<E>(task, local, kColumns * kAcc, i, j, rows, columns, kLocal);
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
