// The tables of the tiers.
#include "segment/kernels.hpp"

namespace ufuse {

#if defined(__x86_64__)
namespace v2 {
const PartKernels* part_kernels();
}
namespace v3 {
const PartKernels* part_kernels();
}
namespace v4 {
const PartKernels* part_kernels();
}
#else
namespace neon {
const PartKernels* part_kernels();
}
#endif

const PartKernels& part_kernels(Tier tier) {
#if defined(__x86_64__)
  switch (tier) {
    case Tier::v2:
      return *v2::part_kernels();
    case Tier::v3:
      return *v3::part_kernels();
    default:
      return *v4::part_kernels();
  }
#else
  (void)tier;
  return *neon::part_kernels();
#endif
}

}  // namespace ufuse
