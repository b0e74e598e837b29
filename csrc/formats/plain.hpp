// GGUF's kinds that are no blocks: float32, float16 and bfloat16, one value at a time.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// Values in registers; those that are left by way of a copy that is a register long.
template <class From, class To, class Convert>
UFUSE_INLINE void each_register(const From* from, To* to, std::int64_t count, Convert convert_one) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) convert_one(from + i).store(to + i);
  if (i == count) return;
  From in[kLanes] = {};
  To out[kLanes];
  std::memcpy(in, from + i, static_cast<std::size_t>(count - i) * sizeof in[0]);
  convert_one(in).store(out);
  std::memcpy(to + i, out, static_cast<std::size_t>(count - i) * sizeof out[0]);
}

struct F32 {
  static void encode(const EncodeCall& call) {
    std::memcpy(call.codes, call.values, static_cast<std::size_t>(call.blocks) * 4);
  }
  static void decode(const DecodeCall& call) {
    std::memcpy(call.values, call.codes, static_cast<std::size_t>(call.blocks) * 4);
  }
};

struct F16 {
  static void encode(const EncodeCall& call) {
    Int largest{};
    each_register(call.values, reinterpret_cast<std::uint16_t*>(call.codes), call.blocks,
                  [&](const float* x) {
                    const Float v = Float::load(x);
                    largest = larger(largest, magnitude(v));
                    return half_codes(v);
                  });
    report(call, sign_bits(largest > splat<Int>(bitcast<std::int32_t>(65520.0F) - 1)));
  }
  static void decode(const DecodeCall& call) {
    each_register(reinterpret_cast<const std::uint16_t*>(call.codes), call.values, call.blocks,
                  [](const std::uint16_t* codes) { return half_to_float(Half::load(codes)); });
  }
};

/// Ties to even; a NaN is made quiet and keeps what is left of its payload.
struct BF16 {
  static void encode(const EncodeCall& call) {
    Int largest{};
    each_register(call.values, reinterpret_cast<std::uint16_t*>(call.codes), call.blocks,
                  [&](const float* x) {
                    const Float v = Float::load(x);
                    largest = larger(largest, magnitude(v));
                    const auto bits = bitcast<Unsigned>(v);
                    const auto even = bits + splat<Unsigned>(0x7fff) + ((bits >> 16) & splat<Unsigned>(1));
                    return convert<Half>(select(v == v, even, bits | splat<Unsigned>(0x400000)) >> 16);
                  });
    report(call, sign_bits(largest > splat<Int>(0x7f7f7fff)));  // what is above rounds to infinity
  }
  static void decode(const DecodeCall& call) {
    each_register(reinterpret_cast<const std::uint16_t*>(call.codes), call.values, call.blocks,
                  [](const std::uint16_t* codes) { return bfloat16_to_float(Half::load(codes)); });
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
