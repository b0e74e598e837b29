// Linear quantization to integers, by the conventions of catalogue/conventions.py: they differ in how the
// ratio to the scale is found, in whether the zero point is added before rounding or after, in rounding, and
// in the code of NaN. Codes are clamped as floats, before any becomes an integer.
#pragma once

#include "ops/cast.hpp"
#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// The smallest and the largest code, in the halves of `limits`, smallest first: codes of 16 bits at most.
template <class V, class Z, class L>
UFUSE_INLINE void code_limits(L limits, V& low, V& high) {
  using I = rebind_t<V, int32_t>;
  const I both = convert<I>(limits);
  if constexpr (static_cast<lane_t<Z>>(-1) < lane_t<Z>{}) {
    low = convert<V>(static_cast<I>((both << 16) >> 16));
    high = convert<V>(static_cast<I>(both >> 16));
  } else {
    low = convert<V>(static_cast<I>(both & splat<I>(0xffff)));
    high = convert<V>(static_cast<I>((both >> 16) & splat<I>(0xffff)));
  }
}

/// What x amounts to in steps of `scale`: `steps`, to which the zero point is added here or after rounding.
struct DivideThenRound {  // ONNX
  static constexpr bool shifts_first = false;
  template <class V>
  static UFUSE_INLINE V steps(V x, V scale, V) {
    return x / scale;
  }
};
struct DivideAndShift {
  static constexpr bool shifts_first = true;
  template <class V>
  static UFUSE_INLINE V steps(V x, V scale, V zero_point) {
    return x / scale + zero_point;
  }
};
struct MultiplyThenRound {
  static constexpr bool shifts_first = false;
  template <class V>
  static UFUSE_INLINE V steps(V x, V scale, V) {
    return x * (splat<V>(1) / scale);
  }
};
struct MultiplyAndShift {
  static constexpr bool shifts_first = true;
  template <class V>
  static UFUSE_INLINE V steps(V x, V scale, V zero_point) {
    return x * (splat<V>(1) / scale) + zero_point;
  }
};
struct FusedMultiplyAndShift {
  static constexpr bool shifts_first = true;
  template <class V>
  static UFUSE_INLINE V steps(V x, V scale, V zero_point) {
    return UFUSE_TIER::fma(x, splat<V>(1) / scale, zero_point);
  }
};

struct HalfEven {
  template <class V>
  static UFUSE_INLINE V round(V x) {
    return UFUSE_TIER::rint(x);
  }
  template <class V>
  static UFUSE_INLINE rebind_t<V, int32_t> to_int(V x) {
    if constexpr (sizeof(lane_t<V>) == 4)
      return round_to_int(x);
    else
      return convert<rebind_t<V, int32_t>>(UFUSE_TIER::rint(x));
  }
};
struct HalfAway {
  /// What is added is the number below a half: a half would carry 0.49999997 over to 1.
  template <class V>
  static UFUSE_INLINE V round(V x) {
    using T = lane_t<V>;
    constexpr T kHalf = sizeof(T) == 8 ? static_cast<T>(0x1.fffffffffffffp-2) : static_cast<T>(0x1.fffffep-2);
    return UFUSE_TIER::trunc(x + select(x < V{}, splat<V>(-kHalf), splat<V>(kHalf)));
  }
  template <class V>
  static UFUSE_INLINE rebind_t<V, int32_t> to_int(V x) {
    return convert<rebind_t<V, int32_t>>(round(x));
  }
};

enum class NanCode { lowest, highest, zero };  // of `zero`: the code nearest to 0

/// Where x lies among the codes, less the zero point where that is added after rounding.
template <class Steps, NanCode Nan, class V, class Z, class L>
UFUSE_INLINE V clamped_steps(V x, V scale, Z zero_point, L limits) {
  V low, high;
  code_limits<V, Z>(limits, low, high);
  const V zero = convert<V>(convert<rebind_t<V, int32_t>>(zero_point));
  const V steps = Steps::steps(x, scale, zero), shift = Steps::shifts_first ? V{} : zero;
  // The ends are integers, so that clamping before rounding is the same as after. NaN gives the lower end.
  const V clamped = math::smaller(math::larger(steps, low - shift), high - shift);
  if constexpr (Nan == NanCode::lowest) return clamped;
  const V code = Nan == NanCode::highest ? high : math::smaller(math::larger(V{}, low), high);
  return select(is_nan(steps), code - shift, clamped);
}

template <class Steps, class Round, NanCode Nan>
struct quantize_by {
  static constexpr bool is_scaled = true;  // there are kernels for a scale for each short row
  template <class R, class V, class Z, class L>
  static UFUSE_INLINE R apply(V x, V scale, Z zero_point, L limits) {
    using I = rebind_t<V, int32_t>;
    const I level = Round::to_int(clamped_steps<Steps, Nan>(x, scale, zero_point, limits));
    if constexpr (Steps::shifts_first)
      return convert<R>(level);
    else
      return convert<R>(static_cast<I>(level + convert<I>(zero_point)));
  }
};

struct quantize_linear : quantize_by<DivideThenRound, HalfEven, NanCode::lowest> {};
struct quantize_torch : quantize_by<FusedMultiplyAndShift, HalfEven, NanCode::highest> {};
struct quantize_torch_axis : quantize_by<MultiplyAndShift, HalfEven, NanCode::zero> {};
struct quantize_torch_fake : quantize_by<MultiplyThenRound, HalfEven, NanCode::lowest> {};
struct quantize_torchao : quantize_by<MultiplyThenRound, HalfEven, NanCode::zero> {};
struct quantize_litert : quantize_by<DivideAndShift, HalfEven, NanCode::zero> {};
struct quantize_litert_away : quantize_by<DivideThenRound, HalfAway, NanCode::lowest> {};

struct fake_quantize {
  static constexpr bool is_scaled = true;
  template <class R, class V, class Z, class L>
  static UFUSE_INLINE R apply(V x, V scale, Z zero_point, L limits) {
    // + 0 because the code's difference to the zero point is an integer, which has no -0
    return (HalfEven::round(clamped_steps<DivideThenRound, NanCode::lowest>(x, scale, zero_point, limits)) +
            V{}) *
           scale;
  }
};

struct dequantize_linear {
  static constexpr bool is_scaled = true;
  template <class R, class Q>
  static UFUSE_INLINE R apply(Q q, R scale, Q zero_point) {
    if constexpr (sizeof(lane_t<Q>) == 4) {  // the difference of two int32 may not be one
      using W = rebind_t<R, double>;
      return convert<R>(convert<W>(q) - convert<W>(zero_point)) * scale;
    } else {
      using I = rebind_t<R, int32_t>;
      return convert<R>(convert<I>(q) - convert<I>(zero_point)) * scale;
    }
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
