// The tree over states, and results from them.
#pragma once

#include "reduce/streaming.hpp"

namespace ufuse {

/// States of one slot: one array per component.
struct States {
  char* component[kMaxComponents] = {};

  States at(const ReducerKernel& kernel, std::int64_t index) const {
    States moved;
    for (int i = 0; i < kernel.components; ++i)
      moved.component[i] = component[i] + index * kernel.state_size[i];
    return moved;
  }
  void* const* pointers() const { return reinterpret_cast<void* const*>(component); }
  const void* const* constants() const { return reinterpret_cast<const void* const*>(component); }
};

/// Bytes of `count` states, each component aligned to a cache line.
std::int64_t bytes_of_states(const ReducerKernel& kernel, std::int64_t count);
States states_in(char* memory, const ReducerKernel& kernel, std::int64_t count);

/// Merges `rows` rows of `width` states, `pitch` states apart, into the first row. Overwrites the others.
void merge_rows(const ReducerKernel& kernel, States states, std::int64_t rows, std::int64_t width,
                std::int64_t pitch);

/// Turns `count` states into results, at `step` bytes from each other. Overwrites states where the slot has
/// an initial value. Neighbours go through `stream`, past the caches, where it is given.
void write_results(const ReduceSlot& slot, const ReduceKernels& kernels, States states, std::int64_t count,
                   char* out, std::int64_t step, StreamKernel stream = nullptr);

}  // namespace ufuse
