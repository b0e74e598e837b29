// Block formats for one tier: this file is compiled once per tier.
#include "formats/kernels.hpp"

#include "formats/gguf_float4.hpp"
#include "formats/iq.hpp"
#include "formats/kquants_decode.hpp"
#include "formats/legacy.hpp"
#include "formats/mx.hpp"
#include "formats/nf4.hpp"
#include "formats/nvfp4.hpp"
#include "formats/plain.hpp"
#include "formats/ternary.hpp"
#include "simd/moves.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

void narrow(float* to, const void* doubles, std::int64_t count) {
  constexpr int W = kRegisterBytes / 8;
  const auto* from = static_cast<const double*>(doubles);
  std::int64_t i = 0;
  for (; i + W <= count; i += W) {
#if defined(__AVX512F__)
    _mm256_storeu_ps(to + i, _mm512_maskz_cvtpd_ps(0xff, _mm512_loadu_pd(from + i)));
#else
    convert<Vec<float, W> >(Vec<double, W>::load(from + i)).store(to + i);
#endif
  }
  for (; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

void to_bfloat16(std::uint16_t* to, const float* from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = bitcast<std::uint32_t>(from[i]);
    const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
    to[i] = static_cast<std::uint16_t>((nan ? bits | 0x400000U : bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
  }
}

/// A format is a struct of its name with `encode` (null where there is none) and `decode`; with `kCost` where
/// encoding computes more than it moves; with `kTogether` where blocks wait for one another; with
/// `kTakesVariance` where weights are made of importance and a row's mean square.
template <class F>
constexpr FormatKernel kernel() {
  int cost = 8, together = 1;
  bool takes_variance = false;
  if constexpr (requires { F::kCost; }) cost = F::kCost;
  if constexpr (requires { F::kTogether; }) together = F::kTogether;
  if constexpr (requires { F::kTakesVariance; }) takes_variance = F::kTakesVariance;
  return {F::encode, F::decode, cost, together, takes_variance};
}

}  // namespace

const FormatKernels* format_kernels() {
  static constexpr FormatKernels table{
      {
#define UFUSE_FORMAT(name, block, bytes) kernel<formats::name>(),
#include "formats.inc"
#undef UFUSE_FORMAT
      },
      {gather<std::uint8_t>, gather<std::uint16_t>, gather<std::uint32_t>, gather<std::uint64_t>},
      narrow,
      to_bfloat16,
  };
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
