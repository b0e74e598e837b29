// Few rows on several threads: each takes k blocks, not columns.
#pragma once

#include "contract/plan.hpp"

namespace ufuse::contract {

/// Computes a product whose B is read along its rows (`Source::along_rows`).
void multiply_k_blocks(const Plan& plan, int threads);

}  // namespace ufuse::contract
