// The semirings' kernels of one CPU tier: compiled once per tier with -DUFUSE_TIER=<tier>.
#include "contract/args.hpp"
#include "contract/kernels_of.hpp"
#include "contract/semirings.hpp"
#include "core/dtype.hpp"

namespace ufuse {
namespace UFUSE_TIER {

const ElementKernels* semiring_kernels();

const ElementKernels* semiring_kernels() {
  static constexpr ElementKernels table[] = {
#define UFUSE_SEMIRING(name, element) \
  kernels_of<element_of_semiring<semirings::name, cpp_type<DType::element>>>(),
#include "semirings.inc"
#undef UFUSE_SEMIRING
#define UFUSE_SEMIRING_ARG(name, element) kernels_of<ArgElement<semirings::name, cpp_type<DType::element>>>(),
#include "semirings.inc"
#undef UFUSE_SEMIRING_ARG
  };
  return table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
