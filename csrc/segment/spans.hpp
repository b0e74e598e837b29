// Many short segments of one contiguous row.
#pragma once

#include "reduce/rows.hpp"
#include "segment/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
/// The floating extremes of what is no NaN, which takes a third of the instructions.
template <class R, class P>
struct Numbers {
  static constexpr bool least = std::is_base_of_v<reducers::min<P>, R>;
  static constexpr bool apply =
      std::is_floating_point_v<P> && (least || std::is_base_of_v<reducers::max<P>, R>);
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return least ? reducers::smaller_number(a, b) : reducers::larger_number(a, b);
  }
};

/// As `fold_lanes`. GCC takes registers apart through memory, which was a tenth of the time of short
/// segments.
template <class R, class T, int N>
UFUSE_INLINE T fold_in_registers(Vec<T, N> v) {
  using Native = typename Vec<T, N>::native;
  if constexpr (sizeof(Native) == 64) {
    using Half = typename Vec<T, N / 2>::native;
    const auto all = (__m512i)v.v;
    const Vec<T, N / 2> low{(Half)_mm512_castsi512_si256(all)}, high{(Half)_mm512_extracti64x4_epi64(all, 1)};
    return fold_in_registers<R>(R::fold(low, high));
  } else if constexpr (sizeof(Native) == 32) {
    using Half = typename Vec<T, N / 2>::native;
    const auto all = (__m256i)v.v;
    const Vec<T, N / 2> low{(Half)_mm256_castsi256_si128(all)}, high{(Half)_mm256_extracti128_si256(all, 1)};
    return fold_in_registers<R>(R::fold(low, high));
  } else if constexpr (sizeof(Native) == 16 && sizeof(T) >= 4) {
    v = R::fold(v, Vec<T, N>{(Native)_mm_shuffle_epi32((__m128i)v.v, 0x4e)});
    if constexpr (sizeof(T) == 4) v = R::fold(v, Vec<T, N>{(Native)_mm_shuffle_epi32((__m128i)v.v, 0xb1)});
    return v[0];
  } else {
    return fold_lanes<R>(v);
  }
}
#endif

/// One chunk, as `fold_chunk` does it. What is left of lanes is loaded under a mask and not by cases: of
/// segments of all lengths a branch on that is wrong half the time, which took as long as the additions.
template <class R, class P, class Source>
UFUSE_INLINE P fold_span(const char* data, std::int64_t count) {
#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(P));
  constexpr int K = R::exact ? 2 : kLanes / W;  // an exact reducer may use any lanes
  using Wide = Vec<P, W>;
  constexpr std::int64_t kStep = W * Source::bytes;
  constexpr bool kNumbers = Numbers<R, P>::apply;
  using Fold = std::conditional_t<kNumbers, Numbers<R, P>, R>;
  Wide lanes[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) lanes[k] = splat<Wide>(static_cast<P>(R::identity));
  auto numbers = Wide{} == Wide{};
  const auto add = [&](Wide& lane, auto x) __attribute__((always_inline)) {
    const auto element = reducers::element_of<R, Wide>(x);
    if constexpr (kNumbers) numbers = numbers & (element == element);
    lane = Fold::fold(lane, element);
  };
  for (; count >= K * W; count -= K * W, data += K * kStep) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) add(lanes[k], Source::template load<W>(data + k * kStep));
  }
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) {
    const std::int64_t left = count - k * W;
    add(lanes[k], Source::template partial<W>(data + k * kStep,
                                              left < 0   ? 0
                                              : left < W ? left
                                                         : W,
                                              R::element_identity));
  }
#pragma GCC unroll 8
  for (int half = K / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int k = 0; k < half; ++k) lanes[k] = Fold::fold(lanes[k], lanes[k + half]);
  const P folded = fold_in_registers<Fold>(lanes[0]);
  if constexpr (kNumbers)
    if (any(numbers ^ (Wide{} == Wide{}))) return std::numeric_limits<P>::quiet_NaN();
  return folded;
#else
  return fold_chunk<R, P, Source>(data, count, 0);
#endif
}

template <class R, class T, class Source>
std::int64_t simple_spans(const SpansCall& call) {
  using P = lane_sum_t<R, T>;
  auto* out = static_cast<typename R::wide*>(call.states);
  for (std::int64_t i = 0; i < call.count; ++i) {
    const std::int64_t length = call.stops[i] - call.starts[i];
    if (length > kChunk) return i;
    const auto folded =
        fold_span<R, P, Source>(call.row + call.starts[i] * Source::bytes, length < 0 ? 0 : length);
    out[i] = static_cast<typename R::wide>(canonical(folded));
  }
  return call.count;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
