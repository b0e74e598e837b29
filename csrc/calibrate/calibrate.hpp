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

/// Elements as a histogram has them: points and how many are at each, and intervals by their edges, each with
/// the density to its left less that to its right.
struct Spread {
  const double *points, *numbers;
  std::int64_t point_count;
  const double *edges, *jumps;
  std::int64_t edge_count;
};

/// Squared errors of quantizing them to the multiples of `scale` from `least` to `most` times it, for each of
/// `count` candidates. The same bits for any tier and number of threads.
UFUSE_API void squared_errors(const Spread& spread, std::int64_t count, const double* scale,
                              const double* least, const double* most, double* out);

}  // namespace ufuse
