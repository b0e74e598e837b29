// Moves between strided memory and contiguous blocks, and the order of bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// Rows are gathered side by side, a few lines of each in turn: one core reads pieces of 4 to 16 KB with gaps
// between them at 13 to 19 cycles a line if it takes them one by one, eight of them in turn at 7 to 9, as it
// reads one long run. (Software prefetches of the next piece, 1 to 256 KB ahead, to L1 or L2, gained nothing.
// Turns of 4 KB are no better than one piece after the other; turns of
// two registers no better than of one. Folding each turn of 128 elements at once, lanes as columns of the
// column kernels, took 15 cycles instead of 11: a call of those for 8 lines costs more than it saves.)

/// How far ahead rows that run backwards are asked for: in order of memory 15 GB/s a core, else 10.
inline constexpr std::int64_t kReversedAhead = 8 << 10;

// Neighbours up to 8 elements apart: whole registers are loaded and what is wanted of each is permuted into
// place, k loads and k permutations for a register of results. Reads up to the element after the last one it
// takes, so it stops before the last register. Returns how many are done.
#if defined(__AVX512F__) || defined(__AVX2__)
inline std::int64_t gather_permuted(char* out, std::int64_t pitch, const char* const* from, std::int64_t rows,
                                    std::int64_t stride, std::int64_t count) {
  constexpr int W = kRegisterBytes / 4;
  constexpr std::int64_t kMost = 8;
  const std::int64_t k = stride / 4;
  if (stride % 4 != 0 || count <= W || !(k == -1 || (k >= 2 && k <= kMost))) return 0;
#if defined(__AVX512F__)
  const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i at = k < 0 ? _mm512_sub_epi32(_mm512_set1_epi32(W - 1), iota)
                           : _mm512_mullo_epi32(iota, _mm512_set1_epi32(static_cast<int>(k)));
  const __m512i source = _mm512_srli_epi32(at, 4);
  auto pick = [&](__m512i to, const char* block, int r) __attribute__((always_inline)) {
    return _mm512_mask_permutexvar_epi32(to, _mm512_cmpeq_epi32_mask(source, _mm512_set1_epi32(r)), at,
                                         _mm512_loadu_si512(block + r * kRegisterBytes));
  };
  auto put = [](char* to, __m512i x) { _mm512_storeu_si512(to, x); };
  auto zero = [] { return _mm512_setzero_si512(); };
#else
  const __m256i iota = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  const __m256i at = k < 0 ? _mm256_sub_epi32(_mm256_set1_epi32(W - 1), iota)
                           : _mm256_mullo_epi32(iota, _mm256_set1_epi32(static_cast<int>(k)));
  const __m256i source = _mm256_srli_epi32(at, 3);
  auto pick = [&](__m256i to, const char* block, int r) __attribute__((always_inline)) {
    const __m256i x = _mm256_permutevar8x32_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + r * kRegisterBytes)), at);
    return _mm256_blendv_epi8(to, x, _mm256_cmpeq_epi32(source, _mm256_set1_epi32(r)));
  };
  auto put = [](char* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); };
  auto zero = [] { return _mm256_setzero_si256(); };
#endif
  auto run = [&](auto registers) __attribute__((always_inline)) {
    const std::int64_t first = k < 0 ? -(W - 1) * 4 : 0;
    std::int64_t i = 0;
    auto move = [&](char* to, const char* block) __attribute__((always_inline)) {
      auto x = zero();
      for (int r = 0; r < registers; ++r) x = pick(x, block, r);
      put(to, x);
    };
    if (k < 0 && rows == 1) {  // in order of memory
      const std::int64_t done = (count - 1) / W * W;
      for (i = done - W; i >= 0; i -= W) {
        const char* block = from[0] + first - i * 4;
        __builtin_prefetch(block + kReversedAhead, 0, 2);
        move(out + i * 4, block);
      }
      return done;
    }
    if (rows == 1) {
      const char* block = from[0] + first;
      for (; i + W < count; i += W, block += W * stride) move(out + i * 4, block);
      return i;
    }
    for (; i + W < count; i += W)
      for (std::int64_t row = 0; row < rows; ++row)
        move(out + row * pitch + i * 4, from[row] + first + i * stride);
    return i;
  };
  switch (k) {
    case -1:
      return run(std::integral_constant<int, 1>{});
    case 2:
      return run(std::integral_constant<int, 2>{});
    case 3:
      return run(std::integral_constant<int, 3>{});
    case 4:
      return run(std::integral_constant<int, 4>{});
    default:
      return run(k);
  }
}
#endif

template <class U>
void gather(void* to, std::int64_t pitch, const char* const* from, std::int64_t rows, std::int64_t stride,
            std::int64_t count) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(U));
  auto* out = static_cast<char*>(to);
  std::int64_t i = 0;
  if (stride == kSize) {
    constexpr std::int64_t kTurn = 256 / kSize;
    for (; i + kTurn <= count; i += kTurn)
      for (std::int64_t row = 0; row < rows; ++row)
        std::memcpy(out + row * pitch + i * kSize, from[row] + i * kSize, 256);
#if defined(__AVX512F__) || defined(__AVX2__)
  } else if constexpr (kSize == 4) {
    i = gather_permuted(out, pitch, from, rows, stride, count);
#endif
  }
  for (; i + 8 <= count; i += 8)
    for (std::int64_t row = 0; row < rows; ++row) {
      const char* at = from[row] + i * stride;
      U x[8];
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) std::memcpy(&x[k], at + k * stride, sizeof(U));
      std::memcpy(out + row * pitch + i * kSize, x, sizeof x);
    }
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t k = i; k < count; ++k)
      std::memcpy(out + row * pitch + k * kSize, from[row] + k * stride, sizeof(U));
}

/// Stores a whole register, to where it is aligned, past the caches.
template <class V>
UFUSE_INLINE void stream_register(char* to, V v) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(v.v));
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(v.v));
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(v.v));
#else
  v.store(to);
#endif
}

template <class U>
void swap_bytes(void* data, std::int64_t count) {
  auto* at = static_cast<U*>(data);
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (sizeof(U) == 2) at[i] = __builtin_bswap16(at[i]);
    if constexpr (sizeof(U) == 4) at[i] = __builtin_bswap32(at[i]);
    if constexpr (sizeof(U) == 8) at[i] = __builtin_bswap64(at[i]);
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
