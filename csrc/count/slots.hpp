// Elements to slots, a register at a time.
#pragma once

#include "count/kernels.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class W>
inline constexpr int kWideLanes = kRegisterBytes / static_cast<int>(sizeof(W));
template <class W>
using Slots = Vec<std::uint32_t, kWideLanes<W>>;

/// Whether any lane of `a` is at least `limit`; NaN is not.
template <int N>
UFUSE_INLINE bool any_at_least(Vec<float, N> a, Vec<float, N> limit) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return _mm512_cmp_ps_mask(a.v, limit.v, _CMP_GE_OQ) != 0;
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_movemask_ps(_mm256_cmp_ps(a.v, limit.v, _CMP_GE_OQ)) != 0;
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 4) return _mm_movemask_ps(_mm_cmpge_ps(a.v, limit.v)) != 0;
#endif
  bool any = false;
  for (int i = 0; i < N; ++i) any |= a[i] >= limit[i];
  return any;
}
template <int N>
UFUSE_INLINE bool any_at_least(Vec<double, N> a, Vec<double, N> limit) {
#if defined(__AVX512F__)
  if constexpr (N == 8) return _mm512_cmp_pd_mask(a.v, limit.v, _CMP_GE_OQ) != 0;
#endif
#if defined(__AVX2__)
  if constexpr (N == 4) return _mm256_movemask_pd(_mm256_cmp_pd(a.v, limit.v, _CMP_GE_OQ)) != 0;
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 2) return _mm_movemask_pd(_mm_cmpge_pd(a.v, limit.v)) != 0;
#endif
  bool any = false;
  for (int i = 0; i < N; ++i) any |= a[i] >= limit[i];
  return any;
}

template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> smaller(Vec<std::uint32_t, N> a, Vec<std::uint32_t, N> b) {
  using V [[maybe_unused]] = typename Vec<std::uint32_t, N>::native;
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return {reinterpret_cast<V>(
        _mm512_maskz_min_epu32(0xffff, reinterpret_cast<__m512i>(a.v), reinterpret_cast<__m512i>(b.v)))};
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return {reinterpret_cast<V>(
        _mm256_min_epu32(reinterpret_cast<__m256i>(a.v), reinterpret_cast<__m256i>(b.v)))};
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 4)
    return {
        reinterpret_cast<V>(_mm_min_epu32(reinterpret_cast<__m128i>(a.v), reinterpret_cast<__m128i>(b.v)))};
#endif
  return {a.v < b.v ? a.v : b.v};
}

template <class W, int N>
UFUSE_INLINE Vec<W, N> magnitude(Vec<W, N> a) {
  using I = typename IntOf<sizeof(W)>::type;
  using V = Vec<I, N>;
  constexpr I kSign = static_cast<I>(I{1} << (8 * sizeof(W) - 1));
  return bitcast<Vec<W, N>>(bitcast<V>(a) & splat<V>(static_cast<I>(~kSign)));
}

/// Elements as lanes of W, and those past `count` as zeros.
template <class W, class T>
UFUSE_INLINE Vec<W, kWideLanes<W>> load_wide(const T* at) {
  constexpr int N = kWideLanes<W>;
  if constexpr (std::is_integral_v<T> && sizeof(T) < 4)
    return convert<Vec<W, N>>(convert<Vec<std::int32_t, N>>(Vec<T, N>::load(at)));
  else
    return convert<Vec<W, N>>(Vec<T, N>::load(at));
}

/// Rounded values as slots: beyond the range of int32, and NaN, they are beyond every slot, or slot 0.
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> to_slots(Vec<float, N> rounded) {
  return bitcast<Vec<std::uint32_t, N>>(round_to_int(rounded));
}
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> to_slots(Vec<double, N> rounded) {
  return bitcast<Vec<std::uint32_t, N>>(convert<Vec<std::int32_t, N>>(rounded));
}

/// table[index] for each lane. Zen 4 gathers 16 lanes in 26 cycles; loads one by one take 32.
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> look_up(const std::uint32_t* table, Vec<std::uint32_t, N> index) {
  using R [[maybe_unused]] = typename Vec<std::uint32_t, N>::native;
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return {reinterpret_cast<R>(_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff,
                                                            reinterpret_cast<__m512i>(index.v), table, 4))};
#endif
  Vec<std::uint32_t, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = table[index[i]];
  return result;
}
template <int N>
UFUSE_INLINE Vec<float, N> look_up(const float* table, Vec<std::uint32_t, N> index) {
  return bitcast<Vec<float, N>>(look_up(reinterpret_cast<const std::uint32_t*>(table), index));
}
template <int N>
UFUSE_INLINE Vec<double, N> look_up(const double* table, Vec<std::uint32_t, N> index) {
#if defined(__AVX512F__)
  if constexpr (N == 8)
    return {
        _mm512_mask_i32gather_pd(_mm512_setzero_pd(), 0xff, reinterpret_cast<__m256i>(index.v), table, 8)};
#endif
  Vec<double, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = table[index[i]];
  return result;
}

/// 1 in the lanes where x reaches the threshold.
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> reached(Vec<float, N> x, Vec<float, N> threshold) {
  using U = Vec<std::uint32_t, N>;
  return bitcast<U>(x >= threshold) & splat<U>(1);
}
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> reached(Vec<double, N> x, Vec<double, N> threshold) {
  using U = Vec<std::uint64_t, N>;
  return convert<Vec<std::uint32_t, N>>(bitcast<U>(x >= threshold) & splat<U>(1));
}

/// Bins of equal width. An element's place among the edges, (x - first) * scale, has some roundings in it;
/// where it is further from an integer than `margin` (which bounds them, and how far the edges are from their
/// ideal places), the bin is certain. Otherwise the element is compared with the edge next to it.
template <class T, class W>
struct UniformSlots {
  using Wide = W;
  using element = T;
  using V = Vec<W, kWideLanes<W>>;

  explicit UniformSlots(const BinMap& map)
      : first(splat<V>(static_cast<W>(map.first))),
        scale(splat<V>(static_cast<W>(map.scale))),
        half(splat<V>(W(0.5))),
        limit(splat<V>(static_cast<W>(0.5 - map.margin))),
        top(splat<Slots<W>>(map.top)),
        thresholds(static_cast<const W*>(map.thresholds)) {}

  UFUSE_INLINE Slots<W> operator()(const T* at) const {
    const V x = load_wide<W>(at);
    // One half more, so that rounding to the nearest gives the slot, floor(place) + 1.
    const V place = fma(x - first, scale, half);
    const V slot = rint(place);
    if (__builtin_expect(any_at_least(magnitude(place - slot), limit), 0)) return compared(x, place);
    return smaller(to_slots(slot), top);
  }

  __attribute__((noinline)) Slots<W> compared(V x, V place) const {
    const auto edge = bitcast<Slots<W>>(convert<Vec<std::int32_t, V::size>>(place));
    const Slots<W> last = {top.v - 1u};
    return smaller(edge + reached(x, look_up(thresholds, smaller(edge, last))), top);
  }

  V first, scale, half, limit;
  Slots<W> top;
  const W* thresholds;
};

/// slot + 1 in the lanes where x reaches the edge and is not the last one.
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> beyond(Vec<float, N> x, Vec<float, N> edge, Vec<float, N> last,
                                          Vec<std::uint32_t, N> slot) {
  using U = Vec<std::uint32_t, N>;
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const __mmask16 reached = _mm512_cmp_ps_mask(x.v, edge.v, _CMP_GE_OQ);
    const __mmask16 counted = _mm512_mask_cmp_ps_mask(reached, x.v, last.v, _CMP_NEQ_UQ);
    const auto s = reinterpret_cast<__m512i>(slot.v);
    return {reinterpret_cast<typename U::native>(_mm512_mask_add_epi32(s, counted, s, _mm512_set1_epi32(1)))};
  }
#endif
  return slot - (bitcast<U>(x >= edge) & ~bitcast<U>(x == last));
}
template <int N>
UFUSE_INLINE Vec<std::uint32_t, N> beyond(Vec<double, N> x, Vec<double, N> edge, Vec<double, N> last,
                                          Vec<std::uint32_t, N> slot) {
  using U = Vec<std::uint64_t, N>;
#if defined(__AVX512F__) && defined(__AVX512VL__)
  if constexpr (N == 8) {
    const __mmask8 reached = _mm512_cmp_pd_mask(x.v, edge.v, _CMP_GE_OQ);
    const __mmask8 counted = _mm512_mask_cmp_pd_mask(reached, x.v, last.v, _CMP_NEQ_UQ);
    const auto s = reinterpret_cast<__m256i>(slot.v);
    return {reinterpret_cast<typename Vec<std::uint32_t, N>::native>(
        _mm256_mask_add_epi32(s, counted, s, _mm256_set1_epi32(1)))};
  }
#endif
  return slot - convert<Vec<std::uint32_t, N>>(bitcast<U>(x >= edge) & ~bitcast<U>(x == last));
}

/// Bins of equal width whose edges are computed: an element is compared with the nearest one. As fast as the
/// margin's test, and elements on edges (integers, floats of 16 bits) cost nothing more.
template <class T, class W>
struct EvenSlots {
  using Wide = W;
  using element = T;
  using V = Vec<W, kWideLanes<W>>;

  explicit EvenSlots(const BinMap& map)
      : scale(splat<V>(static_cast<W>(map.scale))),
        offset(splat<V>(static_cast<W>(-map.first) * static_cast<W>(map.scale))),
        first(splat<V>(static_cast<W>(map.first))),
        step(splat<V>(static_cast<W>(map.step))),
        last(splat<V>(static_cast<W>(map.last))),
        top(splat<Slots<W>>(map.top)) {}

  UFUSE_INLINE Slots<W> operator()(const T* at) const {
    const V x = load_wide<W>(at);
    const V nearest = rint(fma(x, scale, offset));
    // What is far below, or NaN, is a negative integer, beyond every slot.
    return smaller(beyond(x, nearest * step + first, last, to_slots(nearest)), top);
  }

  V scale, offset, first, step, last;
  Slots<W> top;
};

/// The cell of an element in the grid over given edges: never decreasing in x.
template <class W>
struct Grid {
  static constexpr int N = kWideLanes<W>;
  using V = Vec<W, N>;
  using I = Vec<std::int32_t, N>;

  explicit Grid(const BinMap& map)
      : first(splat<V>(static_cast<W>(map.first))),
        scale(splat<V>(static_cast<W>(map.scale))),
        last(splat<V>(static_cast<W>(map.cells - 1))),
        first_key(splat<I>(map.first_key)),
        top_key(splat<I>(static_cast<std::int32_t>(map.cells - 1))),
        shift(map.shift) {}

  UFUSE_INLINE Slots<W> linear(V x) const {
    const V place = (x - first) * scale;
    const V above = select(place > V{}, place, V{});  // NaN is in cell 0
    const V cell = select(above < last, above, last);
    return bitcast<Slots<W>>(convert<I>(cell));
  }

  UFUSE_INLINE Slots<W> by_bits(V x) const {
    I key = bits(x + V{});                             // -0.0 is 0.0, as for comparisons
    key = key ^ ((key >> 31) & splat<I>(0x7fffffff));  // in the order of the numbers
    key = select(key > first_key, key, first_key);
    const auto cell = bitcast<Slots<W>>(bitcast<Slots<W>>(key - first_key) >> shift);
    return smaller(cell, bitcast<Slots<W>>(top_key));
  }

  static UFUSE_INLINE I bits(Vec<float, N> x) { return bitcast<I>(x); }
  static UFUSE_INLINE I bits(Vec<double, N> x) { return convert<I>(bitcast<Vec<std::int64_t, N>>(x) >> 32); }

  V first, scale, last;
  I first_key, top_key;
  int shift;
};

/// Given edges: the grid's cell says how many thresholds lie below it, and one comparison whether the element
/// reaches the next one. In crowded cells a binary search goes on from there; thresholds of later cells are
/// never reached, so that it may look there.
template <class T, class W, bool ByBits>
struct EdgeSlots {
  using Wide = W;
  using element = T;
  using V = Vec<W, kWideLanes<W>>;

  explicit EdgeSlots(const BinMap& map)
      : grid(map), thresholds(static_cast<const W*>(map.thresholds)), start(map.start), steps(map.steps) {}

  UFUSE_INLINE Slots<W> operator()(const T* at) const {
    const V x = load_wide<W>(at);
    const Slots<W> first = look_up(start, ByBits ? grid.by_bits(x) : grid.linear(x));
    Slots<W> slot;
    if (__builtin_expect(any_crowded(first), 0))
      slot = searched(x, first);
    else
      slot = first + reached(x, look_up(thresholds, first));
    // NaN has the bits of a large number; in the other grid it is in the first cell.
    if constexpr (ByBits && !std::is_integral_v<T>) slot = slot * reached(x, x);
    return slot;
  }

  static UFUSE_INLINE bool any_crowded(Slots<W> first) {
    std::uint32_t all = 0;
#if defined(__AVX512F__)
    if constexpr (sizeof(W) == 4) return _mm512_movepi32_mask(reinterpret_cast<__m512i>(first.v)) != 0;
    if constexpr (sizeof(W) == 8) return _mm256_movemask_ps(reinterpret_cast<__m256>(first.v)) != 0;
#endif
    for (int i = 0; i < kWideLanes<W>; ++i) all |= first[i];
    return (all & kCrowded) != 0;
  }

  __attribute__((noinline)) Slots<W> searched(V x, Slots<W> first) const {
    Slots<W> slot;
    for (int i = 0; i < kWideLanes<W>; ++i) {
      std::uint32_t s = first[i] & ~kCrowded;
      for (int k = first[i] < kCrowded ? 1 : steps; k-- > 0;)
        s += static_cast<std::uint32_t>(x[i] >= thresholds[s + (1u << k) - 1]) << k;
      slot.v[i] = s;
    }
    return slot;
  }

  Grid<W> grid;
  const W* thresholds;
  const std::uint32_t* start;
  int steps;
};

/// Bins of equal parts of an octave, of either sign: an element's magnitude has the leading bits of its
/// float32 as key. Those up to `first_key` share the slot in the middle; as many keys above it have slots of
/// their own to either side. What is beyond, NaN too, is in the first or the last slot.
template <class T>
struct OctaveSlots {
  using Wide = float;
  using element = T;
  using V = Vec<float, kWideLanes<float>>;
  using I = Vec<std::int32_t, V::size>;

  explicit OctaveSlots(const BinMap& map)
      : first(splat<I>(map.first_key)),
        middle(splat<I>(static_cast<std::int32_t>(map.top / 2))),
        shift(map.shift) {}

  UFUSE_INLINE Slots<float> operator()(const T* at) const {
    const I bits = bitcast<I>(load_wide<float>(at));
    const I key = ((bits & splat<I>(0x7fffffff)) >> shift) - first;
    const I above = select(key > I{}, key, I{});
    const I place = select(above < middle, above, middle);
    const I sign = bits >> 31;  // minus the place for negative ones
    return bitcast<Slots<float>>(middle + ((place ^ sign) - sign));
  }

  I first, middle;
  int shift;
};

/// Values that are their own slots; all others, negative ones too, go to the last slot.
template <class T>
struct ValueSlots {
  // 64-bit values fill a register; of the others as many lanes as there are slots in one.
  using Wide = std::conditional_t<sizeof(T) == 8, double, float>;
  using element = T;
  using V = Vec<T, kWideLanes<Wide>>;

  explicit ValueSlots(const BinMap& map) : top(map.top), tops(splat<Slots<Wide>>(map.top)) {}

  UFUSE_INLINE Slots<Wide> operator()(const T* at) const {
    const V x = V::load(at);
    if constexpr (sizeof(T) == 8) {
      using U = Vec<std::uint64_t, kWideLanes<Wide>>;
      const U u = bitcast<U>(x), most = splat<U>(top);
      return convert<Slots<Wide>>(select(u < most, u, most));
    } else {
      return smaller(convert<Slots<Wide>>(x), tops);
    }
  }

  std::uint32_t top;
  Slots<Wide> tops;
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
