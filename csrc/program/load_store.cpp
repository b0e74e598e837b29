// Operands of any strides and byte order, from memory to the blocks of a tile and back.
#include <cstring>
#include <utility>

#include "core/scratch.hpp"
#include "program/run.hpp"
#include "reduce/kernels.hpp"

namespace ufuse {

ProgramRun::BlockStrides ProgramRun::block_strides(int k) const {
  const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0,
                     s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
  return across_ ? BlockStrides{s1, s0} : BlockStrides{s0, s1};
}

void ProgramRun::load(int k, const char* from, char* block, std::int64_t rows, std::int64_t cols) const {
  const OperandPlan& p = operand_plan_[k];
  const std::int64_t size = std::int64_t{1} << p.log2;
  const auto [s0, s1] = block_strides(k);
  if (across_) std::swap(rows, cols);
  const std::int64_t pitch = one_by_one_ ? pitch_ : cols;
  if (s0 == 0 && (s1 == 0 || rows == 1)) {
    kernels_.move.fill[p.log2](block, from, rows * pitch);
  } else if (s0 == size && (rows == 1 || (s1 == cols * size && pitch == cols))) {
    std::memcpy(block, from, static_cast<std::size_t>(rows * cols * size));
  } else if (s0 == 0) {
    kernels_.move.spread[p.log2](block, from, s1, rows, pitch);
  } else if (s1 == size && s0 == rows * size && rows > 1 && rows <= kMostInterleaved) {
    reduce_kernels(tier_).pieces.split[p.log2](block, pitch * size, from, rows, cols);
  } else {
    for (std::int64_t r = 0; r < rows; ++r) {
      char* to = block + r * pitch * size;
      if (s0 == size) {
        std::memcpy(to, from + r * s1, static_cast<std::size_t>(cols * size));
      } else {
        kernels_.move.load[p.log2](to, from + r * s1, s0, cols);
      }
    }
  }
  if (p.swapped) kernels_.move.swap[p.log2](block, rows * pitch);
}

void ProgramRun::load_rows(int k, const char* from, char* block, std::int64_t rows) const {
  const OperandPlan& p = operand_plan_[k];
  kernels_.move.load[p.log2](block, from, plan_.axes > 1 ? plan_.stride[k][1] : 0, rows);
  if (p.swapped) kernels_.move.swap[p.log2](block, rows);
}

void ProgramRun::store(int k, char* to, const char* block, std::int64_t rows, std::int64_t cols) const {
  const OperandPlan& p = operand_plan_[k];
  const std::int64_t elements = p.row ? rows : rows * (one_by_one_ ? pitch_ : cols);
  if (!p.swapped) {
    store_native(k, to, block, rows, cols);
    return;
  }
  // The register may be an input's own memory, which is not ours to swap.
  ScratchFrame copy(static_cast<std::size_t>(elements << p.log2));
  std::memcpy(copy.data(), block, static_cast<std::size_t>(elements << p.log2));
  kernels_.move.swap[p.log2](copy.data(), elements);
  store_native(k, to, copy.data(), rows, cols);
}

void ProgramRun::store_native(int k, char* to, const char* block, std::int64_t rows,
                              std::int64_t cols) const {
  const OperandPlan& p = operand_plan_[k];
  const std::int64_t size = std::int64_t{1} << p.log2;
  if (p.row) {
    kernels_.move.store[p.log2](to, plan_.axes > 1 ? plan_.stride[k][1] : 0, block, rows);
  } else if (contiguous_out_[k]) {
    const std::int64_t bytes = rows * cols * size;
    if (stream_)
      kernels_.move.stream(to, block, bytes);
    else
      std::memcpy(to, block, static_cast<std::size_t>(bytes));
  } else {
    const auto [along, between] = block_strides(k);
    if (across_) std::swap(rows, cols);
    const std::int64_t pitch = one_by_one_ ? pitch_ : cols;
    for (std::int64_t r = 0; r < rows; ++r) {
      const char* const row = block + r * pitch * size;
      if (along == size && stream_)
        kernels_.move.stream(to + r * between, row, cols * size);
      else if (along == size)
        std::memcpy(to + r * between, row, static_cast<std::size_t>(cols * size));
      else
        kernels_.move.store[p.log2](to + r * between, along, row, cols);
    }
  }
}

}  // namespace ufuse
