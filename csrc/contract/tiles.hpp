// Products on the tiles of AMX: of 8-bit integers, int8.hpp's results, sums that are exact modulo 2^32; and
// of bfloat16, in the instruction's own order: per 32 k from 0 a sum of the even terms and one of the odd
// ones, by fused multiply-adds; both are added, then to the accumulator. Denormals count as 0.
//
// A tile is 16 rows of 64 bytes. The micro-kernel has 2 x 2 of them as accumulators, and per step of 64 bytes
// of k two of A (rows) and two of B (16 groups of 4 bytes of k, of 16 columns: how int8.hpp and bfloat.hpp
// pack B). Rows and columns that fill no tile are a matter of configuration; k is padded with zeros as it is
// packed.
//
// The instructions are written out, so that no flag is needed to compile them: only a processor that has
// them, and a process that may use them (core/tiers.cpp), gets here.
#pragma once

#include "contract/bfloat.hpp"
#include "contract/int8.hpp"
#include "contract/micro.hpp"
#include "contract/pack_tiles.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// What ldtilecfg reads. Tiles 0 to 3 are accumulators, 4 and 5 of A, 6 and 7 of B.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  /// For that many rows and columns of C, up to 32 each.
  TileConfig(int c_rows, int c_columns) {
    for (int i = 0; i < 2; ++i) {
      const int left_rows = part(c_rows, i);
      for (int j = 0; j < 2; ++j) set(2 * i + j, left_rows, part(c_columns, j) * 4);
      set(4 + i, left_rows, kTileBytes);
      set(6 + i, kTileRows, part(c_columns, i) * 4);
    }
  }

 private:
  static int part(int count, int index) {
    const int left = count - index * kTileRows;
    return left < 0 ? 0 : left > kTileRows ? kTileRows : left;
  }
  void set(int tile, int count, int bytes) {
    if (count == 0 || bytes == 0) return;  // a tile has both or neither
    rows[tile] = static_cast<std::uint8_t>(count);
    row_bytes[tile] = static_cast<std::uint16_t>(bytes);
  }
};

/// Tiles are configured from the first use on, and released at the end, so that a thread that is put aside
/// does not carry 8 KB of them.
class TileUse {
 public:
  TileUse() = default;
  TileUse(const TileUse&) = delete;
  TileUse& operator=(const TileUse&) = delete;
  ~TileUse() {
    if (used_) __asm__ volatile("tilerelease" ::: "memory");
  }
  void configure(int rows, int columns) {
    const TileConfig config(rows, columns);
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
    used_ = true;
  }

 private:
  bool used_ = false;
};

#define UFUSE_TILE_LOAD(tile, from, row) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile::"r"(from), "r"(row) : "memory")
#define UFUSE_TILE_STREAM(tile, from, row) \
  __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #tile::"r"(from), "r"(row) : "memory")
#define UFUSE_TILE_STORE(tile, to, row) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(row) : "memory")
#define UFUSE_TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile::)
#define UFUSE_TILE_DOT(acc, a, b)                                           \
  do {                                                                      \
    if constexpr (E::kSignedRows)                                           \
      __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #acc::);   \
    else if constexpr (kIsInt8<E>)                                          \
      __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #acc::);   \
    else                                                                    \
      __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #acc::); \
  } while (false)

template <class E>
inline constexpr bool kIsInt8 = sizeof(typename E::Storage) == 1;

/// One part of C, up to 2 x 2 tiles.
struct TilesTask {
  std::int64_t steps;  // of 64 bytes of k
  const char* a;
  std::int64_t a_step, b_step;  // bytes from one step to the next
  const char* b;
  std::int64_t b_row;
  const char* init;  // a row of accumulators to start from, or null
  char* c;
  std::int64_t c_row;
};

// Few rows wait for B, which comes from memory.
inline constexpr int kBytesAhead = 4096;

// A stays in the L1 cache while B passes by: 32 rows of 1024 k and as many columns do not fit it together.
// Loads that leave nothing there took the loop over k from 3.6 to 4.8 TOP/s (Granite Rapids, one core; the
// dot products alone 6.9, with a load for each from L1 5.3).
template <class E, bool kTwoRows, bool kTwoColumns>
void tile_kernel(const TilesTask& task) {
  if (task.init != nullptr) {
    const std::int64_t same_row = 0;
    UFUSE_TILE_LOAD(0, task.init, same_row);
    if constexpr (kTwoColumns) UFUSE_TILE_LOAD(1, task.init + kTileBytes, same_row);
    if constexpr (kTwoRows) UFUSE_TILE_LOAD(2, task.init, same_row);
    if constexpr (kTwoRows && kTwoColumns) UFUSE_TILE_LOAD(3, task.init + kTileBytes, same_row);
  } else {
    UFUSE_TILE_ZERO(0);
    if constexpr (kTwoColumns) UFUSE_TILE_ZERO(1);
    if constexpr (kTwoRows) UFUSE_TILE_ZERO(2);
    if constexpr (kTwoRows && kTwoColumns) UFUSE_TILE_ZERO(3);
  }
  const char *a = task.a, *b = task.b;
  const std::int64_t a_row = kTileBytes, b_row = task.b_row;
  UFUSE_ROLLED
  for (std::int64_t step = task.steps; step > 0; --step) {
    if constexpr (!kTwoRows) {
      UFUSE_UNROLL
      for (int i = 0; i < kTileRows; ++i) {
        __builtin_prefetch(b + kBytesAhead + i * b_row, 0, 3);
        if constexpr (kTwoColumns) __builtin_prefetch(b + kBytesAhead + i * b_row + kTileBytes, 0, 3);
      }
    }
    UFUSE_TILE_STREAM(6, b, b_row);
    UFUSE_TILE_LOAD(4, a, a_row);
    UFUSE_TILE_DOT(0, 4, 6);
    if constexpr (kTwoColumns) {
      UFUSE_TILE_STREAM(7, b + kTileBytes, b_row);
      UFUSE_TILE_DOT(1, 4, 7);
    }
    if constexpr (kTwoRows) {
      UFUSE_TILE_LOAD(5, a + kTileRows * kTileBytes, a_row);
      UFUSE_TILE_DOT(2, 5, 6);
      if constexpr (kTwoColumns) UFUSE_TILE_DOT(3, 5, 7);
    }
    a += task.a_step;
    b += task.b_step;
  }
  char *c = task.c, *below = c + kTileRows * task.c_row;
  UFUSE_TILE_STORE(0, c, task.c_row);
  if constexpr (kTwoColumns) UFUSE_TILE_STORE(1, c + kTileBytes, task.c_row);
  if constexpr (kTwoRows) UFUSE_TILE_STORE(2, below, task.c_row);
  if constexpr (kTwoRows && kTwoColumns) UFUSE_TILE_STORE(3, below + kTileBytes, task.c_row);
}

#undef UFUSE_TILE_LOAD
#undef UFUSE_TILE_STREAM
#undef UFUSE_TILE_STORE
#undef UFUSE_TILE_ZERO
#undef UFUSE_TILE_DOT

using TileKernel = void (*)(const TilesTask&);
template <class E>
inline constexpr TileKernel kTileKernels[2][2] = {{tile_kernel<E, false, false>, tile_kernel<E, false, true>},
                                                  {tile_kernel<E, true, false>, tile_kernel<E, true, true>}};

/// Adds finished rows to those of C.
template <class E>
void add_rows(const char* from, char* c, std::int64_t c_row, int rows, int columns) {
  using V = typename E::Vector;
  for (int r = 0; r < rows; ++r, from += kTileWidth * 4, c += c_row) {
    int q = 0;
    for (; q + V::size <= columns; q += V::size)
      E::join(V::load(c + 4 * q), V::load(from + 4 * q)).store(c + 4 * q);
    if (q < columns) {
      const Lanes<V> lanes(columns - q);
      lanes.store(E::join(lanes.load(c + 4 * q), V::load(from + 4 * q)), c + 4 * q);
    }
  }
}

/// Asks for rows of C that will be added to.
inline void ask_for_rows(const char* c, std::int64_t c_row, int rows) {
  if (c == nullptr) return;
  for (int r = 0; r < rows; ++r, c += c_row) {
    __builtin_prefetch(c, 1, 2);
    __builtin_prefetch(c + kTileBytes, 1, 2);
  }
}

/// Panels of A and B [first, last) of whole ones, or the one that is left, which has a configuration of its
/// own.
struct Panels {
  std::int64_t first, last;
  int width;
};
inline int panels_of(std::int64_t size, Panels (&found)[2]) {
  const std::int64_t whole = size / kTileWidth;
  int count = 0;
  if (whole > 0) found[count++] = {0, whole, kTileWidth};
  if (size % kTileWidth != 0) found[count++] = {whole, whole + 1, static_cast<int>(size % kTileWidth)};
  return count;
}

/// Packed A for micro-kernels of registers: 64 k of a row, then on to the next step, `a_row` bytes away.
template <int R>
struct TileRows {
  static constexpr bool kPacked = false;  // not side by side: nothing is asked for ahead
  const char* p;
  std::int64_t skip;
  UFUSE_INLINE TileRows(const char* a, std::int64_t a_row, std::int64_t) : p(a), skip(a_row - kTileBytes) {}
  UFUSE_INLINE const char* at(int r) const { return p + r * kTileBytes; }
  UFUSE_INLINE void next() {
    p += 4;
    p += reinterpret_cast<std::uintptr_t>(p) % kTileBytes == 0 ? skip : 0;
  }
};

using RegisterKernel = void (*)(const Tile<std::int32_t>&);
template <class E, int NV>
inline constexpr RegisterKernel kRegisterKernels[kFewRows] = {
    micro_kernel<E, 1, NV, TileRows<1>>, micro_kernel<E, 2, NV, TileRows<2>>,
    micro_kernel<E, 3, NV, TileRows<3>>, micro_kernel<E, 4, NV, TileRows<4>>,
    micro_kernel<E, 5, NV, TileRows<5>>, micro_kernel<E, 6, NV, TileRows<6>>,
    micro_kernel<E, 7, NV, TileRows<7>>, micro_kernel<E, 8, NV, TileRows<8>>};

/// A block of this task in two loops over panels.
template <class E>
struct TileBlock {
  const BlockTask& task;
  std::int64_t steps;
  alignas(64) char local[kTileWidth * kTileWidth * 4];

  explicit TileBlock(const BlockTask& block)
      : task(block), steps((block.k + kTileTerms<E> - 1) / kTileTerms<E>) {}

  char* c_at(std::int64_t i, std::int64_t j) const {
    return task.c_rows == nullptr ? task.c + i * task.c_row + j * 4 : nullptr;
  }
  static std::int64_t b_row(int columns) { return columns > kTileRows ? 2 * kTileBytes : kTileBytes; }

  /// By tiles.
  void tiles(const Panels& down, const Panels& across) {
    const TileKernel kernel = kTileKernels<E>[down.width > kTileRows][across.width > kTileRows];
    const bool direct = task.c_rows == nullptr && !task.add;
    TilesTask part{};
    part.steps = steps;
    part.a_step = down.width * kTileBytes;
    part.b_row = b_row(across.width);
    part.b_step = kTileRows * part.b_row;
    for (std::int64_t p = down.first; p < down.last; ++p) {
      part.a = task.a + p * steps * (kTileWidth * kTileBytes);
      for (std::int64_t q = across.first; q < across.last; ++q) {
        const std::int64_t i = p * kTileWidth, j = q * kTileWidth;
        char* c = c_at(i, j);
        part.b = task.b + q * task.b_panel;
        part.init = task.correct ? part.b + steps * part.b_step : nullptr;
        part.c = direct ? c : local;
        part.c_row = direct ? task.c_row : kTileWidth * 4;
        if (task.add) ask_for_rows(c, task.c_row, down.width);
        kernel(part);
        if (direct) continue;
        if (c != nullptr)
          add_rows<E>(local, c, task.c_row, down.width, across.width);
        else
          scatter<E>(task, local, kTileWidth * 4, i, j, down.width, across.width, 0);
      }
    }
  }

  /// By dot products of registers, up to 8 rows at a time.
  void registers(const Panels& down, const Panels& across)
    requires kIsInt8<E>
  {
    const bool two = across.width > kTileRows;
    const bool direct = task.c_rows == nullptr && across.width % kTileRows == 0;
    Tile<std::int32_t> part{};
    part.groups = (task.k + 3) / 4;
    part.a_row = down.width * kTileBytes;
    part.b_row = b_row(across.width);
    part.add = direct && task.add;
    for (std::int64_t q = across.first; q < across.last; ++q) {
      part.b = task.b + q * task.b_panel;
      part.init = task.correct ? part.b + steps * kTileRows * part.b_row : nullptr;
      for (std::int64_t p = down.first; p < down.last; ++p) {
        for (int r = 0; r < down.width; r += kFewRows) {
          const int rows = down.width - r < kFewRows ? down.width - r : kFewRows;
          const std::int64_t i = p * kTileWidth + r, j = q * kTileWidth;
          part.a = task.a + p * steps * (kTileWidth * kTileBytes) + r * kTileBytes;
          part.c = direct ? c_at(i, j) : local;
          part.c_row = direct ? task.c_row : kTileWidth * 4;
          (two ? kRegisterKernels<E, 2> : kRegisterKernels<E, 1>)[rows - 1](part);
          if (!direct) scatter<E>(task, local, kTileWidth * 4, i, j, rows, across.width, 0);
        }
      }
    }
  }
};

/// Rows of A are the outer loop: its panel stays in the L1 cache and C is written along its rows (3.5 instead
/// of 2.2 TOP/s where C is in memory). B passes by from L2.
///
/// The unit for tiles sleeps: the first dot product after 30 us costs 3 us, after 1 us still 0.3. So small
/// blocks, and few rows, which wait for memory, are a matter of registers: of integers, where that does not
/// change the bits. Of bfloat16 the whole product decides (plan.hpp).
template <class E>
void multiply_tiles(const BlockTask& task) {
  [[maybe_unused]] std::conditional_t<E::kFlush, FlushDenormals, int> flushed{};
  Panels rows[2], columns[2];
  const int row_kinds = panels_of(task.rows, rows), column_kinds = panels_of(task.cols, columns);
  TileBlock<E> block(task);
  TileUse use;
  for (int kind = 0; kind < row_kinds * column_kinds; ++kind) {
    const Panels &across = columns[kind / row_kinds], &down = rows[kind % row_kinds];
    if constexpr (kIsInt8<E>) {
      if (task.rows * task.cols * task.k <= kFewTerms || down.width <= kFewRows) {
        block.registers(down, across);
        continue;
      }
    }
    use.configure(down.width, across.width);
    block.tiles(down, across);
  }
}

/// Where the code of the largest kernel begins.
template <class E>
void largest_tile_kernel(const void* (&at)[3]) {
  at[0] = reinterpret_cast<const void*>(kTileKernels<E>[1][1]);
  at[1] = at[2] = nullptr;
}

template <class E>
constexpr ElementKernels tile_kernels_of() {
  ElementKernels k{};
  k.mr = kTileWidth;
  k.nr = kTileWidth;
  k.lanes = kTileRows;
  k.group = kTileTerms<E>;
  k.b_size = static_cast<int>(sizeof(typename E::Storage));
  k.c_size = 4;
  k.a_group = k.b_group = kTileBytes;
  k.b_trailer = kTrailerBytes<E>;
  k.kc = kShapeTiles.kc / k.b_size;
  k.mc = kShapeTiles.mc;
  k.nc = kShapeTiles.nc;
  k.pack_a = pack_tile_rows<E>;
  k.pack_b = pack_tile_columns<E>;
  k.block = multiply_tiles<E>;
  k.largest = largest_tile_kernel<E>;
  return k;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
