// What the driver sees of the kernels that count elements by the leading bits of their float32, and of those
// that say what it costs to quantize them; one table per CPU tier.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

inline constexpr int kCalibrateTypes = 0
#define UFUSE_ELEMENT_TYPE(name, cpp, code) +1
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
    ;

/// What is known of elements besides their counts. NaN has no part in the extremes.
struct Seen {
  float low, high;
  std::uint32_t bits;  // all bits that any of them has, but of NaN and infinity too
};

/// What numbers are rounded to, in steps of a scale: integers, or floats with so many bits of the fraction,
/// the smallest normal one of which is `normal`.
struct Levels {
  int fraction = -1;  // of integers -1
  double normal = 1;
};

struct CalibrateKernels {
  /// Adds 1 to word `bits >> shift` of one of one or two tables for each of `count` floats. The tables begin
  /// `pitch` words apart and take neighbouring elements in turn: an increment waits for the last one of the
  /// same word, and half of what leaves a ReLU is zero. In G elements a second on one core (Zen 4, 65536
  /// slots) of normal and of ReLU's: one table 2.5 and 1.1, two 2.5 and 1.9, four, which L1 does not
  /// hold, 2.1 and 2.1.
  using Count = void (*)(std::uint32_t* tables, std::size_t pitch, const float* x, std::int64_t count,
                         int shift, Seen& seen);
  Count count[2];  // by the number of tables less 1
  /// Elements of a type as float32, rounded half to even.
  using Convert = void (*)(float* to, const void* from, std::int64_t count);
  Convert convert[kCalibrateTypes];
  /// The sum over i of weight[i] * f(at[i] * inverse), added up in eight lanes. With r the distance of a
  /// place from its level, which is the nearest number of `levels` from `least` to `most`, f is r**2 (of
  /// points), or the integral of that from 0 on (of edges).
  using Errors = double (*)(const double* at, const double* weight, std::int64_t count, double inverse,
                            double least, double most, const Levels& levels);
  Errors of_points[2], of_edges[2];  // of integers; of floats
};

UFUSE_API const CalibrateKernels& calibrate_kernels(Tier tier);

}  // namespace ufuse
