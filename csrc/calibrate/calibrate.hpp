// Calibration: how often each float32 occurs, by its sign, its exponent and the first bits of its fraction.
//
// Such a histogram has no range to be known beforehand: neither outliers nor the order of batches change what
// it counts, and two of them are merged by adding. Each bin is as wide as a fixed part of its elements.
#pragma once

#include <cstdint>

#include "calibrate/kernels.hpp"
#include "count/count.hpp"

namespace ufuse {

struct Calibration {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  WalkOperand x;
  const std::int64_t* strides = nullptr;
  int log2_slots = 0;              // slots are the leading bits of a float32: at least its sign and exponent
  std::int64_t* counts = nullptr;  // of the slots; those of exponent 255 stay as they are

  // Found of the elements, as float32. Of none, `low` and `high` are +-infinity the wrong way round.
  Seen seen{};
  std::int64_t nans = 0;
  bool infinite = false;
};

/// Adds the elements' counts to `counts`; or to nothing, where one is infinite as a float32.
UFUSE_API void calibrate(Calibration& calibration);

/// Elements of so many streams as histograms have them: points and how many are at each, and intervals by
/// their edges, each with the density to its left less that to its right. Those of stream i are from place
/// start[i] to place start[i + 1].
struct Spread {
  std::int64_t streams;
  const double *points, *numbers;
  const std::int64_t* point_start;
  const double *edges, *jumps;
  const std::int64_t* edge_start;
};

/// Squared errors of quantizing each stream to `levels` of `scale` from `least` to `most` times it, for each
/// of its `count` candidates. The same bits for any tier and number of threads.
UFUSE_API void squared_errors(const Spread& spread, const Levels& levels, std::int64_t count,
                              const double* scale, const double* least, const double* most, double* out);

/// Kullback-Leibler divergences of histograms (rows of `bins` equal bins, the counts of which are whole
/// numbers) from what quantizing to so many levels makes of them: for each stream, of the ranges of `levels /
/// 2` to `bins / 2` bins to either side of the middle one.
UFUSE_API void divergences(const double* counts, std::int64_t streams, std::int64_t bins, std::int64_t levels,
                           double* out);

}  // namespace ufuse
