// Packing for tiles: rows of A by 64 k, columns of B in groups of 4 k, k filled up with zeros to whole tiles.
#pragma once

#include "contract/int8.hpp"
#include "contract/pack.hpp"

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kTileRows = 16, kTileBytes = 64;
inline constexpr int kTileWidth = 2 * kTileRows;  // rows and columns of a panel

using Sixteen = Vec<std::uint8_t, 16>;

/// 16 positions of k of 16 rows that lie side by side, turned: four rounds that each interleave registers of
/// the two halves.
UFUSE_INLINE void turn_16(const char* const* from, char* out, std::uint8_t flip) {
  Sixteen x[16], y[16];
  UFUSE_UNROLL
  for (int u = 0; u < 16; ++u) x[u] = Sixteen::load(from[u]);
  const auto round = [](const Sixteen(&in)[16], Sixteen(&to)[16]) {
    UFUSE_UNROLL
    for (int u = 0; u < 8; ++u) {
      const auto a = in[u].v, b = in[u + 8].v;
      to[2 * u].v = UFUSE_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      to[2 * u + 1].v = UFUSE_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
  };
  round(x, y);
  round(y, x);
  round(x, y);
  round(y, x);
  UFUSE_UNROLL
  for (int u = 0; u < 16; ++u) Sixteen{x[u].v ^ splat<Sixteen>(flip).v}.store(out + u * kTileBytes);
}

/// One panel of up to 32 rows of A: for each 64 k, those of each row.
struct TileRowPacker {
  const PackTask& task;
  int rows;
  std::uint8_t flip;  // 128 where int8 becomes uint8
  std::int64_t step_bytes;
  const char* lane[kTileWidth];

  TileRowPacker(const PackTask& t, std::int64_t first_row, int count)
      : task(t), rows(count), flip(t.flip ? 128 : 0), step_bytes(count * kTileBytes) {
    for (int r = 0; r < rows; ++r) lane[r] = t.base + t.lane_axis.at(first_row + r);
  }

  UFUSE_INLINE char* at(char* out, int row, std::int64_t k) const {
    return out + k / kTileBytes * step_bytes + row * kTileBytes + k % kTileBytes;
  }
  std::int64_t k_offset(std::int64_t k) const { return task.k_axis.at(task.k0 + k); }

  void copy(char* out) const {
    using V = Vec<std::uint8_t, kTileBytes>;
    const std::int64_t from = k_offset(0);
    for (int r = 0; r < rows; ++r) {
      std::int64_t k = 0;
      for (; k + kTileBytes <= task.k; k += kTileBytes)
        V{V::load(lane[r] + from + k).v ^ splat<V>(flip).v}.store(at(out, r, k));
      gather(out, r, k);
    }
  }
  void gather(char* out, int row, std::int64_t k) const {
    for (; k < task.k; ++k) *at(out, row, k) = static_cast<char>(lane[row][k_offset(k)] ^ flip);
  }
  void turn(char* out) const {
    std::int64_t k = 0;
    for (; k + 16 <= task.k; k += 16) {
      const char* from[16];
      for (int u = 0; u < 16; ++u) from[u] = lane[0] + k_offset(k + u);
      turn_16(from, at(out, 0, k), flip);
      if (rows <= 16) continue;
      for (int u = 0; u < 16; ++u) from[u] += rows - 16;  // the second tile's may overlap the first's
      turn_16(from, at(out, rows - 16, k), flip);
    }
    for (int r = 0; r < rows; ++r) gather(out, r, k);
  }
  bool lanes_adjacent() const {
    for (int r = 1; r < rows; ++r)
      if (lane[r] - lane[r - 1] != 1) return false;
    return true;
  }

  void run(char* out) const {
    if (task.k % kTileBytes != 0)
      std::memset(out + task.k / kTileBytes * step_bytes, 0, static_cast<std::size_t>(step_bytes));
    if (task.k_axis.affine() && task.k_axis.stride == 1) return copy(out);
    if (rows >= 16 && lanes_adjacent()) return turn(out);
    for (int r = 0; r < rows; ++r) gather(out, r, 0);
  }
};

/// Rows of A; the last panel has as many as there are.
inline void pack_tile_rows(const PackTask& task) {
  const std::int64_t steps = (task.k + kTileBytes - 1) / kTileBytes;
  char* out = task.out;
  for (std::int64_t i = 0; i < task.lanes; i += kTileWidth) {
    const int rows = static_cast<int>(task.lanes - i < kTileWidth ? task.lanes - i : kTileWidth);
    TileRowPacker(task, task.lane0 + i, rows).run(out);
    out += steps * rows * kTileBytes;
  }
}

/// Columns of B, as `pack_columns` has them, in panels of 32 or 16.
inline void pack_tile_columns(const PackTask& task) {
  const std::int64_t groups = (task.k + 3) / 4, padded = (groups + kTileRows - 1) / kTileRows * kTileRows;
  char* out = task.out;
  for (std::int64_t j = 0; j < task.lanes; j += kTileWidth) {
    const int columns = static_cast<int>(task.lanes - j < kTileWidth ? task.lanes - j : kTileWidth);
    const int width = columns > kTileRows ? kTileWidth : kTileRows, row = 4 * width;
    pack_panel<U8S8, kTileWidth>(task, task.lane0 + j, columns, width, out);
    std::memset(out + groups * row, 0, static_cast<std::size_t>((padded - groups) * row));
    char* trailer = out + padded * row;
    for (int v = 0; v < width; v += kTileRows) U8S8::trailer(out + 4 * v, groups, row, trailer + 4 * v);
    out = trailer + row;
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
