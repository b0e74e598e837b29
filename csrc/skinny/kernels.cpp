// The kernels of few rows and float32 activations of one CPU tier: compiled once per tier.
#include "skinny/kernels.hpp"

#include "skinny/coded.hpp"
#include "skinny/turned.hpp"

namespace ufuse {
namespace UFUSE_TIER {

const ufuse::skinny::Kernels* skinny_kernels();
const ufuse::skinny::Kernels* skinny_kernels() {
  using namespace skinny;
  static constexpr ufuse::skinny::Kernels table{
      {Turned<FloatWeights>::run, Turned<HalfWeights>::run, Turned<BrainWeights>::run},
      {Coded<ByteCodes>::run, Coded<NibbleCodes>::run},
      sum_of_row};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
