// The low bits of int32 lanes, several registers to one: `convert` by itself is taken apart lane by lane
// where registers are not in a loop (GCC 12).
#pragma once

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// Stores the low bits of `G` registers side by side, as elements of Q.
template <class Q, int G>
UFUSE_INLINE void store_low(const Register<std::int32_t> (&from)[G], char* to) {
  using V = Register<std::int32_t>;
  static_assert(sizeof(Q) <= 2 && G % 4 == 0);
#if defined(__SSE4_1__)
  const V low = splat<V>(sizeof(Q) == 1 ? 0xff : 0xffff);
  // Unsigned saturation leaves what is masked; in lanes of 128 bits, which are put in order at the end.
#if defined(__AVX512F__)
  const auto words = [&](V a, V b) __attribute__((always_inline)) {
    return _mm512_packus_epi32((__m512i)(a & low).v, (__m512i)(b & low).v);
  };
  const auto bytes = [](__m512i a, __m512i b) { return _mm512_packus_epi16(a, b); };
  const __m512i order = sizeof(Q) == 1
                            ? _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0)
                            : _mm512_set_epi32(15, 14, 11, 10, 7, 6, 3, 2, 13, 12, 9, 8, 5, 4, 1, 0);
  const auto put = [&](char* at, __m512i x) __attribute__((always_inline)) {
    _mm512_storeu_si512(at, _mm512_maskz_permutexvar_epi32(0xffff, order, x));
  };
#elif defined(__AVX2__)
  const auto words = [&](V a, V b) __attribute__((always_inline)) {
    return _mm256_packus_epi32((__m256i)(a & low).v, (__m256i)(b & low).v);
  };
  const auto bytes = [](__m256i a, __m256i b) { return _mm256_packus_epi16(a, b); };
  const __m256i order =
      sizeof(Q) == 1 ? _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0) : _mm256_set_epi32(7, 6, 3, 2, 5, 4, 1, 0);
  const auto put = [&](char* at, __m256i x) __attribute__((always_inline)) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm256_permutevar8x32_epi32(x, order));
  };
#else
  const auto words = [&](V a, V b) __attribute__((always_inline)) {
    return _mm_packus_epi32((__m128i)(a & low).v, (__m128i)(b & low).v);
  };
  const auto bytes = [](__m128i a, __m128i b) { return _mm_packus_epi16(a, b); };
  const auto put = [](char* at, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), x); };
#endif
#pragma GCC unroll 8
  for (int k = 0; k < G; k += sizeof(Q) == 1 ? 4 : 2, to += kRegisterBytes) {
    if constexpr (sizeof(Q) == 1)
      put(to, bytes(words(from[k], from[k + 1]), words(from[k + 2], from[k + 3])));
    else
      put(to, words(from[k], from[k + 1]));
  }
#else
  for (int k = 0; k < G; ++k, to += V::size * static_cast<int>(sizeof(Q)))
    convert<Vec<Q, V::size> >(from[k]).store(to);
#endif
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
