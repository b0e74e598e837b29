#include "program/row_reduction.hpp"

#include <cstring>
#include <stdexcept>
#include <string>

#include "core/scratch.hpp"
#include "reduce/reduction.hpp"
#include "reduce/tree.hpp"

namespace ufuse {
namespace {

FinishKernel finish_of(const ReduceKernels& kernels, const RowReduction& reduction) {
  const DType from = component_type(reduction.reducer, reduction.element, reduction.component);
  return kernels
      .finish[static_cast<int>(reduction.finish)][static_cast<int>(from)][static_cast<int>(reduction.result)];
}

/// States of rows of `count` <= kChunk elements each; `index_step` is what the index of an element is more in
/// the next row.
void fold_rows(const ReducerKernel& kernel, const char* data, std::int64_t row_bytes, std::int64_t rows,
               std::int64_t count, const States& states, std::int64_t first_index, std::int64_t index_step) {
  kernel.rows({data, row_bytes, rows, count, states.pointers(), 1, first_index, index_step, nullptr, nullptr,
               0, nullptr, true});
}

}  // namespace

void check_row_reduction(const RowReduction& reduction) {
  const ReduceKernels& kernels = reduce_kernels(active_tier());
  const ReducerKernel& kernel = kernels.at(reduction.reducer, reduction.element);
  const int component = reduction.component;
  if (kernel.rows == nullptr || component < 0 || component >= kernel.components ||
      finish_of(kernels, reduction) == nullptr)
    throw std::invalid_argument("ufuse program: no kernel to reduce " +
                                std::string(code_of(reduction.element)) + " to " +
                                std::string(code_of(reduction.result)));
}

void reduce_rows(Tier tier, const RowReduction& reduction, const void* block, std::int64_t rows,
                 std::int64_t cols, void* out) {
  const ReduceKernels& kernels = reduce_kernels(tier);
  const ReducerKernel& kernel = kernels.at(reduction.reducer, reduction.element);
  const auto size = static_cast<std::int64_t>(item_size(reduction.element));
  const auto* data = static_cast<const char*>(block);
  const ScratchFrame frame(static_cast<std::size_t>(bytes_of_states(kernel, rows)));
  const States states = states_in(frame.data(), kernel, rows);
  if (cols <= kChunk) {
    fold_rows(kernel, data, cols * size, rows, cols, states, 0, 0);
  } else {
    const std::int64_t whole = cols / kChunk, rest = cols % kChunk, chunks = whole + (rest > 0);
    const ScratchFrame scratch(static_cast<std::size_t>(bytes_of_states(kernel, chunks)));
    const States chunk_states = states_in(scratch.data(), kernel, chunks);
    for (std::int64_t r = 0; r < rows; ++r) {
      const char* const from = data + r * cols * size;
      fold_rows(kernel, from, kChunk * size, whole, kChunk, chunk_states, 0, kChunk);
      if (rest > 0)
        fold_rows(kernel, from + whole * kChunk * size, 0, 1, rest, chunk_states.at(kernel, whole),
                  whole * kChunk, 0);
      merge_rows(kernel, chunk_states, chunks, 1, 1);
      const States to = states.at(kernel, r);
      for (int i = 0; i < kernel.components; ++i)
        std::memcpy(to.component[i], chunk_states.component[i],
                    static_cast<std::size_t>(kernel.state_size[i]));
    }
  }
  finish_of(kernels, reduction)(
      {out, states.constants() + reduction.component, rows, static_cast<double>(cols), reduction.ddof});
}

void reduce_columns(const RowReduction& reduction, const void* block, std::int64_t rows, std::int64_t cols,
                    void* out) {
  const auto size = static_cast<std::int64_t>(item_size(reduction.element));
  const std::int64_t shape[] = {rows, cols}, strides[] = {cols * size, size},
                     out_strides[] = {0, static_cast<std::int64_t>(item_size(reduction.result))};
  reduce_fast(block, 2, shape, strides, reduction.element, 1, out, out_strides, reduction.result,
              reduction.reducer, reduction.finish, reduction.component, reduction.ddof);
}

}  // namespace ufuse
