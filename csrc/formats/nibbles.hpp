// What formats of four and six bits share: codes packed and unpacked, and tables of sixteen values.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// Codes of four bits, two to a byte: kLanes of them.
template <bool HighFirst>
UFUSE_INLINE void store_nibbles(void* to, Int codes) {
  using Pair = Vec<std::uint64_t, kLanes / 2>;
  const Pair pairs = bitcast<Pair>(codes);
  const Pair bytes = HighFirst ? (pairs << 4) | (pairs >> 32) : pairs | (pairs >> 28);
  convert<Vec<std::uint8_t, kLanes / 2>>(bytes).store(to);
}

/// Numbers whose last four bits are the codes.
template <bool HighFirst>
UFUSE_INLINE Int load_nibbles(const void* from) {
  using Pair = Vec<std::uint64_t, kLanes / 2>;
  const Pair bytes = convert<Pair>(Vec<std::uint8_t, kLanes / 2>::load(from));
  return bitcast<Int>(HighFirst ? (bytes >> 4) | (bytes << 32) : bytes | (bytes << 28));
}

/// Eight codes of six bits, one per byte, to six bytes: the first in the lowest bits.
UFUSE_INLINE void pack_sixes(std::uint8_t* to, const std::uint8_t* from) {
  std::uint64_t x;
  std::memcpy(&x, from, sizeof x);
  x = (x & 0x003f003f003f003fU) | ((x & 0x3f003f003f003f00U) >> 2);
  x = (x & 0x00000fff00000fffU) | ((x & 0x0fff00000fff0000U) >> 4);
  x = (x & 0x0000000000ffffffU) | ((x & 0x00ffffff00000000U) >> 8);
  std::memcpy(to, &x, 6);
}

UFUSE_INLINE void unpack_sixes(std::uint8_t* to, const std::uint8_t* from) {
  std::uint64_t x = 0;
  std::memcpy(&x, from, 6);
  x = (x & 0x0000000000ffffffU) | ((x & 0x0000ffffff000000U) << 8);
  x = (x & 0x00000fff00000fffU) | ((x & 0x00fff00000fff000U) << 4);
  x = (x & 0x003f003f003f003fU) | ((x & 0x0fc00fc00fc00fc0U) << 2);
  std::memcpy(to, &x, sizeof x);
}

/// Sixteen float32, of which each lane takes one.
class Table {
 public:
  explicit UFUSE_INLINE Table(const float* values) {
    for (int i = 0; i < kParts; ++i) part_[i] = Float::load(values + i * kLanes);
  }

  /// Of `index` the last four bits count.
  UFUSE_INLINE Float operator[](Int index) const {
#if defined(__AVX512F__)
    return {_mm512_permutexvar_ps(reinterpret_cast<__m512i>(index.v), part_[0].v)};
#elif defined(__AVX2__)
    const auto at = reinterpret_cast<__m256i>(index.v);
    return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(part_[0].v, at),
                             _mm256_permutevar8x32_ps(part_[1].v, at),
                             _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)))};
#else
    Float r;
    for (int i = 0; i < kLanes; ++i)
      r.v[i] = reinterpret_cast<const float*>(part_)[index.v[i] & 15];
    return r;
#endif
  }

 private:
  static constexpr int kParts = 16 / kLanes;
  Float part_[kParts];
};

/// Whether a lane of a mask is set.
UFUSE_INLINE bool any(Int mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(mask.v), reinterpret_cast<__m512i>(mask.v)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8(reinterpret_cast<__m256i>(mask.v)) != 0;
#else
  int some = 0;
  for (int i = 0; i < kLanes; ++i) some |= mask.v[i];
  return some != 0;
#endif
}

/// The last n of a group's bytes, one per block.
template <class N>
UFUSE_INLINE void store_scales(std::uint8_t* to, Int scales, N n) {
  if constexpr (std::is_integral_v<N>) {
    std::uint8_t bytes[kLanes];
    store_bytes(bytes, scales);
    for (int b = 0; b < n; ++b) to[b] = bytes[b];
  } else {
    store_bytes(to, scales);
  }
}

template <class N>
UFUSE_INLINE Int load_scales(const std::uint8_t* from, N n) {
  using Bytes = Vec<std::uint8_t, kLanes>;
  if constexpr (std::is_integral_v<N>) {
    std::uint8_t bytes[kLanes] = {};
    for (int b = 0; b < n; ++b) bytes[b] = from[b];
    return convert<Int>(Bytes::load(bytes));
  } else {
    return convert<Int>(Bytes::load(from));
  }
}

/// The largest magnitude of each of n blocks.
template <class N>
UFUSE_INLINE Int largest_of_each(const float* x, std::int64_t block, N n) {
  Int largest[kLanes] = {};
  each_of(n, [&](int b) __attribute__((always_inline)) {
    const float* const from = x + b * block;
    Int most = magnitude(Float::load(from));
    for (std::int64_t i = kLanes; i < block; i += kLanes) most = larger(most, magnitude(Float::load(from + i)));
    largest[b] = most;
  });
  return fold_each(largest, larger<Int>);
}

inline constexpr std::int32_t kInfinity = 0x7f800000;

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
