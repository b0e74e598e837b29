// The fold of each of several registers, side by side.
#pragma once

#include <type_traits>
#include <utility>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// Calls `body(b)` for each of n things; unrolled where n is a constant.
template <class N, class Body>
UFUSE_INLINE void each_of(N n, Body body) {
  if constexpr (std::is_integral_v<N>) {
    for (int b = 0; b < n; ++b) body(b);
  } else {
    [&]<int... B>(std::integer_sequence<int, B...>)
        __attribute__((always_inline)) { (body(B), ...); }(std::make_integer_sequence<int, N::value>{});
  }
}

/// Where lane `lane` of one half of two registers comes from, in step `step` of `fold_each`: those of the
/// second register count from W on. Two unpackings within 16 bytes, then every second 16 bytes.
constexpr int fold_lane(int W, int step, int half, int lane) {
  const int within = lane % 4, base = lane - within;
  if (step == 0) return base + half * 2 + within / 2 + within % 2 * W;
  if (step == 1) return base + half * 2 + within % 2 + within / 2 * W;
  return (lane / 4 * 2 + half) * 4 + within;
}

template <int Step, int Part, class V, int... Lane>
UFUSE_INLINE V fold_half(V a, V b, std::integer_sequence<int, Lane...>) {
#if defined(__AVX512F__)
  // Not known by GCC 12 from its lanes.
  if constexpr (Step == 1 && sizeof(a.v) == 64 && sizeof(lane_t<V>) == 4) {
    const auto x = reinterpret_cast<__m512i>(a.v), y = reinterpret_cast<__m512i>(b.v);
    return {reinterpret_cast<typename V::native>(Part == 0 ? _mm512_maskz_unpacklo_epi64(0xff, x, y)
                                                           : _mm512_maskz_unpackhi_epi64(0xff, x, y))};
  }
#endif
#if defined(__clang__)
  return {__builtin_shufflevector(a.v, b.v, fold_lane(V::size, Step, Part, Lane)...)};
#else
  using I = typename IntOf<sizeof(lane_t<V>)>::type;
  return {__builtin_shuffle(
      a.v, b.v, typename Vec<I, V::size>::native{static_cast<I>(fold_lane(V::size, Step, Part, Lane))...})};
#endif
}

/// Lane i of what is returned is the fold of all lanes of r[i]; `r` is overwritten.
template <int Step = 0, class V, class Fold>
UFUSE_INLINE V fold_each(V (&r)[V::size], Fold fold) {
  constexpr auto lanes = std::make_integer_sequence<int, V::size>{};
  constexpr int kLeft = V::size >> (Step + 1);
  if constexpr (kLeft == 0) {
    return r[0];
  } else {
    each_of(std::integral_constant<int, kLeft>{}, [&](int i) __attribute__((always_inline)) {
      r[i] = fold(fold_half<Step, 0>(r[2 * i], r[2 * i + 1], lanes),
                  fold_half<Step, 1>(r[2 * i], r[2 * i + 1], lanes));
    });
    return fold_each<Step + 1>(r, fold);
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
