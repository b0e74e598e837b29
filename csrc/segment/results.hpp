// Where the results of a tile go, and what parts without elements leave.
#pragma once

#include "reduce/tiles.hpp"

namespace ufuse {

/// Offsets of a tile's first position: bytes of each slot's results and of each input. Adds to both.
void place_of(const Reduction& r, const ReducePlan& plan, const Tile& tile, std::int64_t* target,
              std::int64_t* offset);

/// Writes the results of slot `s` of a tile's positions, `base` bytes from its first; `slot` is that slot, or
/// one that differs in its divisor. Overwrites states where there is an initial value.
void write_tile(const Reduction& r, const ReducePlan& plan, const ReduceKernels& kernels, const Tile& tile,
                int s, const ReduceSlot& slot, const States& states, std::int64_t base);

/// Whether a finish wants the number of elements, which differs from part to part.
inline bool divides(Finish finish) { return finish == Finish::mean || finish == Finish::complete; }

/// States of nothing: what changes no other state that they are merged with.
void empty_states(const ReducerKernel& kernel, const States& states, std::int64_t count);

}  // namespace ufuse
