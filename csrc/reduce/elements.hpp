// Single elements as float64: what tiles need of the elements of any type outside the kernels.
#pragma once

#include "reduce/tiles.hpp"

namespace ufuse {

/// The element of type `type` at `at`.
double as_double(const char* at, DType type);

/// Stores `value` as an element of type `type`.
void put_element(char* at, DType type, double value);

/// The value of element `index` of a feed, where it is stored or in a block.
double value_of(const Feed& feed, const char* data, std::int64_t index);

/// What elements are shifted by: not by infinity or NaN.
inline double usable_pivot(double x) { return x - x == 0.0 ? x : 0.0; }

}  // namespace ufuse
