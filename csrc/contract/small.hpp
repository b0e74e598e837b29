// Small products, whose operands are read where they lie: batches of them, and few rows at offsets along k.
#pragma once

#include "contract/along_rows.hpp"
#include "contract/micro.hpp"
#include "simd/moves.hpp"

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
  [[maybe_unused]] const char* next = tile.next;
  [[maybe_unused]] const std::int64_t next_step = tile.next_step;
  UFUSE_ROLLED
  for (std::int64_t g = tile.groups; g > 0; --g) {
    if constexpr (NV > 1) {  // items of one register of columns are small
      __builtin_prefetch(next, 0, 2);
      next += next_step;
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

/// The operands of the next item of a batch come from memory while this one is computed: each tile asks for
/// its share, line after line with its k where the rows of a matrix follow each other, else all at once.
template <class E>
class NextItem {
 public:
  NextItem(const ItemsTask& task, std::int64_t tiles) : task_(task), tiles_(tiles) {
    constexpr std::int64_t kSize = sizeof(typename E::Accumulator);
    const bool along_rows = task.a_k == kSize;
    a_ = along_rows ? Rows{task.a_row, task.rows, task.k * kSize} : Rows{task.a_k, task.k, task.rows * kSize};
    b_ = {task.b_row, task.k, task.cols * kSize};
    // Of smaller items the hardware sees to that.
    worth_ = a_.count * a_.bytes + b_.count * b_.bytes >= 16384;
  }

  void start(std::int64_t item) {
    item_ = item + 1 < task_.last ? item + 1 : item;
    part_ = 0;
  }

  /// What the tile asks for: the first half of the tiles A, the others B.
  UFUSE_INLINE void ask(Tile<typename E::Accumulator>& tile) {
    tile.next = tile.b;
    tile.next_step = 0;
    if (!worth_) return;
    const std::int64_t half = (tiles_ + 1) / 2;
    if (part_ < half)
      share(tile, task_.a + task_.batch_a->at(item_), a_, part_, half);
    else
      share(tile, task_.b + task_.batch_b->at(item_), b_, part_ - half, tiles_ - half);
    ++part_;
  }

 private:
  struct Rows {
    std::int64_t stride, count, bytes;
  };
  static void share(Tile<typename E::Accumulator>& tile, const char* matrix, const Rows& rows,
                    std::int64_t part, std::int64_t parts) {
    if (rows.stride == rows.bytes) {
      const std::int64_t bytes = rows.count * rows.bytes / parts;
      tile.next = matrix + part * bytes;
      tile.next_step = (bytes + tile.groups - 1) / tile.groups;
      return;
    }
    for (std::int64_t i = rows.count * part / parts; i < rows.count * (part + 1) / parts; ++i)
      for (std::int64_t at = 0; at < rows.bytes; at += 64)
        __builtin_prefetch(matrix + i * rows.stride + at, 0, 2);
  }

  const ItemsTask& task_;
  std::int64_t tiles_, item_ = 0, part_ = 0;
  Rows a_, b_;
  bool worth_;
};

/// Results of several items on their way past the caches, in whole lines, since what lies there would be read
/// first: 20000 of 16^3 float32, two threads, 11 % from memory, and 17 % the other way where a last cache of
/// hundreds of megabytes holds them; 100000 of 9^3 15 %.
template <class V>
class Leaving {
 public:
  /// Items of so many bytes, one after the other from `to` on.
  Leaving(bool wanted, std::int64_t bytes, char* to) : item_(bytes), to_(to) {
    wanted_ = wanted && bytes <= kBytes;
    const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % kLine);
    begin_ = end_ = past;
    to_ -= past;
  }
  ~Leaving() {
    if (!wanted_) return;
    flush();
    copy(to_ + begin_, begin_, end_);
#if defined(__x86_64__)
    _mm_sfence();  // before others are told that it is done
#endif
  }
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

  /// Where the next item is put, whose place is `c`.
  char* place(char* c) {
    if (!wanted_) return c;
    if (end_ + item_ > kBytes + kLine) flush();
    end_ += item_;
    return held_ + end_ - item_;
  }

 private:
  static constexpr std::int64_t kBytes = 8 << 10, kLine = 64;

  [[gnu::noinline]] void copy(char* to, std::int64_t from, std::int64_t end) const {
    UFUSE_ROLLED
    for (; from < end; ++from) *to++ = held_[from];
  }
  /// What fills lines leaves; the rest moves to the front.
  [[gnu::noinline]] void flush() {
    const std::int64_t whole = end_ / kLine * kLine;
    std::int64_t at = 0;
    if (begin_ > 0 && whole > 0) {  // the first line is not all ours
      copy(to_ + begin_, begin_, kLine);
      at = kLine;
    }
    for (; at < whole; at += sizeof(V)) stream_register(to_ + at, V::load(held_ + at));
    if (whole == 0) return;
    for (std::int64_t i = whole; i < end_; ++i) held_[i - whole] = held_[i];
    to_ += whole;
    end_ -= whole;
    begin_ = 0;
  }

  std::int64_t item_, begin_, end_;
  char* to_;
  bool wanted_;
  alignas(64) char held_[kBytes + kLine];
};

/// Rows of tiles from which on a panel of B is copied into one piece first: where its rows are 512 bytes
/// apart, 128 of them share a quarter of the sets of the L1 cache.
inline constexpr std::int64_t kCopiedTiles = 3, kCopiedBytes = 32 << 10;

/// Items of a batch, one after the other, whose operands and results are used where they lie. Rows are cut
/// evenly: 16 are 8 + 8, since the latency of a multiply-add hides behind 8 rows and not behind 2.
template <class E>
void multiply_items(const ItemsTask& task) {
  using Acc = typename E::Accumulator;
  using V = typename E::Vector;
  constexpr int kRows = E::kShape.mr, kColumns = kTileColumns<E>, kLanes = V::size;
  constexpr std::int64_t kSize = sizeof(Acc), kPanelRow = kColumns * kSize;
  alignas(64) char copied[kCopiedBytes];
  const std::int64_t tiles = (task.rows + kRows - 1) / kRows, step = (task.rows + tiles - 1) / tiles;
  Tile<Acc> tile{};
  tile.groups = task.k;
  tile.a_row = task.a_row;
  tile.a_k = task.a_k;
  tile.c_row = task.c_row;
  const bool copy = tiles >= kCopiedTiles && task.cols > kColumns && task.k * kPanelRow <= kCopiedBytes;
  const std::int64_t item_bytes = task.rows * task.c_row;
  const bool contiguous =
      task.c_row == task.cols * kSize && task.batch_c->affine() && task.batch_c->stride == item_bytes;
  Leaving<V> leaving(task.stream && contiguous, item_bytes, task.c + task.batch_c->at(task.first));
  NextItem<E> next(task, tiles * ((task.cols + kColumns - 1) / kColumns));
  for (std::int64_t item = task.first; item < task.last; ++item) {
    next.start(item);
    const char* a = task.a + task.batch_a->at(item);
    const char* b = task.b + task.batch_b->at(item);
    char* c = leaving.place(task.c + task.batch_c->at(item));
    for (std::int64_t j = 0; j < task.cols; j += kColumns) {
      const auto columns = static_cast<int>(task.cols - j < kColumns ? task.cols - j : kColumns);
      const auto* micro = &kMicroInPlace<E>.at[(columns + kLanes - 1) / kLanes - 1][0];
      tile.columns = columns;
      tile.b = b + j * kSize;
      tile.b_row = task.b_row;
      if (copy && columns == kColumns) {
        UFUSE_ROLLED
        for (std::int64_t k = 0; k < task.k; ++k) {
          UFUSE_UNROLL
          for (int v = 0; v < E::kShape.vectors; ++v)
            V::load(tile.b + k * task.b_row + v * kLanes * kSize)
                .store(copied + k * kPanelRow + v * kLanes * kSize);
        }
        tile.b = copied;
        tile.b_row = kPanelRow;
      }
      for (std::int64_t i = 0; i < task.rows; i += step) {
        const std::int64_t rows = task.rows - i < step ? task.rows - i : step;
        tile.a = a + i * task.a_row;
        tile.c = c + i * task.c_row + j * kSize;
        next.ask(tile);
        micro[rows - 1](tile);
      }
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
