// Elements of fewer than 4 bytes as packed groups: of several rows in turn, and bools as bits.
#pragma once

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__clang__)
#define UFUSE_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UFUSE_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, decltype(a){__VA_ARGS__})
#endif

/// Four rows of 16 bytes, at `at` of each, as 16 groups of 4.
UFUSE_INLINE void interleave_store(const char* const* row, int at, char* out) {
  using V = Vec<std::uint8_t, 16>;
  const auto low = [](auto a, auto b) {
    return UFUSE_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  };
  const auto high = [](auto a, auto b) {
    return UFUSE_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  };
  const auto a = V::load(row[0] + at).v, b = V::load(row[1] + at).v;
  const auto c = V::load(row[2] + at).v, d = V::load(row[3] + at).v;
  // Bytes 0 and 2 side by side, 1 and 3: then both at once.
  const auto ac0 = low(a, c), ac1 = high(a, c), bd0 = low(b, d), bd1 = high(b, d);
  V{low(ac0, bd0)}.store(out);
  V{high(ac0, bd0)}.store(out + 16);
  V{low(ac1, bd1)}.store(out + 32);
  V{high(ac1, bd1)}.store(out + 48);
}

/// Two rows of 8 elements of 2 bytes, as 8 pairs.
UFUSE_INLINE void pair_store(const char* const* row, int at, char* out) {
  using V = Vec<std::uint16_t, 8>;
  const auto a = V::load(row[0] + at).v, b = V::load(row[1] + at).v;
  V{UFUSE_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)}.store(out);
  V{UFUSE_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)}.store(out + 16);
}

/// 32 bools side by side as a word.
UFUSE_INLINE std::uint32_t word_of_bools(const char* from) {
#if defined(__AVX2__)
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return ~static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256())));
#elif defined(__SSE4_1__)
  std::uint32_t unset = 0;
  for (int half = 0; half < 2; ++half) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + half);
    const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128()));
    unset |= static_cast<std::uint32_t>(mask) << (16 * half);
  }
  return ~unset;
#else
  std::uint32_t word = 0;
  for (int bit = 0; bit < 32; ++bit) word |= static_cast<std::uint32_t>(from[bit] != 0) << bit;
  return word;
#endif
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
