// The table of order kernels of a tier.
#include "order/kernels.hpp"

namespace ufuse {

#if defined(__x86_64__)
namespace v2 {
const OrderKernels* order_kernels();
}
namespace v3 {
const OrderKernels* order_kernels();
}
namespace v4 {
const OrderKernels* order_kernels();
}

const OrderKernels& order_kernels(Tier tier) {
  switch (tier) {
    case Tier::v2:
      return *v2::order_kernels();
    case Tier::v3:
      return *v3::order_kernels();
    default:
      return *v4::order_kernels();
  }
}
#else
namespace neon {
const OrderKernels* order_kernels();
}

const OrderKernels& order_kernels(Tier) { return *neon::order_kernels(); }
#endif

}  // namespace ufuse
