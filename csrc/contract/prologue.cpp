// Elements that are computed as they are packed: a panel at a time, into scratch that stays in the
// second-level cache, from which the panel is packed as any other operand is.
#include <algorithm>

#include "contract/plan.hpp"

namespace ufuse::contract {
namespace {

std::int64_t input_size(const Program& program, std::size_t i) {
  return static_cast<std::int64_t>(item_size(program.input_dtype(static_cast<int>(i))));
}

}  // namespace

std::int64_t made_panel_bytes(const Prologue* prologue, std::int64_t lanes, std::int64_t k) {
  if (prologue == nullptr) return 0;
  const Program& program = *prologue->program;
  std::int64_t bytes =
      round_up(lanes * k * static_cast<std::int64_t>(item_size(program.output_dtype(0))), 64);
  for (std::size_t i = 0; i < prologue->inputs.size(); ++i)
    bytes += round_up(lanes * k * input_size(program, i), 64);
  return bytes;
}

Matrix make_panel(const Matrix& x, const ContractKernels& kernels, std::int64_t item, bool columns,
                  std::int64_t lane0, std::int64_t lanes, std::int64_t k0, std::int64_t k, char* made) {
  const Program& program = *x.prologue->program;
  const auto size = static_cast<std::int64_t>(item_size(program.output_dtype(0)));
  std::int64_t strides[kMaxOperands][2];
  ProgramOperand operands[kMaxOperands];
  char* free = made + round_up(lanes * k * size, 64);
  int across = 0;  // how many more inputs lie along the lanes than along k; repeated ones have no say
  for (std::size_t i = 0; i < x.prologue->inputs.size(); ++i) {
    const Prologue::Input& input = x.prologue->inputs[i];
    const Axis& lane_axis = columns ? input.cols : input.rows;
    const Axis& k_axis = columns ? input.rows : input.cols;
    const char* from = static_cast<const char*>(input.data) + input.batch.at(item);
    const std::int64_t bytes = input_size(program, i);
    ProgramOperand& operand = operands[i + 1];
    operand.strides = strides[i + 1];
    if (lane_axis.affine() && k_axis.affine()) {
      operand.data = const_cast<char*>(from) + lane_axis.at(lane0) + k_axis.at(k0);
      strides[i + 1][0] = k_axis.stride;
      strides[i + 1][1] = lane_axis.stride;
      if (lane_axis.stride == bytes && k_axis.stride != 0)
        ++across;
      else if (k_axis.stride == bytes && lane_axis.stride != 0)
        --across;
      continue;
    }
    PackTask gather{};
    gather.base = from;
    gather.lane_axis = lane_axis;
    gather.k_axis = k_axis;
    gather.lane0 = lane0;
    gather.lanes = lanes;
    gather.k0 = k0;
    gather.k = k;
    gather.out = free;
    kernels.gather[log2_size(program.input_dtype(static_cast<int>(i)))](gather, static_cast<int>(lanes));
    operand.data = free;
    strides[i + 1][0] = lanes * bytes;
    strides[i + 1][1] = bytes;
    ++across;
    free += round_up(lanes * k * bytes, 64);
  }
  const bool lanes_adjacent = across > 0;
  strides[0][0] = lanes_adjacent ? lanes * size : size;  // along k
  strides[0][1] = lanes_adjacent ? size : k * size;
  operands[0].data = made;
  operands[0].strides = strides[0];
  const std::int64_t shape[] = {k, lanes};
  try {
    program.run(2, shape, {operands, x.prologue->inputs.size() + 1});
  } catch (...) {  // no memory for its registers
    x.prologue->failure.note();
  }
  Matrix panel;
  panel.data = made;
  const Axis along_k{k, strides[0][0], nullptr}, along_lanes{lanes, strides[0][1], nullptr};
  panel.rows = columns ? along_k : along_lanes;
  panel.cols = columns ? along_lanes : along_k;
  return panel;
}

}  // namespace ufuse::contract
