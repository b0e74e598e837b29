// Products of 8-bit integers, exact in int32.
#pragma once

#include "contract/elements.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// uint8 rows times int8 columns, or int8 rows times uint8 columns, four k at a time, exact in int32 (modulo
/// 2^32). Without VNNI the bytes are split into the even and the odd ones as 16-bit pairs: vpmaddubsw would
/// saturate, vpmaddwd does not. The rows are split when they are packed (two words per group), the columns
/// here.
template <bool kSigned>
struct Int8 : Element<std::int32_t, std::uint8_t, 4> {
  using Words = Register<std::uint32_t>;
  static constexpr Shape kShape = kShapeInt8;
  static constexpr bool kSignedRows = kSigned, kTrailer = !kSigned;
  static constexpr bool kEveryRowCount = !kSigned;  // int8 by uint8 is rare, and each row count takes code

#if defined(__AVX512VNNI__)
  static constexpr int kWordsOfA = 1;
#elif defined(__SSE4_1__)
  static constexpr int kWordsOfA = 2;
#else
  static constexpr int kWordsOfA = 1;
#endif

#if defined(__SSE4_1__) && !defined(__AVX512VNNI__)
  static UFUSE_INLINE Vector pairs(Vector acc, Vector a, Vector b) {
#if defined(__AVX512BW__)
    using I = __m512i;
    const auto product = _mm512_madd_epi16((I)a.v, (I)b.v);
#elif defined(__AVX2__)
    using I = __m256i;
    const auto product = _mm256_madd_epi16((I)a.v, (I)b.v);
#else
    using I = __m128i;
    const auto product = _mm_madd_epi16((I)a.v, (I)b.v);
#endif
    return bitcast<Vector>(bitcast<Words>(acc) + Words{(typename Words::native)product});
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    using Shorts = Register<std::conditional_t<kSignedRows, std::uint16_t, std::int16_t>>;
    Vector even[NV], odd[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      const Shorts bytes = Shorts::load(b + v * static_cast<int>(sizeof(Vector)));
      odd[v] = bitcast<Vector>(Shorts{bytes.v >> 8});
      Shorts low{bytes.v << 8};
      if constexpr (kSignedRows) UFUSE_OPAQUE(low.v);  // as a mask the two shifts take one more register
      even[v] = bitcast<Vector>(Shorts{low.v >> 8});
    }
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vector low = splat<Vector>(load_as<std::int32_t>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = pairs(acc[r][v], low, even[v]);
      const Vector high = splat<Vector>(load_as<std::int32_t>(rows.at(r) + 4));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = pairs(acc[r][v], high, odd[v]);
    }
  }
#else
  static UFUSE_INLINE Vector mixed(Vector acc, Words unsigned_bytes, Vector signed_bytes) {
#if defined(__AVX512VNNI__)
    return {(typename Vector::native)_mm512_dpbusd_epi32((__m512i)acc.v, (__m512i)unsigned_bytes.v,
                                                         (__m512i)signed_bytes.v)};
#else
    Words sum = bitcast<Words>(acc);
    for (int shift = 0; shift < 32; shift += 8) {
      const Vector signed_byte = (signed_bytes << (24 - shift)) >> 24;
      sum = sum + ((unsigned_bytes >> shift) & splat<Words>(255u)) * bitcast<Words>(signed_byte);
    }
    return bitcast<Vector>(sum);
#endif
  }
  static UFUSE_INLINE Vector dot(Vector acc, Words a, Vector b) {
    return kSignedRows ? mixed(acc, bitcast<Words>(b), bitcast<Vector>(a)) : mixed(acc, a, b);
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    step_by_dots<Int8, Words>(acc, rows, b);
  }
#endif

  /// The even and the odd bytes of a group of A, as 16-bit pairs.
  static UFUSE_INLINE void split(std::uint32_t group, std::uint32_t* parts) {
    parts[0] = widened(group & 0x00ff00ffu);
    parts[1] = widened((group >> 8) & 0x00ff00ffu);
  }
  /// Both bytes with their signs, if they have any.
  static UFUSE_INLINE std::uint32_t widened(std::uint32_t pair) {
    return kSignedRows ? pair | (pair & 0x00800080u) * 0x1feu : pair;
  }

  /// The word or words of packed A that hold 1 in every byte: column sums are a product with them.
  static UFUSE_INLINE void ones(std::uint32_t* words) {
    words[0] = kWordsOfA == 1 ? 0x01010101u : 0x00010001u;
    if constexpr (kWordsOfA == 2) words[1] = 0x00010001u;
  }

  /// What a register of columns of a packed panel starts from where A has been moved by 128: -128 times the
  /// sum of each column.
  static UFUSE_INLINE void trailer(const char* column, std::int64_t groups, std::int64_t row_bytes,
                                   char* out) {
    std::uint32_t words[2];
    ones(words);
    Vector sum[1][1] = {};
    for (std::int64_t g = 0; g < groups; ++g)
      step<1, 1>(sum, PackedRows<1, 8>(reinterpret_cast<const char*>(words), 0, 0), column + g * row_bytes);
    (sum[0][0] * splat<Vector>(-128)).store(out);
  }
};
using U8S8 = Int8<false>;
using S8U8 = Int8<true>;

}  // namespace UFUSE_TIER
}  // namespace ufuse
