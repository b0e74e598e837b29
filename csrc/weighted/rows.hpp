// Sums of products of rows that are contiguous in both arrays: read and added up in one go.
#pragma once

#include "weighted/weighted.hpp"

namespace ufuse {

/// Computes `sum`, with the bits of the general way, where that is what it asks for: numbers in float32 or
/// float64, summed over their last axes, which lie as one row. Otherwise returns false, with nothing written.
bool sum_rows(const WeightedSum& sum);

}  // namespace ufuse
