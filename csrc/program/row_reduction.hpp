// Reductions along the rows of a block that is already in cache: what programs reduce with.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/tiers.hpp"
#include "program/program.hpp"

namespace ufuse {

/// Reduces each of `rows` contiguous rows of `cols` elements to one element of the same type, by the tree
/// of the standalone reductions: the same bits.
void reduce_rows(Tier tier, RowReduction reduction, DType dtype, const void* block, std::int64_t rows,
                 std::int64_t cols, void* out);

/// The same of `cols` columns of `rows` elements, in a block of `rows` contiguous lines.
void reduce_columns(RowReduction reduction, DType dtype, const void* block, std::int64_t rows,
                    std::int64_t cols, void* out);

}  // namespace ufuse
