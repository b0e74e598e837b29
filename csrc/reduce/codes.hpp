// Reducers over the codes of 16-bit floats.
//
// Extremes and counts compare the codes themselves, as integers of 16 bits: twice the lanes of float32, and
// nothing to decode but the result. A float16 is besides a multiple of 2^-24 below 2^16, so 1024 of them add
// up in float64 exactly, in any order: their sums need one lane, and their moments no pivot.
#pragma once

#include "reduce/lanes.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// Codes as integers in the order of their values, the NaN of either sign beyond one end of it: where `Last`
/// above infinity, else below minus infinity. `Tied` is for those who ask which came first: -0 is then 0,
/// and all NaN are one, which is the infinity next to it where they are `Skipped`.
template <class Decode, bool Last, bool Tied = false, bool Skipped = false>
struct Keys {
  using value = std::int16_t;
  static constexpr std::int64_t bytes = 2;
  // From the sign and magnitude of a code to two's complement, and round, so that the negative NaN join the
  // positive ones.
  static constexpr int kShift = (Last ? -1 : 1) * (0x7fff - Decode::infinity + (Tied && Last));
  static constexpr auto kInfinity = static_cast<value>(Decode::infinity + kShift);
  static constexpr auto kMinusInfinity =
      static_cast<value>((Tied ? -Decode::infinity : ~Decode::infinity) + kShift);

  template <class V>
  static UFUSE_INLINE V key_of(V code) {
    auto constant = [](int x) __attribute__((always_inline)) {
      if constexpr (is_vector<V>)
        return splat<V>(static_cast<value>(x));
      else
        return static_cast<value>(x);
    };
    const auto sign = static_cast<V>(code >> 15);
    if constexpr (!Tied) return static_cast<V>((code ^ (sign & constant(0x7fff))) + constant(kShift));
    const auto key = static_cast<V>(((code & constant(0x7fff)) ^ sign) - (sign - constant(kShift)));
    if constexpr (Last) return reducers::smaller(key, constant(kInfinity + !Skipped));
    return reducers::larger(key, constant(kMinusInfinity - !Skipped));
  }
  static UFUSE_INLINE float decoded(value key) {
    const int number = static_cast<value>(key - kShift), magnitude = number < 0 ? -number - !Tied : number;
    const auto code = static_cast<std::uint16_t>(magnitude | (number < 0 ? 0x8000 : 0));
    return reducers::canonical(Decode::template decode<4>(splat<Vec<std::uint16_t, 4>>(code))[0]);
  }
  /// Whether a key is that of one code alone: not 0, nor that of NaN.
  static UFUSE_INLINE bool code_of(value key, value& code)
    requires Tied
  {
    const int number = static_cast<value>(key - kShift), magnitude = number < 0 ? -number : number;
    code = static_cast<value>(magnitude | (number < 0 ? 0x8000 : 0));
    return magnitude != 0 && magnitude < Decode::infinity;
  }

  template <int W>
  static UFUSE_INLINE Vec<value, W> load(const char* from) {
    return key_of(Vec<value, W>::load(from));
  }
  /// `fill` is an infinity: what changes nothing.
  template <int W>
  static UFUSE_INLINE Vec<value, W> partial(const char* from, std::int64_t count, value fill) {
    const int code = fill == kInfinity ? Decode::infinity : Decode::infinity | 0x8000;
    return key_of(load_partial<Vec<value, W>>(from, count, static_cast<value>(code)));
  }
  static UFUSE_INLINE value one(const char* from) { return key_of(Plain<value>::one(from)); }
};

/// The smallest or largest of keys.
template <class Source, bool Largest>
struct extreme_key : std::conditional_t<Largest, reducers::max<std::int16_t>, reducers::min<std::int16_t>> {
  static constexpr std::int16_t identity = Largest ? Source::kMinusInfinity : Source::kInfinity;
  static constexpr std::int16_t element_identity = identity;
};
template <class Source, bool Largest>
struct extreme_key_index : reducers::extreme_index<std::int16_t, Largest> {
  using fold_value = extreme_key<Source, Largest>;
};

/// Codes without their sign: 0 for zeros alone.
struct Magnitudes : Plain<std::int16_t> {
  template <class V>
  static UFUSE_INLINE V unsigned_of(V code) {
    return code & splat<V>(std::int16_t{0x7fff});
  }
  template <int W>
  static UFUSE_INLINE Vec<std::int16_t, W> load(const char* from) {
    return unsigned_of(Vec<std::int16_t, W>::load(from));
  }
  template <int W>
  static UFUSE_INLINE Vec<std::int16_t, W> partial(const char* from, std::int64_t count, std::int16_t fill) {
    return unsigned_of(load_partial<Vec<std::int16_t, W>>(from, count, fill));
  }
  static UFUSE_INLINE std::int16_t one(const char* from) {
    return static_cast<std::int16_t>(Plain<std::int16_t>::one(from) & 0x7fff);
  }
};

/// A sum of float16.
template <class Base>
struct exact_sum : Base {
  static constexpr bool exact = true;
};

/// Moments of float16. Sums of x and of its square, without a pivot. A chunk whose mean is large beside its
/// deviations has elements of like size, of which the squares add up exactly too; where they do not, some
/// are 2^10 times others, the deviations as large as the largest, and what rounding takes from a sum of
/// squares is nothing beside them. `close` takes one from the other with twice the digits of float64.
struct half_moments {
  using element = float;
  using parts = reducers::parts_of<reducers::sum<double>, reducers::sum<double>>;
  static constexpr bool shifted = false;
  static constexpr bool skips_nan = false;
  static constexpr std::uint8_t shared = 0b1;

  template <class Wide>
  static UFUSE_INLINE void add_moments(Wide& total, Wide& squares, Wide x) {
    total = reducers::add_converted(total, x);
    squares = reducers::moments<float>::add_square(squares, x);
  }
  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide, X x) {
    add_moments(std::get<0>(lanes), std::get<1>(lanes), convert<Wide>(x(0.0F)));
  }
  template <class Source>
  static UFUSE_INLINE double pivot_of(const char*, std::int64_t) {
    return 0.0;
  }
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, double total, double squares,
                                 double n) {
    const double weight = n > 0.0 ? n : 1.0;
    const double a = n * squares, b = total * total;
    const double rest = __builtin_fma(n, squares, -a) - __builtin_fma(total, total, -b);
    const double spread = ((a - b) + rest) / weight;
    const double mean = total / weight;
    const bool finite = mean - mean == 0.0;
    const auto parts = reducers::mean_of(mean, finite ? __builtin_fma(-mean, weight, total) / weight : 0.0);
    static_cast<double*>(states[0])[at] = n;
    static_cast<double*>(states[1])[at] = parts.high;
    static_cast<double*>(states[2])[at] = parts.low;
    static_cast<double*>(states[3])[at] = spread < 0.0 ? 0.0 : spread;
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double n,
                                 double) {
    close(states, at, std::get<0>(folded), std::get<1>(folded), n);
  }
};

/// The same of those that are no NaN.
struct half_nan_moments : half_moments {
  using parts =
      reducers::parts_of<reducers::sum<double>, reducers::sum<double>, reducers::lane_count<std::int32_t>>;
  static constexpr bool skips_nan = true;
  static constexpr std::uint8_t shared = 0b101;
  static constexpr float element_identity = std::numeric_limits<float>::quiet_NaN();

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide, X x) {
    auto& [total, squares, count] = lanes;
    add_moments(total, squares, reducers::numbers_of<Wide>(x(element_identity), count));
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double, double) {
    half_moments::close(states, at, std::get<0>(folded), std::get<1>(folded),
                        static_cast<double>(std::get<2>(folded)));
  }
};

/// Moments, sum, smallest and largest at once.
struct half_summary : half_moments {
  using parts = reducers::parts_of<reducers::sum<double>, reducers::sum<double>, reducers::min<float>,
                                   reducers::max<float>>;
  static constexpr std::uint8_t shared = 0b1101;

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide, X x) {
    auto& [total, squares, least, most] = lanes;
    add_moments(total, squares, convert<Wide>(x(0.0F)));
    least = reducers::smaller_number(least, x(reducers::min<float>::identity));
    most = reducers::larger_number(most, x(reducers::max<float>::identity));
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double n,
                                 double) {
    const auto [total, squares, least, most] = folded;
    half_moments::close(states, at, total, squares, n);
    static_cast<double*>(states[4])[at] = reducers::canonical(total);
    reducers::close_range(states, at, least, most, squares == squares);
  }
};

/// Sum and number of the float16 that are no NaN.
struct half_nan_mean : reducers::nan_mean<float> {
  using parts = reducers::parts_of<reducers::sum<double>, reducers::lane_count<std::int32_t>>;
  static constexpr bool exact = true;

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide, X x) {
    auto& [total, count] = lanes;
    total = reducers::add_converted(total, reducers::numbers_of<Wide>(x(element_identity), count));
  }
};

/// What reduces elements of `Source`, in place of R, and how it reads them.
template <class R, class Source>
struct over {
  using reducer = R;
  using source = Source;
};
template <class Decode, bool Last, bool Largest>
struct over_keys {
  using source = Keys<Decode, Last>;
  using reducer = extreme_key<source, Largest>;
};
template <class Decode, bool Last, bool Largest, bool Skipped>
struct over_tied_keys {
  using source = Keys<Decode, Last, true, Skipped>;
  using reducer = extreme_key_index<source, Largest>;
};
using reducers::argmax, reducers::argmin, reducers::nanargmax, reducers::nanargmin;
template <class D>
struct over<reducers::min<float>, Coded<D>> : over_keys<D, false, false> {};
template <class D>
struct over<reducers::max<float>, Coded<D>> : over_keys<D, true, true> {};
template <class D>
struct over<reducers::nanmin<float>, Coded<D>> : over_keys<D, true, false> {};
template <class D>
struct over<reducers::nanmax<float>, Coded<D>> : over_keys<D, false, true> {};
template <class D>
struct over<argmin<float>, Coded<D>> : over_tied_keys<D, false, false, false> {};
template <class D>
struct over<argmax<float>, Coded<D>> : over_tied_keys<D, true, true, false> {};
template <class D>
struct over<nanargmin<float>, Coded<D>> : over_tied_keys<D, true, false, true> {};
template <class D>
struct over<nanargmax<float>, Coded<D>> : over_tied_keys<D, false, true, true> {};
template <class D>
struct over<reducers::nonzero<float>, Coded<D>> {
  using source = Magnitudes;
  using reducer = reducers::nonzero<std::int16_t>;
};
template <class R>
struct over_half {
  using source = Coded<DecodeHalf>;
  using reducer = R;
};
template <>
struct over<reducers::sum<float>, Coded<DecodeHalf>> : over_half<exact_sum<reducers::sum<float>>> {};
template <>
struct over<reducers::nansum<float>, Coded<DecodeHalf>> : over_half<exact_sum<reducers::nansum<float>>> {};
template <>
struct over<reducers::sum_of_magnitudes<float>, Coded<DecodeHalf>>
    : over_half<exact_sum<reducers::sum_of_magnitudes<float>>> {};
template <>
struct over<reducers::nan_mean<float>, Coded<DecodeHalf>> : over_half<half_nan_mean> {};
template <>
struct over<reducers::moments<float>, Coded<DecodeHalf>> : over_half<half_moments> {};
template <>
struct over<reducers::nan_moments<float>, Coded<DecodeHalf>> : over_half<half_nan_moments> {};
template <>
struct over<reducers::summary<float>, Coded<DecodeHalf>> : over_half<half_summary> {};

}  // namespace UFUSE_TIER
}  // namespace ufuse
