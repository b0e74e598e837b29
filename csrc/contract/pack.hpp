// Packing: operands of any layout into panels. Four ways to read, chosen per panel and per 64 bytes of k:
// lanes side by side in memory are copied, k side by side is transposed in registers, the rest is gathered.
#pragma once

#include "contract/interleave.hpp"
#include "contract/micro.hpp"
#include "simd/transpose.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// The hardware follows fewer streams than a panel has lanes. (N, K) weights of 4096 x 4096 for one row of
// activations: 128, 256, 512 bytes ahead give 12, 14, 13 GB/s per core, none 11; no difference at 1024^3.
inline constexpr int kPrefetchBytes = 256;
// Of the panels whose lanes lie in short runs, packed before the next ones: 8 or 16 cost more (a panel's
// lanes are looked up each time), all of them are no better.
inline constexpr std::int64_t kTermsOfRuns = 64;
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

  void run(char* out) const {
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

/// Lanes of a panel of `width`, as they are.
template <class T>
void gather_panel(const PackTask& task, int width) {
  constexpr int kWidest = kMaxTileColumns;
  PanelPacker<T, 1, kWidest>(task, task.lane0, static_cast<int>(task.lanes), width).run(task.out);
}

/// 32 bools of each lane to a word, in panels of words.
inline void pack_bits(const PackTask& task, std::int64_t first, int valid, int width, char* out) {
  constexpr int kWord = 32;
  alignas(64) char bytes[kWord * kMaxTileColumns];
  std::uint32_t words[kMaxTileColumns];
  PackTask piece = task;
  piece.lane0 = first;
  piece.lanes = valid;
  piece.out = bytes;
  for (std::int64_t k = 0; k < task.k; k += kWord, out += 4 * width) {
    piece.k0 = task.k0 + k;
    piece.k = task.k - k < kWord ? task.k - k : kWord;
    if (task.k_axis.affine() && task.k_axis.stride == 1 && piece.k == kWord) {
      const char* from = task.base + task.k_axis.at(piece.k0);
      for (int i = 0; i < width; ++i)
        words[i] = word_of_bools(from + task.lane_axis.at(first + (i < valid ? i : valid - 1)));
      std::memcpy(out, words, static_cast<std::size_t>(4 * width));
      continue;
    }
    gather_panel<std::uint8_t>(piece, width);
    for (int i = 0; i < width; ++i) words[i] = 0;
    for (int bit = 0; bit < static_cast<int>(piece.k); ++bit)
      for (int i = 0; i < width; ++i)
        words[i] |= static_cast<std::uint32_t>(bytes[bit * width + i] != 0) << bit;
    std::memcpy(out, words, static_cast<std::size_t>(4 * width));
  }
}

/// What a packed panel has of NaN and infinities.
template <class T>
unsigned specials_of(const char* packed, std::int64_t count) {
  using V = Register<T>;
  constexpr T kInfinity = static_cast<T>(__builtin_inff());
  using Mask = mask_t<V>;
  Mask nan{}, high{}, low{};
  const auto note = [&](V x) {
    nan = nan | (x != x);
    high = high | (x == splat<V>(kInfinity));
    low = low | (x == splat<V>(-kInfinity));
  };
  std::int64_t i = 0;
  for (; i + V::size <= count; i += V::size) note(V::load(packed + i * static_cast<int>(sizeof(T))));
  for (; i < count; ++i) note(splat<V>(load_as<T>(packed + i * static_cast<int>(sizeof(T)))));
  return (any(nan) ? kNaN : 0u) | (any(high) ? kPlusInfinity : 0u) | (any(low) ? kMinusInfinity : 0u);
}

/// One panel of `width` lanes, of which `valid` exist, from lane `first` on.
template <class E, int W>
UFUSE_INLINE void pack_panel(const PackTask& task, std::int64_t first, int valid, int width, char* out) {
  if constexpr (is_bits<E>)
    pack_bits(task, first, valid, width, out);
  else
    PanelPacker<typename E::Storage, E::kGroup, W>(task, first, valid, width).run(out);
}

/// Whole panels of rows of A that lie side by side: a few k of all of them, while their lines are at hand. A
/// panel of 14 floats does not end where a line does, and lines 4 KiB apart share one set of the L1 cache.
template <class E>
std::int64_t pack_adjacent_rows(const PackTask& task) {
  constexpr int kRows = E::kShape.mr, kTerms = 8;
  constexpr std::int64_t kSize = sizeof(typename E::Storage);
  const std::int64_t panels = task.lanes / kRows;
  if (!task.lane_axis.affine() || task.lane_axis.stride != kSize || panels < 2) return 0;
  const char* from = task.base + task.lane_axis.at(task.lane0);
  for (std::int64_t k = 0; k < task.k; k += kTerms) {
    const std::int64_t count = task.k - k < kTerms ? task.k - k : kTerms;
    char* out = task.out + k * kRows * kSize;
    for (std::int64_t panel = 0; panel < panels; ++panel, out += task.k * kRows * kSize)
      for (std::int64_t u = 0; u < count; ++u)
        std::memcpy(out + u * kRows * kSize, from + panel * kRows * kSize + task.k_axis.at(task.k0 + k + u),
                    kRows * kSize);
  }
  return panels * kRows;
}

/// Rows of A. The last panel is as wide as its micro-kernel.
template <class E>
void pack_rows(const PackTask& task) {
  constexpr int kRows = E::kShape.mr;
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  std::int64_t packed_rows = 0;
  if constexpr (E::kGroup == 1 && E::kWordsOfA == 1 && !E::kSpecials && !is_bits<E>)
    packed_rows = pack_adjacent_rows<E>(task);
  char* out = task.out + packed_rows * groups * E::kGroupBytes;
  for (std::int64_t i = packed_rows; i < task.lanes; i += kRows) {
    const int rows = static_cast<int>(task.lanes - i < kRows ? task.lanes - i : kRows);
    const int width = kernel_rows<E>(rows);
    const std::int64_t units = width * groups;
    char* packed = out + (E::kWordsOfA - 1) * units * 4;  // split in place, forwards, from the second half
    pack_panel<E, kRows>(task, task.lane0 + i, rows, width, packed);
    if constexpr (E::kTrailer) {
      if (task.flip)
        for (std::int64_t w = 0; w < units; ++w) {
          const std::uint32_t word = load_as<std::uint32_t>(packed + 4 * w) ^ 0x80808080u;
          std::memcpy(packed + 4 * w, &word, 4);
        }
    }
    if constexpr (E::kWordsOfA == 2) {
      for (std::int64_t w = 0; w < units; ++w) {
        std::uint32_t parts[2];
        E::split(load_as<std::uint32_t>(packed + 4 * w), parts);
        std::memcpy(out + w * 8, parts, 8);
      }
    }
    if constexpr (E::kSpecials) *task.specials |= specials_of<typename E::Accumulator>(packed, units);
    out += units * E::kGroupBytes * E::kWordsOfA;
  }
}

/// Whether the lanes of the first panel lie in a few runs, of less than a page.
template <class E>
bool lanes_in_runs(const PackTask& task) {
  constexpr int kColumns = kTileColumns<E>;
  constexpr std::int64_t kSize = sizeof(typename E::Storage);
  int runs = 1;
  for (std::int64_t i = task.lane0 + 1; i < task.lane0 + kColumns; ++i)
    if (task.lane_axis.at(i) - task.lane_axis.at(i - 1) != kSize) ++runs;
  return runs > 1 && 4 * runs <= kColumns;
}

/// Columns of B, in panels of whole registers. What the element adds to a panel follows it: for int8 -128
/// times each column's sum over this k block, for semirings a word that says what NaN and infinities there
/// are.
template <class E>
void pack_columns(const PackTask& task) {
  constexpr int kColumns = kTileColumns<E>, kLanes = E::Vector::size;
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  const auto width_of = [&](std::int64_t j) {
    return kernel_vectors<E>(static_cast<int>(task.lanes - j < kColumns ? task.lanes - j : kColumns)) *
           kLanes;
  };
  const auto bytes_of = [&](int width) { return width * (groups * E::kGroupBytes + kTrailerBytes<E>); };
  const auto pack = [&](const PackTask& part, std::int64_t j, char* out) {
    const int columns = static_cast<int>(task.lanes - j < kColumns ? task.lanes - j : kColumns);
    pack_panel<E, kColumns>(part, task.lane0 + j, columns, width_of(j), out);
  };
  bool in_runs = false;
  if constexpr (E::kGroup == 1 && !is_bits<E>) {
    // Neighbours of the runs are in other panels: a few k of all of them, while their lines and pages are at
    // hand.
    in_runs = task.lanes > kColumns && lanes_in_runs<E>(task);
    for (std::int64_t k = 0; in_runs && k < task.k; k += kTermsOfRuns) {
      PackTask part = task;
      part.k0 += k;
      part.k = task.k - k < kTermsOfRuns ? task.k - k : kTermsOfRuns;
      char* out = task.out;
      for (std::int64_t j = 0; j < task.lanes; out += bytes_of(width_of(j)), j += kColumns)
        pack(part, j, out + k * width_of(j) * E::kGroupBytes);
    }
  }
  char* out = task.out;
  for (std::int64_t j = 0; j < task.lanes; out += bytes_of(width_of(j)), j += kColumns) {
    if (!in_runs) pack(task, j, out);
    const int width = width_of(j);
    const std::int64_t row_bytes = width * static_cast<std::int64_t>(E::kGroupBytes);
    [[maybe_unused]] char* trailer = out + groups * row_bytes;
    if constexpr (E::kTrailer) {
      for (int v = 0; v < width; v += kLanes)
        E::trailer(out + v * E::kGroupBytes, groups, row_bytes, trailer + v * 4);
    }
    if constexpr (E::kSpecials) {
      const unsigned specials = specials_of<typename E::Accumulator>(out, groups * width);
      std::memcpy(trailer, &specials, sizeof specials);
    }
  }
}

/// Columns of a complex B as real ones, with the parts of a column side by side. A's rows are read as they
/// lie, parts in turn along k, so that each k is two rows of the real B: what the real part of A multiplies,
/// (re, im), and what its imaginary part does, (-im, re). Conjugation of either operand is a matter of signs.
template <class E>
void pack_complex_columns(const PackTask& task) {
  using T = typename E::Accumulator;
  using V = Register<T>;
  using Words = typename IntOf<sizeof(T)>::type;
  constexpr int kColumns = kTileColumns<E>, kLanes = V::size, kSize = sizeof(T);
  const auto sign = [](bool negative) { return negative ? static_cast<T>(-0.0) : T(0); };
  V of_re, of_im;  // signs of a row's parts
  for (int i = 0; i < kLanes; ++i) {
    of_re.v[i] = i % 2 == 0 ? T(0) : sign(task.conjugate_b);
    of_im.v[i] = i % 2 == 0 ? sign(task.conjugate_a == task.conjugate_b) : sign(task.conjugate_a);
  }
  char* out = task.out;
  for (std::int64_t j = 0; j < task.lanes; j += kColumns) {
    const int columns = static_cast<int>(task.lanes - j < kColumns ? task.lanes - j : kColumns);
    const int width = kernel_vectors<E>(columns) * kLanes;
    const char* at[kMaxTileColumns / 2];
    for (int i = 0; i < width / 2; ++i) {
      const std::int64_t lane = task.lane0 + j + 2 * (2 * i < columns ? i : columns / 2 - 1);
      at[i] = task.base + task.lane_axis.at(lane);
    }
    bool adjacent = columns == width;
    for (int i = 1; i < width / 2; ++i) adjacent = adjacent && at[i] - at[i - 1] == 2 * kSize;
    for (std::int64_t k = 0; k < task.k; k += 2) {
      const std::int64_t offset = task.k_axis.at(task.k0 + k);
      char* rows = out + k * width * kSize;
      if (!adjacent)
        for (int i = 0; i < width / 2; ++i) std::memcpy(rows + 2 * i * kSize, at[i] + offset, 2 * kSize);
      for (int v = 0; v < width; v += kLanes) {
        const V x = V::load(adjacent ? at[0] + offset + v * kSize : rows + v * kSize);
        V turned;
        for (int i = 0; i < kLanes; ++i) turned.v[i] = x.v[i ^ 1];
        const auto signed_by = [](V value, V signs) {
          using I = Register<Words>;
          return bitcast<V>(bitcast<I>(value) ^ bitcast<I>(signs));
        };
        signed_by(x, of_re).store(rows + v * kSize);
        signed_by(turned, of_im).store(rows + (width + v) * kSize);
      }
    }
    out += task.k * width * kSize;
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
