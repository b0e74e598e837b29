#include "contract/dispatch.hpp"

namespace ufuse {

#if defined(__x86_64__)
namespace v2 {
const ContractKernels* contract_kernels();
}
namespace v3 {
const ContractKernels* contract_kernels();
}
namespace v4 {
const ContractKernels* contract_kernels();
}
namespace v4x {
const ContractKernels* contract_kernels();
const ContractKernels* tile_kernels();
}  // namespace v4x

const ContractKernels& contract_kernels(Tier tier) {
  switch (tier) {
    case Tier::v2:
      return *v2::contract_kernels();
    case Tier::v3:
      return *v3::contract_kernels();
    case Tier::v4:
      return *v4::contract_kernels();
    case Tier::v4a:
      return *v4x::tile_kernels();
    default:
      return *v4x::contract_kernels();
  }
}
#else
namespace neon {
const ContractKernels* contract_kernels();
}

const ContractKernels& contract_kernels(Tier) { return *neon::contract_kernels(); }
#endif

}  // namespace ufuse
