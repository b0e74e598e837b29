// Products of pieces for one tier: this file is compiled once per tier.
#include <cstdint>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

extern void multiply(double* to, const double* by, std::int64_t count);
void multiply(double* to, const double* by, std::int64_t count) {
  using V = Register<double>;
  std::int64_t i = 0;
  for (; i + V::size <= count; i += V::size) (V::load(to + i) * V::load(by + i)).store(to + i);
  for (; i < count; ++i) to[i] *= by[i];
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
