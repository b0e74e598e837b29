// A register of lanes: a thin layer over the compiler's vector extensions, with intrinsics where the
// compiler has no word for an instruction (fused multiply-add, square root, rounding).
//
// `Vec<T, N>` may be narrower than the machine's register where a kernel mixes lane sizes: N is then the
// lane count of the widest type involved, so that every vector of the kernel fits one register.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/macros.hpp"
#include "simd/scalar.hpp"

#if defined(__x86_64__)
// GCC 11 and 12 warn of the undefined pass-through operands inside their own intrinsics.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__AVX512F__)
inline constexpr int kRegisterBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kRegisterBytes = 32;
#else
inline constexpr int kRegisterBytes = 16;
#endif

template <class T, int N>
struct Vec {
  typedef T native __attribute__((vector_size(sizeof(T) * N)));
  static constexpr int size = N;
  native v;

  static UFUSE_INLINE Vec load(const void* from) {  // any alignment
    Vec r;
    std::memcpy(&r.v, from, sizeof r.v);
    return r;
  }
  UFUSE_INLINE void store(void* to) const { std::memcpy(to, &v, sizeof v); }
  UFUSE_INLINE T operator[](int lane) const { return v[lane]; }
};

template <class T, int N>
inline constexpr bool is_vector<Vec<T, N>> = true;

template <class T, int N>
struct LaneOf<Vec<T, N>> {
  using type = T;
};
template <class T, int N, class U>
struct Rebind<Vec<T, N>, U> {
  using type = Vec<U, N>;
};
template <class T, int N>
struct MaskOf<Vec<T, N>> {
  using type = Vec<typename IntOf<sizeof(T)>::type, N>;
};

/// The widest Vec of T in one register.
template <class T>
using Register = Vec<T, kRegisterBytes / static_cast<int>(sizeof(T))>;

template <class V>
  requires(is_vector<V>)
UFUSE_INLINE V splat(lane_t<V> value) {
  return V{value - typename V::native{}};  // x - 0 keeps -0.0 and NaN; the compiler folds it to a broadcast
}

#define UFUSE_BINARY(op)                                         \
  template <class T, int N>                                      \
  UFUSE_INLINE Vec<T, N> operator op(Vec<T, N> a, Vec<T, N> b) { \
    return {a.v op b.v};                                         \
  }
UFUSE_BINARY(+)
UFUSE_BINARY(-)
UFUSE_BINARY(*)
UFUSE_BINARY(/)
UFUSE_BINARY(&)
UFUSE_BINARY(|)
UFUSE_BINARY(^)
#undef UFUSE_BINARY

#define UFUSE_COMPARE(op)                                                \
  template <class T, int N>                                              \
  UFUSE_INLINE mask_t<Vec<T, N>> operator op(Vec<T, N> a, Vec<T, N> b) { \
    return {a.v op b.v};                                                 \
  }
UFUSE_COMPARE(<)
UFUSE_COMPARE(<=)
UFUSE_COMPARE(>)
UFUSE_COMPARE(>=)
UFUSE_COMPARE(==)
UFUSE_COMPARE(!=)
#undef UFUSE_COMPARE

/// As the comparisons above, which set the flag of an invalid value at NaN: without (but on v2). `Predicate`
/// is the operator's _CMP_*_OQ. Between registers of AVX-512 the mask is a vector all the same, which the
/// compiler sees through only where it made the comparison: two instructions more.
#if defined(__AVX__)
#define UFUSE_QUIET(name, op, Predicate)                                                                \
  template <class T, int N>                                                                             \
  UFUSE_INLINE mask_t<Vec<T, N>> name(Vec<T, N> a, Vec<T, N> b) {                                       \
    using M = mask_t<Vec<T, N>>;                                                                        \
    [[maybe_unused]] const auto as = [](auto v) { return M{reinterpret_cast<typename M::native>(v)}; }; \
    UFUSE_QUIET_512(Predicate)                                                                          \
    if constexpr (sizeof a.v == 32 && std::is_same_v<T, float>) {                                       \
      return as(_mm256_cmp_ps(a.v, b.v, Predicate));                                                    \
    } else if constexpr (sizeof a.v == 32 && std::is_same_v<T, double>) {                               \
      return as(_mm256_cmp_pd(a.v, b.v, Predicate));                                                    \
    } else if constexpr (sizeof a.v == 16 && std::is_same_v<T, float>) {                                \
      return as(_mm_cmp_ps(a.v, b.v, Predicate));                                                       \
    } else if constexpr (sizeof a.v == 16 && std::is_same_v<T, double>) {                               \
      return as(_mm_cmp_pd(a.v, b.v, Predicate));                                                       \
    } else {                                                                                            \
      return a op b;                                                                                    \
    }                                                                                                   \
  }
#if defined(__AVX512F__)
#define UFUSE_QUIET_512(Predicate)                                         \
  if constexpr (sizeof a.v == 64 && std::is_same_v<T, float>) {            \
    return as(_mm512_movm_epi32(_mm512_cmp_ps_mask(a.v, b.v, Predicate))); \
  } else if constexpr (sizeof a.v == 64 && std::is_same_v<T, double>) {    \
    return as(_mm512_movm_epi64(_mm512_cmp_pd_mask(a.v, b.v, Predicate))); \
  } else
#else
#define UFUSE_QUIET_512(Predicate)
#endif
#else
#define UFUSE_QUIET(name, op, Predicate)                          \
  template <class T, int N>                                       \
  UFUSE_INLINE mask_t<Vec<T, N>> name(Vec<T, N> a, Vec<T, N> b) { \
    return a op b;                                                \
  }
#endif
UFUSE_QUIET(is_less, <, _CMP_LT_OQ)
UFUSE_QUIET(is_less_equal, <=, _CMP_LE_OQ)
UFUSE_QUIET(is_greater, >, _CMP_GT_OQ)
UFUSE_QUIET(is_greater_equal, >=, _CMP_GE_OQ)
#undef UFUSE_QUIET
#if defined(__AVX__)
#undef UFUSE_QUIET_512
#endif

template <class T, int N>
UFUSE_INLINE Vec<T, N> operator-(Vec<T, N> a) {
  return {-a.v};
}
template <class T, int N>
UFUSE_INLINE Vec<T, N> operator~(Vec<T, N> a) {
  return {~a.v};
}
template <class T, int N>
UFUSE_INLINE Vec<T, N> operator<<(Vec<T, N> a, int count) {
  return {a.v << static_cast<T>(count)};
}
template <class T, int N>
UFUSE_INLINE Vec<T, N> operator>>(Vec<T, N> a, int count) {
  return {a.v >> static_cast<T>(count)};
}
template <class T, int N>
UFUSE_INLINE Vec<T, N> operator<<(Vec<T, N> a, Vec<T, N> count) {
  return {a.v << count.v};
}
template <class T, int N>
UFUSE_INLINE Vec<T, N> operator>>(Vec<T, N> a, Vec<T, N> count) {
  return {a.v >> count.v};
}

template <class M, class T, int N>
UFUSE_INLINE Vec<T, N> select(Vec<M, N> mask, Vec<T, N> a, Vec<T, N> b) {
  static_assert(sizeof(M) == sizeof(T));
  return {mask.v ? a.v : b.v};
}

template <class V>
inline constexpr int bytes_of = static_cast<int>(sizeof(typename V::native));

/// Whether a lane of a mask is set.
template <class M, int N>
UFUSE_INLINE bool any(Vec<M, N> mask) {
#if defined(__AVX512BW__)
  if constexpr (bytes_of<Vec<M, N>> == 64)
    return _mm512_test_epi8_mask((__m512i)mask.v, (__m512i)mask.v) != 0;
#endif
#if defined(__AVX2__)
  if constexpr (bytes_of<Vec<M, N>> == 32) return _mm256_testz_si256((__m256i)mask.v, (__m256i)mask.v) == 0;
#endif
#if defined(__SSE4_1__)
  if constexpr (bytes_of<Vec<M, N>> == 16) return _mm_testz_si128((__m128i)mask.v, (__m128i)mask.v) == 0;
#endif
  std::uint64_t words[(bytes_of<Vec<M, N>> + 7) / 8] = {};
  std::memcpy(words, &mask.v, sizeof mask.v);
  std::uint64_t all = 0;
  for (const std::uint64_t word : words) all |= word;
  return all != 0;
}

template <class V, class T, int N>
UFUSE_INLINE V bitcast(Vec<T, N> a) {
  static_assert(sizeof(typename V::native) == sizeof a.v);
  return {reinterpret_cast<typename V::native>(a.v)};
}

#if defined(__AVX2__)
// GCC takes `__builtin_convertvector` apart lane by lane where an integer widens by more than a factor
// of two (GCC 12: 90 instructions instead of one), so those conversions are named.
template <class V, class T, int N>
UFUSE_INLINE V widen(Vec<T, N> a) {
  using U = lane_t<V>;
  constexpr int kFrom = sizeof(T) * N;  // bytes
  constexpr bool kSigned = static_cast<T>(-1) < T{};
  long long low = 0;
  __m128i x{};
  if constexpr (kFrom == 16) {
    std::memcpy(&x, &a.v, 16);
  } else if constexpr (kFrom < 16) {
    std::memcpy(&low, &a.v, kFrom);
    x = _mm_cvtsi64_si128(low);
  }
#define UFUSE_WIDEN(from, to, si, ui)                    \
  if constexpr (sizeof(T) == from && sizeof(U) == to) {  \
    if constexpr (kSigned)                               \
      return {reinterpret_cast<typename V::native>(si)}; \
    else                                                 \
      return {reinterpret_cast<typename V::native>(ui)}; \
  }
#if defined(__AVX512F__)
  if constexpr (sizeof(U) * N == 64) {
    constexpr auto kAll = static_cast<std::conditional_t<N == 16, __mmask16, __mmask8>>(-1);
    UFUSE_WIDEN(1, 4, _mm512_maskz_cvtepi8_epi32(kAll, x), _mm512_maskz_cvtepu8_epi32(kAll, x))
    UFUSE_WIDEN(1, 8, _mm512_maskz_cvtepi8_epi64(kAll, x), _mm512_maskz_cvtepu8_epi64(kAll, x))
    UFUSE_WIDEN(2, 8, _mm512_maskz_cvtepi16_epi64(kAll, x), _mm512_maskz_cvtepu16_epi64(kAll, x))
  } else
#endif
      if constexpr (sizeof(U) * N == 32) {
    UFUSE_WIDEN(1, 4, _mm256_cvtepi8_epi32(x), _mm256_cvtepu8_epi32(x))
    UFUSE_WIDEN(1, 8, _mm256_cvtepi8_epi64(x), _mm256_cvtepu8_epi64(x))
    UFUSE_WIDEN(2, 8, _mm256_cvtepi16_epi64(x), _mm256_cvtepu16_epi64(x))
  } else {
    UFUSE_WIDEN(1, 4, _mm_cvtepi8_epi32(x), _mm_cvtepu8_epi32(x))
    UFUSE_WIDEN(1, 8, _mm_cvtepi8_epi64(x), _mm_cvtepu8_epi64(x))
    UFUSE_WIDEN(2, 8, _mm_cvtepi16_epi64(x), _mm_cvtepu16_epi64(x))
  }
#undef UFUSE_WIDEN
}
#endif

/// Lane-wise value conversion to the lanes of V. Integer narrowing wraps; functors see to the range of
/// float to integer.
template <class V, class T, int N>
UFUSE_INLINE V convert(Vec<T, N> a) {
  static_assert(V::size == N);
  using U = lane_t<V>;
  [[maybe_unused]] constexpr bool kIntegers = std::is_integral_v<T> && std::is_integral_v<U>;
  if constexpr (std::is_same_v<U, T>) {
    return a;
#if defined(__AVX2__)
  } else if constexpr (kIntegers && sizeof(U) > 2 * sizeof(T) && sizeof(T) * N <= 16 && sizeof(U) * N >= 16) {
    return widen<V>(a);
#endif
#if defined(__AVX512F__)
  } else if constexpr (std::is_same_v<T, float> && std::is_same_v<U, double> && N == 8) {
    return {_mm512_cvtps_pd(a.v)};
#endif
  } else {
    return {__builtin_convertvector(a.v, typename V::native)};
  }
}

// Instructions without an operator. A vector of another size than the machine's (v2 narrowed, or NEON
// f64 beside f32) goes lane by lane.
#if defined(__AVX512F__)
#define UFUSE_512(expression) \
  if constexpr (sizeof(a.v) == 64) return {expression};
#else
#define UFUSE_512(expression)
#endif
#if defined(__AVX2__)
#define UFUSE_256(expression) \
  if constexpr (sizeof(a.v) == 32) return {expression};
#else
#define UFUSE_256(expression)
#endif
#if defined(__SSE4_1__)
#define UFUSE_128(expression) \
  if constexpr (sizeof(a.v) == 16) return {expression};
#else
#define UFUSE_128(expression)
#endif

#define UFUSE_UNARY(name, f32x16, f64x8, f32x8, f64x4, f32x4, f64x2)     \
  template <int N>                                                       \
  UFUSE_INLINE Vec<float, N> name(Vec<float, N> a) {                     \
    UFUSE_512(f32x16) UFUSE_256(f32x8) UFUSE_128(f32x4) Vec<float, N> r; \
    for (int i = 0; i < N; ++i) r.v[i] = __builtin_##name##f(a.v[i]);    \
    return r;                                                            \
  }                                                                      \
  template <int N>                                                       \
  UFUSE_INLINE Vec<double, N> name(Vec<double, N> a) {                   \
    UFUSE_512(f64x8) UFUSE_256(f64x4) UFUSE_128(f64x2) Vec<double, N> r; \
    for (int i = 0; i < N; ++i) r.v[i] = __builtin_##name(a.v[i]);       \
    return r;                                                            \
  }

UFUSE_UNARY(sqrt, _mm512_sqrt_ps(a.v), _mm512_sqrt_pd(a.v), _mm256_sqrt_ps(a.v), _mm256_sqrt_pd(a.v),
            _mm_sqrt_ps(a.v), _mm_sqrt_pd(a.v))
UFUSE_UNARY(rint, _mm512_roundscale_ps(a.v, 0), _mm512_roundscale_pd(a.v, 0), _mm256_round_ps(a.v, 8),
            _mm256_round_pd(a.v, 8), _mm_round_ps(a.v, 8), _mm_round_pd(a.v, 8))
UFUSE_UNARY(floor, _mm512_roundscale_ps(a.v, 1), _mm512_roundscale_pd(a.v, 1), _mm256_round_ps(a.v, 9),
            _mm256_round_pd(a.v, 9), _mm_round_ps(a.v, 9), _mm_round_pd(a.v, 9))
UFUSE_UNARY(ceil, _mm512_roundscale_ps(a.v, 2), _mm512_roundscale_pd(a.v, 2), _mm256_round_ps(a.v, 10),
            _mm256_round_pd(a.v, 10), _mm_round_ps(a.v, 10), _mm_round_pd(a.v, 10))
UFUSE_UNARY(trunc, _mm512_roundscale_ps(a.v, 3), _mm512_roundscale_pd(a.v, 3), _mm256_round_ps(a.v, 11),
            _mm256_round_pd(a.v, 11), _mm_round_ps(a.v, 11), _mm_round_pd(a.v, 11))
#undef UFUSE_UNARY

/// rint as an integer, one instruction: for |a| < 2**31.
template <int N>
UFUSE_INLINE Vec<int32_t, N> round_to_int(Vec<float, N> a) {
  using R = Vec<int32_t, N>;
  [[maybe_unused]] const auto as = [](auto v) { return R{reinterpret_cast<typename R::native>(v)}; };
#if defined(__AVX512F__)
  if constexpr (sizeof(a.v) == 64) return as(_mm512_maskz_cvtps_epi32(0xffff, a.v));
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(a.v) == 32) return as(_mm256_cvtps_epi32(a.v));
#endif
#if defined(__SSE4_1__)
  if constexpr (sizeof(a.v) == 16) return as(_mm_cvtps_epi32(a.v));
#endif
  return convert<R>(rint(a));
}

/// a * b + c with one rounding where the tier has the instruction (v3 up, NEON), with two on v2.
template <int N>
UFUSE_INLINE Vec<float, N> fma(Vec<float, N> a, Vec<float, N> b, Vec<float, N> c) {
  UFUSE_512(_mm512_fmadd_ps(a.v, b.v, c.v))
  UFUSE_256(_mm256_fmadd_ps(a.v, b.v, c.v))
#if defined(__FMA__)
  if constexpr (sizeof(a.v) == 16) return {_mm_fmadd_ps(a.v, b.v, c.v)};
#elif defined(__aarch64__)
  if constexpr (sizeof(a.v) == 16) return {vfmaq_f32(c.v, a.v, b.v)};
#endif
#if defined(__FMA__) || defined(__aarch64__)
  Vec<float, N> r;
  for (int i = 0; i < N; ++i) r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return r;
#else
  return {a.v * b.v + c.v};
#endif
}
template <int N>
UFUSE_INLINE Vec<double, N> fma(Vec<double, N> a, Vec<double, N> b, Vec<double, N> c) {
  UFUSE_512(_mm512_fmadd_pd(a.v, b.v, c.v))
  UFUSE_256(_mm256_fmadd_pd(a.v, b.v, c.v))
#if defined(__FMA__)
  if constexpr (sizeof(a.v) == 16) return {_mm_fmadd_pd(a.v, b.v, c.v)};
#elif defined(__aarch64__)
  if constexpr (sizeof(a.v) == 16) return {vfmaq_f64(c.v, a.v, b.v)};
#endif
#if defined(__FMA__) || defined(__aarch64__)
  Vec<double, N> r;
  for (int i = 0; i < N; ++i) r.v[i] = __builtin_fma(a.v[i], b.v[i], c.v[i]);
  return r;
#else
  return {a.v * b.v + c.v};
#endif
}

#undef UFUSE_512
#undef UFUSE_256
#undef UFUSE_128

}  // namespace UFUSE_TIER
}  // namespace ufuse
