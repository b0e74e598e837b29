// One panel of an operand of any layout. Four ways to read, chosen per panel and per 64 bytes of k: lanes
// side by side in memory are copied, k side by side is transposed in registers, the rest is gathered.
#pragma once

#include "contract/interleave.hpp"
#include "contract/micro.hpp"
#include "simd/transpose.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// The hardware follows fewer streams than a panel has lanes. (N, K) weights of 4096 x 4096 for one row of
// activations: 128, 256, 512 bytes ahead give 12, 14, 13 GB/s per core, none 11; no difference at 1024^3.
inline constexpr int kPrefetchBytes = 256;
inline constexpr int kChunkBytes = 64;  // of one lane, read before the next lane: a cache line at a time,
                                        // because lanes 4 KiB apart share one set of the L1 cache

#if defined(__AVX2__)
inline constexpr int kPieces = 2;  // of 16 bytes, in a register
#else
inline constexpr int kPieces = 1;
#endif

/// 16 bytes of a lane, and in the upper half of a register of those of the lane `kApart` further.
template <class V, int kApart>
UFUSE_INLINE V pieces(const char* const* lanes, std::int64_t at) {
  if constexpr (sizeof(V) == 16) {
    return V::load(lanes[0] + at);
  } else {
#if defined(__AVX2__)
    const auto piece = [](const char* from) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    };
    const __m256i both =
        _mm256_inserti128_si256(_mm256_castsi128_si256(piece(lanes[0] + at)), piece(lanes[kApart] + at), 1);
    return {reinterpret_cast<typename V::native>(both)};
#endif
  }
}

/// Transposes 16-byte pieces of as many lanes as units fill a register (of AVX2: each half has its own lanes,
/// and only units within a half change places, of which a core does twice as many): out[j] gets unit j of
/// every lane. Float32, 256^3: packing A 5.7 % of the time by one lane a register, 4.2 % so.
template <int kLanes>
UFUSE_INLINE void transpose_store(const char* const* lanes, std::int64_t at, char* out, std::int64_t out_row,
                                  std::uint32_t) {
  using V = Vec<std::uint32_t, kLanes>;
  V r[4];
  UFUSE_UNROLL
  for (int u = 0; u < 4; ++u) r[u] = pieces<V, 4>(lanes + u, at);
  transpose_quads(r[0], r[1], r[2], r[3]);
  UFUSE_UNROLL
  for (int u = 0; u < 4; ++u) r[u].store(out + u * out_row);
}
template <int kLanes>
UFUSE_INLINE void transpose_store(const char* const* lanes, std::int64_t at, char* out, std::int64_t out_row,
                                  std::uint64_t) {
  using V = Vec<std::uint64_t, kLanes>;
  V a = pieces<V, 2>(lanes, at), b = pieces<V, 2>(lanes + 1, at);
  transpose_pairs(a, b);
  a.store(out);
  b.store(out + out_row);
}

/// One panel: `width` lanes of which `valid` exist (the others repeat the last one; nobody reads their
/// results). W is the full width of a panel, so that full panels are copied in whole registers.
template <class T, int kGroup, int W>
struct PanelPacker {
  static constexpr int kUnit = sizeof(T) * kGroup;
  using Unit = std::conditional_t<kUnit == 8, std::uint64_t, std::uint32_t>;  // of what is transposed
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
    // Copies: what is written could be this object, for all the compiler knows.
    const std::int64_t bytes = row_bytes;
    const int count = width;
    std::int64_t offset[kChunk];
    for (int u = 0; u < kChunk; ++u) offset[u] = k_offset(begin + u);
    for (int i = 0; i < count; ++i) {
      const char* from = lane[i];
      char* to = out + i * kUnit;
      UFUSE_UNROLL
      for (int g = 0; g < kChunk / kGroup; ++g) {
        T unit[kGroup];
        UFUSE_UNROLL
        for (int u = 0; u < kGroup; ++u) std::memcpy(unit + u, from + offset[g * kGroup + u], kSize);
        std::memcpy(to + g * bytes, unit, kUnit);
      }
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
      int i = 0;
      if constexpr (kGroup == 4 && kSize == 1)
        for (; i + 16 <= valid; i += 16) interleave_store(row, i, to + 4 * i);
      if constexpr (kGroup == 2 && kSize == 2)
        for (; i + 8 <= valid; i += 8) pair_store(row, 2 * i, to + 4 * i);
      for (; i < valid; ++i)
        for (int j = 0; j < kGroup; ++j) std::memcpy(to + i * kUnit + j * kSize, row[j] + i * kSize, kSize);
    }
    gather(out, whole, task.k);
    for (int i = valid; i < width; ++i)
      for (std::int64_t g = 0; g < whole / kGroup; ++g)
        std::memcpy(out + g * row_bytes + i * kUnit, out + g * row_bytes + (valid - 1) * kUnit, kUnit);
  }

  /// Ends of the runs of lanes that are side by side in memory; returns how many there are.
  int runs(int* end) const {
    int count = 0;
    for (int i = 1; i < valid; ++i)
      if (lane[i] - lane[i - 1] != kSize) end[count++] = i;
    end[count++] = valid;
    return count;
  }
  /// Lanes in a few runs: a run of each k is copied as it lies. The next panel's, often the next line, is
  /// asked for while this one's page is at hand.
  void copy_runs(char* out, const int* end, int count) const {
    for (std::int64_t k = 0; k < task.k; ++k, out += row_bytes) {
      const std::int64_t offset = k_offset(k);
      for (int run = 0, i = 0; run < count; i = end[run++]) {
        const int bytes = (end[run] - i) * kSize;
        __builtin_prefetch(lane[i] + offset + kChunkBytes, 0, 2);
        if (bytes == kChunkBytes)
          std::memcpy(out + i * kSize, lane[i] + offset, kChunkBytes);
        else
          std::memcpy(out + i * kSize, lane[i] + offset, static_cast<std::size_t>(bytes));
      }
      for (int i = valid; i < width; ++i) std::memcpy(out + i * kSize, out + (valid - 1) * kSize, kSize);
    }
  }

  void transpose(char* out, std::int64_t k) const {
    constexpr int kStep = 16 / kUnit, kWide = kPieces * kStep;  // lanes of one transposition
    if constexpr (W >= kWide)
      if (width >= kWide) return transpose_by<kWide>(out, k);
    if constexpr (W >= kStep && kWide != kStep)
      if (width >= kStep) return transpose_by<kStep>(out, k);
    const std::int64_t from = k_offset(k);
    for (int i = 0; i < width; ++i)
      for (int u = 0; u < kChunkBytes / kUnit; ++u)
        std::memcpy(out + u * row_bytes + i * kUnit, lane[i] + from + u * kUnit, kUnit);
  }
  template <int kLanes>
  UFUSE_INLINE void transpose_by(char* out, std::int64_t k) const {
    // Copies: what is written could be this object, for all the compiler knows.
    const std::int64_t offset = k_offset(k), bytes = row_bytes;
    const int count = width;
    for (int i = 0; i < count; i += kLanes) {
      const int first =
          i + kLanes <= count ? i : count - kLanes;  // the last group may overlap the one before
      const char* from[kLanes];
      UFUSE_UNROLL
      for (int u = 0; u < kLanes; ++u) {
        from[u] = lane[first + u] + offset;
        __builtin_prefetch(from[u] + kPrefetchBytes, 0, 2);
      }
      char* to = out + first * kUnit;
      UFUSE_UNROLL
      for (int piece = 0; piece < kChunkBytes / 16; ++piece)
        transpose_store<kLanes>(from, 16 * piece, to + piece * (16 / kUnit) * bytes, bytes, Unit{});
    }
  }

  /// Apart from its callers, which are as many as elements.
  [[gnu::noinline]] void run(char* out) const {
    const std::int64_t groups = (task.k + kGroup - 1) / kGroup;
    if (task.k % kGroup != 0)  // missing k count as zero
      for (int i = 0; i < width; ++i) std::memset(out + (groups - 1) * row_bytes + i * kUnit, 0, kUnit);
    if (lanes_adjacent() && valid > 1) return copy_rows(out);
    if constexpr (kGroup == 1) {
      int end[W];
      const int count = runs(end);
      if (4 * count <= valid) return copy_runs(out, end, count);
    }
    std::int64_t k = 0;
    for (; k + kChunk <= task.k; k += kChunk) {
      char* to = out + k / kGroup * row_bytes;
      if constexpr (kUnit >= 4) {
        if (k_adjacent(k, kChunk)) {
          transpose(to, k);
          continue;
        }
      }
      gather_chunk(to, k);
    }
    gather(out, k, task.k);
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
