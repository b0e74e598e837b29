// Floating-point formats of sixteen bits and fewer (catalogue/floats.py), to and from float32.
//
// Conversions go straight from the pattern of the float32: through float16, 0.4 % of the codes of e4m3 would
// be rounded twice. A float64 is first rounded to odd (`narrow_odd`): float32 has so many more bits that
// rounding it again gives what rounding once would have.
#pragma once

#include "ops/compare.hpp"
#include "ops/divisor.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

enum class Specials { ieee, fn, fnuz, finite };

/// See `FloatFormat` in catalogue/floats.py.
template <int Exponent, int Fraction, int Bias, Specials S>
struct FloatFormat {
  static constexpr int exponent = Exponent, fraction = Fraction, bias = Bias;
  static constexpr Specials specials = S;
  static constexpr uint32_t ones = (1u << (Exponent + Fraction)) - 1, sign = ones + 1;
  static constexpr uint32_t largest = S == Specials::ieee ? ones - (1u << Fraction)
                                      : S == Specials::fn ? ones - 1
                                                          : ones;
  static constexpr uint32_t nan = S == Specials::ieee ? largest + 1 + (1u << (Fraction - 1)) : largest + 1;
  static constexpr uint32_t overflow = S == Specials::ieee     ? largest + 1
                                       : S == Specials::finite ? largest
                                                               : nan;
  /// Bits of a float32's fraction that the format has no place for.
  static constexpr int dropped = 23 - Fraction;
  /// The exponent, as a float32 stores it, of the smallest normal number.
  static constexpr int least = 128 - Bias;
};

namespace float_formats {
#define UFUSE_FLOAT_FORMAT(name, exponent, fraction, bias, specials) \
  using name = FloatFormat<exponent, fraction, bias, Specials::specials>;
#include "floats.inc"
#undef UFUSE_FLOAT_FORMAT
}  // namespace float_formats

/// The pattern of a positive float32.
UFUSE_INLINE constexpr uint32_t float_bits_of_power(int stored_exponent) {
  return static_cast<uint32_t>(stored_exponent) << 23;
}

/// Puts signs and NaN to codes of magnitudes. `bits` is the float32, `size` its magnitude.
template <class F, class I>
UFUSE_INLINE I finish_code(I code, I bits, I size) {
  const I signs = (bits >> (31 - F::exponent - F::fraction)) & splat<I>(F::sign);
  const auto nan = size > splat<I>(0x7f800000u);
  if constexpr (F::specials == Specials::fnuz) {  // no -0, and one NaN
    code = select(code == splat<I>(0u), code, code | signs);
    return select(nan, splat<I>(F::nan), code);
  } else if constexpr (F::specials == Specials::finite) {  // -0 stands for NaN and 0 for -NaN
    return select(nan, splat<I>(F::nan), code) ^ signs;
  } else {
    return select(nan, splat<I>(F::nan), code) | signs;
  }
}

/// The pattern of the float32 that a code of a normal number stands for, or would if all of them were
/// numbers.
template <class F>
UFUSE_INLINE constexpr uint32_t float_bits_of_code(uint32_t code) {
  return (code << F::dropped) + float_bits_of_power(F::least - 1);
}

/// Magnitudes of this and above get the code of the largest number, or the one after it, which is infinity's
/// or NaN's where there is one: as a pattern.
template <class F>
UFUSE_INLINE constexpr uint32_t end_of(bool saturates) {
  return float_bits_of_code<F>(saturates || F::specials == Specials::finite ? F::largest : F::largest + 1);
}

/// The code nearest to a magnitude up to `end_of<F>`, ties to even.
template <class F, class V>
UFUSE_INLINE rebind_t<V, uint32_t> encode_size(V size) {
  using I = rebind_t<V, uint32_t>;
  const I bits = bitcast<I>(size);
  if constexpr (F::least > 1) {
    // Added to a power of two whose unit is the number's last place, or that of the denormals, a number is so
    // many of these; a normal one has the first digit besides, which stands for one more of the exponent.
    constexpr uint32_t kLeast = float_bits_of_power(F::least), kToUnit = float_bits_of_power(F::dropped);
    const I stored = bits & splat<I>(0x7f800000u);
    const I exponent = select(stored > splat<I>(kLeast), stored, splat<I>(kLeast));
    const I power = exponent + splat<I>(kToUnit);
    const I units = bitcast<I>(size + bitcast<V>(power)) - power;
    return units + ((exponent >> F::dropped) - splat<I>(kLeast >> F::dropped));
  } else {
    // The exponent's bias less; half a last place, and a last bit that decides ties, carry over.
    constexpr uint32_t kHalf = (1u << (F::dropped - 1)) - 1;
    const I odd = (bits >> F::dropped) & splat<I>(1u);
    return (bits + odd + splat<I>(kHalf - float_bits_of_power(F::least - 1))) >> F::dropped;
  }
}

/// The code nearest to x, ties to even; what is too large becomes the largest number where `saturate` is not
/// 0.
template <class F, class V>
UFUSE_INLINE rebind_t<V, uint32_t> encode_float(V x, rebind_t<V, uint32_t> saturate) {
  using I = rebind_t<V, uint32_t>;
  const I bits = bitcast<I>(x), size = bits & splat<I>(0x7fffffffu);
  const I end = select(saturate != splat<I>(0u), splat<I>(end_of<F>(true)), splat<I>(end_of<F>(false)));
  return finish_code<F>(encode_size<F>(math::smaller(bitcast<V>(size), bitcast<V>(end))), bits, size);
}

enum class Rounding : uint32_t { half_even, half_away, toward_zero, down, up, stochastic };
inline constexpr uint32_t kSaturate = 8;  // added to a Rounding

/// The code of x rounded as `mode` says: a Rounding, and kSaturate. `random`: 32 random bits, for
/// `stochastic`.
template <class F, class V>
UFUSE_INLINE rebind_t<V, uint32_t> round_float(V x, rebind_t<V, uint32_t> mode,
                                               rebind_t<V, uint32_t> random) {
  using I = rebind_t<V, uint32_t>;
  const auto of = [](uint32_t value) { return splat<I>(value); };
  const auto is = [&](Rounding r) { return (mode & of(7u)) == of(static_cast<uint32_t>(r)); };
  const I bits = bitcast<I>(x), size = bits & of(0x7fffffffu), zero = of(0u), one = of(1u);
  // The number is `digits` units of its own exponent; those below the format's last place are shifted out.
  // Past 31 places only whether something is there matters, but to `stochastic`.
  const I stored = size >> 23;
  const I digits = select(stored == zero, size << 1, (size & of(0x7fffffu)) | of(0x800000u));
  const I exponent = select(stored > of(F::least), stored, of(F::least));
  const I gap = exponent - stored;
  const I far = select(gap > of(31u - F::dropped), gap - of(31u - F::dropped), zero);
  const I places = of(F::dropped) + gap - far, unit = one << places, below = unit - one;
  const I some = select(digits != zero, one, zero);
  const I shifted = select(far > of(30u), zero, digits >> select(far > of(30u), of(30u), far));
  const I kept = shifted | select(is(Rounding::stochastic), zero, select(shifted == zero, some, zero));
  const I negative = bits >> 31;
  const I away =
      select(negative == one, select(is(Rounding::down), below, zero), select(is(Rounding::up), below, zero));
  const I half = unit >> 1;
  I more = select(is(Rounding::half_even), half - one + ((kept >> places) & one), away);
  more = select(is(Rounding::half_away), half, more);
  more = select(is(Rounding::stochastic), random >> (of(32u) - places), more);
  const I lasts = (kept + more) >> places;
  I code = ((exponent - of(F::least)) << F::fraction) + lasts;
  const I most = select((mode & of(kSaturate)) != zero, of(F::largest), of(F::overflow));
  // Towards zero, what is finite does not leave the finite numbers.
  const auto inward = select(
      is(Rounding::toward_zero), one,
      select(negative == one, select(is(Rounding::up), one, zero), select(is(Rounding::down), one, zero)));
  const I end = select(size < of(0x7f800000u), select(inward == one, of(F::largest), most), most);
  code = select(code > of(F::largest), end, code);
  return finish_code<F>(code, bits, size);
}

/// What a code stands for: exact.
template <class F, class V>
UFUSE_INLINE V decode_float(rebind_t<V, uint32_t> code) {
  using I = rebind_t<V, uint32_t>;
  const I size = code & splat<I>(F::ones), signs = (code & splat<I>(F::sign))
                                                   << (31 - F::exponent - F::fraction);
  const I placed = size << F::dropped;
  I bits = placed + splat<I>(float_bits_of_power(F::least - 1));
  if constexpr (F::least > 1) {
    // A denormal's fraction under the exponent of the smallest normal number, which is then taken away.
    const V least = bitcast<V>(splat<I>(float_bits_of_power(F::least)));
    const V denormal = bitcast<V>(placed + splat<I>(float_bits_of_power(F::least))) - least;
    bits = select(size < splat<I>(1u << F::fraction), bitcast<I>(denormal), bits);
  }
  if constexpr (F::specials == Specials::ieee)
    bits = select(size > splat<I>(F::largest), placed | splat<I>(0x7f800000u), bits);
  if constexpr (F::specials == Specials::fn)
    bits = select(size == splat<I>(F::nan), splat<I>(0x7fc00000u), bits);
  bits = bits | signs;
  if constexpr (F::specials == Specials::fnuz)
    bits = select(code == splat<I>(F::nan), splat<I>(0x7fc00000u), bits);
  return bitcast<V>(bits);
}

// --- powers of two: e8m0, a stored exponent and nothing else
// -------------------------------------------------

/// Negative numbers, NaN and, where nothing saturates, zero and what is too large become 255, NaN. The modes
/// that round to the nearest round halves up, and whatever is between the two smallest powers, as ml_dtypes
/// does.
template <class V>
UFUSE_INLINE rebind_t<V, uint32_t> round_exponent(V x, rebind_t<V, uint32_t> mode,
                                                  rebind_t<V, uint32_t> random) {
  using I = rebind_t<V, uint32_t>;
  const auto of = [](uint32_t value) { return splat<I>(value); };
  const auto is = [&](Rounding r) { return (mode & of(7u)) == of(static_cast<uint32_t>(r)); };
  const I bits = bitcast<I>(x), zero = of(0u), nan = of(255u);
  // The smallest power is a denormal float32, which does not store its exponent.
  const I small = select(bits > of(0x400000u), (bits - of(0x400000u)) << 1, zero);
  const I placed = select(bits < of(0x800000u), small, bits);
  I more = select(is(Rounding::up), of(0x7fffffu), zero);
  const I nearest = select(bits < of(0x800000u), of(0x7fffffu), of(0x400000u));
  more = select((mode & of(7u)) <= of(static_cast<uint32_t>(Rounding::half_away)), nearest, more);
  more = select(is(Rounding::stochastic), random >> 9, more);
  I code = (placed + more) >> 23;
  const auto saturates = (mode & of(kSaturate)) != zero;
  code = select(code > of(254u), select(saturates, of(254u), nan), code);
  code = select(bits > of(0x7f800000u), nan, code);  // NaN, and whatever has a sign
  return select((bits << 1) == zero, select(saturates, zero, nan), code);
}

template <class V>
UFUSE_INLINE V decode_exponent(rebind_t<V, uint32_t> code) {
  using I = rebind_t<V, uint32_t>;
  const I bits = select(code == splat<I>(0u), splat<I>(0x400000u), code << 23);
  return bitcast<V>(select(code == splat<I>(255u), splat<I>(0x7fc00000u), bits));
}

// --- rows of the catalogue -------------------------------------------------------------------------------

template <class F>
struct encode_to {
  template <class R, class V>
  static UFUSE_INLINE R apply(V x, rebind_t<V, uint32_t> saturate) {
    return convert<R>(encode_float<F>(x, saturate));
  }
};
template <class F>
struct round_to {
  template <class R, class V>
  static UFUSE_INLINE R apply(V x, rebind_t<V, uint32_t> mode, rebind_t<V, uint32_t> random) {
    return convert<R>(round_float<F>(x, mode, random));
  }
};
template <class F>
struct decode_from {
  template <class R, class C>
  static UFUSE_INLINE R apply(C code) {
    return decode_float<F, R>(convert<rebind_t<R, uint32_t>>(code));
  }
};

/// x / scale as a code, and a code times its scale: linear quantization to a floating-point format.
template <class F>
struct quantize_to {
  static constexpr bool is_scaled = true;
  template <class R, class V>
  static UFUSE_INLINE R apply(V x, V scale, rebind_t<V, uint32_t> saturate) {
    return convert<R>(encode_float<F>(x / scale, saturate));
  }

#if !UFUSE_DEVICE_CODE
  /// For many numbers by one scale. Magnitudes are cut to the rounded multiple of the scale at the end, whose
  /// quotient is so near to it that it gets its code.
  template <class V>
  struct Uniform {
    Divisor<V> scale;
    V end;

    template <class R>
    UFUSE_INLINE R apply(V x) const {
      using I = rebind_t<V, uint32_t>;
      const I bits = bitcast<I>(x), size = bits & splat<I>(0x7fffffffu);
      const V steps = math::smaller(bitcast<V>(size), end) / scale;
      return convert<R>(finish_code<F>(encode_size<F>(steps), bits, size));
    }
  };
  template <class V>
  struct Uniforms {
    static constexpr int size = V::size;
    Divisors<V> scale;
    alignas(64) float end[size];
    bool holds;

    UFUSE_INLINE Uniforms(const float* by, const uint32_t* saturate)
        : scale(V::load(by)), holds(scale.holds) {
      using I = rebind_t<V, uint32_t>;
      const I most =
          select(I::load(saturate) != splat<I>(0u), splat<I>(end_of<F>(true)), splat<I>(end_of<F>(false)));
      (V::load(by) * bitcast<V>(most)).store(end);
    }
    UFUSE_INLINE Uniform<V> at(int k) const { return {scale.at(k), splat<V>(end[k])}; }
  };
  template <class V>
    requires(F::least > 1)
  static UFUSE_INLINE auto uniforms(const float* scale, const uint32_t* saturate) {
    return Uniforms<V>(scale, saturate);
  }
#endif
};
template <class F>
struct dequantize_from {
  static constexpr bool is_scaled = true;
  template <class R, class C>
  static UFUSE_INLINE R apply(C code, R scale) {
    return decode_float<F, R>(convert<rebind_t<R, uint32_t>>(code)) * scale;
  }
};

#define UFUSE_FLOAT_FORMAT(name, ...)                                 \
  struct quantize_##name : quantize_to<float_formats::name> {};       \
  struct dequantize_##name : dequantize_from<float_formats::name> {}; \
  struct encode_##name : encode_to<float_formats::name> {};           \
  struct round_##name : round_to<float_formats::name> {};             \
  struct decode_##name : decode_from<float_formats::name> {};
#include "floats.inc"
#undef UFUSE_FLOAT_FORMAT

struct encode_float8_e8m0fnu {
  template <class R, class V>
  static UFUSE_INLINE R apply(V x, rebind_t<V, uint32_t> saturate) {
    using I = rebind_t<V, uint32_t>;
    const I mode = select(saturate != splat<I>(0u), splat<I>(kSaturate), splat<I>(0u));
    return convert<R>(round_exponent(x, mode, splat<I>(0u)));
  }
};
struct round_float8_e8m0fnu {
  template <class R, class V>
  static UFUSE_INLINE R apply(V x, rebind_t<V, uint32_t> mode, rebind_t<V, uint32_t> random) {
    return convert<R>(round_exponent(x, mode, random));
  }
};
struct decode_float8_e8m0fnu {
  template <class R, class C>
  static UFUSE_INLINE R apply(C code) {
    return decode_exponent<R>(convert<rebind_t<R, uint32_t>>(code));
  }
};

/// A float64 as float32, rounded to odd: what is lost shows in the last bit.
struct narrow_odd {
  template <class R, class V>
  static UFUSE_INLINE R apply(V x) {
    using I = rebind_t<R, uint32_t>;
    using L = rebind_t<V, int64_t>;
    const R nearest = convert<R>(x);
    const V back = convert<V>(nearest);
    const I one = splat<I>(1u), zero = splat<I>(0u);
    const auto narrow = [&](auto mask) {  // lanes of 8 bytes to lanes of 4
      return convert<I>(select(mask, splat<L>(1), splat<L>(0)));
    };
    const V zeros = splat<V>(0.0);
    const I inexact = narrow(back != x) & (one ^ narrow(x != x));
    const I outward = (narrow(x > zeros) & narrow(back > x)) | (narrow(x < zeros) & narrow(back < x));
    const I bits = bitcast<I>(nearest) - outward;
    return bitcast<R>(bits | select(inexact != zero, one, zero));
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
