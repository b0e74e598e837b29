// Every kernel of the catalogue, for one or more GPU architectures.
#include "cuda/elementwise.cuh"

namespace ufuse {
namespace cuda {

using enum DType;
namespace ops = UFUSE_TIER::ops;
#define UFUSE_KERNEL(name, ...) template __global__ void elementwise<ops::name, __VA_ARGS__>(ElementwiseCall);
#include "operations.inc"
#undef UFUSE_KERNEL

}  // namespace cuda
}  // namespace ufuse
