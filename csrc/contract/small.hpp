// Small products, whose operands are read where they lie: batches of them, and few rows at offsets along k.
#pragma once

#include "contract/along_rows.hpp"
#include "contract/micro.hpp"

namespace ufuse {
namespace UFUSE_TIER {

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
    if constexpr (NV > 1) {  // rows of 512 bytes share few sets of the L1 cache
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) __builtin_prefetch(b + kGroupsAhead * b_row + v * kBytes, 0, 3);
    }
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
void multiply_at_offsets(const BlockTask& task) {
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
  const bool even = task.b_offsets == nullptr;
  switch (task.rows) {
    case 1:
      return even ? AlongRows<E, 1>::run(task) : multiply_at_offsets<E, 1>(task);
    case 2:
      return even ? AlongRows<E, 2>::run(task) : multiply_at_offsets<E, 2>(task);
    case 3:
      return even ? AlongRows<E, 3>::run(task) : multiply_at_offsets<E, 3>(task);
    default:
      return even ? AlongRows<E, 4>::run(task) : multiply_at_offsets<E, 4>(task);
  }
}

/// `micro_kernel_in_place` of every row count and register count.
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

}  // namespace UFUSE_TIER
}  // namespace ufuse
