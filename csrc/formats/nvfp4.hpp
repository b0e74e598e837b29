// NVFP4: blocks of 16 e2m1 elements with an e4m3 scale, and a float32 scale for the array. A block with NaN
// has a scale of NaN and codes of 0.
//
// The operations and their order are those of torchao 0.18 (prototype/mx_formats/nvfp4_tensor.py): a scale is
// amax / 6 / tensor scale, not below the smallest normal e4m3; elements are multiplied by
// (1 / tensor scale) / scale.
#pragma once

#include "formats/e2m1.hpp"
#include "formats/scales.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

struct nvfp4 {
  // Scales of several groups before the elements of any: each waits for its largest magnitudes and three
  // divisions, which of more than one group go on side by side.
  static constexpr int kTogether = 4 * kLanes;

  static void encode(const EncodeCall& call) {
    alignas(64) float factor[kTogether];
    for (std::int64_t first = 0; first < call.blocks; first += kTogether) {
      const int n = static_cast<int>(call.blocks - first < kTogether ? call.blocks - first : kTogether);
      const float* const x = call.values + first * kBlock;
      std::uint8_t* const to = call.codes + first * kBytes;
      std::uint8_t* const scales = static_cast<std::uint8_t*>(call.scales) + first;
      Int lost = splat<Int>(0);
      for (int b = 0; b < n; b += kLanes)
        lost = lost | scale(factor + b, scales + b, x + b * kBlock, n - b < kLanes ? n - b : kLanes,
                            call.options.tensor_scale);
      const auto code = [&](int at) __attribute__((always_inline)) {
        return encode_e2m1(Float::load(x + at) * splat<Float>(factor[at / kBlock]));
      };
      int at = 0;
      for (; at + 2 * kLanes <= n * kBlock; at += 2 * kLanes)
        store_nibbles<false>(to + at / 2, code(at), code(at + kLanes));
      if (at < n * kBlock) store_nibbles<false>(to + at / 2, code(at));
      if (__builtin_expect(any(lost), 0)) {
        for (int b = 0; b < n; ++b)
          if (scales[b] == Scale::nan) std::memset(to + b * kBytes, 0, kBytes);
      }
    }
  }

  static void decode(const DecodeCall& call) {
    alignas(64) float values[16];
    for (int i = 0; i < 16; ++i) values[i] = ops::decode_float<Element, float>(static_cast<std::uint32_t>(i));
    const Table table(values);
    const Float whole = splat<Float>(call.options.tensor_scale);
    each_few(call.blocks, [&](std::int64_t first, int n) __attribute__((always_inline)) {
      const Int codes = load_scales(static_cast<const std::uint8_t*>(call.scales) + first, n);
      alignas(64) float factor[kLanes];
      (whole * ops::decode_float<Scale, Float>(bitcast<Unsigned>(codes))).store(factor);
      for (int b = 0; b < n; ++b)
        for (int i = 0; i < kBlock; i += kLanes) {
          const Int at = load_nibbles<false>(call.codes + (first + b) * kBytes + i / 2);
          (table[at] * splat<Float>(factor[b])).store(call.values + (first + b) * kBlock + i);
        }
    });
  }

 private:
  static constexpr int kBlock = 16, kBytes = 8;
  using Scale = ops::float_formats::float8_e4m3fn;
  using Element = ops::float_formats::float4_e2m1fn;

  /// Scales of n blocks, and what their elements are multiplied by. Returns which have NaN.
  static UFUSE_INLINE Int scale(float* factor, std::uint8_t* to, const float* x, int n, float tensor_scale) {
    const Float whole = splat<Float>(tensor_scale), one = splat<Float>(1.0F);
    const Int largest = largest_of_each(x, std::integral_constant<std::int64_t, kBlock>{}, n);
    const Float wanted = bitcast<Float>(largest) / splat<Float>(6.0F) / whole;
    const Float kept = smaller(larger(wanted, splat<Float>(0x1p-6F)), splat<Float>(448.0F));
    const Unsigned codes = ops::encode_float<Scale>(kept, splat<Unsigned>(1u));
    const Int lost = largest > splat<Int>(kInfinity);
    store_scales(to, select(lost, splat<Int>(Scale::nan), bitcast<Int>(codes)), n);
    (one / whole / ops::decode_float<Scale, Float>(codes)).store(factor);
    return lost;
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
