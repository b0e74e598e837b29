#include "program/map_reduce.hpp"

#include <cstdlib>

#include "core/tiers.hpp"

namespace ufuse {
namespace {

/// Pieces of one shape after the other: planned once for each shape that follows another.
class ComputedReader : public PieceReader {
 public:
  ComputedReader(const Program& program, std::span<const ProgramOperand> inputs, int axes)
      : program_(program),
        inputs_(inputs),
        axes_(axes),
        outputs_(static_cast<std::size_t>(program.outputs())) {}

  void read(const SourceRows& rows, const NextPiece& next, void* const* to) override {
    for (std::size_t k = 0; k < outputs_; ++k) data_[k] = static_cast<char*>(to[k]);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      data_[outputs_ + i] = inputs_[i].data;
      for (int id = 0; id < axes_; ++id) data_[outputs_ + i] += rows.index[id] * inputs_[i].strides[id];
    }
    const Shape shape{rows.axis, rows.across, rows.count, rows.step, rows.rows, rows.pitch};
    if (!(planned_[now_].shape == shape)) choose(shape);
    run(next);
  }

  void read_on(const NextPiece& next) override {
    for (std::size_t k = outputs_; k < operands(); ++k) data_[k] += ahead_[k];
    run(next);
  }

  const char* unasked() const override { return unasked_; }

 private:
  struct Shape {
    int axis, across;
    std::int64_t count, step, rows, pitch;
    bool operator==(const Shape&) const = default;
  };

  struct Planned {
    Shape shape{};
    std::unique_ptr<PreparedRun> run;
    int left = -1;  // the input that the run does not ask for
  };

  std::size_t operands() const { return outputs_ + inputs_.size(); }

  void run(const NextPiece& next) {
    Planned& planned = planned_[now_];
    std::int64_t asked[kMaxOperands] = {};
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      asked[outputs_ + i] = ahead_[outputs_ + i] =
          axes_ == 0 ? 0
                     : next.along * inputs_[i].strides[planned.shape.axis] +
                           next.across * inputs_[i].strides[planned.shape.across];
    unasked_ = nullptr;
    if (planned.left >= 0) {
      const auto k = static_cast<std::size_t>(planned.left);
      unasked_ = data_[k] + ahead_[k];
      asked[k] = 0;
    }
    planned.run->run(data_, asked);
  }

  /// Of two shapes that take turns, as the chunks of a row and what is left of it, each is planned once.
  void choose(const Shape& shape) {
    now_ ^= 1;
    if (!(planned_[now_].shape == shape)) plan(planned_[now_], shape);
  }

  void plan(Planned& planned, const Shape& shape) const {
    ProgramOperand operand[kMaxOperands];
    std::int64_t strides[kMaxOperands][2];
    for (std::size_t k = 0; k < outputs_; ++k) {
      const auto size = static_cast<std::int64_t>(item_size(program_.output_dtype(static_cast<int>(k))));
      strides[k][0] = shape.pitch * size;
      strides[k][1] = size;
      operand[k] = {data_[k], strides[k]};
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const std::size_t k = outputs_ + i;
      strides[k][0] = shape.rows > 1 ? inputs_[i].strides[shape.across] * shape.step : 0;
      strides[k][1] = axes_ == 0 ? 0 : inputs_[i].strides[shape.axis];
      operand[k] = {data_[k], strides[k], inputs_[i].swapped};
    }
    const std::int64_t extents[] = {shape.rows, shape.count};
    planned.run = program_.prepare(2, extents, {operand, operands()}, true);
    planned.shape = shape;
    // The run asks for some of what the next piece reads, and the fold for the rest: a core has few lines on
    // their way at once, so that both must keep them busy. `((a - b)**2).sum(1)` of float32 from memory, on a
    // core of a Granite Rapids: 12.0 GB/s where nobody asks, 12.4 where the run does, 13.1 where both do.
    planned.left = -1;
    for (std::size_t k = outputs_, alike = 0; k < operands(); ++k)
      if (strides[k][1] == strides[0][1] && (shape.rows == 1 || strides[k][0] == strides[0][0]) &&
          ++alike > 1)
        planned.left = static_cast<int>(k);
  }

  const Program& program_;
  std::span<const ProgramOperand> inputs_;
  const int axes_;
  const std::size_t outputs_;
  Planned planned_[2];
  int now_ = 0;
  char* data_[kMaxOperands];
  std::int64_t ahead_[kMaxOperands];  // bytes from these pieces to the next ones
  const char* unasked_ = nullptr;
};

class Computed : public PieceSource {
 public:
  Computed(const Program& program, std::span<const ProgramOperand> inputs, int axes)
      : program_(program), inputs_(inputs), axes_(axes) {}

  std::unique_ptr<PieceReader> reader() const override {
    return std::make_unique<ComputedReader>(program_, inputs_, axes_);
  }

  bool continues(int outer, int inner, std::int64_t extent) const override {
    for (const ProgramOperand& input : inputs_)
      if (input.strides[outer] != input.strides[inner] * extent) return false;
    return true;
  }

 private:
  const Program& program_;
  std::span<const ProgramOperand> inputs_;
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
