// Codes of four bits times int8 activations, in exact integer sums: compiled once per tier, v4x among them.
#include "skinny/coded.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace skinny {
namespace {

/// Four products of unsigned codes below 16 and int8, added to each lane.
struct Dot {
#if defined(__AVX512VNNI__)
  static UFUSE_INLINE Int add(Int acc, Int codes, Int x) {
    return {(Int::native)_mm512_dpbusd_epi32((__m512i)acc.v, (__m512i)codes.v, (__m512i)x.v)};
  }
#elif defined(__AVX512BW__)
  static UFUSE_INLINE Int add(Int acc, Int codes, Int x) {
    const __m512i pairs = _mm512_maddubs_epi16((__m512i)codes.v, (__m512i)x.v);  // within 2 * 15 * 127
    return acc + Int{(Int::native)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1))};
  }
#elif defined(__AVX2__)
  static UFUSE_INLINE Int add(Int acc, Int codes, Int x) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes.v, (__m256i)x.v);
    return acc + Int{(Int::native)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))};
  }
#elif defined(__SSSE3__)
  static UFUSE_INLINE Int add(Int acc, Int codes, Int x) {
    const __m128i pairs = _mm_maddubs_epi16((__m128i)codes.v, (__m128i)x.v);
    return acc + Int{(Int::native)_mm_madd_epi16(pairs, _mm_set1_epi16(1))};
  }
#else
  static UFUSE_INLINE Int add(Int acc, Int codes, Int x) {
    for (int shift = 0; shift < 32; shift += 8)
      acc = acc + ((codes >> shift) & splat<Int>(255)) * ((x << (24 - shift)) >> 24);
    return acc;
  }
#endif
};

template <int R>
struct Dotted {
  static constexpr int U = together(R), kBytes = NibbleCodes::kBytes;

  static void run(const CodesCall& call) {
    each_part<kBytes>(call, [&](const Part& part) __attribute__((always_inline)) {
      for (int unit = 0; unit < kUnits; unit += U) units(call, part, unit);
    });
  }

  static UFUSE_INLINE void units(const CodesCall& call, const Part& part, int unit) {
    Int sum[U][R] = {};
    if (call.zero != 0)
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u)
          sum[u][r] =
              splat<Int>(value_at<std::int32_t>(call.x_starts + r * call.x_sum_bytes + 4 * part.index));
    Rows<std::int8_t, R> x(call.x, part.first);
    const Int low = splat<Int>(0x0f0f0f0f);
    const char* from = part.codes;
    for (std::int64_t i = 0; i < part.steps; ++i, from += kPanels * kBytes, x.next(8)) {
      Int even[U], odd[U];
#pragma GCC unroll 4
      for (int u = 0; u < U; ++u) {
        const int output = (unit + u) * kLanes;
        const char* const panel = from + output / kPanel * kBytes;
        if (output % kPanel == 0) ask_ahead<kBytes>(panel);
        const Int words = Int::load(panel + 4 * (output % kPanel));
        even[u] = words & low;
        odd[u] = (words >> 4) & low;
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Int first = splat<Int>(x.template at<std::int32_t>(r, 0));
        const Int second = splat<Int>(x.template at<std::int32_t>(r, 1));
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u) sum[u][r] = Dot::add(Dot::add(sum[u][r], even[u], first), odd[u], second);
      }
    }
    add_part<R, U>(call, part, unit,
                   [&](int u, int r) __attribute__((always_inline)) { return convert<Float>(sum[u][r]); });
  }
};

void dotted(const CodesCall& call) { with_rows<Dotted>(call); }

}  // namespace
}  // namespace skinny

const ufuse::skinny::DotKernels* dot_kernels();
const ufuse::skinny::DotKernels* dot_kernels() {
  static constexpr ufuse::skinny::DotKernels table{skinny::dotted};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
