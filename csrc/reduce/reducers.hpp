// The reducers: what happens to one accumulator, for a plain value or a register of lanes.
//
// A *simple* reducer accumulates elements into one value of `wide` type: identity, accumulate, fold. Its
// state is that value. The others (moments, argmin, argmax) have kernels of their own, built on `shifted`
// and `better`.
#pragma once

#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>

#include "core/dtype.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace reducers {

using ufuse::storage_t;

/// Accumulator of sums and products: as NumPy for integers, float64 for every float.
template <class T>
using wide_t = std::conditional_t<
    std::is_floating_point_v<T>, double,
    std::conditional_t<std::is_same_v<T, Bool8> || std::is_signed_v<storage_t<T>>, int64_t, uint64_t>>;

template <class V>
inline constexpr bool floating = std::is_floating_point_v<lane_t<V>>;

// smaller/larger: NaN if either is, and -0 < +0, so that the result does not depend on the order in which
// elements come. x86's minimum gives its second operand for a NaN or two zeros, so both orders together
// show either: for zeros the union of the bits is the smaller, their intersection the larger; for a NaN
// the union is a NaN.
#if defined(__x86_64__)
#define UFUSE_X86_EXTREME(name, op)                              \
  template <class T, int N>                                      \
    requires(std::is_floating_point_v<T> && sizeof(T) * N == 16) \
  UFUSE_INLINE Vec<T, N> x86_##name(Vec<T, N> a, Vec<T, N> b) {  \
    if constexpr (sizeof(T) == 4)                                \
      return {_mm_##op##_ps(a.v, b.v)};                          \
    else                                                         \
      return {_mm_##op##_pd(a.v, b.v)};                          \
  }
UFUSE_X86_EXTREME(minimum, min)
UFUSE_X86_EXTREME(maximum, max)
#undef UFUSE_X86_EXTREME
#if defined(__AVX2__)
#define UFUSE_X86_EXTREME(name, op)                              \
  template <class T, int N>                                      \
    requires(std::is_floating_point_v<T> && sizeof(T) * N == 32) \
  UFUSE_INLINE Vec<T, N> x86_##name(Vec<T, N> a, Vec<T, N> b) {  \
    if constexpr (sizeof(T) == 4)                                \
      return {_mm256_##op##_ps(a.v, b.v)};                       \
    else                                                         \
      return {_mm256_##op##_pd(a.v, b.v)};                       \
  }
UFUSE_X86_EXTREME(minimum, min)
UFUSE_X86_EXTREME(maximum, max)
#undef UFUSE_X86_EXTREME
#endif
#if defined(__AVX512F__)
#define UFUSE_X86_EXTREME(name, op)                              \
  template <class T, int N>                                      \
    requires(std::is_floating_point_v<T> && sizeof(T) * N == 64) \
  UFUSE_INLINE Vec<T, N> x86_##name(Vec<T, N> a, Vec<T, N> b) {  \
    if constexpr (sizeof(T) == 4)                                \
      return {_mm512_##op##_ps(a.v, b.v)};                       \
    else                                                         \
      return {_mm512_##op##_pd(a.v, b.v)};                       \
  }
UFUSE_X86_EXTREME(minimum, min)
UFUSE_X86_EXTREME(maximum, max)
#undef UFUSE_X86_EXTREME
#endif
#endif

// One instruction of AVX-512DQ gives the smaller or larger number with -0 < +0, and the other operand for a
// NaN.
#if defined(__AVX512DQ__) && defined(__AVX512VL__)
#define UFUSE_X86_RANGE(bits, prefix)                                         \
  template <int Rule, class T, int N>                                         \
    requires(std::is_floating_point_v<T> && sizeof(T) * N * 8 == bits)        \
  UFUSE_INLINE Vec<T, N> x86_range(Vec<T, N> a, Vec<T, N> b) {                \
    if constexpr (sizeof(T) == 4)                                             \
      return {(typename Vec<T, N>::native)prefix##_range_ps(a.v, b.v, Rule)}; \
    else                                                                      \
      return {(typename Vec<T, N>::native)prefix##_range_pd(a.v, b.v, Rule)}; \
  }
UFUSE_X86_RANGE(128, _mm)
UFUSE_X86_RANGE(256, _mm256)
UFUSE_X86_RANGE(512, _mm512)
#undef UFUSE_X86_RANGE
inline constexpr int kSmallerOf = 0b0100, kLargerOf = 0b0101;  // the sign is the result's own
template <class V>
inline constexpr bool has_range = is_vector<V> && floating<V> && sizeof(V) >= 16;
#else
template <class V>
inline constexpr bool has_range = false;
template <int Rule, class V>
UFUSE_INLINE V x86_range(V a, V) {
  return a;
}
inline constexpr int kSmallerOf = 0, kLargerOf = 0;
#endif

template <class V>
UFUSE_INLINE mask_t<V> is_nan(V a) {
  return a != a;
}

/// All bits of `a` where the mask is set, of a NaN there.
template <class V>
UFUSE_INLINE V smaller(V a, V b) {
  if constexpr (!floating<V>) {
    return select(a < b, a, b);
  } else {
    using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
#if defined(__x86_64__)
    if constexpr (is_vector<V> && sizeof(V) >= 16)
      return bitcast<V>(bitcast<I>(x86_minimum(a, b)) | bitcast<I>(x86_minimum(b, a)));
#endif
    const V least = select(a < b, a, b);  // b where they are equal or either is NaN
    const V other = select(b < a, b, a);  // a there
    return bitcast<V>(static_cast<I>(bitcast<I>(least) | bitcast<I>(other)));
  }
}

template <class V>
UFUSE_INLINE V larger(V a, V b) {
  if constexpr (!floating<V>) {
    return select(a > b, a, b);
  } else {
    using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
    if constexpr (has_range<V>) {
      const V both = x86_range<kLargerOf>(a, b);
      const V sum = a + b;  // a NaN where either is, and else for infinities of two signs
      return select(is_nan(a) | is_nan(b), sum, both);
    }
    V most, other;
#if defined(__x86_64__)
    if constexpr (is_vector<V> && sizeof(V) >= 16) {
      most = x86_maximum(a, b);
      other = x86_maximum(b, a);
    } else
#endif
    {
      most = select(a > b, a, b);
      other = select(b > a, b, a);
    }
    const V both = bitcast<V>(static_cast<I>(bitcast<I>(most) & bitcast<I>(other)));
    // The intersection of a NaN and a number is no NaN. `a` is the accumulator: once NaN, it stays.
    return select(is_nan(a), a, select(is_nan(b), b, both));
  }
}

template <class T>
UFUSE_INLINE T canonical(T value) {  // which NaN came first would depend on the order
  if constexpr (std::is_floating_point_v<T>) {
    return value == value ? value : std::numeric_limits<T>::quiet_NaN();
  } else {
    return value;
  }
}

/// The smaller of two; a NaN in `b` may be left out. Cheaper than `smaller`, for those who find NaN
/// elsewhere.
template <class V>
UFUSE_INLINE V smaller_number(V a, V b) {
  if constexpr (has_range<V>)
    return x86_range<kSmallerOf>(a, b);
  else
    return smaller(a, b);
}
template <class V>
UFUSE_INLINE V larger_number(V a, V b) {
  if constexpr (has_range<V>)
    return x86_range<kLargerOf>(a, b);
  else
    return larger(a, b);
}

/// a + x, where x was converted just before: conversions take the pipes of additions, and a product with one
/// those of products. Of (8192, 4096) float16, 512 at a time in L1, that is 3.9 cycles for 16 elements and
/// not 5.7.
template <class V>
UFUSE_INLINE V add_converted(V a, V x) {
#if defined(__FMA__)
  if constexpr (is_vector<V>) return fma(x, splat<V>(1.0), a);
#endif
  return a + x;
}

template <class T>
struct sum {
  using wide = wide_t<T>;
  static constexpr bool exact = std::is_integral_v<wide>;  // any order gives the same bits
  static constexpr wide identity{0};  // a sum of negative zeros, and of nothing, is 0.0, as NumPy's
  static constexpr storage_t<T> element_identity{0};
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a + b;
  }
  /// `fold` of an accumulator and an element that was widened.
  template <class V>
    requires(std::is_same_v<T, float>)
  static UFUSE_INLINE V fold_element(V a, V x) {
    return add_converted(a, x);
  }
};

template <class T>
struct prod {
  using wide = wide_t<T>;
  static constexpr bool exact = std::is_integral_v<wide>;
  static constexpr wide identity = wide{1};
  static constexpr storage_t<T> element_identity = storage_t<T>{1};
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a * b;
  }
};

template <class T>
struct min {
  using wide = storage_t<T>;
  static constexpr bool exact = true;
  static constexpr wide identity = std::is_floating_point_v<wide> ? std::numeric_limits<wide>::infinity()
                                   : std::is_same_v<T, Bool8>     ? wide{1}
                                                                  : std::numeric_limits<wide>::max();
  static constexpr wide element_identity = identity;
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return smaller(a, b);
  }
};

template <class T>
struct max {
  using wide = storage_t<T>;
  static constexpr bool exact = true;
  static constexpr wide identity = std::is_floating_point_v<wide> ? -std::numeric_limits<wide>::infinity()
                                                                  : std::numeric_limits<wide>::lowest();
  static constexpr wide element_identity = identity;
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return larger(a, b);
  }
};

// --- reducers of a map of the element: `map` before the element is widened, `map_wide` after ---------------

/// The same reducer over the elements that are no NaN: the others become what changes nothing.
template <class Base>
struct skip_nan : Base {
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return select(x == x, x, splat<V>(static_cast<lane_t<V>>(Base::element_identity)));
  }
};
template <class T>
struct nansum : skip_nan<sum<T>> {};
template <class T>
struct nanprod : skip_nan<prod<T>> {};
template <class T>
struct nanmin : skip_nan<min<T>> {};
template <class T>
struct nanmax : skip_nan<max<T>> {};

/// How many elements are no NaN. A masked element is one.
template <class T>
struct valid : sum<T> {
  static constexpr bool exact = true;  // sums of ones: exact to 2^53
  static constexpr T element_identity = std::numeric_limits<T>::quiet_NaN();
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return select(x == x, splat<V>(1), splat<V>(0));
  }
};

/// Elements counted within a chunk, in their own type: as many lanes as there are elements in a register.
template <class T>
struct lane_count : sum<T> {
  using wide = T;
  static constexpr T identity{0};
};

/// How many elements are not zero (NaN is not).
template <class T>
struct nonzero {
  using wide = int64_t;
  static constexpr bool exact = true;
  static constexpr wide identity{0};
  static constexpr storage_t<T> element_identity{0};
  template <class V>
  static UFUSE_INLINE V map(V x) {
    using L = lane_t<V>;
    return select(x == splat<V>(L{0}), splat<V>(L{0}), splat<V>(L{1}));
  }
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a + b;
  }
};

template <class T>
struct sum_of_squares : sum<T> {
  template <class V>
  static UFUSE_INLINE V map_wide(V x) {
    return x * x;
  }
};

template <class V>
UFUSE_INLINE V magnitude(V x) {
  using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
  using L = lane_t<I>;
  return bitcast<V>(static_cast<I>(bitcast<I>(x) & splat<I>(std::numeric_limits<L>::max())));
}
template <class T>
struct sum_of_magnitudes : sum<T> {
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return magnitude(x);
  }
};
/// The larger of integers. GCC 12 makes a comparison and a blend of what is written out.
template <class I>
UFUSE_INLINE I larger_integer(I a, I b) {
#if defined(__AVX512F__)
  if constexpr (is_vector<I> && sizeof(I) == 64) {
    const auto x = reinterpret_cast<__m512i>(a.v), y = reinterpret_cast<__m512i>(b.v);
    return {reinterpret_cast<typename I::native>(
        sizeof(lane_t<I>) == 4 ? _mm512_maskz_max_epi32(0xffff, x, y) : _mm512_maskz_max_epi64(0xff, x, y))};
  }
#endif
  return select(a > b, a, b);
}
template <class T>
struct largest_magnitude : max<T> {
  static constexpr T element_identity{0};
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return magnitude(x);
  }
  /// As patterns: larger numbers have larger ones, NaN the largest, and what stands for nothing, -infinity, a
  /// negative one.
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
    return bitcast<V>(larger_integer(bitcast<I>(a), bitcast<I>(b)));
  }
};
template <class T>
struct smallest_magnitude : min<T> {
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return magnitude(x);
  }
};

/// An element as reducer R sees it, of its own type; then widened to lanes of W.
template <class R, class W, class V>
UFUSE_INLINE W element_of(V x) {
  if constexpr (requires { R::map(x); }) x = R::map(x);
  auto wide = convert<W>(x);
  if constexpr (requires { R::map_wide(wide); }) wide = R::map_wide(wide);
  return wide;
}

/// Folds an element into an accumulator.
template <class R, class V>
UFUSE_INLINE V fold_element(V a, V x) {
  if constexpr (requires { R::fold_element(a, x); })
    return R::fold_element(a, x);
  else
    return R::fold(a, x);
}

// --- reducers of several accumulators
// ------------------------------------------------------------------------
//
// `parts` are the accumulators: a type and a reducer that folds it. `add` takes W elements, asked for by
// `x(fill)`: lanes past the end of the data hold `fill`, which must change nothing. `pivot_of` chooses what
// the chunk is shifted by. `close` makes a state of the folded parts.

struct Mean {
  double high, low;
};

/// high + low as a mean whose parts do not overlap (Knuth's exact sum of two).
UFUSE_INLINE Mean mean_of(double high, double low) {
  const double sum = high + low, part = sum - high;
  const double rest = (high - (sum - part)) + (low - part);
  return {sum, rest - rest == 0.0 ? rest : 0.0};  // an infinite mean has no low part
}

template <class... Folds>
using parts_of = std::tuple<Folds...>;

/// Count, mean and sum of squared deviations. Within a chunk, sums of d = x - pivot and of d * d; the pivot
/// is the chunk's first element, so that a large mean cancels nothing. The mean keeps what rounding takes
/// from it (`low`): with a mean of 1e9 deviations, chunks' means are known to 1e-7 in one float64, and the
/// variance to 9 digits only.
template <class T>
struct moments {
  using element = T;
  using parts = parts_of<sum<double>, sum<double>>;
  static constexpr bool shifted = true;
  static constexpr bool skips_nan = false;

  /// q + d * d, rounded once from v3 up and twice on v2, in registers and in single values alike.
  template <class V>
  static UFUSE_INLINE V add_square(V q, V d) {
#if defined(__FMA__) || defined(__aarch64__)
    return fma(d, d, q);
#else
    return q + d * d;
#endif
  }
  template <class Wide, class X>
  static UFUSE_INLINE void add_moments(Wide& total, Wide& squares, Wide pivot, X x) {
    const Wide d = convert<Wide>(x(static_cast<T>(pivot[0]))) - pivot;
    total = add_converted(total, d);
    squares = add_square(squares, d);
  }
  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide pivot, X x) {
    add_moments(std::get<0>(lanes), std::get<1>(lanes), pivot, x);
  }
  template <class Source>
  static UFUSE_INLINE double pivot_of(const char* data, std::int64_t) {
    const auto p = static_cast<double>(Source::one(data));
    return p - p == 0.0 ? p : 0.0;  // infinity or NaN: the sums show it, the pivot must not
  }
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, double total, double squares, double n,
                                 double pivot) {
    const double spread = squares - total * total / n;
    const auto mean = n > 0.0 ? mean_of(pivot, total / n) : Mean{0.0, 0.0};
    static_cast<double*>(states[0])[at] = n;
    static_cast<double*>(states[1])[at] = mean.high;
    static_cast<double*>(states[2])[at] = mean.low;
    static_cast<double*>(states[3])[at] = n > 0.0 ? (spread < 0.0 ? 0.0 : spread) : 0.0;
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double n,
                                 double pivot) {
    close(states, at, std::get<0>(folded), std::get<1>(folded), n, pivot);
  }
};

/// Of one or two bytes: see `IntegerMoments`.
template <class T>
  requires(std::is_integral_v<storage_t<T>> && sizeof(T) <= 2)
struct moments<T> {
  using element = storage_t<T>;
  using integer = element;
};

/// Moments, and sums of the third and fourth powers of the deviations. The pivot is an element of the chunk,
/// so that what its distance adds to the powers, and what `close` takes off again, is no more than some
/// hundred times what is left.
template <class T>
struct central_moments : moments<T> {
  using parts = parts_of<sum<double>, sum<double>, sum<double>, sum<double>>;

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide pivot, X x) {
    auto& [total, squares, cubes, fourths] = lanes;
    const Wide d = convert<Wide>(x(static_cast<T>(pivot[0]))) - pivot;
    const Wide square = d * d;
    total = total + d;
    squares = squares + square;
    cubes = cubes + square * d;
    fourths = fourths + square * square;
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double n,
                                 double pivot) {
    const auto [total, squares, cubes, fourths] = folded;
    moments<T>::close(states, at, total, squares, n, pivot);
    const double m = n > 0.0 ? total / n : 0.0;
    static_cast<double*>(states[4])[at] = cubes - m * (3.0 * squares - 2.0 * m * total);
    const double m4 = fourths - m * (4.0 * cubes - m * (6.0 * squares - 3.0 * m * total));
    static_cast<double*>(states[5])[at] = m4 < 0.0 ? 0.0 : m4;
  }
};

/// A sum and what rounding takes from it: `compensated.hpp`.
template <class T>
struct compensated {
  static constexpr bool compensates = true;
};

/// The largest, how many equal it, and the others' exponentials relative to it: `exponentials.hpp`.
template <class T>
struct exponentials {
  static constexpr bool rescales = true;
};

/// Moments of the elements that are no NaN: those become the pivot, which adds nothing, and are not counted.
template <class T>
struct nan_moments : moments<T> {
  using parts = parts_of<sum<double>, sum<double>, lane_count<T>>;
  static constexpr bool skips_nan = true;
  static constexpr T element_identity = std::numeric_limits<T>::quiet_NaN();

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide pivot, X x) {
    const auto given = x(element_identity);
    using V = std::remove_const_t<decltype(given)>;
    const auto number = given == given;
    const V kept = select(number, given, convert<V>(pivot));
    moments<T>::add_moments(std::get<0>(lanes), std::get<1>(lanes), pivot, [=](T) { return kept; });
    auto& count = std::get<2>(lanes);
    count = count + select(number, splat<V>(1), splat<V>(0));
  }
  template <class Source>
  static UFUSE_INLINE double pivot_of(const char* data, std::int64_t count) {
    double p = 0.0;
    for (std::int64_t i = 0; i < count; ++i, data += Source::bytes) {
      p = static_cast<double>(Source::one(data));
      if (p == p) break;
    }
    return p - p == 0.0 ? p : 0.0;
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double,
                                 double pivot) {
    moments<T>::close(states, at, std::get<0>(folded), std::get<1>(folded),
                      static_cast<double>(std::get<2>(folded)), pivot);
  }
};

/// x widened, 0 for a NaN; numbers are counted in lanes of the size of x.
template <class Wide, class V, class Count>
UFUSE_INLINE Wide numbers_of(V x, Count& count) {
#if defined(__AVX512VL__)
  if constexpr (sizeof(Wide) == 64 && sizeof x == 32) {  // the compiler knows of no conversion with a mask
    const __mmask8 is_number = _mm256_cmp_ps_mask(x.v, x.v, _CMP_ORD_Q);
    const auto counted = reinterpret_cast<__m256i>(count.v);
    count.v = reinterpret_cast<typename Count::native>(
        _mm256_mask_add_epi32(counted, is_number, counted, _mm256_set1_epi32(1)));
    return {_mm512_maskz_cvtps_pd(is_number, x.v)};
  }
#endif
  const auto number = x == x;
  count = count - number;  // a mask is -1
  return convert<Wide>(select(number, x, splat<V>(0)));
}

/// Sum and number of the elements that are no NaN.
template <class T>
struct nan_mean {
  using element = T;
  using parts = parts_of<sum<double>, lane_count<T>>;
  static constexpr bool shifted = false;
  static constexpr bool skips_nan = true;
  static constexpr T element_identity = std::numeric_limits<T>::quiet_NaN();

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide, X x) {
    const auto given = x(element_identity);
    using V = std::remove_const_t<decltype(given)>;
    const auto number = given == given;
    auto& [total, count] = lanes;
    total = add_converted(total, convert<Wide>(select(number, given, splat<V>(0))));
    count = count + select(number, splat<V>(1), splat<V>(0));
  }
  template <class Source>
  static UFUSE_INLINE double pivot_of(const char*, std::int64_t) {
    return 0.0;
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double, double) {
    static_cast<double*>(states[0])[at] = canonical(std::get<0>(folded));
    static_cast<double*>(states[1])[at] = static_cast<double>(std::get<1>(folded));
  }
};

template <class T>
UFUSE_INLINE void close_range(void* const* states, std::int64_t at, T least, T most, bool numbers) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  static_cast<T*>(states[5])[at] = numbers ? least : nan;
  static_cast<T*>(states[6])[at] = numbers ? most : nan;
}

/// Moments, sum, smallest and largest at once.
template <class T>
struct summary : moments<T> {
  using parts = parts_of<sum<double>, sum<double>, sum<double>, min<T>, max<T>>;

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide pivot, X x) {
    auto& [shifts, squares, total, least, most] = lanes;
    moments<T>::add_moments(shifts, squares, pivot, x);
    total = add_converted(total, convert<Wide>(x(T{0})));
    least = smaller_number(least, x(min<T>::identity));
    most = larger_number(most, x(max<T>::identity));
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double n,
                                 double pivot) {
    moments<T>::close(states, at, std::get<0>(folded), std::get<1>(folded), n, pivot);
    static_cast<double*>(states[4])[at] = canonical(std::get<2>(folded));
    // Infinities of two signs make the other sums NaN; the squares only a NaN.
    close_range(states, at, std::get<3>(folded), std::get<4>(folded),
                std::get<1>(folded) == std::get<1>(folded));
  }
};

/// The smallest and the largest.
template <class T>
struct minmax {
  using first = min<T>;
  using second = max<T>;
};
template <class T>
  requires(std::is_floating_point_v<T>)
struct minmax<T> {
  using element = T;
  using parts = parts_of<min<T>, max<T>, lane_count<T>>;  // the last: NaN once there was one
  static constexpr bool shifted = false;
  static constexpr bool skips_nan = false;

  template <class Lanes, class Wide, class X>
  static UFUSE_INLINE void add(Lanes& lanes, Wide, X x) {
    auto& [least, most, flag] = lanes;
    const auto low = x(min<T>::identity);
    least = smaller_number(least, low);
    most = larger_number(most, x(max<T>::identity));
    flag = select(low == low, flag, low);
  }
  template <class Source>
  static UFUSE_INLINE double pivot_of(const char*, std::int64_t) {
    return 0.0;
  }
  template <class Folded>
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, const Folded& folded, double, double) {
    const T flag = std::get<2>(folded);
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    static_cast<T*>(states[0])[at] = flag == flag ? std::get<0>(folded) : nan;
    static_cast<T*>(states[1])[at] = flag == flag ? std::get<1>(folded) : nan;
  }
};

// --- extremes and where they are
// ----------------------------------------------------------------------------

template <class T, bool Largest>
struct extreme_index {
  using element = storage_t<T>;
  using fold_value = std::conditional_t<Largest, max<T>, min<T>>;
  static constexpr bool largest = Largest;
  /// Whether x wins over the accumulated value on its own: strictly better, or the first NaN.
  template <class V>
  static UFUSE_INLINE mask_t<V> better(V x, V than) {
    if constexpr (!floating<V>) {
      if constexpr (Largest) return x > than;
      return x < than;
    } else {
      if constexpr (is_vector<V>) {
        const auto not_worse = Largest ? ~(x <= than) : ~(x >= than);  // true where either is NaN
        return not_worse & (than == than);
      } else {
        return (Largest ? !(x <= than) : !(x >= than)) && than == than;
      }
    }
  }
};
template <class T>
struct argmin : extreme_index<T, false> {};
template <class T>
struct argmax : extreme_index<T, true> {};

/// A NaN counts as the reducer's identity, an infinity.
template <class T, bool Largest>
struct nan_extreme_index : extreme_index<T, Largest> {
  using fold_value = std::conditional_t<Largest, nanmax<T>, nanmin<T>>;
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return fold_value::map(x);
  }
};
template <class T>
struct nanargmin : nan_extreme_index<T, false> {};
template <class T>
struct nanargmax : nan_extreme_index<T, true> {};

}  // namespace reducers
}  // namespace UFUSE_TIER
}  // namespace ufuse
