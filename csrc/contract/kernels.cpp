// The contraction kernels of one CPU tier: compiled once per tier with -DUFUSE_TIER=<tier>.
#include "contract/kernels.hpp"

#include "contract/micro.hpp"
#include "contract/pack.hpp"
#include "contract/quantize_row.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class E>
constexpr ElementKernels kernels_of() {
  constexpr int kSize = sizeof(typename E::Storage);
  ElementKernels k{};
  k.mr = E::kShape.mr;
  k.nr = kTileColumns<E>;
  k.lanes = E::Vector::size;
  k.group = E::kGroup;
  k.a_size = kSize;
  k.b_size = kSize;
  k.c_size = sizeof(typename E::Accumulator);
  k.a_group = kGroupBytes<E> * E::kWordsOfA;
  k.b_group = kGroupBytes<E>;
  k.b_trailer = E::kTrailer ? 4 : 0;
  k.kc = E::kShape.kc;
  k.mc = E::kShape.mc;
  k.nc = E::kShape.nc;
  k.pack_a = pack_rows<E>;
  k.pack_b = pack_columns<E>;
  k.block = multiply_block<E>;
  return k;
}

}  // namespace

const ContractKernels* contract_kernels();

#if defined(__AVX512VNNI__)
}  // namespace UFUSE_TIER
namespace v4 {
const ContractKernels* contract_kernels();
}
namespace UFUSE_TIER {
// v4x is v4 with dot products: its float kernels would be the same 80 KiB of code again.
const ContractKernels* contract_kernels() {
  static const ContractKernels table{v4::contract_kernels()->f32, v4::contract_kernels()->f64,
                                     kernels_of<U8S8>(), quantize_row};
  return &table;
}
#else
const ContractKernels* contract_kernels() {
  static constexpr ContractKernels table{kernels_of<F32>(), kernels_of<F64>(), kernels_of<U8S8>(),
                                         quantize_row};
  return &table;
}
#endif

}  // namespace UFUSE_TIER
}  // namespace ufuse
