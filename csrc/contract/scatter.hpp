// Tiles of sums on their way to a C whose columns do not lie side by side.
#pragma once

#include "contract/bits.hpp"
#include "contract/elements.hpp"
#include "contract/kernels.hpp"
#include "simd/moves.hpp"
#include "simd/transpose.hpp"

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kMaxTileColumns = 48;

/// Where a column or a row of the task's block lies.
UFUSE_INLINE std::int64_t column_offset(const BlockTask& task, std::int64_t j) {
  return task.c_cols->at(task.col0 + j);
}
UFUSE_INLINE std::int64_t row_offset(const BlockTask& task, std::int64_t i) {
  return task.c_rows->at(task.row0 + i);
}

/// Whether `count` columns from j on lie side by side, and rows from i on evenly.
[[gnu::noinline]] inline bool columns_adjacent(const BlockTask& task, std::int64_t j, int count, int size) {
  if (task.c_cols->affine()) return task.c_cols->stride == size;
  for (int q = 1; q < count; ++q)
    if (column_offset(task, j + q) - column_offset(task, j + q - 1) != size) return false;
  return true;
}
[[gnu::noinline]] inline bool rows_even(const BlockTask& task, std::int64_t i, int count) {
  if (task.c_rows->affine() || count < 3) return true;
  const std::int64_t step = row_offset(task, i + 1) - row_offset(task, i);
  for (int r = 2; r < count; ++r)
    if (row_offset(task, i + r) - row_offset(task, i + r - 1) != step) return false;
  return true;
}

/// Moves a tile whose elements have kSize bytes to C: columns that are side by side there, together.
template <int kSize>
[[gnu::noinline]] void scatter_runs(const BlockTask& task, const char* from, std::int64_t from_row,
                                    std::int64_t i, std::int64_t j, int rows, int columns) {
  std::int64_t offset[kMaxTileColumns];
  int runs = 0, begin[kMaxTileColumns + 1];
  for (int q = 0; q < columns; ++q) {
    offset[q] = task.c_rows == nullptr ? (j + q) * kSize : column_offset(task, j + q);
    if (q == 0 || offset[q] != offset[q - 1] + kSize) begin[runs++] = q;
  }
  begin[runs] = columns;
  const std::int64_t step = columns > 1 ? offset[1] - offset[0] : 0;
  bool even = runs == columns;
  for (int q = 2; even && q < columns; ++q) even = offset[q] - offset[q - 1] == step;
  if (even) {
    for (int r = 0; r < rows; ++r, from += from_row) {
      char* to =
          task.c + (task.c_rows == nullptr ? (i + r) * task.c_row : row_offset(task, i + r)) + offset[0];
      for (int q = 0; q < columns; ++q, to += step) std::memcpy(to, from + q * kSize, kSize);
    }
    return;
  }
  for (int r = 0; r < rows; ++r, from += from_row) {
    char* row = task.c + (task.c_rows == nullptr ? (i + r) * task.c_row : row_offset(task, i + r));
    for (int run = 0; run < runs; ++run) {
      const int first = begin[run], bytes = (begin[run + 1] - first) * kSize;
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

/// Moves a finished tile from `from` to C, element by element.
template <class E>
void scatter(const BlockTask& task, const char* from, std::int64_t from_row, std::int64_t i, std::int64_t j,
             int rows, int columns, [[maybe_unused]] std::int64_t local_positions) {
  using Acc = typename E::Accumulator;
  constexpr int kSize = sizeof(Acc), kStored = is_bits<E> ? 1 : kSize;
  if constexpr (!is_bits<E> && !E::kPositions)
    if (!task.add) return scatter_runs<kSize>(task, from, from_row, i, j, rows, columns);
  for (int r = 0; r < rows; ++r, from += from_row) {
    char* row = task.c + (task.c_rows == nullptr ? (i + r) * task.c_row : row_offset(task, i + r));
    UFUSE_ROLLED
    for (int q = 0; q < columns; ++q) {
      char* to = row + (task.c_rows == nullptr ? (j + q) * kStored : column_offset(task, j + q));
      const Acc term = load_as<Acc>(from + q * kSize);
      if constexpr (is_bits<E>) {
        const bool before = task.add && *to != 0;
        *to = static_cast<char>(E::Bits::plus(before ? 1 : 0, E::Bits::value(term) ? 1 : 0));
      } else if constexpr (E::kPositions) {
        if (task.add && !E::Careful::replaces(term, load_as<Acc>(to))) continue;
        std::memcpy(to, &term, kSize);
        std::memcpy(to + task.positions, from + local_positions + q * kSize, kSize);
      } else {
        const Acc sum = E::join(load_as<Acc>(to), term);
        std::memcpy(to, &sum, kSize);
      }
    }
  }
}

/// Asks for where a tile will be scattered to: each column may be another line, and another page.
[[gnu::noinline]] inline void ask_for_tile(const BlockTask& task, std::int64_t i, std::int64_t j, int rows,
                                           int columns) {
  for (int r = 0; r < rows; ++r) {
    const char* row = task.c + task.c_rows->at(task.row0 + i + r);
    for (int q = 0; q < columns; ++q) __builtin_prefetch(row + task.c_cols->at(task.col0 + j + q), 1, 2);
  }
}

/// Whether the panels of columns from j on, a register's lanes of them, hold squares: kLanes registers of
/// columns, of which each is one element further in C than the one before. They are turned, and stored in
/// whole registers.
template <class E>
bool are_squares(const BlockTask& task, std::int64_t j) {
  constexpr int kLanes = E::Vector::size, kColumns = kTileColumns<E>;
  constexpr std::int64_t kSize = sizeof(typename E::Accumulator);
  if (task.cols - j < kLanes * kColumns || task.c_cols->affine()) return false;
  const std::int64_t* offset = task.c_cols->offsets + task.col0 + j;
  for (int square = 0; square < kColumns / kLanes; ++square)
    for (int u = 1; u < kLanes; ++u)
      for (int q = 0; q < kLanes; ++q) {
        const std::int64_t* first = offset + square * kLanes * kLanes + q;
        if (first[u * kLanes] - *first != u * kSize) return false;
      }
  return true;
}

/// Asks for the lines that `rows` rows of squares will be stored to.
template <class E>
void ask_for_squares(const BlockTask& task, std::int64_t i, std::int64_t j, int rows) {
  constexpr int kLanes = E::Vector::size, kColumns = kTileColumns<E>;
  for (int r = 0; r < rows; ++r) {
    const char* row = task.c + row_offset(task, i + r);
    for (int square = 0; square < kColumns / kLanes; ++square)
      for (int q = 0; q < kLanes; ++q)
        __builtin_prefetch(row + column_offset(task, j + square * kLanes * kLanes + q), 1, 2);
  }
}

/// Moves `rows` rows of the tiles of kLanes panels to C.
template <class E>
void store_squares(const BlockTask& task, const char* tiles, std::int64_t i, std::int64_t j, int rows) {
  using V = typename E::Vector;
  constexpr int kLanes = V::size, kVectors = E::kShape.vectors, kBytes = sizeof(V);
  constexpr int kTile = E::kShape.mr * kVectors * kBytes;
  for (int r = 0; r < rows; ++r) {
    char* row = task.c + row_offset(task, i + r);
    for (int square = 0; square < kVectors; ++square) {
      V sums[kLanes];
      UFUSE_UNROLL
      for (int u = 0; u < kLanes; ++u) {
        const int vector = square * kLanes + u;
        sums[u] = V::load(tiles + vector / kVectors * kTile + (r * kVectors + vector % kVectors) * kBytes);
      }
      transpose(sums);
      UFUSE_UNROLL
      for (int q = 0; q < kLanes; ++q) {
        char* to = row + column_offset(task, j + square * kLanes * kLanes + q);
        if (sizeof(V) == 64 && task.stream && reinterpret_cast<std::uintptr_t>(to) % 64 == 0)
          stream_register(to, sums[q]);
        else
          (task.add ? E::join(V::load(to), sums[q]) : sums[q]).store(to);
      }
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
