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

/// Codes, in the low four bits, of x by its magnitude in quarters of the scale, up to 32; exact where
/// `quarters` is.
UFUSE_INLINE Int float4_of_quarters(Float x, Float quarters) {
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
      _mm512_maskz_cvt_roundps_epi32(0xffff, quarters.v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  const __m512i most = _mm512_maskz_min_epi32(0xffff, up, _mm512_set1_epi32(31));
  const __m512i code =
      _mm512_permutex2var_epi32(_mm512_load_si512(kCodes.code), most, _mm512_load_si512(kCodes.code + 16));
  const __mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x.v));
  return {reinterpret_cast<Int::native>(_mm512_mask_srli_epi32(code, negative, code, 8))};
#else
  // From 2 on, exponent and first bit of the fraction are the code; below, two comparisons.
  const Float halves = quarters * splat<Float>(0.5F);
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
    std::uint32_t beyond = 0;
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const float* const x = call.values + first * kBlock;
      std::uint8_t* const to = call.codes + first * kBytes;
      const Int most = fold_blocks<kBlock>(x, n, Magnitude{}, Larger{});
      beyond |= sign_bits(most >= splat<Int>(kInfinity));
      const Int power = floor_log2(most);
      Int code = power + splat<Int>(125);
      // Scales that a float32 inverse does not hold, NaN and infinity: by search.
      const Int plain = (most >= splat<Int>(8 << 23)) & (most < splat<Int>(kInfinity));
      const Int nothing = most == splat<Int>(0);
      code = code & ~nothing;
      const Float inverse = bitcast<Float>((splat<Int>(254 + 4) - (power + splat<Int>(127))) << 23);
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
          q[r] = float4_of_quarters(v, bitcast<Float>(magnitude(v)) * splat<Float>(inverses[b]));
        }
        for (int r = 0; r < kHalf; ++r) store_bytes(at + 1 + r * kLanes, q[r] | q[r + kHalf] << 4);
      });
      if (search != 0) [[unlikely]]
        for (int b = 0; b < n; ++b)
          if (search >> b & 1) by_search(to + b * kBytes, x + b * kBlock);
    });
    report(call, beyond);
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
  /// Of normal numbers, over 2^`scaled`. A logarithm that is less than half a last place below a whole number
  /// k is rounded to it: so for up to j last places below 2^k, each of which is 2^-24 / ln 2 in the
  /// logarithm.
  static UFUSE_INLINE Int floor_log2(Int bits, int scaled = 0) {
    const Int above = (bits >> 23) - splat<Int>(126 + scaled);
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
      const bool denormal = most < 0x1p-126F;
      const float normal = denormal ? most * 0x1p64F : most;
      code = floor_log2(bitcast<Int>(splat<Float>(normal)), denormal ? 64 : 0)[0] + 125;
    }
    *to = static_cast<std::uint8_t>(code);
    const float d = halves_of_e8m0(splat<Int>(*to))[0];
    for (int j = 0; j < 16; ++j)
      to[1 + j] = static_cast<std::uint8_t>(nearest_float4(x[j], d) | nearest_float4(x[j + 16], d) << 4);
  }
};

/// The sixteen codes in eight bytes, from code `first` on: the low ones, then those above.
template <int W>
UFUSE_INLINE Vec<std::int32_t, W> split_codes(const std::uint8_t* from, int first) {
  using Codes = Vec<std::int32_t, W>;
  if constexpr (W == 16) {
    const auto bytes = load_as<std::int64_t>(from);
    const Vec<std::int64_t, 2> both{{bytes, bytes >> 4}};
    return convert<Codes>(bitcast<Vec<std::uint8_t, W>>(both)) & splat<Codes>(15);
  } else {
    const auto bytes = convert<Codes>(Vec<std::uint8_t, W>::load(from + first % 8));
    return first < 8 ? bytes & splat<Codes>(15) : bytes >> 4;
  }
}

/// The mirror image.
template <int W>
UFUSE_INLINE void join_codes(std::uint8_t* to, const Vec<std::int32_t, W> (&codes)[16 / W]) {
  using Narrow = Vec<std::uint8_t, W>;
  if constexpr (W == 16) {
    const auto halves = bitcast<Vec<std::uint64_t, 2>>(convert<Narrow>(codes[0]));
    const std::uint64_t bytes = halves[0] | halves[1] << 4;
    std::memcpy(to, &bytes, sizeof bytes);
  } else {
    for (int r = 0; r < 8 / W; ++r) convert<Narrow>(codes[r] | codes[r + 8 / W] << 4).store(to + r * W);
  }
}

/// Four parts of 16 values, each with a scale of its own: an e4m3 without sign, of a sixth of the largest
/// magnitude. In byte j of a part's eight are value j and, above, value j + 8.
struct NVFP4 {
  static constexpr int kPart = 16, kParts = 4, kBytes = 36;

  static void encode(const EncodeCall& call) {
    std::uint32_t beyond = 0;
    each_group(call.blocks * kParts, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const float* const x = call.values + first * kPart;
      const Int most = fold_blocks<kPart>(x, n, Magnitude{}, Larger{});
      beyond |= sign_bits(most >= splat<Int>(kInfinity));
      const Int codes = scale_codes(bitcast<Float>(most) / splat<Float>(6.0F));
      // A scale of zero makes all codes 0, as an infinite one would.
      const Float scale = halves(codes), zero = splat<Float>(0.0F);
      const Float d = select(scale == zero, bitcast<Float>(splat<Int>(kInfinity)), scale);
      // Where errors might not differ, infinity and NaN: by search.
      const std::uint32_t search =
          sign_bits((most >= splat<Int>(kInfinity)) | (bitcast<Float>(most) > d * splat<Float>(4096.0F)));
      std::uint8_t scales[kLanes];
      float each[kLanes];
      store_bytes(scales, codes);
      d.store(each);
      each_of(n, [&](int b) __attribute__((always_inline)) {
        std::uint8_t* const at = call.codes + (first + b) / kParts * kBytes;
        const auto part = static_cast<int>((first + b) % kParts);
        at[part] = scales[b];
        Int q[kPart / kLanes];
        for (int r = 0; r < kPart / kLanes; ++r)
          q[r] = nearest(Float::load(x + b * kPart + r * kLanes), each[b]);
        join_codes<kLanes>(at + kParts + part * 8, q);
      });
      if (search != 0) [[unlikely]]
        for (int b = 0; b < n; ++b)
          if (search >> b & 1)
            by_search(call.codes + (first + b) / kParts * kBytes, static_cast<int>((first + b) % kParts),
                      x + b * kPart);
    });
    report(call, beyond);
  }

  static void decode(const DecodeCall& call) {
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      const std::uint8_t* const from = call.codes + block * kBytes;
      float* const to = call.values + block * kPart * kParts;
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const Float d = splat<Float>(kHalves.of[from[part]]);
        for (int i = 0; i < kPart; i += kLanes)
          (float4_values(split_codes<kLanes>(from + kParts + part * 8, i)) * d).store(to + part * kPart + i);
      }
    }
  }

 private:
  /// The same of all bytes, for decoding.
  static constexpr auto kHalves = [] {
    struct Table {
      float of[256];
    } table{};
    for (int code = 0; code < 256; ++code) {
      const int exponent = code >> 3 & 15, fraction = code & 7;
      float value = static_cast<float>(exponent == 0 ? fraction : fraction + 8) * 0x1p-10F;
      for (int e = 1; e < exponent; ++e) value *= 2;
      table.of[code] = code == 0x7f ? 0.0F : value;
    }
    return table;
  }();

  /// Half the value of each scale; zero for the NaN of e4m3. The highest bit is not looked at.
  static UFUSE_INLINE Float halves(Int code) {
    const Int exponent = (code >> 3) & splat<Int>(15), fraction = code & splat<Int>(7);
    const Float normal = bitcast<Float>(((exponent + splat<Int>(127 - 8)) << 23) | fraction << 20);
    const Float denormal = to_float(fraction) * splat<Float>(0x1p-10F);
    const Float value = select(exponent == splat<Int>(0), denormal, normal);
    return bitcast<Float>(bitcast<Int>(value) & (code != splat<Int>(0x7f)));
  }

  /// The nearest scale of what is not negative, ties upwards; from what rounds to 256 on, and of NaN, 448, as
  /// llama.cpp has it.
  static UFUSE_INLINE Int scale_codes(Float x) {
    const Int steps = smaller(truncated(x * splat<Float>(512.0F) + splat<Float>(0.5F)), splat<Int>(7));
    const Int rounded = ((bitcast<Int>(x) >> 19) + splat<Int>(1)) >> 1;  // a fraction of three bits
    const Int normal = rounded - splat<Int>(120 << 3);
    const Int code = select(x < splat<Float>(0x1p-6F), steps, normal);
    return select(code >= splat<Int>(15 << 3), splat<Int>(0x7e), code);
  }

  /// The bounds half way between two codes are exact in float32.
  static UFUSE_INLINE Int nearest(Float x, float d) {
    const Float size = bitcast<Float>(magnitude(x));
#if defined(__AVX512F__)
    // A search by halves: 8 instructions, where counting the bounds below takes 21.
    alignas(64) static constexpr float kBounds[17] = {0.5F, 1.5F, 2.5F, 3.5F, 5.0F, 7.0F, 10.0F};
    const __m512 scale = _mm512_set1_ps(d);
    const __m512 bounds = _mm512_mul_ps(_mm512_load_ps(kBounds), scale);
    const __m512 next = _mm512_mul_ps(_mm512_loadu_ps(kBounds + 1), scale);
    __m512i code =
        _mm512_maskz_set1_epi32(_mm512_cmp_ps_mask(size.v, _mm512_set1_ps(3.5F * d), _CMP_GT_OQ), 4);
    __mmask16 above = _mm512_cmp_ps_mask(size.v, _mm512_maskz_permutexvar_ps(0xffff, code, next), _CMP_GT_OQ);
    code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(2));
    above = _mm512_cmp_ps_mask(size.v, _mm512_maskz_permutexvar_ps(0xffff, code, bounds), _CMP_GT_OQ);
    code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(1));
    const __mmask16 negative =
        _mm512_mask_test_epi32_mask(_mm512_movepi32_mask(_mm512_castps_si512(x.v)), code, code);
    return {reinterpret_cast<Int::native>(_mm512_mask_or_epi32(code, negative, code, _mm512_set1_epi32(8)))};
#else
    Int code{};
    for (const float half : {0.5F, 1.5F, 2.5F, 3.5F, 5.0F, 7.0F, 10.0F})
      code = code - (size > splat<Float>(half * d));
    return code | ((bitcast<Int>(x) < splat<Int>(0)) & (code != splat<Int>(0)) & splat<Int>(8));
#endif
  }

  static void by_search(std::uint8_t* block, int part, const float* x) {
    float most = 0;
    for (int i = 0; i < kPart; ++i) {
      const float size = __builtin_fabsf(x[i]);
      most = size > most ? size : most;  // of what is no NaN
    }
    const Int code = scale_codes(splat<Float>(most / 6.0F));
    block[part] = static_cast<std::uint8_t>(code[0]);
    const float d = halves(code)[0];
    for (int j = 0; j < 8; ++j)
      block[kParts + part * 8 + j] =
          static_cast<std::uint8_t>(nearest_float4(x[j], d) | nearest_float4(x[j + 8], d) << 4);
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
