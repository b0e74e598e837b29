// bfloat16 products, summed in float32, two k at a time.
#pragma once

#include "contract/elements.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// What VDPBF16PS computes, on every tier: of each pair the second product first, each added by one fused
/// multiply-add (the product of two bfloat16 is exact in float32), denormals counted as 0 on both sides.
/// (Equal to the instruction for 32 million random pairs of all exponents.)
struct BF16 : Element<float, std::uint16_t, 2> {
  using Words = Register<std::uint32_t>;
  static constexpr Shape kShape = kShapeBF16;
  static constexpr bool kFlush = true, kSquares = true;

#if defined(__AVX512BF16__)
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    __m512bh columns[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) columns[v] = (__m512bh)Words::load(b + v * 64).v;
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const auto row = (__m512bh)splat<Words>(load_as<std::uint32_t>(rows.at(r))).v;
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v)
        acc[r][v] = {(typename Vector::native)_mm512_dpbf16_ps(acc[r][v].v, row, columns[v])};
    }
  }
#else
  static constexpr int kWordsOfA = 2;  // the second of a pair, then the first, each as float32
  static UFUSE_INLINE void split(std::uint32_t pair, std::uint32_t* parts) {
    parts[0] = pair & 0xffff0000u;
    parts[1] = pair << 16;
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    Vector first[NV], second[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) {
      const Words pairs = Words::load(b + v * static_cast<int>(sizeof(Words)));
      second[v] = bitcast<Vector>(pairs & splat<Words>(0xffff0000u));
      first[v] = bitcast<Vector>(pairs << 16);
    }
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vector row_second = splat<Vector>(load_as<float>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = fma(row_second, second[v], acc[r][v]);
      const Vector row_first = splat<Vector>(load_as<float>(rows.at(r) + 4));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = fma(row_first, first[v], acc[r][v]);
    }
  }
#endif
};

/// Counts denormals as 0 for the life of the object, as the instruction does by itself.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  UFUSE_INLINE FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  UFUSE_INLINE ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  UFUSE_INLINE FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
    __asm__ volatile("msr fpcr, %0" : : "r"(before_ | (std::uint64_t{1} << 24)));
  }
  UFUSE_INLINE ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  std::uint64_t before_;
#endif
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
