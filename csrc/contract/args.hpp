// Semirings whose sum is one of its terms: the micro-kernel that also keeps which one.
#pragma once

#include "contract/micro.hpp"
#include "contract/semirings.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// A semiring's element with a register of positions beside every one of sums. Its shapes are half as large.
template <class S, class T, bool IsCareful = false>
struct ArgElement : SemiringElement<S, T, IsCareful> {
  using Careful = ArgElement<S, T, true>;
  using Packed = ArgElement<semirings::min_plus, T>;
  using Vector = Register<T>;
  using Positions = mask_t<Vector>;  // integers of the lanes' size
  static constexpr bool kPositions = true;
  static constexpr Shape kShape = sizeof(T) == 8 ? kShapeArg64 : kShapeArg32;

  /// Whether a term takes the place of the one before: the first of equal ones stays, and so does the first
  /// NaN.
  template <class V>
  static UFUSE_INLINE mask_t<V> replaces(V term, V before) {
    mask_t<V> better = S::kLess ? term < before : term > before;
    if constexpr (IsCareful) better = better | ((term != term) & (before == before));
    return better;
  }
};

template <class E, int R, int NV, class Rows>
void position_kernel(const Tile<typename E::Accumulator>& tile) {
  using V = typename E::Vector;
  using I = typename E::Positions;
  constexpr int kBytes = sizeof(V);
  V acc[R][NV];
  I at[R][NV];
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      acc[r][v] = E::start();
      UFUSE_OPAQUE(acc[r][v].v);
      at[r][v] = splat<I>(static_cast<lane_t<I>>(tile.k0));
      UFUSE_OPAQUE(at[r][v].v);
    }
  }
  Rows rows(tile.a, tile.a_row, tile.a_k);
  const char* b = tile.b;
  // AVX-512 spreads a counter itself, which saves the register of ones: distances had none left (5 % more).
  constexpr bool kSpreads = sizeof(V) == 64;
  std::int64_t number = tile.k0;
  I position = splat<I>(static_cast<lane_t<I>>(tile.k0));
  UFUSE_ROLLED
  for (std::int64_t g = tile.groups; g > 0; --g) {
    if constexpr (kSpreads) position = splat<I>(static_cast<lane_t<I>>(number++));
    V columns[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) columns[v] = V::load(b + v * kBytes);
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const V row = splat<V>(load_as<typename E::Accumulator>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) {
        const V term = E::Semiring::template times<true>(row, columns[v]);
        const auto better = E::replaces(term, acc[r][v]);
        acc[r][v] = select(better, term, acc[r][v]);
        at[r][v] = select(better, position, at[r][v]);
      }
    }
    if constexpr (!kSpreads) position = position + splat<I>(1);
    rows.next();
    b += tile.b_row;
  }
  char* c = tile.c;
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r, c += tile.c_row) {
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      char* to = c + v * kBytes;
      if (tile.add) {
        const V before = V::load(to);
        const auto better = E::Careful::replaces(acc[r][v], before);
        acc[r][v] = select(better, acc[r][v], before);
        at[r][v] = select(better, at[r][v], I::load(to + tile.positions));
      }
      acc[r][v].store(to);
      at[r][v].store(to + tile.positions);
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
