// GGUF's formats of four-bit floats: the nearest of 0, 1, 2, 3, 4, 6, 8 and 12 halves of the scale, with a
// sign.
//
// A value half way between two of them gets the one of smaller magnitude, and -0.0 is not written: llama.cpp
// takes the first code of least error, in the order of codes.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

inline constexpr float kFloat4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// The first code of least error, by search, with the roundings that this has: of values far beyond the
/// largest code, or infinite, no error differs from that of zero.
inline std::uint8_t nearest_float4(float x, float d) {
  std::uint8_t best = 0;
  float least = __builtin_fabsf(kFloat4[0] * d - x);
  for (std::uint8_t code = 1; code < 16; ++code) {
    const float error = __builtin_fabsf(kFloat4[code] * d - x);
    if (error < least) {
      least = error;
      best = code;
    }
  }
  return best;
}

/// Codes of x by its magnitude in halves of the scale, up to 16; exact where `halves` is.
UFUSE_INLINE Int float4_of_halves(Float x, Float halves) {
#if defined(__AVX512F__)
  // By the magnitude in quarters, rounded up: the code, and in the next byte that of the negative.
  alignas(64) static constexpr auto kCodes = [] {
    struct Table {
      std::int32_t code[32];
    } table{};
    for (int quarters = 0; quarters < 32; ++quarters) {
      const int code = quarters < 2    ? 0
                       : quarters < 4  ? 1
                       : quarters < 6  ? 2
                       : quarters < 8  ? 3
                       : quarters < 11 ? 4
                       : quarters < 15 ? 5
                       : quarters < 21 ? 6
                                       : 7;
      table.code[quarters] = code | (code == 0 ? 0 : code + 8) << 8;
    }
    return table;
  }();
  const __m512i up =
      _mm512_maskz_cvt_roundps_epi32(0xffff, (halves + halves).v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  const __m512i most = _mm512_maskz_min_epi32(0xffff, up, _mm512_set1_epi32(31));
  const __m512i code =
      _mm512_permutex2var_epi32(_mm512_load_si512(kCodes.code), most, _mm512_load_si512(kCodes.code + 16));
  const Int shift = (bitcast<Int>(x) >> 28) & splat<Int>(8);
  return {reinterpret_cast<Int::native>(
      _mm512_maskz_srlv_epi32(0xffff, code, reinterpret_cast<__m512i>(shift.v)))};
#else
  // From 2 on, exponent and first bit of the fraction are the code; below, two comparisons.
  const Int bits = bitcast<Int>(halves);
  const Int large = ((bits + splat<Int>((1 << 21) - 1)) >> 22) - splat<Int>(254);
  const Int small = -((halves > splat<Float>(0.5F)) + (halves > splat<Float>(1.5F)));
  const Int code = smaller(select(halves >= splat<Float>(2.0F), large, small), splat<Int>(7));
  const Int negative = (bitcast<Int>(x) < splat<Int>(0)) & (code != splat<Int>(0));
  return code | (negative & splat<Int>(8));
#endif
}

/// 0.5 * 2^(code - 127), as llama.cpp has it: a denormal for 0 and 1, and for 255 the largest power.
UFUSE_INLINE Float halves_of_e8m0(Int code) {
  const Int normal = (code - splat<Int>(1)) << 23;
  const Int denormal = select(code == splat<Int>(0), splat<Int>(1 << 21), splat<Int>(1 << 22));
  return bitcast<Float>(select(code < splat<Int>(2), denormal, normal));
}

/// Values of codes.
UFUSE_INLINE Float float4_values(Int code) {
#if defined(__AVX512F__)
  alignas(64) static constexpr auto kValues = kFloat4;
  return {_mm512_permutexvar_ps(reinterpret_cast<__m512i>(code.v), _mm512_loadu_ps(kValues))};
#else
  // 0, 1, 2, 3, or (2 + the last bit) of a power of two.
  const Int low = code & splat<Int>(7);
  const Int bits = (low << 22) + splat<Int>(127 << 23);
  const Float large = bitcast<Float>(bits);
  const Float size = select(low < splat<Int>(2), to_float(low), large);
  return bitcast<Float>(bitcast<Int>(size) ^
                        select(low == splat<Int>(0), splat<Int>(0), (code & splat<Int>(8)) << 28));
#endif
}

/// 32 values and a power of two: code 127 + k - 2 where 2^k is the largest not above their largest magnitude,
/// by a float32 logarithm. That is rounded: just below a power of two it may be whole already.
struct MXFP4 {
  static constexpr int kBlock = 32, kRegisters = kBlock / kLanes, kHalf = kRegisters / 2, kBytes = 17;

  static void encode(const EncodeCall& call) {
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const float* const x = call.values + first * kBlock;
      std::uint8_t* const to = call.codes + first * kBytes;
      const Int most = fold_blocks<kBlock>(x, n, Magnitude{}, Larger{});
      const Int power = floor_log2(most);
      Int code = power + splat<Int>(125);
      // Scales that a float32 inverse does not hold, NaN and infinity: by search.
      const Int plain = (most >= splat<Int>(8 << 23)) & (most < splat<Int>(kInfinity));
      const Int nothing = most == splat<Int>(0);
      code = code & ~nothing;
      const Float inverse = bitcast<Float>((splat<Int>(254 + 3) - (power + splat<Int>(127))) << 23);
      float inverses[kLanes];
      std::uint8_t codes[kLanes];
      bitcast<Float>(bitcast<Int>(inverse) & plain).store(inverses);
      store_bytes(codes, code);
      const std::uint32_t search = sign_bits(~(plain | nothing));
      each_of(n, [&](int b) __attribute__((always_inline)) {
        std::uint8_t* const at = to + b * kBytes;
        *at = codes[b];
        Int q[kRegisters];
        for (int r = 0; r < kRegisters; ++r) {
          const Float v = Float::load(x + b * kBlock + r * kLanes);
          q[r] = float4_of_halves(v, bitcast<Float>(magnitude(v)) * splat<Float>(inverses[b]));
        }
        for (int r = 0; r < kHalf; ++r) store_bytes(at + 1 + r * kLanes, q[r] | q[r + kHalf] << 4);
      });
      if (search != 0) [[unlikely]]
        for (int b = 0; b < n; ++b)
          if (search >> b & 1) by_search(to + b * kBytes, x + b * kBlock);
    });
  }

  static void decode(const DecodeCall& call) {
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const std::uint8_t* const from = call.codes + first * kBytes;
      std::uint8_t codes[kLanes] = {};
      each_of(n, [&](int b) { codes[b] = from[b * kBytes]; });
      float d[kLanes];
      halves_of_e8m0(load_bytes(codes)).store(d);
      for (int b = 0; b < n; ++b) {
        float* const to = call.values + (first + b) * kBlock;
        for (int r = 0; r < kHalf; ++r) {
          const Int byte = load_bytes(from + b * kBytes + 1 + r * kLanes);
          (float4_values(byte & splat<Int>(15)) * splat<Float>(d[b])).store(to + r * kLanes);
          (float4_values(byte >> 4) * splat<Float>(d[b])).store(to + (r + kHalf) * kLanes);
        }
      }
    });
  }

 private:
  /// Of normal numbers. A logarithm that is less than half a last place below a whole number k is rounded to
  /// it: so for up to j last places below 2^k, each of which is 2^-24 / ln 2 in the logarithm.
  static UFUSE_INLINE Int floor_log2(Int bits) {
    const Int above = (bits >> 23) - splat<Int>(126);
    const Float k = to_float(above);
    const Int below = bitcast<Int>(k) + select(above > splat<Int>(0), splat<Int>(-1), splat<Int>(1));
    const Float gap = select(above == splat<Int>(0), splat<Float>(0.0F), k - bitcast<Float>(below));
    const Int places = truncated(gap * splat<Float>(0.5F / (0x1p-24F * 1.4426950408889634F)));
    const Int left = splat<Int>(1 << 23) - (bits & splat<Int>((1 << 23) - 1));
    return above - select(left <= places, splat<Int>(0), splat<Int>(1));
  }

  static void by_search(std::uint8_t* to, const float* x) {
    float most = 0;
    bool nan = false;
    for (int i = 0; i < kBlock; ++i) {
      const float size = __builtin_fabsf(x[i]);
      nan |= size != size;
      if (size > most) most = size;
    }
    // A code that eight bits do not hold wraps; that of infinity and NaN is 0.
    int code = 0;
    if (!nan && most > 0 && most <= __FLT_MAX__) {
      const Int bits = splat<Int>(bitcast<std::int32_t>(most));
      // Of a denormal, the highest bit: its logarithm is never that near to a whole number.
      code = bits[0] >> 23 != 0 ? floor_log2(bits)[0] + 125
                                : 31 - __builtin_clz(static_cast<unsigned>(bits[0])) - 149 + 125;
    }
    *to = static_cast<std::uint8_t>(code);
    const float d = halves_of_e8m0(splat<Int>(*to))[0];
    for (int j = 0; j < 16; ++j)
      to[1 + j] = static_cast<std::uint8_t>(nearest_float4(x[j], d) | nearest_float4(x[j + 16], d) << 4);
  }
};

/// Four parts of 16 values, each with a scale of its own: an e4m3 without sign, of a sixth of the largest
/// magnitude. In byte j of a part's eight are value j and, above, value j + 8.
struct NVFP4 {
  static constexpr int kCost = 16;
  static constexpr int kBlock = 64, kPart = 16, kBytes = 36;

  static void encode(const EncodeCall& call) {
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      std::uint8_t* const to = call.codes + block * kBytes;
      for (int part = 0; part < 4; ++part)
        encode_part(to + part, to + 4 + part * 8, call.values + block * kBlock + part * kPart);
    }
  }

  static void decode(const DecodeCall& call) {
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      const std::uint8_t* const from = call.codes + block * kBytes;
      for (int part = 0; part < 4; ++part) {
        const Float d = splat<Float>(kScales.half[from[part]]);
        std::uint8_t codes[kPart];
        std::uint64_t bytes;
        std::memcpy(&bytes, from + 4 + part * 8, 8);
        constexpr std::uint64_t kNibbles = 0x0f0f0f0f0f0f0f0fULL;
        const std::uint64_t low = bytes & kNibbles, high = (bytes >> 4) & kNibbles;
        std::memcpy(codes, &low, 8);
        std::memcpy(codes + 8, &high, 8);
        for (int i = 0; i < kPart; i += kLanes)
          (float4_values(load_bytes(codes + i)) * d).store(call.values + block * kBlock + part * kPart + i);
      }
    }
  }

 private:
  /// Half the value of each scale; zero for the NaN of e4m3. The highest bit counts in decoding alone.
  static constexpr auto kScales = [] {
    struct Table {
      float half[256];
    } table{};
    for (int code = 0; code < 256; ++code) {
      const int exponent = code >> 3 & 15, fraction = code & 7;
      float value = static_cast<float>(exponent == 0 ? fraction : 8 + fraction);  // in units of 2^-9
      for (int e = 1; e < exponent; ++e) value *= 2;
      table.half[code] = code == 0x7f ? 0.0F : value * 0x1p-10F;
    }
    return table;
  }();

  /// The nearest scale, ties away from zero; from what rounds to 256 on, 448, as llama.cpp has it.
  static UFUSE_INLINE std::uint8_t scale_of(float x) {
    if (!(x > 0)) return 0;
    if (x < 0x1p-6F) {
      const int steps = static_cast<int>(x * 512.0F + 0.5F);
      return static_cast<std::uint8_t>(steps > 7 ? 7 : steps);
    }
    const std::int32_t rounded = ((bitcast<std::int32_t>(x) >> 19) + 1) >> 1;  // a fraction of three bits
    const std::int32_t code = rounded - (120 << 3);
    return static_cast<std::uint8_t>(code >= 15 << 3 ? 0x7e : code);
  }

  static UFUSE_INLINE void encode_part(std::uint8_t* scale, std::uint8_t* to, const float* x) {
    float most = 0;
    for (int i = 0; i < kPart; ++i) {
      const float size = __builtin_fabsf(x[i]);
      most = most < size ? size : most;
    }
    *scale = scale_of(most / 6.0F);
    const float d = kScales.half[*scale];
    std::uint8_t codes[kPart] = {};
    if (d > 0 && most <= 4096 * d) [[likely]] {
      // The bounds half way between two codes are exact in float32, and errors differ.
      for (int i = 0; i < kPart; i += kLanes) {
        const Float v = Float::load(x + i), size = bitcast<Float>(magnitude(v));
        Int code{};
        for (const float half : {0.5F, 1.5F, 2.5F, 3.5F, 5.0F, 7.0F, 10.0F})
          code = code - (size > splat<Float>(half * d));
        const Int negative = (bitcast<Int>(v) < splat<Int>(0)) & (code != splat<Int>(0));
        store_bytes(codes + i, code | (negative & splat<Int>(8)));
      }
    } else if (d > 0) {
      for (int i = 0; i < kPart; ++i) codes[i] = nearest_float4(x[i], d);
    }
    for (int j = 0; j < 8; ++j) to[j] = static_cast<std::uint8_t>(codes[j] | codes[j + 8] << 4);
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
