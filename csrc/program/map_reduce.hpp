// Reductions of what a program makes: it runs over pieces that stay in cache, and is in no memory.
#pragma once

#include <cstdint>
#include <span>

#include "program/program.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {

/// Runs `reduction`, whose inputs are the outputs of `program` over the operands, its inputs, with strides
/// for the axes of the reduction. Of the reduction's inputs nothing is set but their number. Throws as
/// `reduce` does.
UFUSE_API void reduce_program(const Program& program, std::span<const ProgramOperand> operands,
                              Reduction& reduction);

}  // namespace ufuse
