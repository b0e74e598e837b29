// Element combinations: what a packed group is, and how a register of columns takes one more group.
// int8.hpp, int16.hpp, bfloat.hpp, semirings.hpp and bits.hpp have more.
#pragma once

#include "contract/tuning.hpp"
#include "simd/vec.hpp"

// What the compiler cannot see through.
#if defined(__x86_64__)
#define UFUSE_OPAQUE(vector) __asm__("" : "+v"(vector))
#elif defined(__aarch64__)
#define UFUSE_OPAQUE(vector) __asm__("" : "+w"(vector))
#else
#define UFUSE_OPAQUE(vector) (void)(vector)
#endif

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__clang__)
#define UFUSE_UNROLL _Pragma("clang loop unroll(full)")
#define UFUSE_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UFUSE_UNROLL _Pragma("GCC unroll 16")
#define UFUSE_ROLLED _Pragma("GCC unroll 1")
#endif

// What is among the elements of a semiring's panel.
inline constexpr unsigned kNaN = 1, kPlusInfinity = 2, kMinusInfinity = 4;

template <class T>
UFUSE_INLINE T load_as(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// The rows of a tile at one k: packed side by side, kBytes each.
template <int R, int kBytes>
struct PackedRows {
  static constexpr bool kPacked = true;
  const char* p;
  UFUSE_INLINE PackedRows(const char* a, std::int64_t, std::int64_t) : p(a) {}
  UFUSE_INLINE const char* at(int r) const { return p + r * kBytes; }
  UFUSE_INLINE void next() { p += R * kBytes; }
  UFUSE_INLINE void ask(int groups) const { __builtin_prefetch(p + groups * (R * kBytes), 0, 3); }
};
/// The same read where A lies: a pointer for every third row, since an address holds one or two times the
/// stride.
template <int R>
struct StridedRows {
  static constexpr bool kPacked = false;
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

/// What element combinations have in common: a packed group, the accumulators they start from, and how a
/// block's are joined with those before.
template <class T, class Bits, int Group = 1>
struct Element {
  using Storage = Bits;  // what packing moves
  using Accumulator = T;
  using Vector = Register<T>;
  static constexpr int kGroup = Group;  // k positions packed together, in so many bytes
  static constexpr int kGroupBytes = Group * static_cast<int>(sizeof(Bits));
  static constexpr int kWordsOfA = 1;
  static constexpr bool kTrailer = false;   // int8: a sum per column follows a packed panel of B
  static constexpr bool kSpecials = false;  // semirings: what a panel has of NaN and infinities follows it
  static constexpr bool kInPlace = false;   // whether operands may be read where they lie
  static constexpr bool kEveryRowCount = false;  // a micro-kernel for each, or for one and all
  static constexpr bool kSignedRows = false;     // of 8-bit integers
  static constexpr bool kPositions = false;      // which term a sum is stands beside it
  static constexpr bool kFlush = false;          // denormals count as 0
  static constexpr bool kSquares = false;        // whether sums may be stored in squares (scatter.hpp)

  static UFUSE_INLINE Vector start() { return Vector{}; }
  template <class V>
  static UFUSE_INLINE V join(V before, V block) {
    return before + block;
  }
};

/// The first lanes of a register: for columns that fill none, read and written where they lie.
template <class V>
struct Lanes {
  using T = lane_t<V>;
#if defined(__AVX512F__)
  using Mask = std::conditional_t<sizeof(T) == 8, __mmask8, __mmask16>;
  Mask mask;
  UFUSE_INLINE explicit Lanes(int count) : mask(static_cast<Mask>((1u << count) - 1u)) {}
  UFUSE_INLINE V load(const char* from) const {
    if constexpr (sizeof(T) == 8)
      return {(typename V::native)_mm512_maskz_loadu_pd(mask, from)};
    else
      return {(typename V::native)_mm512_maskz_loadu_ps(mask, from)};
  }
  UFUSE_INLINE void store(V value, char* to) const {
    if constexpr (sizeof(T) == 8)
      _mm512_mask_storeu_pd(to, mask, (__m512d)value.v);
    else
      _mm512_mask_storeu_ps(to, mask, (__m512)value.v);
  }
#elif defined(__AVX2__)
  __m256i mask;
  UFUSE_INLINE explicit Lanes(int count) {
    Register<std::int8_t> bytes;
    for (int i = 0; i < 32; ++i)
      bytes.v[i] = static_cast<std::int8_t>(i < count * static_cast<int>(sizeof(T)) ? -1 : 0);
    mask = (__m256i)bytes.v;
  }
  UFUSE_INLINE V load(const char* from) const {
    if constexpr (sizeof(T) == 8)
      return {(typename V::native)_mm256_maskload_pd(reinterpret_cast<const double*>(from), mask)};
    else
      return {(typename V::native)_mm256_maskload_ps(reinterpret_cast<const float*>(from), mask)};
  }
  UFUSE_INLINE void store(V value, char* to) const {
    if constexpr (sizeof(T) == 8)
      _mm256_maskstore_pd(reinterpret_cast<double*>(to), mask, (__m256d)value.v);
    else
      _mm256_maskstore_ps(reinterpret_cast<float*>(to), mask, (__m256)value.v);
  }
#else
  int count;
  UFUSE_INLINE explicit Lanes(int lanes) : count(lanes) {}
  UFUSE_INLINE V load(const char* from) const {
    V value{};
    for (int i = 0; i < V::size; ++i)
      if (i < count) value.v[i] = load_as<T>(from + i * static_cast<int>(sizeof(T)));
    return value;
  }
  UFUSE_INLINE void store(V value, char* to) const {
    for (int i = 0; i < V::size; ++i)
      if (i < count) std::memcpy(to + i * static_cast<int>(sizeof(T)), &value.v[i], sizeof(T));
  }
#endif
};

/// One group of k by `E::dot(acc, row, column)`, where a row's group is a word, repeated in a `Row`.
template <class E, class Row, int R, int NV, class Rows>
UFUSE_INLINE void step_by_dots(typename E::Vector (&acc)[R][NV], const Rows& rows, const char* b) {
  using V = typename E::Vector;
  V columns[NV];
  UFUSE_UNROLL
  for (int v = 0; v < NV; ++v) columns[v] = V::load(b + v * static_cast<int>(sizeof(V)));
  UFUSE_UNROLL
  for (int r = 0; r < R; ++r) {
    const Row row = splat<Row>(load_as<lane_t<Row>>(rows.at(r)));
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = E::dot(acc[r][v], row, columns[v]);
  }
}

/// acc += a * b, each product one `multiply_add`.
template <class T, class Bits>
struct RingElement : Element<T, Bits> {
  using Vector = Register<T>;
  static constexpr bool kSquares = true;
  static UFUSE_INLINE Vector multiply_add(Vector a, Vector b, Vector acc) {
    if constexpr (std::is_floating_point_v<T>)
      return fma(a, b, acc);
    else
      return acc + a * b;
  }
  static UFUSE_INLINE Vector dot(Vector acc, Vector a, Vector b) { return multiply_add(a, b, acc); }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    step_by_dots<RingElement, Vector>(acc, rows, b);
  }
  /// The same with the last register of columns read in part.
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step_in_part(Vector (&acc)[R][NV], const Rows& rows, const char* b,
                                        const Lanes<Vector>& lanes) {
    constexpr int kBytes = sizeof(Vector);
    Vector columns[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV - 1; ++v) columns[v] = Vector::load(b + v * kBytes);
    columns[NV - 1] = lanes.load(b + (NV - 1) * kBytes);
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vector row = splat<Vector>(load_as<T>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = multiply_add(row, columns[v], acc[r][v]);
    }
  }
};

struct F32 : RingElement<float, std::uint32_t> {
  static constexpr Shape kShape = kShapeF32;
  static constexpr bool kInPlace = true, kEveryRowCount = true;
};
struct F64 : RingElement<double, std::uint64_t> {
  static constexpr Shape kShape = kShapeF64;
  static constexpr bool kInPlace = true, kEveryRowCount = true;
};
/// Integers modulo 2^32 and 2^64, signed or not: the same bits.
struct I32 : RingElement<std::uint32_t, std::uint32_t> {
  static constexpr Shape kShape = kShapeI32;
};
struct I64 : RingElement<std::uint64_t, std::uint64_t> {
  static constexpr Shape kShape = kShapeI64;
};

/// Bytes per column after a packed panel of B.
template <class E>
inline constexpr int kTrailerBytes = E::kTrailer || E::kSpecials ? 4 : 0;
template <class E>
inline constexpr int kTileColumns = E::kShape.vectors * E::Vector::size;

}  // namespace UFUSE_TIER
}  // namespace ufuse
