#include "program/map_reduce.hpp"

#include <cstdlib>

#include "core/cache.hpp"
#include "core/tiers.hpp"

namespace ufuse {
namespace {

class Computed : public PieceSource {
 public:
  Computed(const Program& program, std::span<const ProgramOperand> operands, int axes)
      : program_(program), operands_(operands), axes_(axes) {}

  void read(const std::int64_t* index, int axis, std::int64_t count, void* const* to) const override {
    run(index, axis, count, 0, 0, 1, count, to);
  }

  bool read_rows(const std::int64_t* index, int axis, std::int64_t count, int across, std::int64_t step,
                 std::int64_t rows, std::int64_t pitch, void* const* to) const override {
    run(index, axis, count, across, step, rows, pitch, to);
    return true;
  }

  bool continues(int outer, int inner, std::int64_t extent) const override {
    for (const ProgramOperand& operand : operands_)
      if (operand.strides[outer] != operand.strides[inner] * extent) return false;
    return true;
  }

 private:
  void run(const std::int64_t* index, int axis, std::int64_t count, int across, std::int64_t step,
           std::int64_t rows, std::int64_t pitch, void* const* to) const {
    ProgramOperand operands[kMaxOperands];
    std::int64_t strides[kMaxOperands][2];
    const int outputs = program_.outputs();
    for (int k = 0; k < outputs; ++k) {
      const auto size = static_cast<std::int64_t>(item_size(program_.output_dtype(k)));
      strides[k][0] = pitch * size;
      strides[k][1] = size;
      operands[k] = {static_cast<char*>(to[k]), strides[k]};
    }
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const ProgramOperand& operand = operands_[i];
      const std::size_t k = static_cast<std::size_t>(outputs) + i;
      char* at = operand.data;
      for (int id = 0; id < axes_; ++id) at += index[id] * operand.strides[id];
      strides[k][0] = step == 0 ? 0 : operand.strides[across] * step;
      strides[k][1] = axes_ == 0 ? 0 : operand.strides[axis];
      operands[k] = {at, strides[k], operand.swapped};
    }
    ask_for_next(operands + outputs, strides + outputs, rows, count);
    const std::int64_t shape[] = {rows, count};
    program_.run_here(2, shape, {operands, static_cast<std::size_t>(outputs) + operands_.size()});
  }

  /// What follows this piece in memory is probably the next one. While this one is folded, nothing is read.
  void ask_for_next(const ProgramOperand* operands, const std::int64_t (*strides)[2], std::int64_t rows,
                    std::int64_t count) const {
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const auto size = static_cast<std::int64_t>(item_size(program_.input_dtype(static_cast<int>(i))));
      const std::int64_t bytes = count * size;
      if (strides[i][1] != size || (rows > 1 && strides[i][0] != bytes)) continue;
      const char* const next = operands[i].data + rows * bytes;
      for (std::int64_t at = 0; at < rows * bytes; at += kCacheLine) __builtin_prefetch(next + at, 0, 2);
    }
  }

  const Program& program_;
  std::span<const ProgramOperand> operands_;
  int axes_;
};

}  // namespace

void reduce_program(const Program& program, std::span<const ProgramOperand> operands, Reduction& reduction) {
  const Computed source(program, operands, reduction.axes);
  // Pieces are cheapest along the axis that the inputs walk in the smallest steps, taken together.
  std::int64_t strides[kMaxReduceAxes] = {};
  for (const ProgramOperand& operand : operands)
    for (int id = 0; id < reduction.axes; ++id) strides[id] += std::abs(operand.strides[id]);
  reduction.source = &source;
  for (int k = 0; k < reduction.inputs; ++k) {
    reduction.input[k].dtype = program.output_dtype(k);
    reduction.input[k].strides = strides;
  }
  reduce(reduction, reduce_kernels(active_tier()));
}

}  // namespace ufuse
