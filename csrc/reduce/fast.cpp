// The tables of the tiers, and the short way for small arrays.
#include "reduce/reduction.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(ReduceKernels, reduce_kernels)

bool reduce_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                 DType dtype, std::uint64_t reduced, void* out, const std::int64_t* out_strides, DType result,
                 ReducerId reducer, Finish finish, int component, double ddof) {
  const ReduceKernels& kernels = reduce_kernels(active_tier());
  const ReducerKernel& kernel = kernels.at(reducer, dtype);
  if (kernel.rows == nullptr || axes > kMaxReduceAxes || component >= kernel.components) return false;
  const DType from = component_type(reducer, dtype, component);
  const FinishKernel last =
      kernels.finish[static_cast<int>(finish)][static_cast<int>(from)][static_cast<int>(result)];
  if (last == nullptr) return false;

  if (axes == 1 && reduced == 1 && shape[0] <= kChunk && shape[0] > 0 &&
      strides[0] == static_cast<std::int64_t>(item_size(dtype))) {
    alignas(8) char state[kMaxComponents][8];
    void* states[kMaxComponents];
    const void* finished[kMaxComponents];
    for (int i = 0; i < kMaxComponents; ++i) finished[i] = states[i] = state[i];
    kernel.rows({static_cast<const char*>(data), 0, 1, shape[0], states, 1, 0, 0, nullptr, nullptr});
    last({out, finished + component, 1, static_cast<double>(shape[0]), ddof});
    return true;
  }

  std::int64_t count = 1, results = 1;
  for (int i = 0; i < axes; ++i) (reduced >> i & 1 ? count : results) *= shape[i];
  if (count == 0 || results == 0) return false;
  Reduction r;
  r.axes = axes;
  r.shape = shape;
  r.reduced = reduced;
  r.input[0] = {static_cast<const char*>(data), dtype, false, strides};
  r.slot[0] = {reducer,
               0,
               dtype,
               finish,
               component,
               result,
               static_cast<char*>(out),
               out_strides,
               static_cast<double>(count),
               ddof,
               nullptr};
  reduce(r, kernels);
  return true;
}

}  // namespace ufuse
