// Many short segments of one contiguous row.
#pragma once

#include "reduce/rows.hpp"
#include "segment/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// One chunk, as `fold_chunk` does it. What is left of lanes is loaded under a mask and not by cases: of
/// segments of all lengths a branch on that is wrong half the time, which took as long as the additions.
template <class R, class P, class Source>
UFUSE_INLINE P fold_span(const char* data, std::int64_t count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(P));
  constexpr int K = R::exact ? 2 : kLanes / W;  // an exact reducer may use any lanes
  using Wide = Vec<P, W>;
  constexpr std::int64_t kStep = W * Source::bytes;
  Wide lanes[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) lanes[k] = splat<Wide>(static_cast<P>(R::identity));
  for (; count >= K * W; count -= K * W, data += K * kStep) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      lanes[k] = R::fold(lanes[k], reducers::element_of<R, Wide>(Source::template load<W>(data + k * kStep)));
  }
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) {
    const std::int64_t left = count - k * W;
    const auto x = Source::template partial<W>(data + k * kStep,
                                               left < 0   ? 0
                                               : left < W ? left
                                                          : W,
                                               R::element_identity);
    lanes[k] = R::fold(lanes[k], reducers::element_of<R, Wide>(x));
  }
  return fold_registers<R>(lanes);
#else
  return fold_chunk<R, P, Source>(data, count);
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
