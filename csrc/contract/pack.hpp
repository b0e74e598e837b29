// Packing: operands into panels, one after another, or a few k of all of them where that is how they lie.
#pragma once

#include "contract/panel.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// Of the panels whose lanes lie in short runs, packed before the next ones: 8 or 16 cost more (a panel's
// lanes are looked up each time), all of them are no better.
inline constexpr std::int64_t kTermsOfRuns = 64;

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

/// Whole panels of lanes that lie side by side in memory, `panel_bytes` apart: a few k of all of them, while
/// their lines are at hand. A panel of 14 floats does not end where a line does, and lines 4 KiB apart share
/// one set of the L1 cache: A transposed 1024^3 2 %, 2048^3 3 to 4 %; B 1 %. Returns how many lanes there
/// are.
template <int kSize, int kLanes>
std::int64_t pack_adjacent(const PackTask& task, std::int64_t panel_bytes) {
  constexpr std::int64_t kRow = kLanes * kSize, kTerms = 8;
  const std::int64_t panels = task.lanes / kLanes;
  if (!task.lane_axis.affine() || task.lane_axis.stride != kSize || panels < 2) return 0;
  const char* from = task.base + task.lane_axis.at(task.lane0);
  for (std::int64_t k = 0; k < task.k; k += kTerms) {
    const std::int64_t count = task.k - k < kTerms ? task.k - k : kTerms;
    UFUSE_ROLLED
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      char* out = task.out + panel * panel_bytes + k * kRow;
      UFUSE_ROLLED
      for (std::int64_t u = 0; u < count; ++u)
        std::memcpy(out + u * kRow, from + panel * kRow + task.k_axis.at(task.k0 + k + u), kRow);
    }
  }
  return panels * kLanes;
}

/// Rows of A. The last panel is as wide as its micro-kernel.
template <class E>
void pack_rows(const PackTask& task) {
  constexpr int kRows = E::kShape.mr;
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup;
  std::int64_t packed_rows = 0;
  if constexpr (E::kGroup == 1 && E::kWordsOfA == 1 && !E::kSpecials && !is_bits<E>)
    packed_rows = pack_adjacent<sizeof(typename E::Storage), kRows>(task, kRows * groups * E::kGroupBytes);
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
  std::int64_t adjacent = 0;
  if constexpr (E::kGroup == 1 && !is_bits<E>) {
    adjacent = pack_adjacent<sizeof(typename E::Storage), kColumns>(task, bytes_of(kColumns));
    // Neighbours of the runs are in other panels: a few k of all of them, while their lines and pages are at
    // hand.
    in_runs = adjacent == 0 && task.lanes > kColumns && lanes_in_runs<E>(task);
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
    if (!in_runs && j >= adjacent) pack(task, j, out);
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
