// Floating-point flags that say nothing of the result, taken back: kernels set them for what they compute and
// do not choose, and comparisons at NaN.
//
// An invalid value is a NaN made of numbers; an overflow or a division by zero is an infinity made of a
// finite number. Of a step that sets a flag the results tell, block by block, while they are in L1. What is
// made of chains needs none of it: there every instruction is one of NumPy's.
#include <cmath>
#include <cstring>

#include "core/float_errors.hpp"
#include "core/scratch.hpp"
#include "program/run.hpp"

namespace ufuse {
namespace {

bool is_floating(DType dtype) { return dtype == DType::F32 || dtype == DType::F64; }

/// An operand of one step: a block, or one value.
struct Values {
  const char* at;
  std::int64_t step;
  DType dtype;

  double operator[](std::int64_t i) const {
    if (dtype == DType::F64) {
      double x;
      std::memcpy(&x, at + i * step, sizeof x);
      return x;
    }
    float x;
    std::memcpy(&x, at + i * step, sizeof x);
    return static_cast<double>(x);
  }
};

/// Of `errors`, those that results speak for; the first of `count` floating operands is what overflows.
unsigned spoken_for(const Values& result, const Values* operand, int count, std::int64_t elements,
                    unsigned errors) {
  unsigned found = 0;
  for (std::int64_t i = 0; i < elements; ++i) {
    const double y = result[i];
    if (std::isfinite(y)) continue;
    bool known = true;
    for (int k = 0; k < count; ++k) known = known && !std::isnan(operand[k][i]);
    if (!known) continue;
    if (std::isnan(y))
      found |= kInvalid;
    else if (std::isfinite(operand[0][i]))
      found |= errors;  // NumPy's floor_divide subtracts infinities as it overflows
  }
  return errors & found;
}

}  // namespace

void ProgramRun::apply_settled(std::size_t i, char* const* reg, std::int64_t elements) const {
  if (joined_[i]) return;
  const auto& step = program_.steps_[i];
  const KernelRow& row = kernels_.row(step.kernel);  // registers serve values of several types
  char* const out = reg[step.out];
  const auto size = static_cast<std::size_t>(elements) * sizeof(double);
  const ScratchFrame kept(size);
  const char* in[kMaxArity] = {};
  for (int a = 0; a < kMaxArity; ++a) {
    in[a] = reg[step.in[a]];
    if (a >= step.arity || in[a] != out) continue;
    std::memcpy(kept.data(), out, static_cast<std::size_t>(elements << log2_size(row.inputs[a])));
    in[a] = kept.data();
  }
  const unsigned before = float_errors();
  clear_float_errors();
  kernel_[i](out, in[0], in[1], in[2], in[3], elements);
  unsigned errors = float_errors();
  clear_float_errors();
  if ((errors & ~kUnderflow) != 0) {
    Values operand[kMaxArity];
    int count = 0;
    for (int a = 0; a < step.arity; ++a) {
      const DType dtype = row.inputs[a];
      if (!is_floating(dtype)) continue;
      const std::int64_t one = single_[step.in[a]] ? 0 : std::int64_t{1} << log2_size(dtype);
      operand[count++] = {in[a], one, dtype};
    }
    const DType dtype = row.output;
    const bool casts = std::strcmp(row.name, "cast") == 0;
    if (count > 0 && is_floating(dtype))
      errors = (errors & kUnderflow) | spoken_for({out, std::int64_t{1} << log2_size(dtype), dtype}, operand,
                                                  count, elements, errors & ~kUnderflow);
    else if (count > 0 && !casts)
      errors = 0;  // of an order, or a code
  }
  clear_float_errors();  // those of looking
  add_float_errors(before | errors);
}

}  // namespace ufuse
