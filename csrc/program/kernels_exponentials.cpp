// Kernels of exponentials, logarithms and their kin. This file is compiled once per tier.
#include "ops/arithmetic.hpp"
#include "ops/math_erf.hpp"
#include "ops/math_exp.hpp"
#include "ops/math_hyperbolic.hpp"
#include "ops/math_log.hpp"
#include "ops/math_logistic.hpp"
#include "program/block_kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

using enum DType;
constexpr KernelRow kRows[] = {
#include "operations_exponentials.inc"
};

}  // namespace

KernelGroup exponentials() { return group_of(kRows); }

}  // namespace UFUSE_TIER
}  // namespace ufuse
