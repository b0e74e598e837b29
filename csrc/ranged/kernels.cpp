// Scales and zero points of ranges: this file is compiled once per tier.
#include "ranged/kernels.hpp"

#include <limits>

#include "ops/arithmetic.hpp"
#include "ops/math_core.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

using V = Register<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Scales of ranges whose width float32 does not hold.
void widen(V& scale, V low, V high, V steps) {
  for (int i = 0; i < V::size; ++i)
    if (!(scale[i] < kInfinity))
      scale.v[i] = static_cast<float>((static_cast<double>(high[i]) - static_cast<double>(low[i])) /
                                      static_cast<double>(steps[i]));
}

/// Lets `reach` steps of a scale be finite in float32.
void keep_within_float32(V& scale, V reach) {
  for (int i = 0; i < V::size; ++i) {
    if (!(scale[i] * reach[i] >= kInfinity)) continue;
    const double steps = reach[i] < 1 ? 1 : static_cast<double>(reach[i]);
    const auto most = static_cast<float>(static_cast<double>(std::numeric_limits<float>::max()) / steps);
    std::uint32_t bits;  // of the number below
    std::memcpy(&bits, &most, 4);
    --bits;
    float down;
    std::memcpy(&down, &bits, 4);
    scale.v[i] = down;
  }
}

template <ScaleRule Rule>
UFUSE_INLINE void scales_of(const CodeRange& codes, V low, V high, V& scale, V& zero) {
  const V none = splat<V>(0.0F), least = splat<V>(codes.least), most = splat<V>(codes.most);
  // + 0: there is to be no -0.
  low = select(low < none, low, none) + none;
  high = select(high > none, high, none) + none;
  zero = none;
  if constexpr (Rule == ScaleRule::symmetric) {
    const V extent = math::larger(none - low, high);
    scale = extent / most;
    scale = math::larger(scale, splat<V>(std::numeric_limits<float>::denorm_min()));
    scale = select(extent == none, splat<V>(1.0F), scale);
    if (any(scale * most >= splat<V>(kInfinity))) keep_within_float32(scale, most);
    return;
  }
  const V steps = most - least, extent = high - low;
  if constexpr (Rule == ScaleRule::onnx) {
    scale = select(high == low, splat<V>(1.0F), extent) / steps;
    const V place = least - low / scale;
    zero = UFUSE_TIER::rint(math::smaller(math::larger(place, least), most));
    zero = select(ops::is_nan(place), most, zero);
    return;
  }
  scale = extent / steps;
  if (any(scale >= splat<V>(kInfinity))) widen(scale, low, high, steps);
  scale = math::larger(scale, splat<V>(std::numeric_limits<float>::denorm_min()));
  scale = select(extent == none, splat<V>(1.0F), scale);
  zero = math::smaller(math::larger(UFUSE_TIER::rint(least - low / scale), least), most);
  const V reach = math::larger(zero - least, most - zero);
  if (any(scale * reach >= splat<V>(kInfinity))) keep_within_float32(scale, reach);
}

template <ScaleRule Rule>
bool scales_by(const CodeRange& codes, const float* low, const float* high, std::int64_t count, float* scale,
               float* zero) {
  using Mask = mask_t<V>;
  Mask bad = splat<V>(0.0F) != splat<V>(0.0F);
  for (std::int64_t i = 0; i < count; i += V::size) {
    float ends[2][V::size] = {}, found[2][V::size];
    const std::int64_t some = count - i < V::size ? count - i : V::size;
    const bool full = some == V::size;
    if (!full) {
      std::memcpy(ends[0], low + i, static_cast<std::size_t>(some) * 4);
      std::memcpy(ends[1], high + i, static_cast<std::size_t>(some) * 4);
    }
    const V a = V::load(full ? low + i : ends[0]), b = V::load(full ? high + i : ends[1]);
    // x - x is NaN of what is not finite.
    if constexpr (Rule == ScaleRule::onnx)
      bad = bad | ops::is_nan(a) | ops::is_nan(b);
    else
      bad = bad | ops::is_nan(static_cast<V>(a - a)) | ops::is_nan(static_cast<V>(b - b));
    V s, z;
    scales_of<Rule>(codes, a, b, s, z);
    s.store(full ? scale + i : found[0]);
    z.store(full ? zero + i : found[1]);
    if (!full) {
      std::memcpy(scale + i, found[0], static_cast<std::size_t>(some) * 4);
      std::memcpy(zero + i, found[1], static_cast<std::size_t>(some) * 4);
    }
  }
  return !any(bad);
}

bool scales(const CodeRange& codes, const float* low, const float* high, std::int64_t count, float* scale,
            float* zero) {
  switch (codes.rule) {
    case ScaleRule::symmetric:
      return scales_by<ScaleRule::symmetric>(codes, low, high, count, scale, zero);
    case ScaleRule::asymmetric:
      return scales_by<ScaleRule::asymmetric>(codes, low, high, count, scale, zero);
    default:
      return scales_by<ScaleRule::onnx>(codes, low, high, count, scale, zero);
  }
}

}  // namespace

const RangedKernels* ranged_kernels() {
  static const RangedKernels table = {scales};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
