// Axes along which no operand moves: broadcast ones.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

/// The axes of more than one position, bit by bit, of which one position tells everything: no operand moves
/// along them, and they are kept, or all reducers make the same of an element however often it comes.
std::uint64_t still_axes(const Reduction& reduction, const ReduceKernels& kernels);

/// Copies the results at the first position along the kept axes in `still` to the others.
void repeat_results(const Reduction& reduction, std::uint64_t still);

}  // namespace ufuse
