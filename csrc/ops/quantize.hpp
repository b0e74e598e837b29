// Linear quantization, ONNX's convention (QuantizeLinear-21): true division in the scale's dtype, half to
// even, the zero point added after rounding, clamped as a float. NaN gives the smallest code, as
// onnxruntime does.
#pragma once

#include "ops/cast.hpp"
#include "ops/math_core.hpp"

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

/// x / scale, clamped to where the codes of Q end once the zero point is added: the ends are integers, so
/// that clamping before rounding is the same as after. NaN gives the lower end.
template <class V, class Z>
UFUSE_INLINE V clamped_ratio(V x, V scale, Z zero_point) {
  using Range = CodeRange<lane_t<Z>>;
  const V zero = convert<V>(convert<rebind_t<V, int32_t>>(zero_point));
  const V low = splat<V>(Range::lowest) - zero, high = splat<V>(Range::highest) - zero;
  return math::smaller(math::larger(x / scale, low), high);
}

struct quantize_linear {
  template <class R, class V, class Z>
  static UFUSE_INLINE R apply(V x, V scale, Z zero_point) {
    using I = rebind_t<V, int32_t>;
    return convert<R>(
        static_cast<I>(round_to_int(clamped_ratio(x, scale, zero_point)) + convert<I>(zero_point)));
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
    // + 0 because the code's difference to the zero point is an integer, which has no -0
    return (UFUSE_TIER::rint(clamped_ratio(x, scale, zero_point)) + V{}) * scale;
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
