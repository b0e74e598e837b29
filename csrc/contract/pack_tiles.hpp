// Packing for tiles: rows of A by 64 bytes of k, columns of B in groups of 4 bytes, k filled up with zeros to
// whole tiles.
#pragma once

#include "contract/pack.hpp"

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kTileRows = 16, kTileBytes = 64;
inline constexpr int kTileWidth = 2 * kTileRows;  // rows and columns of a panel

/// Terms, elements along k, in 64 bytes.
template <class E>
inline constexpr int kTileTerms = kTileBytes / static_cast<int>(sizeof(typename E::Storage));

/// 16 bytes of k of as many rows as are elements in them, side by side, turned: rounds that each interleave
/// registers of the two halves.
template <class T>
UFUSE_INLINE void turn(const char* const* from, char* out, T flip) {
  using V = Vec<T, 16 / sizeof(T)>;
  constexpr int N = V::size;
  V x[N], y[N];
  UFUSE_UNROLL
  for (int u = 0; u < N; ++u) x[u] = V::load(from[u]);
  const auto round = [](const V(&in)[N], V(&to)[N]) {
    UFUSE_UNROLL
    for (int u = 0; u < N / 2; ++u) {
      const auto a = in[u].v, b = in[u + N / 2].v;
      if constexpr (N == 16) {
        to[2 * u].v = UFUSE_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        to[2 * u + 1].v = UFUSE_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      } else {
        to[2 * u].v = UFUSE_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        to[2 * u + 1].v = UFUSE_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
      }
    }
  };
  round(x, y);
  round(y, x);
  round(x, y);
  if constexpr (N == 16) round(y, x);
  UFUSE_UNROLL
  for (int u = 0; u < N; ++u) V{(N == 16 ? x : y)[u].v ^ splat<V>(flip).v}.store(out + u * kTileBytes);
}

/// One panel of up to 32 rows of A: for each 64 bytes of k, those of each row.
template <class T>
struct TileRowPacker {
  static constexpr int kSize = sizeof(T), kTerms = kTileBytes / kSize;
  const PackTask& task;
  int rows;
  T flip;  // 128 where int8 becomes uint8
  std::int64_t step_bytes;
  const char* lane[kTileWidth];

  TileRowPacker(const PackTask& t, std::int64_t first_row, int count)
      : task(t), rows(count), flip(t.flip ? 128 : 0), step_bytes(count * kTileBytes) {
    for (int r = 0; r < rows; ++r) lane[r] = t.base + t.lane_axis.at(first_row + r);
  }

  UFUSE_INLINE char* at(char* out, int row, std::int64_t k) const {
    return out + k / kTerms * step_bytes + row * kTileBytes + k % kTerms * kSize;
  }
  std::int64_t k_offset(std::int64_t k) const { return task.k_axis.at(task.k0 + k); }

  void copy(char* out) const {
    using V = Vec<T, kTerms>;
    const std::int64_t from = k_offset(0);
    for (int r = 0; r < rows; ++r) {
      std::int64_t k = 0;
      for (; k + kTerms <= task.k; k += kTerms)
        V{V::load(lane[r] + from + k * kSize).v ^ splat<V>(flip).v}.store(at(out, r, k));
      gather(out, r, k);
    }
  }
  void gather(char* out, int row, std::int64_t k) const {
    for (; k < task.k; ++k) {
      const T term = static_cast<T>(load_as<T>(lane[row] + k_offset(k)) ^ flip);
      std::memcpy(at(out, row, k), &term, kSize);
    }
  }
  void turn_rows(char* out) const {
    constexpr int kSide = 16 / kSize;
    std::int64_t k = 0;
    for (; k + kSide <= task.k; k += kSide) {
      for (int r = 0; r < rows; r += kSide) {
        const int first = r + kSide <= rows ? r : rows - kSide;  // the last rows may overlap those before
        const char* from[kSide];
        for (int u = 0; u < kSide; ++u) from[u] = lane[first] + k_offset(k + u);
        turn<T>(from, at(out, first, k), flip);
      }
    }
    for (int r = 0; r < rows; ++r) gather(out, r, k);
  }
  bool lanes_adjacent() const {
    for (int r = 1; r < rows; ++r)
      if (lane[r] - lane[r - 1] != kSize) return false;
    return true;
  }

  void run(char* out) const {
    if (task.k % kTerms != 0)
      std::memset(out + task.k / kTerms * step_bytes, 0, static_cast<std::size_t>(step_bytes));
    if (task.k_axis.affine() && task.k_axis.stride == kSize) return copy(out);
    if (rows >= 16 / kSize && lanes_adjacent()) return turn_rows(out);
    for (int r = 0; r < rows; ++r) gather(out, r, 0);
  }
};

/// Rows of A; the last panel has as many as there are.
template <class E>
void pack_tile_rows(const PackTask& task) {
  const std::int64_t steps = (task.k + kTileTerms<E> - 1) / kTileTerms<E>;
  char* out = task.out;
  for (std::int64_t i = 0; i < task.lanes; i += kTileWidth) {
    const int rows = static_cast<int>(task.lanes - i < kTileWidth ? task.lanes - i : kTileWidth);
    TileRowPacker<typename E::Storage>(task, task.lane0 + i, rows).run(out);
    out += steps * rows * kTileBytes;
  }
}

/// Columns of B, as `pack_columns` has them, in panels of 32 or 16.
template <class E>
void pack_tile_columns(const PackTask& task) {
  const std::int64_t groups = (task.k + E::kGroup - 1) / E::kGroup,
                     padded = (groups + kTileRows - 1) / kTileRows * kTileRows;
  char* out = task.out;
  for (std::int64_t j = 0; j < task.lanes; j += kTileWidth) {
    const int columns = static_cast<int>(task.lanes - j < kTileWidth ? task.lanes - j : kTileWidth);
    const int width = columns > kTileRows ? kTileWidth : kTileRows, row = 4 * width;
    pack_panel<E, kTileWidth>(task, task.lane0 + j, columns, width, out);
    std::memset(out + groups * row, 0, static_cast<std::size_t>((padded - groups) * row));
    char* end = out + padded * row;
    if constexpr (E::kTrailer) {
      for (int v = 0; v < width; v += kTileRows) E::trailer(out + 4 * v, groups, row, end + 4 * v);
      end += row;
    }
    out = end;
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
