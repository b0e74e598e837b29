#include "order/lanes.hpp"

namespace ufuse {

void plan_lanes(LanePlan& plan, const OrderInput& input, int outputs, char* const* out,
                const std::int64_t* const* out_strides) {
  plan.input = input;
  std::int64_t shape[2][kMaxAxes], strides[2][kMaxOrderOutputs + 1][kMaxAxes];
  int axes[2] = {0, 0};
  for (int axis = 0; axis < input.axes; ++axis) {
    const int side = static_cast<int>(input.reduced >> axis & 1);
    const int at = axes[side]++;
    shape[side][at] = input.shape[axis];
    strides[side][0][at] = input.strides[axis];
    for (int k = 0; k < outputs; ++k) strides[side][k + 1][at] = out_strides[k][axis];
  }
  StridedOperand operand[kMaxOrderOutputs + 1];
  operand[0] = {const_cast<char*>(input.data), strides[1][0]};
  plan_loop(plan.lane, axes[1], shape[1], 1, operand);
  operand[0].strides = strides[0][0];
  for (int k = 0; k < outputs; ++k) operand[k + 1] = {out[k], strides[0][k + 1]};
  plan_loop(plan.kept, axes[0], shape[0], outputs + 1, operand);

  // The reduced axes may have been turned round: the lanes start where their plan says.
  plan.kept.data[0] += plan.lane.data[0] - input.data;
  for (LoopPlan* nest : {&plan.lane, &plan.kept})  // operands that are not there stand still
    for (int k = nest == &plan.lane ? 1 : outputs + 1; k <= kMaxOrderOutputs; ++k) {
      nest->data[k] = nullptr;
      for (int axis = 0; axis < nest->axes; ++axis) nest->stride[k][axis] = 0;
    }
  const auto size = [](std::int64_t stride) { return stride < 0 ? -stride : stride; };
  const std::int64_t along = plan.lane.axes > 0 ? size(plan.lane.stride[0][0]) : 0;
  const std::int64_t beside = plan.kept.axes > 0 ? size(plan.kept.stride[0][0]) : 0;
  plan.across = beside != 0 && (along == 0 || beside < along);
}

}  // namespace ufuse
