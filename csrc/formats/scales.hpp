// What formats share whose scales lie apart: the largest magnitudes of blocks, and a byte for each of some
// blocks.
#pragma once

#include "formats/nibbles.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// The largest of a register's lanes.
template <int N>
UFUSE_INLINE std::int32_t largest_lane(Vec<std::int32_t, N> x) {
  if constexpr (N == 2) {
    return x[0] > x[1] ? x[0] : x[1];
  } else {
    Vec<std::int32_t, N / 2> low, high;
    std::memcpy(&low.v, &x.v, sizeof low.v);
    std::memcpy(&high.v, reinterpret_cast<const char*>(&x.v) + sizeof low.v, sizeof high.v);
    return largest_lane(larger(low, high));
  }
}

/// A byte of each of n blocks.
UFUSE_INLINE void store_scales(std::uint8_t* to, Int scales, int n) {
  if (n == kLanes) {
    store_codes(to, bitcast<Unsigned>(scales));
  } else {
    std::uint8_t bytes[kLanes];
    store_codes(bytes, bitcast<Unsigned>(scales));
    for (int b = 0; b < n; ++b) to[b] = bytes[b];
  }
}
UFUSE_INLINE Int load_scales(const std::uint8_t* from, int n) {
  if (n == kLanes) return convert<Int>(Bytes::load(from));
  std::uint8_t bytes[kLanes] = {};
  for (int b = 0; b < n; ++b) bytes[b] = from[b];
  return convert<Int>(Bytes::load(bytes));
}

/// Calls `body(first, n)` for groups of n blocks, all full but the last.
template <class Body>
UFUSE_INLINE void each_few(std::int64_t blocks, Body body) {
  for (std::int64_t first = 0; first < blocks; first += kLanes)
    body(first, static_cast<int>(blocks - first < kLanes ? blocks - first : kLanes));
}

/// The largest magnitude of each of a group's blocks. Not inlined: unrolled as it is where a group is full,
/// it is once in the instruction cache for all formats.
template <std::int64_t Block>
__attribute__((noinline)) Int largest_of_group(const float* x) {
  Int largest[kLanes];
  each_of(std::integral_constant<int, kLanes>{}, [&](int b) __attribute__((always_inline)) {
    largest[b] = magnitude(Float::load(x + b * Block));
    for (std::int64_t i = kLanes; i < Block; i += kLanes)
      largest[b] = larger(largest[b], magnitude(Float::load(x + b * Block + i)));
  });
  return fold_each(largest, Larger{});
}
/// The same of n blocks, and zeros.
__attribute__((noinline)) inline Int largest_of_some(const float* x, std::int64_t block, int n) {
  Int largest[kLanes] = {};
  for (int b = 0; b < n; ++b) {
    Int most = magnitude(Float::load(x + b * block));
    for (std::int64_t i = kLanes; i < block; i += kLanes)
      most = larger(most, magnitude(Float::load(x + b * block + i)));
    largest[b] = most;
  }
  return fold_each(largest, Larger{});
}
template <class Block>
UFUSE_INLINE Int largest_of_each(const float* x, Block block, int n) {
  if constexpr (!std::is_integral_v<Block>) {
    if (n == kLanes) return largest_of_group<Block::value>(x);
  }
  return largest_of_some(x, block, n);
}

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
