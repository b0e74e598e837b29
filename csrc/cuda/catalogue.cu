// Every kernel of the catalogue, for one or more GPU architectures.
#include "cuda/elementwise.cuh"

namespace ufuse {
namespace cuda {

using enum DType;
namespace ops = UFUSE_TIER::ops;
#define UFUSE_KERNEL(name, ...) template __global__ void elementwise<ops::name, __VA_ARGS__>(ElementwiseCall);
#include "operations_basic.inc"
#include "operations_exponentials.inc"
#include "operations_special.inc"
#include "operations_trigonometry.inc"

}  // namespace cuda
}  // namespace ufuse
