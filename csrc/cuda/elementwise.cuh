// The catalogue's functors as CUDA kernels: one thread per element, the same source as the CPU's registers.
#pragma once

#include "core/dtype.hpp"
#include "ops/all.hpp"

namespace ufuse {
namespace cuda {

struct ElementwiseCall {
  void* out;
  const void* in[4];
  std::int64_t count;
};

template <class F, DType Out, DType A>
UFUSE_INLINE storage<Out> at(const ElementwiseCall& call, std::int64_t i) {
  return F::template apply<storage<Out>>(static_cast<const storage<A>*>(call.in[0])[i]);
}

template <class F, DType Out, DType A, DType B>
UFUSE_INLINE storage<Out> at(const ElementwiseCall& call, std::int64_t i) {
  return F::template apply<storage<Out>>(static_cast<const storage<A>*>(call.in[0])[i],
                                         static_cast<const storage<B>*>(call.in[1])[i]);
}

template <class F, DType Out, DType A, DType B, DType C>
UFUSE_INLINE storage<Out> at(const ElementwiseCall& call, std::int64_t i) {
  return F::template apply<storage<Out>>(static_cast<const storage<A>*>(call.in[0])[i],
                                         static_cast<const storage<B>*>(call.in[1])[i],
                                         static_cast<const storage<C>*>(call.in[2])[i]);
}

template <class F, DType Out, DType A, DType B, DType C, DType D>
UFUSE_INLINE storage<Out> at(const ElementwiseCall& call, std::int64_t i) {
  return F::template apply<storage<Out>>(
      static_cast<const storage<A>*>(call.in[0])[i], static_cast<const storage<B>*>(call.in[1])[i],
      static_cast<const storage<C>*>(call.in[2])[i], static_cast<const storage<D>*>(call.in[3])[i]);
}

/// Contiguous operands; a grid-stride loop, so that any grid covers any count.
template <class F, DType Out, DType... In>
__global__ void elementwise(ElementwiseCall call) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < call.count;
       i += step)
    static_cast<storage<Out>*>(call.out)[i] = at<F, Out, In...>(call, i);
}

}  // namespace cuda
}  // namespace ufuse
