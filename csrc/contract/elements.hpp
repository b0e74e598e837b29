// Element combinations: what a packed group is, and how a register of columns takes one more group.
#pragma once

#include "contract/tuning.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__clang__)
#define UFUSE_UNROLL _Pragma("clang loop unroll(full)")
#define UFUSE_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UFUSE_UNROLL _Pragma("GCC unroll 16")
#define UFUSE_ROLLED _Pragma("GCC unroll 1")
#endif

template <class T>
UFUSE_INLINE T load_as(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// The rows of a tile at one k: packed side by side, kBytes each.
template <int R, int kBytes>
struct PackedRows {
  const char* p;
  UFUSE_INLINE PackedRows(const char* a, std::int64_t, std::int64_t) : p(a) {}
  UFUSE_INLINE const char* at(int r) const { return p + r * kBytes; }
  UFUSE_INLINE void next() { p += R * kBytes; }
};
/// The same read where A lies: a pointer for every third row, since an address holds one or two times the
/// stride.
template <int R>
struct StridedRows {
  const char* p[(R + 2) / 3];
  std::int64_t row, k;
  UFUSE_INLINE StridedRows(const char* a, std::int64_t row_stride, std::int64_t k_stride)
      : row(row_stride), k(k_stride) {
    UFUSE_UNROLL
    for (int i = 0; i < (R + 2) / 3; ++i) p[i] = a + 3 * i * row;
  }
  UFUSE_INLINE const char* at(int r) const { return p[r / 3] + r % 3 * row; }
  UFUSE_INLINE void next() {
    UFUSE_UNROLL
    for (int i = 0; i < (R + 2) / 3; ++i) p[i] += k;
  }
};

template <class T, class Bits>
struct FloatElement {
  using Storage = Bits;  // what packing moves
  using Accumulator = T;
  using Vector = Register<T>;
  static constexpr int kGroup = 1;
  static constexpr int kWordsOfA = 1;
  static constexpr bool kTrailer = false;

  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    Vector columns[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) columns[v] = Vector::load(b + v * static_cast<int>(sizeof(Vector)));
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vector row = splat<Vector>(load_as<T>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = fma(row, columns[v], acc[r][v]);
    }
  }
};

struct F32 : FloatElement<float, std::uint32_t> {
  static constexpr Shape kShape = kShapeF32;
};
struct F64 : FloatElement<double, std::uint64_t> {
  static constexpr Shape kShape = kShapeF64;
};

/// uint8 rows times int8 columns, four k at a time, exact in int32 (modulo 2^32). Without VNNI the bytes are
/// split into the even and the odd ones as 16-bit pairs: vpmaddubsw would saturate, vpmaddwd does not. The
/// rows are split when they are packed (two words per group), the columns here.
struct U8S8 {
  using Storage = std::uint8_t;
  using Accumulator = std::int32_t;
  using Vector = Register<std::int32_t>;
  using Words = Register<std::uint32_t>;
  static constexpr Shape kShape = kShapeInt8;
  static constexpr int kGroup = 4;
  static constexpr bool kTrailer = true;

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
    using Shorts = Register<std::int16_t>;
    Vector even[NV], odd[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      const Shorts bytes = Shorts::load(b + v * static_cast<int>(sizeof(Vector)));
      odd[v] = bitcast<Vector>(Shorts{bytes.v >> 8});
      even[v] = bitcast<Vector>(Shorts{(bytes.v << 8) >> 8});
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
  static UFUSE_INLINE Vector dot(Vector acc, Words a, Vector b) {
#if defined(__AVX512VNNI__)
    return {(typename Vector::native)_mm512_dpbusd_epi32((__m512i)acc.v, (__m512i)a.v, (__m512i)b.v)};
#else
    Words sum = bitcast<Words>(acc);
    for (int shift = 0; shift < 32; shift += 8) {
      const Vector signed_byte = (b << (24 - shift)) >> 24;
      sum = sum + ((a >> shift) & splat<Words>(255u)) * bitcast<Words>(signed_byte);
    }
    return bitcast<Vector>(sum);
#endif
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    Vector columns[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) columns[v] = Vector::load(b + v * static_cast<int>(sizeof(Vector)));
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const Words row = splat<Words>(load_as<std::uint32_t>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = dot(acc[r][v], row, columns[v]);
    }
  }
#endif

  /// The word or words of packed A that hold 1 in every byte: column sums are a product with them.
  static UFUSE_INLINE void ones(std::uint32_t* words) {
    words[0] = kWordsOfA == 1 ? 0x01010101u : 0x00010001u;
    if constexpr (kWordsOfA == 2) words[1] = 0x00010001u;
  }
};

template <class E>
inline constexpr int kGroupBytes = E::kGroup * static_cast<int>(sizeof(typename E::Storage));
template <class E>
inline constexpr int kTileColumns = E::kShape.vectors * E::Vector::size;

}  // namespace UFUSE_TIER
}  // namespace ufuse
