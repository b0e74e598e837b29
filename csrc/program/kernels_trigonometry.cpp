// Kernels of trigonometric functions and their inverses. This file is compiled once per tier.
#include "ops/math_inverse.hpp"
#include "ops/math_trigonometry.hpp"
#include "program/block_kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

using enum DType;
#undef UFUSE_KERNEL
#define UFUSE_KERNEL UFUSE_LONG_KERNEL
constexpr KernelRow kRows[] = {
#include "operations_trigonometry.inc"
};

}  // namespace

KernelGroup trigonometry() { return group_of(kRows); }

}  // namespace UFUSE_TIER
}  // namespace ufuse
