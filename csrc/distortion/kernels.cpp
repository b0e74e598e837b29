// Errors of quantization, summed: this file is compiled once per tier.
#include "distortion/kernels.hpp"

#include "ops/arithmetic.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

// Sums are kept in float32 for so many steps of kLanes elements and then added in float64: in float64 alone a
// core takes 1.25 cycles an element, and memory brings one in 1.0. A sum of 32 terms errs by 2e-6 at most.
constexpr int kLanes = 16, kSteps = 32;
constexpr std::int64_t kGroup = kLanes * kSteps;

using V = Vec<float, kLanes * 4 < kRegisterBytes ? kLanes : kRegisterBytes / 4>;
constexpr int kParts = kLanes / V::size;

/// kLanes sums, in as many registers as they take.
struct Lanes {
  V part[kParts] = {};

  UFUSE_INLINE double total() const {
    float lane[kLanes];
    for (int p = 0; p < kParts; ++p) part[p].store(lane + p * V::size);
    double sum = 0;
    for (int i = 0; i < kLanes; ++i) sum += static_cast<double>(lane[i]);
    return sum;
  }
  UFUSE_INLINE double largest() const {
    float lane[kLanes];
    for (int p = 0; p < kParts; ++p) part[p].store(lane + p * V::size);
    float most = lane[0];
    for (int i = 1; i < kLanes; ++i) most = lane[i] > most ? lane[i] : most;
    return static_cast<double>(most);
  }
};

/// In float64 throughout: where squares of float32 would overflow or vanish.
DistortionSums compare_wide(const float* x, const float* y, std::int64_t count) {
  DistortionSums s;
  for (std::int64_t i = 0; i < count; ++i) {
    const double a = x[i], b = y[i], e = a - b, size = ops::magnitude(e);
    s.xx += a * a;
    s.yy += b * b;
    s.xy += a * b;
    s.squares += e * e;
    s.magnitudes += size;
    s.largest = size > s.largest ? size : s.largest;
  }
  return s;
}

DistortionSums compare_group(const float* x, const float* y, std::int64_t steps) {
  Lanes xx, yy, xy, squares, magnitudes, largest;
  for (std::int64_t step = 0; step < steps; ++step) {
    for (int p = 0; p < kParts; ++p) {
      const V a = V::load(x + step * kLanes + p * V::size), b = V::load(y + step * kLanes + p * V::size);
      const V e = a - b, size = ops::magnitude(e);
      xx.part[p] = fma(a, a, xx.part[p]);
      yy.part[p] = fma(b, b, yy.part[p]);
      xy.part[p] = fma(a, b, xy.part[p]);
      squares.part[p] = fma(e, e, squares.part[p]);
      magnitudes.part[p] = magnitudes.part[p] + size;
      largest.part[p] = select(size > largest.part[p], size, largest.part[p]);
    }
  }
  DistortionSums s;
  s.xx = xx.total();
  s.yy = yy.total();
  s.xy = xy.total();
  s.squares = squares.total();
  s.magnitudes = magnitudes.total();
  s.largest = largest.largest();
  return s;
}

/// Whether float32 has kept what there was: nothing overflowed, and no sum of squares is near its smallest.
bool is_exact(const DistortionSums& s) {
  constexpr double kLeast = 1e-30, kMost = 3e38;
  const bool fits = s.xx < kMost && s.yy < kMost && s.magnitudes < kMost;
  return fits && s.xx > kLeast && (s.squares > kLeast || s.largest == 0);
}

DistortionSums compare(const float* x, const float* y, std::int64_t count) {
  DistortionSums all;
  for (std::int64_t i = 0; i < count; i += kGroup) {
    const std::int64_t some = count - i < kGroup ? count - i : kGroup, steps = some / kLanes;
    DistortionSums s = compare_group(x + i, y + i, steps);
    if (steps * kLanes < some) {  // the rest among zeros
      float rest[2][kLanes] = {};
      for (std::int64_t k = steps * kLanes; k < some; ++k) {
        rest[0][k - steps * kLanes] = x[i + k];
        rest[1][k - steps * kLanes] = y[i + k];
      }
      const DistortionSums last = compare_group(rest[0], rest[1], 1);
      s.xx += last.xx;
      s.yy += last.yy;
      s.xy += last.xy;
      s.squares += last.squares;
      s.magnitudes += last.magnitudes;
      s.largest = last.largest > s.largest ? last.largest : s.largest;
    }
    if (!is_exact(s)) s = compare_wide(x + i, y + i, some);
    all.xx += s.xx;
    all.yy += s.yy;
    all.xy += s.xy;
    all.squares += s.squares;
    all.magnitudes += s.magnitudes;
    all.largest = s.largest > all.largest ? s.largest : all.largest;
  }
  return all;
}

}  // namespace

const DistortionKernels* distortion_kernels() {
  static const DistortionKernels table = {compare};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
