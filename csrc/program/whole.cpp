// Programs that are one chain, over rows that lie as the chain can take them: no blocks, no tiles.
#include <algorithm>
#include <cstring>

#include "program/program.hpp"

namespace ufuse {
namespace {

/// Rows of an operand, by its register.
struct Rows {
  char* at[kMaxRegisters];
  std::int64_t stride[kMaxRegisters];
};

}  // namespace

// The last elements, that make no whole multiple, are computed again with some before them, or, where there
// are none or the result is in the place of an operand, in buffers.
bool Program::run_whole(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const {
  if (whole_.empty()) return false;
  LoopPlan plan;
  StridedOperand strided[kMaxOperands];
  bool swapped = false;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    strided[k] = {operands[k].data, operands[k].strides};
    swapped |= operands[k].swapped;
  }
  plan_loop(plan, axes, shape, static_cast<int>(operands.size()), strided);
  if (swapped || plan.size == 0 || plan.axes > 2) return false;
  const std::int64_t columns = plan.axes > 0 ? plan.extent[0] : 1, rows = plan.axes > 1 ? plan.extent[1] : 1;
  const std::int64_t whole = columns / kBlockMultiple * kBlockMultiple, rest = columns - whole;

  Rows to;
  bool single[kMaxRegisters];
  const void* scalar[kMaxRegisters];
  bool in_place = false;
  const auto place = [&](int reg, int k, DType type) {
    const std::int64_t s0 = plan.axes > 0 ? plan.stride[k][0] : 0;
    to.at[reg] = plan.data[k];
    to.stride[reg] = plan.axes > 1 ? plan.stride[k][1] : 0;
    single[reg] = k > 0 && s0 == 0;
    scalar[reg] = single[reg] && to.stride[reg] == 0 ? plan.data[k] : nullptr;
    in_place |= k > 0 && plan.data[k] == plan.data[0];
    return s0 == 0 ? single[reg] || columns == 1 : s0 == static_cast<std::int64_t>(item_size(type));
  };
  const int out = output_register_.front();
  if (!place(out, 0, output_dtype(0))) return false;
  for (int i = 0; i < inputs(); ++i)
    if (!place(i, i + 1, input_dtype(i))) return false;
  for (const Fill& fill : constants_) {
    to.at[fill.reg] = const_cast<char*>(fill.value.bytes);  // operands are read only
    to.stride[fill.reg] = 0;
    single[fill.reg] = true;
    scalar[fill.reg] = fill.value.bytes;
  }
  if (block_wanted(whole_, single) >= 0) return false;
  const std::int16_t* const scale = whole_quantizes_ ? steps_.back().in + 1 : nullptr;
  for (int k = 0; k < 3 && scale != nullptr; ++k)
    if (scalar[scale[k]] == nullptr) return false;
  const bool again = rest > 0 && whole > 0 && !in_place;
  if (rest > 0 && !again && plan.axes > 1) return false;

  alignas(64) char kept[kMaxKept][kChainGroup];
  int slot = 0;
  for (int r = 0; r < registers(); ++r)
    if (registers_[static_cast<std::size_t>(r)].kept) {
      to.at[r] = kept[slot++];
      to.stride[r] = 0;
    }
  ChainCode code[kMaxChainOps + 4];
  write_code(whole_, single, scalar, {out, scale, output_dtype(0)}, code);
  const ChainKernel kernel = program_kernels(active_tier()).chains[whole_.wide ? 1 : 0];
  ChainTask task{code, nullptr, whole, rows, to.stride, registers()};
  const auto run = [&](const Rows& from, std::int64_t first) {
    char* reg[kMaxRegisters];
    for (int r = 0; r < registers(); ++r) reg[r] = from.at[r];
    task.reg = reg;
    const auto move = [&](int r, DType type) {
      if (!single[r]) reg[r] += first * static_cast<std::int64_t>(item_size(type));
    };
    move(out, output_dtype(0));
    for (int i = 0; i < inputs(); ++i) move(i, input_dtype(i));
    kernel(task);
  };
  if (whole > 0) run(to, 0);
  if (rest == 0) return true;
  task.count = kBlockMultiple;
  if (again) {
    run(to, columns - kBlockMultiple);
    return true;
  }
  alignas(64) char buffer[kMaxOperands][kBlockMultiple * 8];
  Rows copies = to;
  const auto bytes = [&](DType type) { return static_cast<std::size_t>(rest) * item_size(type); };
  for (int i = 0; i < inputs(); ++i) {
    if (single[i]) continue;
    const auto size = static_cast<std::int64_t>(item_size(input_dtype(i)));
    std::memcpy(buffer[i + 1], to.at[i] + whole * size, bytes(input_dtype(i)));
    copies.at[i] = buffer[i + 1];
  }
  copies.at[out] = buffer[0];
  run(copies, 0);
  std::memcpy(to.at[out] + whole * static_cast<std::int64_t>(item_size(output_dtype(0))), buffer[0],
              bytes(output_dtype(0)));
  return true;
}

}  // namespace ufuse
