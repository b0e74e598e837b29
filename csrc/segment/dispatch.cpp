// The tables of the tiers.
#include "segment/kernels.hpp"

namespace ufuse {

#if defined(__x86_64__)
namespace v2 {
const GroupKernels* group_kernels();
}
namespace v3 {
const GroupKernels* group_kernels();
}
namespace v4 {
const GroupKernels* group_kernels();
}
#else
namespace neon {
const GroupKernels* group_kernels();
}
#endif

const GroupKernels& group_kernels(Tier tier) {
#if defined(__x86_64__)
  switch (tier) {
    case Tier::v2:
      return *v2::group_kernels();
    case Tier::v3:
      return *v3::group_kernels();
    default:
      return *v4::group_kernels();
  }
#else
  (void)tier;
  return *neon::group_kernels();
#endif
}

}  // namespace ufuse
