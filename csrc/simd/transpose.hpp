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

/// Turns blocks of 2 by 2 within rows, each in 2 lanes of its own.
template <class T, int N>
UFUSE_INLINE void transpose_pairs(Vec<T, N>& a, Vec<T, N>& b) {
  static_assert(N == 2 || N == 4);
  const auto x = a.v, y = b.v;
  if constexpr (N == 2) {
    a.v = UFUSE_PICK(x, y, 0, 2);
    b.v = UFUSE_PICK(x, y, 1, 3);
  } else {
    a.v = UFUSE_PICK(x, y, 0, 4, 2, 6);
    b.v = UFUSE_PICK(x, y, 1, 5, 3, 7);
  }
}

/// Turns blocks of 4 by 4, each in 4 lanes of 4 bytes, in interleavings alone, of which a core does two at a
/// time. The second ones are of 8 bytes: as such of 4, GCC makes them permutations.
template <class T, int N>
UFUSE_INLINE void transpose_quads(Vec<T, N>& a, Vec<T, N>& b, Vec<T, N>& c, Vec<T, N>& d) {
  static_assert(sizeof(T) == 4 && (N == 4 || N == 8));
  using V = Vec<T, N>;
  using Pairs = Vec<std::uint64_t, N / 2>;
  const auto interleave = [](V x, V y, Pairs& low, Pairs& high) {
    if constexpr (N == 4) {
      low = bitcast<Pairs>(V{UFUSE_PICK(x.v, y.v, 0, 4, 1, 5)});
      high = bitcast<Pairs>(V{UFUSE_PICK(x.v, y.v, 2, 6, 3, 7)});
    } else {
      low = bitcast<Pairs>(V{UFUSE_PICK(x.v, y.v, 0, 8, 1, 9, 4, 12, 5, 13)});
      high = bitcast<Pairs>(V{UFUSE_PICK(x.v, y.v, 2, 10, 3, 11, 6, 14, 7, 15)});
    }
  };
  Pairs ab, ab2, cd, cd2;
  interleave(a, b, ab, ab2);
  interleave(c, d, cd, cd2);
  transpose_pairs(ab, cd);
  transpose_pairs(ab2, cd2);
  a = bitcast<V>(ab);
  b = bitcast<V>(cd);
  c = bitcast<V>(ab2);
  d = bitcast<V>(cd2);
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
