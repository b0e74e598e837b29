// Linear quantization to integers, by the conventions of catalogue/conventions.py: they differ in how the
// ratio to the scale is found, in whether the zero point is added before rounding or after, in rounding, and
// in the code of NaN. Codes are clamped as floats, before any becomes an integer; numbers, where many have
// one scale.
#pragma once

#include "ops/cast.hpp"
#include "ops/divisor.hpp"

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

/// What x amounts to in steps of `scale` (or of a Divisor): `steps`, to which the zero point is added here or
/// after rounding.
struct DivideThenRound {  // ONNX
  static constexpr bool shifts_first = false;
  template <class V, class S>
  static UFUSE_INLINE V steps(V x, const S& scale, V) {
    return x / scale;
  }
};
struct DivideAndShift {
  static constexpr bool shifts_first = true;
  template <class V, class S>
  static UFUSE_INLINE V steps(V x, const S& scale, V zero_point) {
    return x / scale + zero_point;
  }
};
struct MultiplyThenRound {
  static constexpr bool shifts_first = false;
  template <class V, class S>
  static UFUSE_INLINE V steps(V x, const S& scale, V) {
    return x * inverse_of(scale);
  }
};
struct MultiplyAndShift {
  static constexpr bool shifts_first = true;
  template <class V, class S>
  static UFUSE_INLINE V steps(V x, const S& scale, V zero_point) {
    return x * inverse_of(scale) + zero_point;
  }
};
struct FusedMultiplyAndShift {
  static constexpr bool shifts_first = true;
  template <class V, class S>
  static UFUSE_INLINE V steps(V x, const S& scale, V zero_point) {
    return UFUSE_TIER::fma(x, inverse_of(scale), zero_point);
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

#if !UFUSE_DEVICE_CODE
/// Quantization of many numbers by one scale and zero point.
///
/// The numbers, and not their steps, are clamped, to the rounded multiples of the scale at the ends: a
/// quotient of these is within 2^-6 of the code, so that what is beyond an end gets the end's code either
/// way, and infinity does not come to be divided.
template <class Steps, class Round, NanCode Nan, class V>
struct UniformQuantizer {
  using I = rebind_t<V, int32_t>;

  Divisor<V> scale;
  V zero, lowest, highest, nan;
  I shift;

  UFUSE_INLINE V steps(V x) const {
    const V clamped = math::smaller(math::larger(x, lowest), highest);  // NaN gives the lower end
    const V found = Steps::steps(clamped, scale, zero);
    if constexpr (Nan == NanCode::lowest) return found;
    return select(is_nan(x), nan, found);
  }

  template <class R>
  UFUSE_INLINE R apply(V x) const {
    return convert<R>(static_cast<I>(Round::to_int(steps(x)) + shift));
  }
};

/// Those of several scales and zero points, made side by side.
template <class Steps, class Round, NanCode Nan, class V>
struct UniformQuantizers {
  using T = lane_t<V>;
  using I = rebind_t<V, int32_t>;
  using Quantizer = UniformQuantizer<Steps, Round, Nan, V>;
  static constexpr int size = V::size;

  Divisors<V> scale;
  alignas(64) T zero[size], lowest[size], highest[size], nan[size];
  int32_t shift[size];
  bool holds;  // whether the codes are those of each number by itself

  template <class Z>
  UFUSE_INLINE UniformQuantizers(const T* by, const Z* zero_point, const uint32_t* limits)
      : scale(V::load(by)), holds(scale.holds) {
    using Zeros = Vec<Z, size>;
    V low, high;
    code_limits<V, Zeros>(Vec<uint32_t, size>::load(limits), low, high);
    const I zeros = convert<I>(Zeros::load(zero_point));
    const V offset = convert<V>(zeros), nearest = math::smaller(math::larger(V{}, low), high);
    const V code = Nan == NanCode::highest ? high : nearest, none{};
    offset.store(zero);
    (V::load(by) * (low - offset)).store(lowest);
    (V::load(by) * (high - offset)).store(highest);
    (code - (Steps::shifts_first ? none : offset)).store(nan);
    (Steps::shifts_first ? I{} : zeros).store(shift);
  }

  UFUSE_INLINE Quantizer at(int k) const {
    return {scale.at(k),          splat<V>(zero[k]), splat<V>(lowest[k]),
            splat<V>(highest[k]), splat<V>(nan[k]),  splat<I>(shift[k])};
  }
};
#endif

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
#if !UFUSE_DEVICE_CODE
  template <class V, class Z>
  static UFUSE_INLINE auto uniforms(const lane_t<V>* scale, const Z* zero_point, const uint32_t* limits) {
    return UniformQuantizers<Steps, Round, Nan, V>(scale, zero_point, limits);
  }
#endif
};

struct quantize_linear : quantize_by<DivideThenRound, HalfEven, NanCode::lowest> {};
struct quantize_torch : quantize_by<FusedMultiplyAndShift, HalfEven, NanCode::highest> {};
struct quantize_torch_axis : quantize_by<MultiplyAndShift, HalfEven, NanCode::zero> {};
struct quantize_torch_fake : quantize_by<MultiplyThenRound, HalfEven, NanCode::lowest> {};
struct quantize_torch_rounded : quantize_by<MultiplyThenRound, HalfEven, NanCode::highest> {};
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

#if !UFUSE_DEVICE_CODE
  template <class V>
  struct Uniform {
    UniformQuantizer<DivideThenRound, HalfEven, NanCode::lowest, V> quantizer;
    template <class R>
    UFUSE_INLINE R apply(V x) const {
      return (HalfEven::round(quantizer.steps(x)) + V{}) * quantizer.scale.scale;
    }
  };
  template <class V>
  struct Uniforms : UniformQuantizers<DivideThenRound, HalfEven, NanCode::lowest, V> {
    using Base = UniformQuantizers<DivideThenRound, HalfEven, NanCode::lowest, V>;
    using Base::Base;
    UFUSE_INLINE Uniform<V> at(int k) const { return {Base::at(k)}; }
  };
  template <class V, class Z>
  static UFUSE_INLINE auto uniforms(const lane_t<V>* scale, const Z* zero_point, const uint32_t* limits) {
    return Uniforms<V>(scale, zero_point, limits);
  }
#endif
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
