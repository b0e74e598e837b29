// Square blocks of elements in registers, turned: lane j of register i to lane i of register j.
#pragma once

#include <utility>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__clang__)
#define UFUSE_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UFUSE_PICK(a, b, ...) \
  __builtin_shuffle(a, b, typename Vec<typename IntOf<sizeof(T)>::type, N>::native{__VA_ARGS__})
#endif

/// Exchanges the halves of each pair of blocks of S lanes: the upper of `a` with the lower of `b`.
template <int S, class T, int N, int... Lane>
UFUSE_INLINE void exchange(Vec<T, N>& a, Vec<T, N>& b, std::integer_sequence<int, Lane...>) {
  const auto x = a.v, y = b.v;
  a.v = UFUSE_PICK(x, y, ((Lane & S) == 0 ? Lane : N + Lane - S)...);
  b.v = UFUSE_PICK(x, y, ((Lane & S) == 0 ? Lane + S : N + Lane)...);
}

/// Turns blocks of 4 by 4 within rows of 8 in interleavings alone, of which a core does two at a time.
template <class T>
UFUSE_INLINE void transpose_quads(Vec<T, 8>& a, Vec<T, 8>& b, Vec<T, 8>& c, Vec<T, 8>& d) {
  [[maybe_unused]] constexpr int N = 8;  // of the shuffles
  const auto ab = UFUSE_PICK(a.v, b.v, 0, 8, 1, 9, 4, 12, 5, 13),
             cd = UFUSE_PICK(c.v, d.v, 0, 8, 1, 9, 4, 12, 5, 13);
  const auto ab2 = UFUSE_PICK(a.v, b.v, 2, 10, 3, 11, 6, 14, 7, 15),
             cd2 = UFUSE_PICK(c.v, d.v, 2, 10, 3, 11, 6, 14, 7, 15);
  a.v = UFUSE_PICK(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13);
  b.v = UFUSE_PICK(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
  c.v = UFUSE_PICK(ab2, cd2, 0, 1, 8, 9, 4, 5, 12, 13);
  d.v = UFUSE_PICK(ab2, cd2, 2, 3, 10, 11, 6, 7, 14, 15);
}
#undef UFUSE_PICK

template <int S, class T, int N>
UFUSE_INLINE void exchange_all(Vec<T, N> (&r)[N]) {
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i)
    if ((i & S) == 0) exchange<S>(r[i], r[i + S], std::make_integer_sequence<int, N>{});
}

template <class T, int N>
UFUSE_INLINE void transpose(Vec<T, N> (&r)[N]) {
  if constexpr (N > 8) exchange_all<8>(r);
  if constexpr (N > 4) exchange_all<4>(r);
  if constexpr (N == 8 && sizeof(T) == 4) {
    transpose_quads(r[0], r[1], r[2], r[3]);
    transpose_quads(r[4], r[5], r[6], r[7]);
    return;
  }
  if constexpr (N > 2) exchange_all<2>(r);
  exchange_all<1>(r);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
