// Products of pieces for one tier: this file is compiled once per tier.
#include "reduce/lanes.hpp"
#include "weighted/weighted.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

// Bytes of each array that are asked for ahead. Of two of 64 MB, flushed from all caches, one core of a
// Granite Rapids read 17.1 GB/s with 256, 16.8 with 512 and 1024, 17.7 with 2048, 17.5 with 4096, 17.0 with
// 8192; 14.0 where products went through a buffer. A plain read: 15.7.
constexpr std::int64_t kRowAhead = 2048;

template <class S, class U, bool Keep>
UFUSE_INLINE void multiply_pieces(double* products, double* kept, const S* values, const U* weights,
                                  std::int64_t count) {
  constexpr int W = kRegisterBytes / 8;
  using Wide = Vec<double, W>;
  // The pieces that follow come from memory while this one is folded.
  constexpr std::int64_t kAhead = 1024;
  std::int64_t i = 0;
  for (; i + W <= count; i += W) {
    __builtin_prefetch(reinterpret_cast<const char*>(values + i) + kAhead);
    __builtin_prefetch(reinterpret_cast<const char*>(weights + i) + kAhead);
    const Wide w = convert<Wide>(Vec<U, W>::load(weights + i));
    (convert<Wide>(Vec<S, W>::load(values + i)) * w).store(products + i);
    if constexpr (Keep) w.store(kept + i);
  }
  for (; i < count; ++i) {
    const auto w = static_cast<double>(weights[i]);
    products[i] = static_cast<double>(values[i]) * w;
    if constexpr (Keep) kept[i] = w;
  }
}

template <class S, class U>
void multiply(double* products, double* kept, const void* values, const void* weights, std::int64_t count) {
  const auto* x = static_cast<const S*>(values);
  const auto* w = static_cast<const U*>(weights);
  if (kept != nullptr)
    multiply_pieces<S, U, true>(products, kept, x, w, count);
  else
    multiply_pieces<S, U, false>(products, kept, x, w, count);
}

/// sum + x * w. The product of two float32 is exact, so that one rounding fewer makes no difference.
template <class S, class U, class Wide>
UFUSE_INLINE Wide add_product(Wide sum, Wide x, Wide w) {
#if defined(__FMA__)
  if constexpr (sizeof(S) + sizeof(U) == 2 * sizeof(float)) return fma(x, w, sum);
#endif
  return sum + x * w;
}

/// The sum of a chunk's products, in the lanes of the reduction tree.
template <class S, class U>
UFUSE_INLINE double add_chunk(const S* values, const U* weights, std::int64_t count) {
  constexpr int W = kRegisterBytes / 8, K = ufuse::kLanes / W;
  using Wide = Vec<double, W>;
  Wide acc[K] = {};
  std::int64_t i = 0;
  for (; i + K * W <= count; i += K * W) {
    for (int line = 0; line < K * W * static_cast<int>(sizeof(S)); line += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(values + i) + line + kRowAhead, 0, 2);
    for (int line = 0; line < K * W * static_cast<int>(sizeof(U)); line += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(weights + i) + line + kRowAhead, 0, 2);
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      acc[k] = add_product<S, U>(acc[k], convert<Wide>(Vec<S, W>::load(values + i + k * W)),
                                 convert<Wide>(Vec<U, W>::load(weights + i + k * W)));
  }
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) {
    const std::int64_t left = std::min<std::int64_t>(count - i - k * W, W);
    if (left <= 0) break;
    acc[k] = add_product<S, U>(acc[k], convert<Wide>(load_partial<Vec<S, W>>(values + i + k * W, left, S{0})),
                               convert<Wide>(load_partial<Vec<U, W>>(weights + i + k * W, left, U{0})));
  }
  return fold_registers<reducers::sum<double>>(acc);
}

template <class S, class U>
void add(double* sums, const void* values, const void* weights, std::int64_t count) {
  const auto* x = static_cast<const S*>(values);
  const auto* w = static_cast<const U*>(weights);
  for (std::int64_t first = 0; first < count; first += kChunk, ++sums) {
    const std::int64_t left = count - first;
    *sums = add_chunk<S, U>(x + first, w + first, left < kChunk ? left : kChunk);
  }
}

}  // namespace

const WeightedKernels* weighted_kernels() {
  static const WeightedKernels table = {
      {{multiply<float, float>, multiply<float, double>},
       {multiply<double, float>, multiply<double, double>}},
      {{add<float, float>, add<float, double>}, {add<double, float>, add<double, double>}}};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
