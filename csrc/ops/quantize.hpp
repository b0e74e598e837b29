// Linear quantization, ONNX's convention (QuantizeLinear-21): true division in the scale's dtype, half to
// even, the zero point added after rounding, clamped as a float. NaN gives the smallest code, as
// onnxruntime does.
#pragma once

#include "ops/cast.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

template <class Q>
struct CodeRange;
template <>
struct CodeRange<int8_t> {
  static constexpr float lowest = -128.0f, highest = 127.0f;
};
template <>
struct CodeRange<uint8_t> {
  static constexpr float lowest = 0.0f, highest = 255.0f;
};

/// The code as a float, in the range of Q (the zero point's type).
template <class V, class Z>
UFUSE_INLINE V level_of(V x, V scale, Z zero_point) {
  using Range = CodeRange<lane_t<Z>>;
  const V zero = convert<V>(convert<rebind_t<V, int32_t>>(zero_point));
  const V level = UFUSE_TIER::rint(x / scale) + zero;
  const V low = splat<V>(Range::lowest), high = splat<V>(Range::highest);
  const V floored = select(level > low, level, low);  // false for NaN
  return select(floored < high, floored, high);
}

struct quantize_linear {
  template <class R, class V, class Z>
  static UFUSE_INLINE R apply(V x, V scale, Z zero_point) {
    return convert<R>(convert<rebind_t<R, int32_t>>(level_of(x, scale, zero_point)));
  }
};

struct dequantize_linear {
  template <class R, class Q>
  static UFUSE_INLINE R apply(Q q, R scale, Q zero_point) {
    using I = rebind_t<R, int32_t>;
    return convert<R>(convert<I>(q) - convert<I>(zero_point)) * scale;
  }
};

struct fake_quantize {
  template <class V, class Z>
  static UFUSE_INLINE V apply(V x, V scale, Z zero_point) {
    const V zero = convert<V>(convert<rebind_t<V, int32_t>>(zero_point));
    return (level_of(x, scale, zero_point) - zero) * scale;  // the difference is exact
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
