// Products of few rows with columns that lie along k, such as a matrix times a vector.
#pragma once

#include "contract/product.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// Does a product by the kernels of linear layers, which turn columns in registers, with the same bits; false
/// where it is none for them. Packing such columns writes all of B again: float32 (2048, 2048) times a vector
/// ran at 6 to 13 GB/s on one thread, and runs at 26, where a plain read gets 27.
bool multiply_few_rows(Tier tier, const Product& product);

}  // namespace ufuse
