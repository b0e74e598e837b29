// Products of pieces for one tier: this file is compiled once per tier.
#include "simd/vec.hpp"
#include "weighted/weighted.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

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

}  // namespace

const WeightedKernels* weighted_kernels() {
  static const WeightedKernels table = {{{multiply<float, float>, multiply<float, double>},
                                         {multiply<double, float>, multiply<double, double>}}};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
