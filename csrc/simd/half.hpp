// Sixteen-bit floats as float32, exactly; a NaN stays one.
#pragma once

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <int N>
UFUSE_INLINE Vec<float, N> bfloat16_to_float(Vec<uint16_t, N> codes) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, reinterpret_cast<__m256i>(codes.v));
    return {reinterpret_cast<__m512>(_mm512_maskz_slli_epi32(0xffff, wide, 16))};
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    const __m256i wide = _mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(codes.v));
    return {reinterpret_cast<__m256>(_mm256_slli_epi32(wide, 16))};
  }
#endif
  return bitcast<Vec<float, N>>(convert<Vec<uint32_t, N>>(codes) << 16);
}

template <int N>
UFUSE_INLINE Vec<float, N> half_to_float(Vec<uint16_t, N> codes) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return {_mm512_maskz_cvtph_ps(0xffff, reinterpret_cast<__m256i>(codes.v))};
#endif
#if defined(__F16C__)
  if constexpr (N == 8) return {_mm256_cvtph_ps(reinterpret_cast<__m128i>(codes.v))};
  if constexpr (N == 4) {
    std::int64_t low;
    std::memcpy(&low, &codes.v, sizeof low);
    return {_mm_cvtph_ps(_mm_cvtsi64_si128(low))};
  }
#endif
  // Exponent and fraction in their place, then scaled by 2^112, the difference of the biases: exact, for
  // denormals too. What was infinite or NaN gets float32's exponent of those.
  using I = Vec<uint32_t, N>;
  using F = Vec<float, N>;
  const I wide = convert<I>(codes);
  const I magnitude = (wide & splat<I>(0x7fffu)) << 13;
  const auto special = magnitude >= splat<I>(0x7c00u << 13);
  const I scaled = bitcast<I>(bitcast<F>(magnitude) * splat<F>(0x1p112f));
  const I bits = select(special, magnitude | splat<I>(0x7f800000u), scaled);
  return bitcast<F>(bits | ((wide & splat<I>(0x8000u)) << 16));
}

/// Rounded to the nearest, ties to even.
template <int N>
UFUSE_INLINE Vec<uint16_t, N> float_to_half(Vec<float, N> x) {
  using R = Vec<uint16_t, N>;
#if defined(__AVX512F__)
  if constexpr (N == 16) return {reinterpret_cast<typename R::native>(_mm512_maskz_cvtps_ph(0xffff, x.v, 0))};
#endif
#if defined(__F16C__)
  if constexpr (N == 8) return {reinterpret_cast<typename R::native>(_mm256_cvtps_ph(x.v, 0))};
  if constexpr (N == 4) {
    const std::int64_t low = _mm_cvtsi128_si64(_mm_cvtps_ph(x.v, 0));
    return R::load(&low);
  }
#endif
  using I = Vec<uint32_t, N>;
  using F = Vec<float, N>;
  const I bits = bitcast<I>(x), size = bits & splat<I>(0x7fffffffu);
  // The exponent's bias less by 112; half a last place, and a last bit that decides ties, carry over.
  const I odd = (size >> 13) & splat<I>(1u);
  const I normal = (size + odd + splat<I>(0xfffu - (112u << 23))) >> 13;
  // Added to a half, a denormal's unit is the last place.
  const I denormal = bitcast<I>(bitcast<F>(size) + splat<F>(0.5F)) - splat<I>(0x3f000000u);
  I code = select(size < splat<I>(113u << 23), denormal, normal);
  code = select(size >= splat<I>(143u << 23), splat<I>(0x7c00u), code);
  code = select(size > splat<I>(0x7f800000u), splat<I>(0x7e00u), code);
  return convert<R>(code | ((bits ^ size) >> 16));
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
