// Reductions along the rows of a block that is already in cache: what programs reduce with.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/tiers.hpp"
#include "reduce/kernels.hpp"

namespace ufuse {

/// A reducer, and what becomes of its state.
struct RowReduction {
  ReducerId reducer = ReducerId::sum;
  Finish finish = Finish::value;
  int component = 0;  // of the state: where the finish starts
  double ddof = 0.0;
  DType element = DType::F32, result = DType::F32;
};

/// Throws `std::invalid_argument` where the catalogue has no kernel for it.
void check_row_reduction(const RowReduction& reduction);

/// Reduces each of `rows` contiguous rows of `cols` > 0 elements to one result, by the tree of the standalone
/// reductions: the same bits.
void reduce_rows(Tier tier, const RowReduction& reduction, const void* block, std::int64_t rows,
                 std::int64_t cols, void* out);

/// The same of `cols` columns of `rows` elements, in a block of `rows` contiguous lines.
void reduce_columns(const RowReduction& reduction, const void* block, std::int64_t rows, std::int64_t cols,
                    void* out);

}  // namespace ufuse
