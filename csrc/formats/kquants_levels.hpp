// What the searches of the K-quants share: levels as ggml rounds them, in lanes that are super-blocks.
//
// The bytes are ggml's, so every lane does ggml's additions, products and quotients in ggml's order, each
// rounded once: no fused multiply-add, no sum in another order. What ggml decides by branches lanes decide by
// masks.
#pragma once

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {

using V = Register<float>;
using I = rebind_t<V, std::int32_t>;
using Mask = mask_t<V>;
inline constexpr int kLanes = V::size;

/// Sub-blocks that are searched side by side: while one of them waits for its quotients the others compute.
/// Q4_K with one, two and four: 160, 197 and 190 million elements a second (AVX-512), 42, 72 and 71 (SSE4).
inline constexpr int kAbreast = 2;

/// Magnitudes below count as zero to the searches for a scale alone.
inline constexpr float kNothing = 1e-15F;

UFUSE_INLINE V row(const float* rows, int i) { return V::load(rows + i * kLanes); }
UFUSE_INLINE I int_row(const std::int32_t* rows, int i) { return I::load(rows + i * kLanes); }
UFUSE_INLINE void store_row(float* rows, int i, V v) { v.store(rows + i * kLanes); }
UFUSE_INLINE void store_row(std::int32_t* rows, int i, I v) { v.store(rows + i * kLanes); }

// `a < b ? a : b` is the instruction, whose result is b where either is NaN. GCC makes a comparison and a
// blend of it, with which Q4_K took 3 % and Q6_K 17 % more time.
UFUSE_INLINE V smaller(V a, V b) {
#if defined(__AVX512F__)
  return {_mm512_maskz_min_ps(0xffff, a.v, b.v)};
#elif defined(__AVX2__)
  return {_mm256_min_ps(a.v, b.v)};
#elif defined(__SSE2__)
  return {_mm_min_ps(a.v, b.v)};
#else
  return select(a < b, a, b);
#endif
}
UFUSE_INLINE V larger(V a, V b) {
#if defined(__AVX512F__)
  return {_mm512_maskz_max_ps(0xffff, a.v, b.v)};
#elif defined(__AVX2__)
  return {_mm256_max_ps(a.v, b.v)};
#elif defined(__SSE2__)
  return {_mm_max_ps(a.v, b.v)};
#else
  return select(a > b, a, b);
#endif
}
UFUSE_INLINE I smaller(I a, I b) { return select(a < b, a, b); }
UFUSE_INLINE I larger(I a, I b) { return select(a > b, a, b); }

UFUSE_INLINE V magnitude(V a) { return bitcast<V>(bitcast<I>(a) & splat<I>(0x7fffffff)); }

UFUSE_INLINE bool any_differs(V a, V b) {
#if defined(__AVX512F__)  // without a way through lanes
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ) != 0;
#else
  return any(a != b);
#endif
}

/// The nearest integer, ties to even, as ggml finds it: 1.5 * 2^23 is added, which leaves the integer in the
/// low bits of the sum. Of magnitudes above 2^22 those bits are something else, and part of the format by
/// now. NaN gives 0, which is what the bits of the usual NaN say.
UFUSE_INLINE I nearest(V a) {
  const I bits = bitcast<I>(a + splat<V>(12582912.0F)) & splat<I>(0x7fffff);
  return select(a == a, bits - splat<I>(0x400000), splat<I>(0));
}

/// The same as a float: of magnitudes below 2^22 in one instruction.
template <bool kAnySize>
UFUSE_INLINE V nearest_float(V a) {
  if constexpr (kAnySize)
    return convert<V>(nearest(a));
  else
    return rint(a);
}

UFUSE_INLINE V clamp(V a, float low, float high) { return larger(splat<V>(low), smaller(splat<V>(high), a)); }
UFUSE_INLINE I clamp(I a, int low, int high) { return larger(splat<I>(low), smaller(splat<I>(high), a)); }

}  // namespace kquants
}  // namespace UFUSE_TIER
}  // namespace ufuse
