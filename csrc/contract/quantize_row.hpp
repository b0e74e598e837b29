// One row of float32 activations to uint8 with offset 128, symmetric, its own scale.
#pragma once

#include "contract/elements.hpp"
#include "contract/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// The largest magnitude's bits: as integers, |NaN| > |Inf| > finite, so one integer maximum finds both the
/// scale and whether there is one.
inline std::int32_t largest_magnitude_bits(const char* base, const Axis& k) {
  using F = Register<float>;
  using I = Register<std::int32_t>;
  constexpr int kAbs = 0x7fffffff;
  std::int32_t largest = 0;
  std::int64_t i = 0;
  if (k.affine() && k.stride == 4) {
    I best[4] = {};
    for (; i + 4 * F::size <= k.size; i += 4 * F::size) UFUSE_UNROLL
    for (int u = 0; u < 4; ++u) {
      const I bits = I::load(base + 4 * (i + u * F::size)) & splat<I>(kAbs);
      best[u] = select(bits > best[u], bits, best[u]);
    }
    for (int u = 0; u < 4; ++u)
      for (int lane = 0; lane < I::size; ++lane) largest = best[u][lane] > largest ? best[u][lane] : largest;
  }
  for (; i < k.size; ++i) {
    const std::int32_t bits = load_as<std::int32_t>(base + k.at(i)) & kAbs;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/// scale = max|x| / 127, one rounding; q = round-half-even(x / scale) + 128. A row of zeros (or of numbers so
/// small that the scale underflows) has scale 1. A row with NaN or Inf has that as its scale and q = 128
/// throughout, so that everything computed from it is NaN.
inline float quantize_row(const char* base, const Axis& k, std::uint8_t* out) {
  using F = Register<float>;
  using I = Register<std::int32_t>;
  using B = Vec<std::uint8_t, F::size>;
  const std::int32_t bits = largest_magnitude_bits(base, k);
  float largest;
  std::memcpy(&largest, &bits, sizeof largest);
  if (bits >= 0x7f800000) {
    std::memset(out, 128, static_cast<std::size_t>(k.size));
    return largest;
  }
  float scale = largest / 127.0f;
  if (scale == 0.0f) scale = 1.0f;
  const auto quantize = [scale](F x) {
    const F q = rint(x / splat<F>(scale));  // |q| <= 127 but for a scale that was denormal
    const F high = select(q > splat<F>(127.0f), splat<F>(127.0f), q);
    return convert<B>(convert<I>(select(high < splat<F>(-127.0f), splat<F>(-127.0f), high)) + splat<I>(128));
  };
  float buffer[F::size];
  std::uint8_t bytes[F::size];
  for (std::int64_t i = 0; i < k.size; i += F::size) {
    const std::int64_t left = k.size - i;
    if (left >= F::size && k.affine() && k.stride == 4) {
      quantize(F::load(base + 4 * i)).store(out + i);
      continue;
    }
    const int count = static_cast<int>(left < F::size ? left : F::size);
    for (int u = 0; u < F::size; ++u) buffer[u] = u < count ? load_as<float>(base + k.at(i + u)) : 0.0f;
    quantize(F::load(buffer)).store(bytes);
    std::memcpy(out + i, bytes, static_cast<std::size_t>(count));
  }
  return scale;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
