// Products of 16-bit integers, two k at a time.
#pragma once

#include "contract/elements.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// int16 rows times int16 columns, modulo 2^32: so are the sums of vpmaddwd's pairs, of which -32768 * -32768
/// twice is the only one that does not fit. Modulo 2^16 uint16 is the same, and uint8 fits as it is.
struct I16 : Element<std::int32_t, std::uint16_t, 2> {
  static constexpr Shape kShape = kShapeI16;

  static UFUSE_INLINE Vector dot(Vector acc, Vector a, Vector b) {
#if defined(__AVX512VNNI__)
    return {(typename Vector::native)_mm512_dpwssd_epi32((__m512i)acc.v, (__m512i)a.v, (__m512i)b.v)};
#elif defined(__AVX512BW__)
    return acc + Vector{(typename Vector::native)_mm512_madd_epi16((__m512i)a.v, (__m512i)b.v)};
#elif defined(__AVX2__)
    return acc + Vector{(typename Vector::native)_mm256_madd_epi16((__m256i)a.v, (__m256i)b.v)};
#elif defined(__SSE4_1__)
    return acc + Vector{(typename Vector::native)_mm_madd_epi16((__m128i)a.v, (__m128i)b.v)};
#else
    const Vector low = ((a << 16) >> 16) * ((b << 16) >> 16);
    return acc + low + (a >> 16) * (b >> 16);
#endif
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    step_by_dots<I16, Vector>(acc, rows, b);
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
