// GGUF's ternary formats: 256 values of -1, 0 and 1 times the largest magnitude, a float16 at the end.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// Values in {0, 1, 2} of a block, one to a byte, and the float16 of its scale.
inline std::uint16_t ternary(std::uint8_t (&digits)[256], const float* x, std::uint32_t& beyond) {
  Int most = magnitude(Float::load(x));
  for (int i = kLanes; i < 256; i += kLanes) most = larger(most, magnitude(Float::load(x + i)));
  std::int32_t largest = 0;
  for (int lane = 0; lane < kLanes; ++lane) largest = most[lane] > largest ? most[lane] : largest;
  const Float d = largest_magnitude(splat<Int>(largest)), inverse = inverse_or_zero(d);
  for (int i = 0; i < 256; i += kLanes)
    store_bytes(digits + i, rounded_away(Float::load(x + i) * inverse) + splat<Int>(1));
  std::uint16_t codes[kLanes];
  beyond |= to_halves(codes, d);
  return codes[0];
}

/// A byte holds five digits of base 3 as a fraction of 256: digit k of it is the carry of a product by 3
/// after k of them. Runs of 32 bytes, of 16, and four bytes of four digits.
struct TQ1_0 {
  static constexpr int kCost = 16;
  static constexpr int kBytes = 54;
  static constexpr std::uint8_t kPowers[5] = {1, 3, 9, 27, 81};

  static void encode(const EncodeCall& call) {
    std::uint32_t beyond = 0;
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      std::uint8_t digits[256];
      std::uint8_t* const to = call.codes + block * kBytes;
      store_half(to + 52, ternary(digits, call.values + block * 256, beyond));
      pack<32, 5>(to, digits);
      pack<16, 5>(to + 32, digits + 160);
      pack<4, 4>(to + 48, digits + 240);
    }
    report(call, beyond);
  }

  static void decode(const DecodeCall& call) {
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      const std::uint8_t* const from = call.codes + block * kBytes;
      float* to = call.values + block * 256;
      const Float d = splat<Float>(one_half(from + 52));
      for (int k = 0; k < 5; ++k)
        for (int i = 0; i < 32; i += kLanes, to += kLanes) (digit(load_bytes(from + i), k) * d).store(to);
      for (int k = 0; k < 5; ++k)
        for (int i = 32; i < 48; i += kLanes, to += kLanes) (digit(load_bytes(from + i), k) * d).store(to);
      std::uint8_t last[16];
      for (int i = 0; i < 16; ++i) last[i] = static_cast<std::uint8_t>(from[48 + i % 4] * kPowers[i / 4]);
      for (int i = 0; i < 16; i += kLanes, to += kLanes) (digit(load_bytes(last + i), 0) * d).store(to);
    }
  }

 private:
  static UFUSE_INLINE Float digit(Int byte, int k) {
    const Int fraction = (byte * splat<Int>(kPowers[k])) & splat<Int>(255);
    return to_float(((fraction * splat<Int>(3)) >> 8) - splat<Int>(1));
  }

  /// Run of `Count` bytes of digits that are `Count` apart.
  template <int Count, int Digits>
  static UFUSE_INLINE void pack(std::uint8_t* to, const std::uint8_t* digits) {
    for (int i = 0; i < Count; ++i) {
      unsigned number = 0;
      for (int k = 0; k < Digits; ++k) number += digits[k * Count + i] * unsigned{kPowers[4 - k]};
      to[i] = static_cast<std::uint8_t>(((number & 255U) * 256U + 242U) / 243U);  // rounded up
    }
  }
};

/// Two bits per digit: byte j of 32 has those of values j, j + 32, j + 64 and j + 96.
struct TQ2_0 {
  static constexpr int kCost = 16;
  static constexpr int kBytes = 66;

  static void encode(const EncodeCall& call) {
    std::uint32_t beyond = 0;
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      std::uint8_t digits[256];
      std::uint8_t* const to = call.codes + block * kBytes;
      store_half(to + 64, ternary(digits, call.values + block * 256, beyond));
      for (int half = 0; half < 2; ++half)
        for (int i = 0; i < 32; ++i) {
          const std::uint8_t* const at = digits + half * 128 + i;
          to[half * 32 + i] = static_cast<std::uint8_t>(at[0] | at[32] << 2 | at[64] << 4 | at[96] << 6);
        }
    }
    report(call, beyond);
  }

  static void decode(const DecodeCall& call) {
    for (std::int64_t block = 0; block < call.blocks; ++block) {
      const std::uint8_t* const from = call.codes + block * kBytes;
      float* const to = call.values + block * 256;
      const Float d = splat<Float>(one_half(from + 64));
      for (int half = 0; half < 2; ++half)
        for (int i = 0; i < 32; i += kLanes) {
          const Int byte = load_bytes(from + half * 32 + i);
          for (int k = 0; k < 4; ++k)
            (to_float(((byte >> (2 * k)) & splat<Int>(3)) - splat<Int>(1)) * d)
                .store(to + half * 128 + k * 32 + i);
        }
    }
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
