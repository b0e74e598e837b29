// GGUF's formats of 32 values that are a float16 scale, perhaps a least value, and rounded quotients.
#pragma once

#include "formats/groups.hpp"
#include "formats/kquants.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// Q4_0 and Q5_0: the value of largest magnitude, the first of them, is code 0 of 2^Bits, zero is the code in
/// the middle. Q4_1 and Q5_1 (`Offset`): codes rise from the least value to the largest.
///
/// Bytes: d, the least value where there is one, the fifth bits where there are some, and in byte j the low
/// bits of value j and, above, of value j + 16. Inverses are of d before it is rounded to float16.
template <int Bits, bool Offset>
struct Quotients {
  static constexpr int kBlock = 32, kRegisters = kBlock / kLanes, kHalf = kRegisters / 2;
  static constexpr int kHigh = Offset ? 4 : 2, kLow = kHigh + (Bits == 5 ? 4 : 0), kBytes = kLow + 16;
  static constexpr int kMost = (1 << Bits) - 1, kMiddle = 1 << (Bits - 1);
  static constexpr bool kTakesVariance = true;

  static void encode(const EncodeCall& call) {
    if (call.importance != nullptr) return encode_weighted(call, Bits, Offset);
    std::uint32_t beyond = 0;
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const float* const x = call.values + first * kBlock;
      std::uint8_t* const to = call.codes + first * kBytes;
      float inverse[kLanes], least[kLanes];
      std::uint16_t scales[kLanes], offsets[kLanes];
      if constexpr (Offset) {
        const auto [low, high] = range(x, n);
        const Float d = (high - low) / splat<Float>(kMost);
        low.store(least);
        beyond |= to_halves(offsets, low);
        inverse_or_zero(d).store(inverse);
        beyond |= to_halves(scales, d);
      } else {
        const Float d = largest(x, n) / splat<Float>(-kMiddle);
        inverse_or_zero(d).store(inverse);
        beyond |= to_halves(scales, d);
      }
      each_of(n, [&](int b) __attribute__((always_inline)) {
        std::uint8_t* const at = to + b * kBytes;
        ask_ahead<kBlock>(x + b * kBlock);
        store_half(at, scales[b]);
        if constexpr (Offset) store_half(at + 2, offsets[b]);
        Int q[kRegisters];
        for (int r = 0; r < kRegisters; ++r) {
          Float v = Float::load(x + b * kBlock + r * kLanes);
          if constexpr (Offset) v = v - splat<Float>(least[b]);
          v = v * splat<Float>(inverse[b]) + splat<Float>(Offset ? 0.5F : kMiddle + 0.5F);
          q[r] = smaller(truncated(v), splat<Int>(kMost));
        }
        put(at, q);
      });
    });
    report(call, beyond);
  }

  static void decode(const DecodeCall& call) {
    const Int bit = lane_bits();
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const std::uint8_t* const from = call.codes + first * kBytes;
      float d[kLanes], least[kLanes];
      load_halves<kBytes>(d, from, n);
      if constexpr (Offset) load_halves<kBytes>(least, from + 2, n);
      for (int b = 0; b < n; ++b) {
        const std::uint8_t* const at = from + b * kBytes;
        float* const to = call.values + (first + b) * kBlock;
        const auto high = Bits == 5 ? load_as<std::uint32_t>(at + kHigh) : 0;
        for (int r = 0; r < kRegisters; ++r) {
          const Int byte = load_bytes(at + kLow + r % kHalf * kLanes);
          Int q = r < kHalf ? byte & splat<Int>(15) : byte >> 4;
          if constexpr (Bits == 5) {
            const Int set = splat<Int>(static_cast<std::int32_t>(high >> (r * kLanes))) & bit;
            q = q + select(set != splat<Int>(0), splat<Int>(16), splat<Int>(0));
          }
          if constexpr (!Offset) q = q - splat<Int>(kMiddle);
          Float v = to_float(q) * splat<Float>(d[b]);
          if constexpr (Offset) v = v + splat<Float>(least[b]);
          v.store(to + r * kLanes);
        }
      }
    });
  }

 private:
  /// Codes of a block; what did not fit an integer is the smallest, of which no low bit is set.
  static UFUSE_INLINE void put(std::uint8_t* at, const Int (&q)[kRegisters]) {
    if constexpr (Bits == 5) {
      std::uint32_t high = 0;
      for (int r = 0; r < kRegisters; ++r) high |= sign_bits(q[r] << 27) << (r * kLanes);
      std::memcpy(at + kHigh, &high, sizeof high);
    }
    for (int r = 0; r < kHalf; ++r)
      store_bytes(at + kLow + r * kLanes, (Bits == 5 ? q[r] & splat<Int>(15) : q[r]) | q[r + kHalf] << 4);
  }

  /// The first value of the largest magnitude, or the first NaN, of each of n blocks. The larger of the
  /// largest and the least but for ties and NaN, which are looked for one by one.
  template <class N>
  static UFUSE_INLINE Float largest(const float* x, N n) {
    const Int high = fold_blocks<kBlock, Ask::coding>(x, n, BitsAs<Int>{}, Larger{});
    const Int low = bitcast<Int>(fold_blocks<kBlock, Ask::coding>(x, n, BitsAs<Unsigned>{}, Larger{}));
    const Int zero = splat<Int>(0), negative = low < zero;
    const Int above = larger(high, zero), below = select(negative, low & splat<Int>(INT32_MAX), zero);
    const Int most = larger(above, below);
    const Int found = select(below > above, most | splat<Int>(INT32_MIN), most);
    const std::uint32_t doubtful = sign_bits((negative & (below == above)) | (most > splat<Int>(kInfinity)));
    if (doubtful == 0) [[likely]]
      return bitcast<Float>(found);
    float result[kLanes];
    bitcast<Float>(found).store(result);
    for (int b = 0; b < n; ++b)
      if (doubtful >> b & 1) result[b] = first_of(x + b * kBlock);
    return Float::load(result);
  }

  static float first_of(const float* x) {
    float most = x[0];
    for (int i = 0; i < kBlock; ++i) {
      if (x[i] != x[i]) return x[i];
      if (__builtin_fabsf(x[i]) > __builtin_fabsf(most)) most = x[i];
    }
    return most;
  }

  struct Range {
    Float low, high;
  };

  /// The least and the largest value of each of n blocks: of zeros, -0.0 is the lesser. A NaN
  /// is both ends.
  template <class N>
  static UFUSE_INLINE Range range(const float* x, N n) {
    // Integers in the order of floats, NaN at both ends.
    const auto ordered = [](Float v) __attribute__((always_inline)) {
      const Int bits = bitcast<Int>(v);
      return bits ^ ((bits >> 31) & splat<Int>(INT32_MAX));
    };
    const Int high = fold_blocks<kBlock, Ask::coding>(x, n, ordered, Larger{});
    const Int low = fold_blocks<kBlock, Ask::coding>(x, n, ordered, Smaller{});
    const auto back = [&](Int v) __attribute__((always_inline)) { return ordered(bitcast<Float>(v)); };
    const Int nan = (high > splat<Int>(kInfinity)) | (low < splat<Int>(~kInfinity));
    return {bitcast<Float>(select(nan, splat<Int>(kNan), back(low))),
            bitcast<Float>(select(nan, splat<Int>(kNan), back(high)))};
  }
};

using Q4_0 = Quotients<4, false>;
using Q4_1 = Quotients<4, true>;
using Q5_0 = Quotients<5, false>;
using Q5_1 = Quotients<5, true>;

/// d = amax / 127, codes round(x / d), ties away from zero.
struct Q8_0 {
  static constexpr int kBlock = 32, kRegisters = kBlock / kLanes, kBytes = 34;

  static void encode(const EncodeCall& call) {
    std::uint32_t beyond = 0;
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const float* const x = call.values + first * kBlock;
      std::uint8_t* const to = call.codes + first * kBytes;
      const Float d =
          largest_magnitude(fold_blocks<kBlock>(x, n, Magnitude{}, Larger{})) / splat<Float>(127.0F);
      float inverse[kLanes];
      std::uint16_t scales[kLanes];
      inverse_or_zero(d).store(inverse);
      beyond |= to_halves(scales, d);
      each_of(n, [&](int b) __attribute__((always_inline)) {
        std::uint8_t* const at = to + b * kBytes;
        store_half(at, scales[b]);
        for (int r = 0; r < kRegisters; ++r)
          store_bytes(at + 2 + r * kLanes,
                      rounded_away(Float::load(x + b * kBlock + r * kLanes) * splat<Float>(inverse[b])));
      });
    });
    report(call, beyond);
  }

  static void decode(const DecodeCall& call) {
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const std::uint8_t* const from = call.codes + first * kBytes;
      float d[kLanes];
      load_halves<kBytes>(d, from, n);
      for (int b = 0; b < n; ++b)
        for (int r = 0; r < kRegisters; ++r)
          (to_float(load_signed_bytes(from + b * kBytes + 2 + r * kLanes)) * splat<Float>(d[b]))
              .store(call.values + (first + b) * kBlock + r * kLanes);
    });
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
