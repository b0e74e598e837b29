// Weights read where they lie: 16 outputs' rows side by side, turned in registers as they are read.
#pragma once

#include "simd/half.hpp"
#include "simd/transpose.hpp"
#include "skinny/rows.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace skinny {

// 16 rows are 16 streams, which the hardware's prefetchers follow late and lose at every page. One row, 4096
// x 4096 from memory, GB/s on a Granite Rapids: 128 ahead 28.8, 256 30.6, 512 30.4, 1024 27.8, 2048 26.7;
// asked for into L1 29.3 at 512. NumPy 31.6, a plain read 31.8. Flushed from all caches, one core: this 15.6,
// NumPy and PyTorch 16.0, reading 16 such rows and adding them up 16.5, a plain read 15.7. Tried there: the
// next rows' beginning asked for at the rows' end 2 % faster, and 6 % slower from L2; rows loaded 16 bytes at
// a time, which spares half of the shuffles, and lines asked for 2 to 16 of a row at a time: no gain.
inline constexpr int kTurnedAhead = 512;  // bytes of each row

/// Words of 32 bits are turned, of `kPer` weights each; `weight` is the one at `which` of them.
struct FloatWeights {
  static constexpr int kBytes = 4, kPer = 1;
  static UFUSE_INLINE Float load(const char* from) { return Float::load(from); }
  static UFUSE_INLINE Float weight(Float words, int) { return words; }
};
struct HalfWeights {
  static constexpr int kBytes = 2, kPer = 1;
  static UFUSE_INLINE Float load(const char* from) {
    return half_to_float(Vec<std::uint16_t, kLanes>::load(from));
  }
  static UFUSE_INLINE Float weight(Float words, int) { return words; }
};
/// Two to a word: half the turning, and widened by a shift or a mask.
struct BrainWeights {
  static constexpr int kBytes = 2, kPer = 2;
  using Bits = Register<std::uint32_t>;
  static UFUSE_INLINE Float load(const char* from) { return Float::load(from); }
  static UFUSE_INLINE Float weight(Float words, int which) {
    const Bits bits = bitcast<Bits>(words);
    return bitcast<Float>(which == 0 ? bits << 16 : bits & splat<Bits>(0xffff0000u));
  }
};

/// Register i, lane j to register j, lane i: where a transposition has no other word for it.
UFUSE_INLINE void turn(Float (&t)[kLanes]) {
#if defined(__AVX512F__)
  __m512 r[16], s[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    r[i] = _mm512_maskz_unpacklo_ps(0xffff, t[i].v, t[i + 1].v);
    r[i + 1] = _mm512_maskz_unpackhi_ps(0xffff, t[i].v, t[i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const auto a = (__m512d)r[i + h], b = (__m512d)r[i + 2 + h];
      s[i + 2 * h] = (__m512)_mm512_maskz_unpacklo_pd(0xff, a, b);
      s[i + 2 * h + 1] = (__m512)_mm512_maskz_unpackhi_pd(0xff, a, b);
    }
  // s[4 q + c], 128-bit part p: column 4 p + c of rows 4 q to 4 q + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const auto low01 = _mm512_maskz_shuffle_f32x4(0xffff, s[c], s[4 + c], 0x88),
               high01 = _mm512_maskz_shuffle_f32x4(0xffff, s[c], s[4 + c], 0xdd);
    const auto low23 = _mm512_maskz_shuffle_f32x4(0xffff, s[8 + c], s[12 + c], 0x88),
               high23 = _mm512_maskz_shuffle_f32x4(0xffff, s[8 + c], s[12 + c], 0xdd);
    t[c].v = _mm512_maskz_shuffle_f32x4(0xffff, low01, low23, 0x88);
    t[8 + c].v = _mm512_maskz_shuffle_f32x4(0xffff, low01, low23, 0xdd);
    t[4 + c].v = _mm512_maskz_shuffle_f32x4(0xffff, high01, high23, 0x88);
    t[12 + c].v = _mm512_maskz_shuffle_f32x4(0xffff, high01, high23, 0xdd);
  }
#else
  transpose(t);
#endif
}

template <class W>
struct Turned {
  static constexpr int kLoad = kLanes * W::kPer;  // k
  static constexpr int kStep = kLoad < ufuse::skinny::kTogether ? ufuse::skinny::kTogether : kLoad;

  /// The next `kLoad` k of the lanes' rows, turned.
  static UFUSE_INLINE void load(const char* const (&row)[kLanes], std::int64_t at, Float (&t)[kLanes]) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      __builtin_prefetch(row[i] + at + kTurnedAhead, 0, 2);
      t[i] = W::load(row[i] + at);
    }
    turn(t);
  }

  template <int R>
  struct Body {
    static void run(const ufuse::skinny::TurnedCall& call) {
      for (int j = 0; j < call.outputs; j += kLanes) lanes(call, j);
    }

    static void lanes(const ufuse::skinny::TurnedCall& call, int first) {
      const char* row[kLanes];
      for (int i = 0; i < kLanes; ++i) {  // lanes past the end repeat the last row
        const int j = first + i < call.outputs ? first + i : call.outputs - 1;
        row[i] = call.weights + j * call.row_bytes;
      }
      Float total[R];
      // There is always a first block, for the compiler to see.
      for (std::int64_t k0 = 0; k0 < call.k || k0 == 0; k0 += call.k_block) {
        const std::int64_t left = call.k - k0, count = left < call.k_block ? left : call.k_block;
        Float sum[R] = {};
        Rows<float, R> x(call.x, k0);
        std::int64_t k = k0;
        for (; k + kStep <= k0 + count; k += kStep, x.next(kStep))
#pragma GCC unroll 2
          for (int part = 0; part < kStep; part += kLoad) {
            Float t[kLanes];
            load(row, (k + part) * W::kBytes, t);
#pragma GCC unroll 32
            for (int u = 0; u < kLoad; ++u) {
              const Float weight = W::weight(t[u / W::kPer], u % W::kPer);
#pragma GCC unroll 8
              for (int r = 0; r < R; ++r) sum[r] = fma(splat<Float>(x.at(r, part + u)), weight, sum[r]);
            }
          }
        if (k < k0 + count) rest(row, k, static_cast<int>(k0 + count - k), x, sum);
        for (int r = 0; r < R; ++r) total[r] = k0 == 0 ? sum[r] : total[r] + sum[r];
      }
      for (int r = 0; r < R; ++r) total[r].store(call.sums + r * call.pitch + first);
    }

    /// Fewer k than a step has.
    static void rest(const char* const (&row)[kLanes], std::int64_t k, int count, const Rows<float, R>& x,
                     Float (&sum)[R]) {
      for (int part = 0; part < count; part += kLoad) {
        const int some = count - part < kLoad ? count - part : kLoad;
        alignas(64) char copy[kLanes][kLoad * W::kBytes] = {};
        for (int i = 0; i < kLanes; ++i)
          std::memcpy(copy[i], row[i] + (k + part) * W::kBytes, static_cast<std::size_t>(some) * W::kBytes);
        Float t[kLanes];
        for (int i = 0; i < kLanes; ++i) t[i] = W::load(copy[i]);
        turn(t);
        for (int u = 0; u < some; ++u) {
          const Float weight = W::weight(t[u / W::kPer], u % W::kPer);
          for (int r = 0; r < R; ++r) sum[r] = fma(splat<Float>(x.at(r, part + u)), weight, sum[r]);
        }
      }
    }
  };

  static void run(const ufuse::skinny::TurnedCall& call) { with_rows<Body>(call); }
};

}  // namespace skinny
}  // namespace UFUSE_TIER
}  // namespace ufuse
