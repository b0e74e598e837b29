// Kernels of powers, roots, error and gamma functions. This file is compiled once per tier.
#include "ops/math_erf.hpp"
#include "ops/math_gammaln.hpp"
#include "ops/math_power.hpp"
#include "program/block_kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

using enum DType;
#undef UFUSE_KERNEL
#define UFUSE_KERNEL UFUSE_LONG_KERNEL
constexpr KernelRow kRows[] = {
#include "operations_special.inc"
};

}  // namespace

KernelGroup special() { return group_of(kRows); }

}  // namespace UFUSE_TIER
}  // namespace ufuse
