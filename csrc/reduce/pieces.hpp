// Moves of pieces that cannot be read where they lie: strided, byte-swapped, masked, or of another type.
#pragma once

#include "reduce/lanes.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// Neighbours up to 8 elements apart: whole registers are loaded and what is wanted of each is permuted into
// place, k loads and k permutations for a register of results. With (4096, 4096) of float32 [::2, ::3] that
// is twice as fast as element by element. Reads up to the element after the last one it takes, so it stops
// before the last register. Returns how many are done.
#if defined(__AVX512F__) || defined(__AVX2__)
inline std::int64_t gather_permuted(std::uint32_t* out, const char* from, std::int64_t stride,
                                    std::int64_t count) {
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
  auto put = [](std::uint32_t* to, __m512i x) { _mm512_storeu_si512(to, x); };
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
  auto put = [](std::uint32_t* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); };
  auto zero = [] { return _mm256_setzero_si256(); };
#endif
  auto run = [&](auto registers) __attribute__((always_inline)) {
    const char* block = k < 0 ? from - (W - 1) * 4 : from;
    std::int64_t i = 0;
    for (; i + W < count; i += W, block += W * stride) {
      auto x = zero();
      for (int r = 0; r < registers; ++r) x = pick(x, block, r);
      put(out + i, x);
    }
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
void gather(void* to, const char* from, std::int64_t stride, std::int64_t count) {
  auto* out = static_cast<U*>(to);
  std::int64_t i = 0;
#if defined(__AVX512F__) || defined(__AVX2__)
  if constexpr (sizeof(U) == 4) {
    i = gather_permuted(out, from, stride, count);
    from += i * stride;
  }
#endif
  for (; i + 8 <= count; i += 8, from += 8 * stride) {
    U x[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) std::memcpy(&x[k], from + k * stride, sizeof(U));
    std::memcpy(out + i, x, sizeof x);
  }
  for (; i < count; ++i, from += stride) std::memcpy(out + i, from, sizeof(U));
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

template <class U>
void mask_out(void* data, const std::uint8_t* mask, const void* fill, std::int64_t count) {
  auto* at = static_cast<U*>(data);
  U value;
  std::memcpy(&value, fill, sizeof value);
  for (std::int64_t i = 0; i < count; ++i) at[i] = mask[i] != 0 ? at[i] : value;
}

template <class T>
void to_f64(double* to, const void* from, std::int64_t count) {
  using S = reducers::storage_t<T>;
  constexpr int W = kRegisterBytes / 8;
  const auto* at = static_cast<const S*>(from);
  std::int64_t i = 0;
  for (; i + W <= count; i += W) convert<Vec<double, W>>(Vec<S, W>::load(at + i)).store(to + i);
  for (; i < count; ++i) to[i] = static_cast<double>(at[i]);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
