// What formats of four and six bits share: codes packed and unpacked, and tables of sixteen values.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// The low bytes of kLanes numbers. Named instructions: GCC 12 takes some of these conversions apart lane by
/// lane, which made encoding to float8 three times slower.
UFUSE_INLINE void store_codes(void* to, Unsigned x) {
#if defined(__AVX512F__)
  const __m512i all = reinterpret_cast<__m512i>(x.v);
  _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xffff, all));
#elif defined(__AVX2__)
  const __m256i first = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                                         12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i fours = _mm256_shuffle_epi8(reinterpret_cast<__m256i>(x.v), first);
  const __m128i low = _mm256_castsi256_si128(fours), high = _mm256_extracti128_si256(fours, 1);
  _mm_storel_epi64(static_cast<__m128i*>(to), _mm_unpacklo_epi32(low, high));
#else
  convert<Bytes>(x).store(to);
#endif
}

/// Codes of four bits, two to a byte: kLanes of them.
template <bool HighFirst>
UFUSE_INLINE void store_nibbles(void* to, Unsigned codes) {
  using Pair = Vec<std::uint64_t, kLanes / 2>;
  const Pair pairs = bitcast<Pair>(codes);
  const Pair bytes = HighFirst ? (pairs << 4) | (pairs >> 32) : pairs | (pairs >> 28);
#if defined(__AVX512F__)
  const __m128i all = _mm512_maskz_cvtepi64_epi8(0xff, reinterpret_cast<__m512i>(bytes.v));
  _mm_storel_epi64(static_cast<__m128i*>(to), all);
#elif defined(__AVX2__)
  const __m256i first = _mm256_setr_epi8(0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 8,
                                         -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i twos = _mm256_shuffle_epi8(reinterpret_cast<__m256i>(bytes.v), first);
  const __m128i low = _mm256_castsi256_si128(twos), high = _mm256_extracti128_si256(twos, 1);
  const int four = _mm_cvtsi128_si32(_mm_unpacklo_epi16(low, high));
  std::memcpy(to, &four, sizeof four);
#else
  using Few = Vec<std::uint8_t, kLanes / 2>;
  convert<Few>(bytes).store(to);
#endif
}

/// The same of two registers, one after the other.
template <bool HighFirst>
UFUSE_INLINE void store_nibbles(void* to, Unsigned a, Unsigned b) {
#if defined(__AVX512F__)
  // Six instructions instead of ten: products with 1 and 16, added in pairs, are the bytes.
  const __m512i shorts = _mm512_packus_epi32(reinterpret_cast<__m512i>(a.v), reinterpret_cast<__m512i>(b.v));
  const __m512i weights = _mm512_set1_epi32(HighFirst ? 0x00010010 : 0x00100001);
  const __m128i bytes = _mm512_maskz_cvtepi32_epi8(0xffff, _mm512_madd_epi16(shorts, weights));
  const __m128i place = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  _mm_storeu_si128(static_cast<__m128i*>(to), _mm_shuffle_epi8(bytes, place));
#else
  store_nibbles<HighFirst>(to, a);
  store_nibbles<HighFirst>(static_cast<std::uint8_t*>(to) + kLanes / 2, b);
#endif
}

/// Numbers whose last four bits are the codes.
template <bool HighFirst>
UFUSE_INLINE Int load_nibbles(const void* from) {
  using Pair = Vec<std::uint64_t, kLanes / 2>;
  const Pair bytes = convert<Pair>(Vec<std::uint8_t, kLanes / 2>::load(from));
  return bitcast<Int>(HighFirst ? (bytes >> 4) | (bytes << 32) : bytes | (bytes << 28));
}

/// kLanes codes of six bits, four to three bytes: the first in the lowest bits.
UFUSE_INLINE void store_sixes(std::uint8_t* to, Unsigned x) {
#if defined(__x86_64__)
  // Products with powers of two, added in pairs, shift codes to their places: to 12 bits, then to 24.
  __m128i bytes;
#if defined(__AVX512F__)
  bytes = _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(x.v));
#else
  std::uint64_t apart = 0;
  store_codes(&apart, x);
  bytes = _mm_cvtsi64_si128(static_cast<long long>(apart));
#endif
  const __m128i twelves = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x4001));
  const __m128i words = _mm_madd_epi16(twelves, _mm_set1_epi32(0x10000001));
  const __m128i close = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const __m128i packed = _mm_shuffle_epi8(words, close);
  const long long first = _mm_cvtsi128_si64(packed);
  std::memcpy(to, &first, kLanes == 16 ? 8 : kLanes * 6 / 8);
  if constexpr (kLanes == 16) {
    const int last = _mm_extract_epi32(packed, 2);
    std::memcpy(to + 8, &last, sizeof last);
  }
#else
  for (int i = 0; i < kLanes; i += 4) {
    const std::uint32_t word = x[i] | x[i + 1] << 6 | x[i + 2] << 12 | x[i + 3] << 18;
    std::memcpy(to + i / 4 * 3, &word, 3);
  }
#endif
}

/// Eight codes of six bits in the lowest 48, to bytes.
UFUSE_INLINE std::uint64_t spread_sixes(std::uint64_t x) {
  x = (x & 0x0000000000ffffffU) | ((x & 0x0000ffffff000000U) << 8);
  x = (x & 0x00000fff00000fffU) | ((x & 0x00fff00000fff000U) << 4);
  return (x & 0x003f003f003f003fU) | ((x & 0x0fc00fc00fc00fc0U) << 2);
}

/// kLanes codes of six bits. They go to a register through no memory: what is stored in parts would have to
/// arrive there before it could be loaded.
UFUSE_INLINE Int load_sixes(const std::uint8_t* from) {
  const auto six_bytes = [](const std::uint8_t* at) {
    std::uint32_t low;
    std::uint16_t high;
    std::memcpy(&low, at, sizeof low);
    std::memcpy(&high, at + 4, sizeof high);
    return spread_sixes(low | static_cast<std::uint64_t>(high) << 32);
  };
  if constexpr (kLanes == 16) {
    using Words = Vec<std::uint64_t, 2>;
    return convert<Int>(bitcast<Bytes>(Words{{six_bytes(from), six_bytes(from + 6)}}));
  } else if constexpr (kLanes == 8) {
    return convert<Int>(bitcast<Bytes>(Vec<std::uint64_t, 1>{{six_bytes(from)}}));
  } else {
    std::uint16_t low;
    std::memcpy(&low, from, sizeof low);
    const auto word = static_cast<std::uint32_t>(spread_sixes(low | from[2] << 16));
    return convert<Int>(bitcast<Bytes>(Vec<std::uint32_t, 1>{{word}}));
  }
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
    for (int i = 0; i < kLanes; ++i) {
      const int at = index[i] & 15;
      r.v[i] = part_[at / kLanes][at % kLanes];
    }
    return r;
#endif
  }

 private:
  static constexpr int kParts = 16 / kLanes;
  Float part_[kParts];
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
