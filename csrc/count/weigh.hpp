// Sums of weights instead of counts.
#pragma once

#include "count/count.hpp"

namespace ufuse {

/// `count_lanes` with weights.
std::int64_t weigh_lanes(const Counting& counting, const CountKernels& kernels, const PieceKernels& pieces);

}  // namespace ufuse
