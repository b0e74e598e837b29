// What kernels of block formats share: as many blocks as a register has lanes are taken together, so that
// what there is one of per block (a scale, its inverse, its code) is computed for all of them at once.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "formats/kernels.hpp"
#include "simd/half.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

inline constexpr int kLanes = kRegisterBytes / 4;  // blocks of a group, and float32 of a register
using Float = Vec<float, kLanes>;
using Int = Vec<std::int32_t, kLanes>;
using Half = Vec<std::uint16_t, kLanes>;

/// Registers of a block.
template <int Block>
inline constexpr int kRegisters = Block / kLanes;

/// Calls `body(first, n)` for each group of n blocks. Of a full group n is a constant.
template <class Body>
UFUSE_INLINE void each_group(std::int64_t blocks, Body body) {
  std::int64_t first = 0;
  for (; first + kLanes <= blocks; first += kLanes) body(first, std::integral_constant<int, kLanes>{});
  if (first < blocks) body(first, static_cast<int>(blocks - first));
}

/// Calls `body(b)` for each of n blocks; unrolled where n is a constant.
template <class N, class Body>
UFUSE_INLINE void each_of(N n, Body body) {
  if constexpr (std::is_integral_v<N>) {
    for (int b = 0; b < n; ++b) body(b);
  } else {
    [&]<int... B>(std::integer_sequence<int, B...>)
        __attribute__((always_inline)) { (body(B), ...); }(std::make_integer_sequence<int, N::value>{});
  }
}

template <class V, int Odd, int... Lane>
UFUSE_INLINE V every_second(V a, V b, std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
  return {__builtin_shufflevector(a.v, b.v, (Lane * 2 + Odd)...)};
#else
  using I = typename IntOf<sizeof(lane_t<V>)>::type;
  return {__builtin_shuffle(a.v, b.v, typename Vec<I, V::size>::native{static_cast<I>(Lane * 2 + Odd)...})};
#endif
}

/// Lane i of what is returned is the fold of all lanes of r[i]; `r` is overwritten.
template <class V, class Fold>
UFUSE_INLINE V fold_each(V (&r)[V::size], Fold fold) {
  constexpr auto lanes = std::make_integer_sequence<int, V::size>{};
#pragma GCC unroll 4
  for (int n = V::size / 2; n > 0; n /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
      r[i] = fold(every_second<V, 0>(r[2 * i], r[2 * i + 1], lanes),
                  every_second<V, 1>(r[2 * i], r[2 * i + 1], lanes));
  return r[0];
}

/// The magnitude of a float32 as an integer: in the order of magnitudes, NaN above all.
UFUSE_INLINE Int magnitude(Float x) { return bitcast<Int>(x) & splat<Int>(0x7fffffff); }
template <class V>
UFUSE_INLINE V larger(V a, V b) {
  return select(a > b, a, b);
}
template <class V>
UFUSE_INLINE V smaller(V a, V b) {
  return select(a < b, a, b);
}

/// Towards zero. What does not fit, and NaN, give the smallest integer, as x86's instruction does.
UFUSE_INLINE Int truncated(Float x) {
#if defined(__x86_64__)
  return convert<Int>(x);
#else
  const Float limit = splat<Float>(2147483648.0F);
  return select((x < limit) & (x > -limit), convert<Int>(x), splat<Int>(INT32_MIN));
#endif
}

/// 1 / x, and 0 for 0.
UFUSE_INLINE Float inverse_or_zero(Float x) {
  const Float zero = splat<Float>(0.0F);
  return select(x == zero, zero, splat<Float>(1.0F) / x);
}

UFUSE_INLINE Float to_float(Vec<std::int8_t, kLanes> x) { return convert<Float>(convert<Int>(x)); }
UFUSE_INLINE Float to_float(Vec<std::uint8_t, kLanes> x) { return convert<Float>(convert<Int>(x)); }

/// The low bytes.
UFUSE_INLINE void store_bytes(void* to, Int x) { convert<Vec<std::uint8_t, kLanes>>(x).store(to); }

UFUSE_INLINE void store_half(void* to, std::uint16_t code) { std::memcpy(to, &code, sizeof code); }
UFUSE_INLINE std::uint16_t load_half(const void* from) {
  std::uint16_t code;
  std::memcpy(&code, from, sizeof code);
  return code;
}

/// A float16 of each of n blocks, `Bytes` apart, as float32.
template <int Bytes, class N>
UFUSE_INLINE void load_halves(float (&to)[kLanes], const std::uint8_t* from, N n) {
  std::uint16_t codes[kLanes] = {};
  for (int b = 0; b < n; ++b) codes[b] = load_half(from + b * Bytes);
  half_to_float(Half::load(codes)).store(to);
}

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
