// Which tier's table of contraction kernels to use.
#pragma once

#include "contract/kernels.hpp"
#include "core/tiers.hpp"

namespace ufuse {

UFUSE_API const ContractKernels& contract_kernels(Tier tier);

}  // namespace ufuse
