// What views of memory need not cost: broadcast axes, those that run backwards, and transposed ones.
#pragma once

#include "reduce/reduction.hpp"

namespace ufuse {

/// The axes of more than one position, bit by bit, of which one position tells everything: no operand moves
/// along them, and they are kept, or all reducers make the same of an element however often it comes.
std::uint64_t still_axes(const Reduction& reduction, const ReduceKernels& kernels);

/// Copies the results at the first position along the kept axes in `still` to the others.
void repeat_results(const Reduction& reduction, std::uint64_t still);

/// A reduction whose axes run forwards, and whose reduced axes come in order of memory, where that changes no
/// result: kept axes are turned, and all turned and sorted if the order of elements does not matter.
class InMemoryOrder {
 public:
  InMemoryOrder(const Reduction& reduction, const ReduceKernels& kernels);
  const Reduction& reduction() const { return reduction_; }

 private:
  void turn(int axis);
  void sort();

  Reduction reduction_;
  ReduceInput mask_;
  std::int64_t shape_[kMaxReduceAxes];
  std::int64_t strides_[kMaxReduceInputs + 1][kMaxReduceAxes];
  std::int64_t out_strides_[kMaxSlots][kMaxReduceAxes];
};

/// Whether there are axes for `InMemoryOrder` to turn or sort.
bool out_of_order(const Reduction& reduction, const ReduceKernels& kernels);

}  // namespace ufuse
