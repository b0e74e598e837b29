// The tables of the tiers, and the short way for small arrays.
#include <cstring>

#include "reduce/reduction.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(ReduceKernels, reduce_kernels)

namespace {

// Rows whose states are on the stack, and elements that are gathered there: beyond, the plan of the general
// way (0.4 us) is a small part.
constexpr std::int64_t kFewRows = 64, kGathered = 1024;

struct Rows {
  const char* data;
  std::int64_t stride, rows, count;
};

/// Rows of contiguous elements to contiguous results. The bits are those of columns, too: they do not depend
/// on the layout.
void fold_rows(const ReducerKernel& kernel, const Rows& rows, FinishKernel last, void* out, int component,
               double ddof) {
  alignas(64) char state[kMaxComponents][kFewRows * 8];
  void* states[kMaxComponents];
  const void* finished[kMaxComponents];
  for (int i = 0; i < kMaxComponents; ++i) finished[i] = states[i] = state[i];
  kernel.rows({rows.data, rows.stride, rows.rows, rows.count, states, 1, 0, 0, nullptr, nullptr});
  last({out, finished + component, rows.rows, static_cast<double>(rows.count), ddof});
}

template <class T>
void gather_as(char* to, const char* from, std::int64_t outer, std::int64_t outer_stride, std::int64_t inner,
               std::int64_t inner_stride) {
  for (std::int64_t i = 0; i < outer; ++i)
    for (std::int64_t j = 0; j < inner; ++j, to += sizeof(T))
      std::memcpy(to, from + i * outer_stride + j * inner_stride, sizeof(T));
}

/// Elements of one or two axes in their order, or the last axis first.
void gather(char* to, const char* from, int axes, const std::int64_t* shape, const std::int64_t* strides,
            bool turned, std::int64_t size) {
  const int outer = turned ? axes - 1 : 0, inner = turned ? 0 : axes - 1;
  const std::int64_t n = axes == 1 ? 1 : shape[outer], far = axes == 1 ? 0 : strides[outer];
  constexpr void (*by_size[])(char*, const char*, std::int64_t, std::int64_t, std::int64_t, std::int64_t) = {
      gather_as<std::uint8_t>, gather_as<std::uint16_t>, gather_as<std::uint32_t>, gather_as<std::uint64_t>};
  by_size[size == 8 ? 3 : size / 2](to, from, n, far, shape[inner], strides[inner]);
}

}  // namespace

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

  std::int64_t count = 1, results = 1;
  for (int i = 0; i < axes; ++i) (reduced >> i & 1 ? count : results) *= shape[i];
  if (count == 0 || results == 0) return false;
  // Two reduced axes are one group of the tree where the last one is short.
  const bool grouped = reduced != 3 || shape[1] < kShortGroup;
  if (reduced != 0 && axes <= 2 && grouped && count <= kChunk && results <= kFewRows) {
    const auto step = static_cast<std::int64_t>(item_size(dtype));
    const int kept = axes == 2 && (reduced & 1) != 0 ? 1 : 0;  // where one is
    const bool row = axes == 1 || reduced != 3;
    const std::int64_t along = strides[axes == 2 && row ? 1 - kept : 0];
    const auto* first = static_cast<const char*>(data);
    if (row ? along == step || count == 1 : strides[1] == step && strides[0] == shape[1] * step) {
      fold_rows(kernel, {first, results > 1 ? strides[kept] : 0, results, count}, last, out, component, ddof);
      return true;
    }
    if (count * results <= kGathered) {
      alignas(64) char elements[kGathered * 8];
      gather(elements, first, axes, shape, strides, row && reduced == 1, step);
      fold_rows(kernel, {elements, count * step, results, count}, last, out, component, ddof);
      return true;
    }
  }
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
