// Packing: operands of any layout into panels. Three ways to read, chosen per panel and per 64 bytes of k:
// lanes side by side in memory are copied, k side by side is transposed in registers, the rest is gathered.
#pragma once

#include "contract/elements.hpp"
#include "contract/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// The hardware follows fewer streams than a panel has lanes. (N, K) weights of 4096 x 4096 for one row of
// activations: 128, 256, 512 bytes ahead give 12, 14, 13 GB/s per core, none 11; no difference at 1024^3.
inline constexpr int kPrefetchBytes = 256;
inline constexpr int kChunkBytes = 64;  // of one lane, read before the next lane: a cache line at a time,
                                        // because lanes 4 KiB apart share one set of the L1 cache

#if defined(__clang__)
#define UFUSE_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UFUSE_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, decltype(a){__VA_ARGS__})
#endif

/// Transposes 16-byte pieces of `16 / sizeof(Unit)` lanes: out[j] gets unit j of every lane.
UFUSE_INLINE void transpose_store(const char* const* lanes, std::int64_t at, char* out, std::int64_t out_row,
                                  std::uint32_t) {
  using V = Vec<std::uint32_t, 4>;
  const auto a = V::load(lanes[0] + at).v, b = V::load(lanes[1] + at).v;
  const auto c = V::load(lanes[2] + at).v, d = V::load(lanes[3] + at).v;
  const auto ab0 = UFUSE_SHUFFLE(a, b, 0, 4, 1, 5), ab1 = UFUSE_SHUFFLE(a, b, 2, 6, 3, 7);
  const auto cd0 = UFUSE_SHUFFLE(c, d, 0, 4, 1, 5), cd1 = UFUSE_SHUFFLE(c, d, 2, 6, 3, 7);
  V{UFUSE_SHUFFLE(ab0, cd0, 0, 1, 4, 5)}.store(out);
  V{UFUSE_SHUFFLE(ab0, cd0, 2, 3, 6, 7)}.store(out + out_row);
  V{UFUSE_SHUFFLE(ab1, cd1, 0, 1, 4, 5)}.store(out + 2 * out_row);
  V{UFUSE_SHUFFLE(ab1, cd1, 2, 3, 6, 7)}.store(out + 3 * out_row);
}
UFUSE_INLINE void transpose_store(const char* const* lanes, std::int64_t at, char* out, std::int64_t out_row,
                                  std::uint64_t) {
  using V = Vec<std::uint64_t, 2>;
  const auto a = V::load(lanes[0] + at).v, b = V::load(lanes[1] + at).v;
  V{UFUSE_SHUFFLE(a, b, 0, 2)}.store(out);
  V{UFUSE_SHUFFLE(a, b, 1, 3)}.store(out + out_row);
}

/// One panel: `width` lanes of which `valid` exist (the others repeat the last one; nobody reads their
/// results). W is the full width of a panel, so that full panels are copied in whole registers.
template <class T, int kGroup, int W>
struct PanelPacker {
  using Unit = std::conditional_t<sizeof(T) * kGroup == 8, std::uint64_t, std::uint32_t>;
  static constexpr int kUnit = sizeof(Unit);
  static constexpr int kSize = sizeof(T);
  static constexpr int kChunk = kChunkBytes / kSize;  // positions of k

  const char* lane[W];
  const PackTask& task;
  int valid, width;
  std::int64_t row_bytes;  // of the panel, per group of k

  UFUSE_INLINE PanelPacker(const PackTask& t, std::int64_t first, int valid_lanes, int panel_width)
      : task(t),
        valid(valid_lanes),
        width(panel_width),
        row_bytes(panel_width * static_cast<std::int64_t>(kUnit)) {
    for (int i = 0; i < width; ++i) lane[i] = t.base + t.lane_axis.at(first + (i < valid ? i : valid - 1));
  }

  UFUSE_INLINE std::int64_t k_offset(std::int64_t k) const { return task.k_axis.at(task.k0 + k); }

  bool lanes_adjacent() const {
    for (int i = 1; i < valid; ++i)
      if (lane[i] - lane[i - 1] != kSize) return false;
    return true;
  }
  UFUSE_INLINE bool k_adjacent(std::int64_t k, int count) const {
    if (task.k_axis.affine()) return task.k_axis.stride == kSize;
    const std::int64_t* offset = task.k_axis.offsets + task.k0 + k;
    for (int i = 1; i < count; ++i)
      if (offset[i] - offset[i - 1] != kSize) return false;
    return true;
  }

  void gather(char* out, std::int64_t begin, std::int64_t end) const {
    for (int i = 0; i < width; ++i)
      for (std::int64_t k = begin; k < end; ++k)
        std::memcpy(out + k / kGroup * row_bytes + i * kUnit + k % kGroup * kSize, lane[i] + k_offset(k),
                    kSize);
  }
  /// The same for a whole chunk: its offsets looked up once for all lanes, the loop over k unrolled.
  void gather_chunk(char* out, std::int64_t begin) const {
    std::int64_t offset[kChunk];
    for (int u = 0; u < kChunk; ++u) offset[u] = k_offset(begin + u);
    for (int i = 0; i < width; ++i)
      for (int g = 0; g < kChunk / kGroup; ++g) {
        T unit[kGroup];
        UFUSE_UNROLL
        for (int u = 0; u < kGroup; ++u) std::memcpy(unit + u, lane[i] + offset[g * kGroup + u], kSize);
        std::memcpy(out + g * row_bytes + i * kUnit, unit, kUnit);
      }
  }

  void copy_rows(char* out) const {
    if constexpr (kGroup == 1) {
      if (valid == W && width == W) {
        for (std::int64_t k = 0; k < task.k; ++k)
          std::memcpy(out + k * (W * kUnit), lane[0] + k_offset(k), W * kUnit);
        return;
      }
    }
    const std::int64_t whole = task.k / kGroup * kGroup;
    for (std::int64_t k = 0; k < whole; k += kGroup) {
      const char* row[kGroup];
      for (int j = 0; j < kGroup; ++j) row[j] = lane[0] + k_offset(k + j);
      char* to = out + k / kGroup * row_bytes;
      for (int i = 0; i < valid; ++i)
        for (int j = 0; j < kGroup; ++j) std::memcpy(to + i * kUnit + j * kSize, row[j] + i * kSize, kSize);
    }
    gather(out, whole, task.k);
    for (int i = valid; i < width; ++i)
      for (std::int64_t g = 0; g < whole / kGroup; ++g)
        std::memcpy(out + g * row_bytes + i * kUnit, out + g * row_bytes + (valid - 1) * kUnit, kUnit);
  }

  void transpose(char* out, std::int64_t k) const {
    constexpr int kStep = 16 / kUnit;  // lanes, and units, of one transposition
    const std::int64_t from = k_offset(k);
    if (width < kStep) {
      for (int i = 0; i < width; ++i)
        for (int u = 0; u < kChunkBytes / kUnit; ++u)
          std::memcpy(out + u * row_bytes + i * kUnit, lane[i] + from + u * kUnit, kUnit);
      return;
    }
    for (int i = 0; i < width; i += kStep) {
      const int first = i + kStep <= width ? i : width - kStep;  // the last group may overlap the one before
      UFUSE_UNROLL
      for (int u = 0; u < kStep; ++u) __builtin_prefetch(lane[first + u] + from + kPrefetchBytes, 0, 2);
      UFUSE_UNROLL
      for (int piece = 0; piece < kChunkBytes / 16; ++piece)
        transpose_store(lane + first, from + 16 * piece, out + piece * kStep * row_bytes + first * kUnit,
                        row_bytes, Unit{});
    }
  }

  void run(char* out) const {
    const std::int64_t groups = (task.k + kGroup - 1) / kGroup;
    if (task.k % kGroup != 0)  // missing k count as zero
      for (int i = 0; i < width; ++i) std::memset(out + (groups - 1) * row_bytes + i * kUnit, 0, kUnit);
    if (lanes_adjacent() && valid > 1) return copy_rows(out);
    std::int64_t k = 0;
    for (; k + kChunk <= task.k; k += kChunk) {
      if (k_adjacent(k, kChunk))
        transpose(out + k / kGroup * row_bytes, k);
      else
        gather_chunk(out + k / kGroup * row_bytes, k);
    }
    gather(out, k, task.k);
  }
};

template <class E>
using Packer = PanelPacker<typename E::Storage, E::kGroup, kTileColumns<E>>;

/// Rows of A. The last panel is as wide as there are rows: its micro-kernel has that many.
template <class E>
void pack_rows(const PackTask& task) {
  constexpr int kRows = E::kShape.mr;
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  char* out = task.out;
  for (std::int64_t i = 0; i < task.lanes; i += kRows) {
    const int rows = static_cast<int>(task.lanes - i < kRows ? task.lanes - i : kRows);
    const std::int64_t words = rows * groups;
    char* packed = out + (E::kWordsOfA - 1) * words * 4;  // split in place, forwards, from the second half
    PanelPacker<typename E::Storage, E::kGroup, kRows>(task, task.lane0 + i, rows, rows).run(packed);
    if constexpr (E::kTrailer) {
      const std::uint32_t flip = task.flip ? 0x80808080u : 0u;
      if (flip != 0 || E::kWordsOfA == 2) {
        for (std::int64_t w = 0; w < words; ++w) {
          const std::uint32_t word = load_as<std::uint32_t>(packed + 4 * w) ^ flip;
          const std::uint32_t parts[2] = {E::kWordsOfA == 1 ? word : word & 0x00ff00ffu,
                                          (word >> 8) & 0x00ff00ffu};
          std::memcpy(out + w * 4 * E::kWordsOfA, parts, 4 * E::kWordsOfA);
        }
      }
    }
    out += words * kGroupBytes<E> * E::kWordsOfA;
  }
}

/// Columns of B, in panels of whole registers. int8: -128 times the column's sum over this k block follows.
template <class E>
void pack_columns(const PackTask& task) {
  constexpr int kColumns = kTileColumns<E>, kLanes = E::Vector::size;
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  char* out = task.out;
  for (std::int64_t j = 0; j < task.lanes; j += kColumns) {
    const int columns = static_cast<int>(task.lanes - j < kColumns ? task.lanes - j : kColumns);
    const int width = (columns + kLanes - 1) / kLanes * kLanes;
    Packer<E>(task, task.lane0 + j, columns, width).run(out);
    const std::int64_t row_bytes = width * static_cast<std::int64_t>(kGroupBytes<E>);
    if constexpr (E::kTrailer) {
      std::uint32_t ones[2];
      E::ones(ones);
      for (int v = 0; v < width; v += kLanes) {
        typename E::Vector sum[1][1] = {};
        for (std::int64_t g = 0; g < groups; ++g)
          E::template step<1, 1>(sum, PackedRows<1, 8>(reinterpret_cast<const char*>(ones), 0, 0),
                                 out + g * row_bytes + v * kGroupBytes<E>);
        (sum[0][0] * splat<typename E::Vector>(-128)).store(out + groups * row_bytes + v * 4);
      }
      out += width * 4;
    }
    out += groups * row_bytes;
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
