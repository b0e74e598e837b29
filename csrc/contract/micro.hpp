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

#if defined(__x86_64__)
#define UFUSE_OPAQUE(vector) __asm__("" : "+v"(vector))
#elif defined(__aarch64__)
#define UFUSE_OPAQUE(vector) __asm__("" : "+w"(vector))
#else
#define UFUSE_OPAQUE(vector) (void)(vector)
#endif

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kMaxTileColumns = 48;
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
  int columns;  // where operands are read in place: those of the tile
  // Where terms are numbered: the first one's number, and bytes from C to the numbers.
  std::int64_t k0, positions;
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

/// Both operands where they lie, one k block, and columns that need not fill the registers: small products.
template <class E, int R, int NV>
void micro_kernel_in_place(const Tile<typename E::Accumulator>& tile) {
  using V = typename E::Vector;
  constexpr int kBytes = sizeof(V);
  const Lanes<V> lanes(tile.columns - (NV - 1) * V::size);
  V acc[R][NV];
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      acc[r][v] = E::start();
      UFUSE_OPAQUE(acc[r][v].v);
    }
  }
  StridedRows<R> rows(tile.a, tile.a_row, tile.a_k);
  const char* b = tile.b;
  const std::int64_t b_row = tile.b_row;
  UFUSE_ROLLED
  for (std::int64_t g = tile.groups; g > 0; --g) {
    E::template step_in_part<R, NV>(acc, rows, b, lanes);
    rows.next();
    b += b_row;
  }
  char* c = tile.c;
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r, c += tile.c_row) {
    UFUSE_UNROLL
    for (int v = 0; v < NV - 1; ++v) acc[r][v].store(c + v * kBytes);
    lanes.store(acc[r][NV - 1], c + (NV - 1) * kBytes);
  }
}

/// A few packed rows, B where it lies at offsets along k: sums over windows, whose columns are side by side
/// and whose k are not evenly spaced.
template <class E, int R, int NV>
void micro_kernel_at_offsets(const Tile<typename E::Accumulator>& tile, const std::int64_t* offsets) {
  using V = typename E::Vector;
  constexpr int kBytes = sizeof(V);
  const Lanes<V> lanes(tile.columns - (NV - 1) * V::size);
  V acc[R][NV];
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = E::start();
  }
  PackedRows<R, E::kGroupBytes> rows(tile.a, 0, 0);
  UFUSE_ROLLED
  for (std::int64_t g = 0; g < tile.groups; ++g) {
    E::template step_in_part<R, NV>(acc, rows, tile.b + offsets[g], lanes);
    rows.next();
  }
  char* c = tile.c;
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r, c += tile.c_row) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      char* to = c + v * kBytes;
      const bool last = v == NV - 1;
      if (tile.add) acc[r][v] = E::join(last ? lanes.load(to) : V::load(to), acc[r][v]);
      if (last)
        lanes.store(acc[r][v], to);
      else
        acc[r][v].store(to);
    }
  }
}

/// Registers of columns of a tile of few rows: as many sums as hide the latency of a multiply-add.
inline constexpr int kFewVectors = 4;

template <class E, int R>
void multiply_few_rows(const BlockTask& task) {
  constexpr int kLanes = E::Vector::size, kSize = sizeof(typename E::Accumulator);
  using Kernel = void (*)(const Tile<typename E::Accumulator>&, const std::int64_t*);
  static constexpr Kernel kernels[kFewVectors] = {
      micro_kernel_at_offsets<E, R, 1>, micro_kernel_at_offsets<E, R, 2>, micro_kernel_at_offsets<E, R, 3>,
      micro_kernel_at_offsets<E, R, 4>};
  Tile<typename E::Accumulator> tile{};
  tile.groups = task.k;
  tile.a = task.a;
  tile.c_row = task.c_row;
  tile.add = task.add;
  for (std::int64_t j = 0; j < task.cols; j += kFewVectors * kLanes) {
    const std::int64_t left = task.cols - j;
    tile.columns = static_cast<int>(left < kFewVectors * kLanes ? left : kFewVectors * kLanes);
    tile.b = task.b + j * kSize;
    tile.c = task.c + j * kSize;
    kernels[(tile.columns + kLanes - 1) / kLanes - 1](tile, task.b_offsets);
  }
}

template <class E>
void multiply_few(const BlockTask& task) {
  static_assert(kFewest == 4);
  switch (task.rows) {
    case 1:
      return multiply_few_rows<E, 1>(task);
    case 2:
      return multiply_few_rows<E, 2>(task);
    case 3:
      return multiply_few_rows<E, 3>(task);
    default:
      return multiply_few_rows<E, 4>(task);
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

/// The same of `micro_kernel_in_place`.
template <class E>
struct InPlaceTable {
  using Function = void (*)(const Tile<typename E::Accumulator>&);
  Function at[E::kShape.vectors][E::kShape.mr];

  template <int NV, int R>
  constexpr void fill() {
    at[NV - 1][R - 1] = micro_kernel_in_place<E, R, NV>;
    if constexpr (R > 1)
      fill<NV, R - 1>();
    else if constexpr (NV > 1)
      fill<NV - 1, E::kShape.mr>();
  }
  constexpr InPlaceTable() : at{} { fill<E::kShape.vectors, E::kShape.mr>(); }
};
template <class E>
inline constexpr InPlaceTable<E> kMicroInPlace{};

/// Asks for rows [first, last) of a matrix, `bytes` of each.
inline void ask_for(const char* matrix, std::int64_t row, std::int64_t first, std::int64_t last,
                    std::int64_t bytes) {
  for (std::int64_t i = first; i < last; ++i)
    for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(matrix + i * row + at, 0, 2);
}

/// Items of a batch, one after the other, whose operands and results are used where they lie. Rows are cut
/// evenly: 16 are 8 + 8, since the latency of a multiply-add hides behind 8 rows and not behind 2.
template <class E>
void multiply_items(const ItemsTask& task) {
  using Acc = typename E::Accumulator;
  constexpr int kRows = E::kShape.mr, kColumns = kTileColumns<E>, kLanes = E::Vector::size;
  const std::int64_t tiles = (task.rows + kRows - 1) / kRows, step = (task.rows + tiles - 1) / tiles;
  Tile<Acc> tile{};
  tile.groups = task.k;
  tile.a_row = task.a_row;
  tile.a_k = task.a_k;
  tile.b_row = task.b_row;
  tile.c_row = task.c_row;
  // The operands of the next item come from memory while this one is computed, a part with each tile: 5 % at
  // 128 x 128 and at 48 x 48. Of smaller items the hardware sees to that.
  const std::int64_t parts = tiles * ((task.cols + kColumns - 1) / kColumns);
  const bool along_rows = task.a_k == static_cast<std::int64_t>(sizeof(Acc));
  const std::int64_t a_step = along_rows ? task.a_row : task.a_k;
  const std::int64_t a_rows = along_rows ? task.rows : task.k;
  const std::int64_t a_bytes = (along_rows ? task.k : task.rows) * static_cast<std::int64_t>(sizeof(Acc));
  const std::int64_t b_bytes = task.cols * static_cast<std::int64_t>(sizeof(Acc));
  const bool ahead = a_rows * a_bytes + task.k * b_bytes >= 16384;
  for (std::int64_t item = task.first; item < task.last; ++item) {
    const std::int64_t next = item + 1 < task.last ? item + 1 : item;
    const char *next_a = task.a + task.batch_a->at(next), *next_b = task.b + task.batch_b->at(next);
    std::int64_t part = 0;
    const char* a = task.a + task.batch_a->at(item);
    const char* b = task.b + task.batch_b->at(item);
    char* c = task.c + task.batch_c->at(item);
    for (std::int64_t j = 0; j < task.cols; j += kColumns) {
      const auto columns = static_cast<int>(task.cols - j < kColumns ? task.cols - j : kColumns);
      const auto* micro = &kMicroInPlace<E>.at[(columns + kLanes - 1) / kLanes - 1][0];
      tile.columns = columns;
      tile.b = b + j * static_cast<int>(sizeof(Acc));
      for (std::int64_t i = 0; i < task.rows; i += step) {
        const std::int64_t rows = task.rows - i < step ? task.rows - i : step;
        tile.a = a + i * task.a_row;
        tile.c = c + i * task.c_row + j * static_cast<int>(sizeof(Acc));
        if (ahead) {
          ask_for(next_a, a_step, a_rows * part / parts, a_rows * (part + 1) / parts, a_bytes);
          ask_for(next_b, task.b_row, task.k * part / parts, task.k * (part + 1) / parts, b_bytes);
          ++part;
        }
        micro[rows - 1](tile);
      }
    }
  }
}

/// Moves a finished tile from `from` to C, element by element.
template <class E>
void scatter(const BlockTask& task, const char* from, std::int64_t from_row, std::int64_t i, std::int64_t j,
             int rows, int columns, [[maybe_unused]] std::int64_t local_positions) {
  using Acc = typename E::Accumulator;
  constexpr int kSize = sizeof(Acc), kStored = is_bits<E> ? 1 : kSize;
  std::int64_t offset[kMaxTileColumns];
  for (int q = 0; q < columns; ++q)
    offset[q] = task.c_rows == nullptr ? (j + q) * kStored : task.c_cols->at(task.col0 + j + q);
  // Columns that are side by side in C are moved together.
  int runs = 0, begin[kMaxTileColumns + 1];
  for (int q = 0; q < columns; ++q)
    if (q == 0 || offset[q] != offset[q - 1] + kStored) begin[runs++] = q;
  begin[runs] = columns;
  for (int r = 0; r < rows; ++r, from += from_row) {
    char* row = task.c + (task.c_rows == nullptr ? (i + r) * task.c_row : task.c_rows->at(task.row0 + i + r));
    if constexpr (is_bits<E>) {
      for (int q = 0; q < columns; ++q) {
        const bool block = E::Bits::value(load_as<Acc>(from + q * kSize));
        const bool before = task.add && row[offset[q]] != 0;
        row[offset[q]] = static_cast<char>(E::Bits::plus(before ? 1 : 0, block ? 1 : 0));
      }
    } else if constexpr (E::kPositions) {
      for (int q = 0; q < columns; ++q) {
        char* to = row + offset[q];
        const Acc term = load_as<Acc>(from + q * kSize);
        if (task.add && !E::Careful::replaces(term, load_as<Acc>(to))) continue;
        std::memcpy(to, &term, kSize);
        std::memcpy(to + task.positions, from + local_positions + q * kSize, kSize);
      }
    } else if (task.add) {
      for (int q = 0; q < columns; ++q) {
        const Acc sum = E::join(load_as<Acc>(row + offset[q]), load_as<Acc>(from + q * kSize));
        std::memcpy(row + offset[q], &sum, kSize);
      }
    } else {
      for (int i_run = 0; i_run < runs; ++i_run) {
        const int first = begin[i_run], bytes = (begin[i_run + 1] - first) * kSize;
        char* to = row + offset[first];
        const char* part = from + first * kSize;
        if (bytes == 64)
          std::memcpy(to, part, 64);
        else if (bytes == kSize)
          std::memcpy(to, part, kSize);
        else
          std::memcpy(to, part, static_cast<std::size_t>(bytes));
      }
    }
  }
}

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

/// Asks for where a tile will be scattered to: each column may be another line, and another page.
template <class E>
void ask_for_tile(const BlockTask& task, std::int64_t i, std::int64_t j, int rows, int columns) {
  for (int r = 0; r < rows; ++r) {
    const char* row = task.c + task.c_rows->at(task.row0 + i + r);
    for (int q = 0; q < columns; ++q) __builtin_prefetch(row + task.c_cols->at(task.col0 + j + q), 1, 2);
  }
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
    const int columns = static_cast<int>(task.cols - j < kColumns ? task.cols - j : kColumns);
    const int vectors = kernel_vectors<E>(columns);
    const char* b = task.b + j / kColumns * task.b_panel;
    const std::int64_t packed_row = vectors * kLanes * static_cast<std::int64_t>(E::kGroupBytes);
    const auto* micro = micro_kernels<E>(vectors, task, b + groups * packed_row);
    if constexpr (E::kInPlace)
      if (a_in_place) micro = &kMicro<E, true>.at[vectors - 1][0];
    Tile<Acc> tile{};
    tile.a_row = task.a_row;
    tile.a_k = task.a_k;
    tile.groups = groups;
    tile.b = b;
    tile.b_row = task.b_in_place ? task.b_row : packed_row;
    tile.init = task.correct ? b + groups * packed_row : nullptr;
    tile.k0 = task.k0;
    const bool whole = !is_bits<E> && task.c_rows == nullptr && columns == vectors * kLanes;
    for (std::int64_t i = 0; i < task.rows; i += kRows) {
      const int rows = static_cast<int>(task.rows - i < kRows ? task.rows - i : kRows);
      const int taken = kernel_rows<E>(rows);
      const bool direct = whole && taken == rows;
      tile.a = task.a + i / kRows * a_panel;
      tile.add = direct && task.add;
      tile.c = direct ? task.c + i * task.c_row + j * kAcc : local;
      tile.c_row = direct ? task.c_row : kColumns * kAcc;
      tile.positions = direct ? task.positions : kLocal;
      if (task.c_rows != nullptr) ask_for_tile<E>(task, i, j, rows, columns);
      micro[taken - 1](tile);
      if (!direct) scatter<E>(task, local, kColumns * kAcc, i, j, rows, columns, kLocal);
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
