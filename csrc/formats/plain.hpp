// GGUF's kinds that are no blocks: float32, float16 and bfloat16, one value at a time.
#pragma once

#include "formats/groups.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// Values in registers; those that are left by way of a copy that is a register long.
template <class Code, class To, class From>
UFUSE_INLINE void each_register(const From* from, Code* to, std::int64_t count, To convert_one) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) convert_one(from + i).store(to + i);
  if (i == count) return;
  From in[kLanes] = {};
  Code out[kLanes];
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
  using Codes = Vec<std::uint16_t, kLanes>;
  static void encode(const EncodeCall& call) {
    each_register(call.values, reinterpret_cast<std::uint16_t*>(call.codes), call.blocks, [](const float* x) {
      const Float v = Float::load(x);
      const Int nan = (bitcast<Int>(v) & splat<Int>(INT32_MIN)) | splat<Int>(0x7fc00000);
      return float_to_half(select(v == v, v, bitcast<Float>(nan)));
    });
  }
  static void decode(const DecodeCall& call) {
    each_register(reinterpret_cast<const std::uint16_t*>(call.codes), call.values, call.blocks,
                  [](const std::uint16_t* codes) { return half_to_float(Codes::load(codes)); });
  }
};

/// Ties to even; a NaN is made quiet and keeps what is left of its payload.
struct BF16 {
  using Codes = Vec<std::uint16_t, kLanes>;
  static void encode(const EncodeCall& call) {
    each_register(call.values, reinterpret_cast<std::uint16_t*>(call.codes), call.blocks, [](const float* x) {
      const Float v = Float::load(x);
      const auto bits = bitcast<Unsigned>(v);
      const auto even = bits + splat<Unsigned>(0x7fff) + ((bits >> 16) & splat<Unsigned>(1));
      return convert<Codes>(select(v == v, even, bits | splat<Unsigned>(0x400000)) >> 16);
    });
  }
  static void decode(const DecodeCall& call) {
    each_register(reinterpret_cast<const std::uint16_t*>(call.codes), call.values, call.blocks,
                  [](const std::uint16_t* codes) { return bfloat16_to_float(Codes::load(codes)); });
  }
};

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
