#include "program/row_reduction.hpp"

#include <algorithm>

#include "core/scratch.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {
namespace {

ReducerId reducer_of(RowReduction reduction) {
  switch (reduction) {
    case RowReduction::sum:
      return ReducerId::sum;
    case RowReduction::prod:
      return ReducerId::prod;
    case RowReduction::min:
      return ReducerId::min;
    default:
      return ReducerId::max;
  }
}

// States of equal rows, `count` elements each, into `out`; `count` <= kChunk.
void chunk_states(const ReducerKernel& kernel, const char* data, std::int64_t row_bytes, std::int64_t rows,
                  std::int64_t count, void* out) {
  void* states[] = {out};
  kernel.rows({data, row_bytes, rows, count, states, 1, 0, 0, nullptr, nullptr});
}

}  // namespace

void reduce_rows(Tier tier, RowReduction reduction, DType dtype, const void* block, std::int64_t rows,
                 std::int64_t cols, void* out) {
  const ReduceKernels& kernels = reduce_kernels(tier);
  const ReducerId id = reducer_of(reduction);
  const DType wide = component_type(id, dtype, 0);
  const auto size = static_cast<std::int64_t>(item_size(dtype)),
             state = static_cast<std::int64_t>(item_size(wide));
  const auto* data = static_cast<const char*>(block);

  ScratchFrame row_states(static_cast<std::size_t>(rows * state));
  if (cols <= kChunk) {
    chunk_states(kernels.at(id, dtype), data, cols * size, rows, cols, row_states.data());
  } else {
    // The states of a reducer with one component are elements of the same reducer.
    const std::int64_t most = (cols + kChunk - 1) / kChunk;
    ScratchFrame scratch(static_cast<std::size_t>(2 * most * state));
    for (std::int64_t r = 0; r < rows; ++r) {
      const char* from = data + r * cols * size;
      char* to = scratch.data();
      std::int64_t left = cols, step = size;
      DType type = dtype;
      while (left > 1 || type != wide || from == data + r * cols * size) {
        const std::int64_t whole = left / kChunk, rest = left % kChunk;
        const ReducerKernel& kernel = kernels.at(id, type);
        if (whole > 0) chunk_states(kernel, from, kChunk * step, whole, kChunk, to);
        if (rest > 0) chunk_states(kernel, from + whole * kChunk * step, 0, 1, rest, to + whole * state);
        left = whole + (rest > 0);
        from = to;
        to = to == scratch.data() ? scratch.data() + most * state : scratch.data();
        type = wide;
        step = state;
      }
      std::copy(from, from + state, row_states.data() + r * state);
    }
  }
  const void* states[] = {row_states.data()};
  kernels.finish[static_cast<int>(Finish::value)][static_cast<int>(wide)][static_cast<int>(dtype)](
      {out, states, rows, 1.0, 0.0});
}

void reduce_columns(RowReduction reduction, DType dtype, const void* block, std::int64_t rows,
                    std::int64_t cols, void* out) {
  const auto size = static_cast<std::int64_t>(item_size(dtype));
  const std::int64_t shape[] = {rows, cols}, strides[] = {cols * size, size}, out_strides[] = {0, size};
  reduce_fast(block, 2, shape, strides, dtype, 1, out, out_strides, dtype, reducer_of(reduction),
              Finish::value, 0, 0.0);
}

}  // namespace ufuse
