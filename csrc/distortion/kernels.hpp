// What the driver sees of the sums that compare numbers with what their codes stand for. One table per tier.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// Of numbers x and what stands for them, y, with the errors e = x - y.
struct DistortionSums {
  double xx = 0, yy = 0, xy = 0;  // sums of products
  double squares = 0;             // of e * e
  double magnitudes = 0;          // of |e|
  double largest = 0;             // |e| of those that are not NaN

  UFUSE_INLINE void add(const DistortionSums& s) {
    xx += s.xx;
    yy += s.yy;
    xy += s.xy;
    squares += s.squares;
    magnitudes += s.magnitudes;
    largest = s.largest > largest ? s.largest : largest;
  }
};
inline constexpr int kDistortionSums = 6;

/// So many numbers are added up side by side: rows of codes have a multiple of them, or there is one row.
inline constexpr int kDistortionLanes = 16;

/// So many numbers make a sum of float32, then added to one of float64: what is compared in parts of so many
/// gives the bits of the whole.
inline constexpr std::int64_t kDistortionGroup = 1024;

/// Codes, contiguous, with a scale and a zero point for each row of them, or for each column.
struct CodeRows {
  const char* codes;
  const char* scale;
  const char* zero;
  std::int64_t columns;    // codes in a row
  std::int64_t scale_row;  // bytes from a row's to the next one's
  std::int64_t zero_row;
};

/// How the scales and the zero points of a row lie: one for all of it, or one beside the other.
enum class ScaleLayout : std::uint8_t { single, scales, both };
inline constexpr int kScaleLayouts = 3;

using CompareCodes = DistortionSums (*)(const float* x, const CodeRows& rows, std::int64_t count);

/// An operation of the catalogue (codes, scale [, zero point]) -> number, compared as it decodes.
struct CodesRow {
  const char* name;
  DType codes, scale, zero;  // `zero` is that of the codes where there is none
  bool has_zero;
  int floats;  // that a code stands for
  /// By ScaleLayout; null where there is no such kernel. `count`: numbers.
  CompareCodes compare[kScaleLayouts];
};

struct DistortionKernels {
  /// The sums of `count` elements. The same on every tier from v3 up.
  DistortionSums (*compare)(const float* x, const float* y, std::int64_t count);
  /// Turns rows of `lanes` numbers: those of lane k are from `to + k * rows` on. `rows` is a multiple of 8;
  /// lanes are read and written as if theirs were.
  void (*turn)(const float* from, std::int64_t rows, std::int64_t lanes, float* to);
  const CodesRow* codes;  // each gives the bits that decoding and `compare` give
  int count;
};

const DistortionKernels& distortion_kernels(Tier tier);

}  // namespace ufuse
