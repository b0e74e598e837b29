// Weights in codes times float32 activations.
#pragma once

#include "skinny/scales.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace skinny {

/// Sixteen float32, looked up by the low four bits of lanes.
struct Levels {
#if defined(__AVX512F__)
  __m512 all;
  explicit UFUSE_INLINE Levels(const float* from) : all(_mm512_loadu_ps(from)) {}
  UFUSE_INLINE Float at(Int codes) const {
    return {_mm512_maskz_permutexvar_ps(0xffff, (__m512i)codes.v, all)};
  }
#elif defined(__AVX2__)
  __m256 low, high;
  explicit UFUSE_INLINE Levels(const float* from)
      : low(_mm256_loadu_ps(from)), high(_mm256_loadu_ps(from + 8)) {}
  UFUSE_INLINE Float at(Int codes) const {
    const __m256i i = (__m256i)codes.v;
    const __m256 upper = (__m256)_mm256_slli_epi32(i, 28);  // bit 3 to where the blend looks
    return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, i), _mm256_permutevar8x32_ps(high, i), upper)};
  }
#else
  const float* from;
  explicit UFUSE_INLINE Levels(const float* levels) : from(levels) {}
  UFUSE_INLINE Float at(Int codes) const {
    Float r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = from[codes.v[i] & 15];
    return r;
  }
#endif
};

/// Eight k of a panel are 128 bytes: the 16 int8 of a k together.
struct ByteCodes {
  static constexpr int kBytes = 8 * kPanel;
  explicit UFUSE_INLINE ByteCodes(const CodesCall&) {}
  UFUSE_INLINE Float at(const char* panel, int output, int k) const {
    return convert<Float>(convert<Int>(Vec<std::int8_t, kLanes>::load(panel + k * kPanel + output)));
  }
};
/// Eight k of a panel are 64 bytes: a word for each output.
struct NibbleCodes {
  static constexpr int kBytes = 4 * kPanel;
  Levels levels;
  explicit UFUSE_INLINE NibbleCodes(const CodesCall& call) : levels(call.levels) {}
  UFUSE_INLINE Float at(const char* panel, int output, int k) const {
    // Loads from byte k / 2 on instead of shifts: 12 % slower.
    const Int words = Int::load(panel + 4 * output);
    return levels.at(k == 0 ? words : words >> (4 * k));
  }
};

/// Registers of outputs taken together: chains for the four cycles of two multiply-adds, and fewer loads.
constexpr int together(int rows) {
  if (kRegisterBytes == 64) return rows == 1 ? 4 : 2;
  return rows == 1 ? 4 : rows <= 4 ? 2 : 1;
}

template <class C>
struct Coded {
  template <int R>
  struct Body {
    static constexpr int U = together(R);

    static void run(const CodesCall& call) {
      const C codes(call);
      each_part<C::kBytes>(call, [&](const Part& part) __attribute__((always_inline)) {
        for (int unit = 0; unit < kUnits; unit += U) units(call, codes, part, unit);
      });
    }

    static UFUSE_INLINE void units(const CodesCall& call, const C& codes, const Part& part, int unit) {
      Float sum[U][R] = {};
      Rows<float, R> x(call.x, part.first);
      const char* from = part.codes;
      for (std::int64_t i = 0; i < part.steps; ++i, from += kPanels * C::kBytes, x.next(8)) {
        const char* panel[U];
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u) {
          const int output = (unit + u) * kLanes;
          panel[u] = from + output / kPanel * C::kBytes;
          if (output % kPanel == 0) ask_ahead<C::kBytes>(panel[u]);
        }
#pragma GCC unroll 8
        for (int k = 0; k < 8; ++k) {
          Float level[U];
#pragma GCC unroll 4
          for (int u = 0; u < U; ++u) level[u] = codes.at(panel[u], (unit + u) * kLanes % kPanel, k);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            const Float value = splat<Float>(x.at(r, k));
#pragma GCC unroll 4
            for (int u = 0; u < U; ++u) sum[u][r] = fma(value, level[u], sum[u][r]);
          }
        }
      }
      add_part<R, U>(call, part, unit,
                     [&](int u, int r) __attribute__((always_inline)) { return sum[u][r]; });
    }
  };

  static void run(const CodesCall& call) { with_rows<Body>(call); }
};

inline void sum_of_row(const char* x, int rows, std::int64_t k, std::int64_t part, char* sums) {
  using Eight = Vec<float, 8>;
  const std::int64_t step = rows * bytes_of<Eight>;
  for (std::int64_t first = 0; first < k; first += part, sums += 4) {
    const std::int64_t end = first + part < k ? first + part : k;
    Eight s = {};
    for (std::int64_t i = first; i < end; i += 8, x += step) s = s + Eight::load(x);
    const float sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    std::memcpy(sums, &sum, sizeof sum);
  }
}

}  // namespace skinny
}  // namespace UFUSE_TIER
}  // namespace ufuse
