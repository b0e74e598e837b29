// GGUF's K-quants, and how they are decoded: 256 values, whose scales (and least values) are themselves
// codes.
#pragma once

#include "formats/groups.hpp"
#include "formats/kquants.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

inline constexpr int kSuper = 256;

/// Calls `body(from, to)` for each block.
template <int Bytes, class Body>
UFUSE_INLINE void each_super_block(const DecodeCall& call, Body body) {
  const std::uint8_t* from = call.codes;
  float* to = call.values;
  for (std::int64_t i = 0; i < call.blocks; ++i, from += Bytes, to += kSuper) body(from, to);
}

/// Bytes `first` and on of two words, without a way through memory.
template <int W>
UFUSE_INLINE Vec<std::int32_t, W> word_bytes(const std::uint64_t (&words)[2], int first) {
  using Narrow = Vec<std::uint8_t, W>;
  if constexpr (W == 16) {
    return convert<Vec<std::int32_t, W>>(bitcast<Narrow>(Vec<std::uint64_t, 2>{{words[0], words[1]}}));
  } else if constexpr (W == 8) {
    return convert<Vec<std::int32_t, W>>(bitcast<Narrow>(Vec<std::uint64_t, 1>{{words[first / 8]}}));
  } else {
    const auto word = static_cast<std::uint32_t>(words[first / 8] >> (first % 8 * 8));
    return convert<Vec<std::int32_t, W>>(bitcast<Narrow>(Vec<std::uint32_t, 1>{{word}}));
  }
}

/// Writes `Count` values d * q - m, or d * q, of one scale; `q(i)` gives the codes of a register from value
/// i.
template <int Count, class Codes>
UFUSE_INLINE void scaled(float* to, float d, Codes q) {
  for (int i = 0; i < Count; i += kLanes) (to_float(q(i)) * splat<Float>(d)).store(to + i);
}
template <int Count, class Codes>
UFUSE_INLINE void scaled(float* to, float d, float m, Codes q) {
  for (int i = 0; i < Count; i += kLanes) (to_float(q(i)) * splat<Float>(d) - splat<Float>(m)).store(to + i);
}

/// Encoders try some scales for each of their values, for as many blocks at a time as a register has lanes.
struct Searched {
  static constexpr int kCost = 64, kTogether = kLanes;
};

struct Q2_K : Searched {
  static void encode(const EncodeCall& call) { encode_q2_k(call); }

  // 16 scales and 16 least values of 4 bits; 2 bits per value: of each 128 values, byte j of 32 has those of
  // values j, j + 32, j + 64, j + 96; d; dmin.
  static void decode(const DecodeCall& call) {
    each_super_block<84>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
      const float d = one_half(from + 80), dmin = one_half(from + 82);
      float scales[16], leasts[16];
      for (int i = 0; i < 16; i += kLanes) {
        const Int both = load_bytes(from + i);
        (to_float(both & splat<Int>(15)) * splat<Float>(d)).store(scales + i);
        (to_float(both >> 4) * splat<Float>(dmin)).store(leasts + i);
      }
#pragma GCC unroll 16
      for (int part = 0; part < 16; ++part) {
        const std::uint8_t* const codes = from + 16 + part / 8 * 32 + part % 2 * 16;
        const int shift = part % 8 / 2 * 2;
        scaled<16>(to + part * 16, scales[part], leasts[part],
                   [&](int i) { return (load_bytes(codes + i) >> shift) & splat<Int>(3); });
      }
    });
  }
};

struct Q3_K : Searched {
  static void encode(const EncodeCall& call) { encode_q3_k(call); }

  // A third bit per value: bit k of byte j of 32 is that of value 32 k + j, and takes 4 away where it is not
  // set; low bits as in Q2_K; 16 scales of 6 bits, less 32: eight bytes of low bits, four of high ones; d.
  static void decode(const DecodeCall& call) {
    each_super_block<110>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
      const float d = one_half(from + 108);
      // Eight bytes of low bits, and four of high ones, in the order of scales.
      const auto low = load_as<std::uint64_t>(from + 96);
      const std::uint64_t high = load_as<std::uint32_t>(from + 104);
      constexpr std::uint64_t kLow = 0x0f0f0f0f0f0f0f0fU, kHigh = 0x0303030303030303U;
      const std::uint64_t codes64[2] = {(low & kLow) | ((high | high >> 2 << 32) & kHigh) << 4,
                                        (low >> 4 & kLow) | ((high >> 4 | high >> 6 << 32) & kHigh) << 4};
      float scales[16];
      for (int i = 0; i < 16; i += kLanes)
        (to_float(word_bytes<kLanes>(codes64, i) - splat<Int>(32)) * splat<Float>(d)).store(scales + i);
#pragma GCC unroll 16
      for (int part = 0; part < 16; ++part) {
        const std::uint8_t* const masks = from + part % 2 * 16;
        const std::uint8_t* const codes = from + 32 + part / 8 * 32 + part % 2 * 16;
        const int shift = part % 8 / 2 * 2, bit = part / 2;
        scaled<16>(to + part * 16, scales[part], [&](int i) {
          const Int third = ((load_bytes(masks + i) >> bit) & splat<Int>(1)) << 2;
          return ((load_bytes(codes + i) >> shift) & splat<Int>(3)) + third - splat<Int>(4);
        });
      }
    });
  }
};

/// Scale and least value `k` of the eight of Q4_K and Q5_K, in 12 bytes: six bits in one of the first bytes
/// for k < 4; else four in one of the last, and the two highest above those of k - 4.
struct ScaleAndLeast {
  UFUSE_INLINE ScaleAndLeast(const std::uint8_t* from, int k)
      : scale(k < 4 ? from[k] & 63 : (from[k + 4] & 15) | from[k - 4] >> 6 << 4),
        least(k < 4 ? from[k + 4] & 63 : from[k + 4] >> 4 | from[k] >> 6 << 4) {}
  int scale, least;
};

struct Q4_K : Searched {
  static void encode(const EncodeCall& call) { encode_q4_k(call); }

  // d; dmin; scales; of each 64 values byte j of 32 has value j and, above, value j + 32.
  static void decode(const DecodeCall& call) {
    each_super_block<144>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
      const float d = one_half(from), dmin = one_half(from + 2);
#pragma GCC unroll 8
      for (int part = 0; part < 8; ++part) {
        const ScaleAndLeast of(from + 4, part);
        const std::uint8_t* const codes = from + 16 + part / 2 * 32;
        const int shift = part % 2 * 4;
        scaled<32>(to + part * 32, d * static_cast<float>(of.scale), dmin * static_cast<float>(of.least),
                   [&](int i) { return (load_bytes(codes + i) >> shift) & splat<Int>(15); });
      }
    });
  }
};

struct Q5_K : Searched {
  static void encode(const EncodeCall& call) { encode_q5_k(call); }

  // d; dmin; scales; fifth bits: bit k of byte j of 32 is that of value 32 k + j; low bits as in Q4_K.
  static void decode(const DecodeCall& call) {
    each_super_block<176>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
      const float d = one_half(from), dmin = one_half(from + 2);
#pragma GCC unroll 8
      for (int part = 0; part < 8; ++part) {
        const ScaleAndLeast of(from + 4, part);
        const std::uint8_t* const high = from + 16;
        const std::uint8_t* const codes = from + 48 + part / 2 * 32;
        const int shift = part % 2 * 4;
        scaled<32>(to + part * 32, d * static_cast<float>(of.scale), dmin * static_cast<float>(of.least),
                   [&](int i) {
                     const Int fifth = ((load_bytes(high + i) >> part) & splat<Int>(1)) << 4;
                     return ((load_bytes(codes + i) >> shift) & splat<Int>(15)) | fifth;
                   });
      }
    });
  }
};

struct Q6_K : Searched {
  static void encode(const EncodeCall& call) { encode_q6_k(call); }

  // Low four bits: of each 128 values byte j of 64 has value j and, above, value j + 64; high two bits: byte
  // j of 32 has those of values j, j + 32, j + 64, j + 96; 16 scales, int8; d. Codes less 32.
  static void decode(const DecodeCall& call) {
    each_super_block<210>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
      const float d = one_half(from + 208);
      float scales[16];
      for (int i = 0; i < 16; i += kLanes)
        (to_float(load_signed_bytes(from + 192 + i)) * splat<Float>(d)).store(scales + i);
#pragma GCC unroll 16
      for (int part = 0; part < 16; ++part) {
        const int within = part % 8;
        const std::uint8_t* const low = from + part / 8 * 64 + within % 4 * 16;
        const std::uint8_t* const high = from + 128 + part / 8 * 32 + within % 2 * 16;
        const int shift = within / 4 * 4, high_shift = within / 2 * 2;
        scaled<16>(to + part * 16, scales[part], [&](int i) {
          const Int above = ((load_bytes(high + i) >> high_shift) & splat<Int>(3)) << 4;
          return (((load_bytes(low + i) >> shift) & splat<Int>(15)) | above) - splat<Int>(32);
        });
      }
    });
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
