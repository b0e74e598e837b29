// The formats of GGUF that are a float16 scale and rounded quotients: Q8_0.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// d = amax / 127, codes round(x / d), ties away from zero.
struct Q8_0 {
  static constexpr int kBlock = 32, kBytes = 34;

  static void encode(const EncodeCall& call) {
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const float* const x = call.values + first * kBlock;
      std::uint8_t* const to = call.codes + first * kBytes;
      Int largest[kLanes] = {};
      each_of(n, [&](int b) __attribute__((always_inline)) {
        Int most = magnitude(Float::load(x + b * kBlock));
        for (int r = 1; r < kRegisters<kBlock>; ++r)
          most = larger(most, magnitude(Float::load(x + b * kBlock + r * kLanes)));
        largest[b] = most;
      });
      const Float d = bitcast<Float>(fold_each(largest, larger<Int>)) / splat<Float>(127.0F);
      float inverse[kLanes];
      std::uint16_t codes[kLanes];
      inverse_or_zero(d).store(inverse);
      float_to_half(d).store(codes);
      each_of(n, [&](int b) __attribute__((always_inline)) {
        std::uint8_t* const at = to + b * kBytes;
        store_half(at, codes[b]);
        for (int r = 0; r < kRegisters<kBlock>; ++r)
          store_bytes(at + 2 + r * kLanes,
                      away(Float::load(x + b * kBlock + r * kLanes) * splat<Float>(inverse[b])));
      });
    });
  }

  static void decode(const DecodeCall& call) {
    each_group(call.blocks, [&](std::int64_t first, auto n) __attribute__((always_inline)) {
      const std::uint8_t* const from = call.codes + first * kBytes;
      float d[kLanes];
      load_halves<kBytes>(d, from, n);
      for (int b = 0; b < n; ++b)
        for (int r = 0; r < kRegisters<kBlock>; ++r) {
          const auto q = Vec<std::int8_t, kLanes>::load(from + b * kBytes + 2 + r * kLanes);
          (to_float(q) * splat<Float>(d[b])).store(call.values + (first + b) * kBlock + r * kLanes);
        }
    });
  }

 private:
  /// Rounded, ties away from zero. The addend is the largest below one half: with one half itself, what is
  /// just below it would round up in the sum.
  static UFUSE_INLINE Int away(Float x) {
    const Int sign = bitcast<Int>(x) & splat<Int>(INT32_MIN);
    return truncated(x + bitcast<Float>(sign | bitcast<Int>(splat<Float>(0x1.fffffep-2F))));
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
