// The contraction kernels of one CPU tier: compiled once per tier with -DUFUSE_TIER=<tier>.
#include "contract/kernels.hpp"

#include "contract/int16.hpp"
#include "contract/int8.hpp"
#include "contract/kernels_of.hpp"
#include "contract/quantize_row.hpp"
#if defined(__AVX512VNNI__)
#include "contract/tiles.hpp"
#endif

namespace ufuse {
namespace UFUSE_TIER {

const ContractKernels* contract_kernels();

#if defined(__AVX512VNNI__)
}  // namespace UFUSE_TIER
namespace v4 {
const ContractKernels* contract_kernels();
}
namespace UFUSE_TIER {
// v4x is v4 with dot products: its other kernels would be the same code again.
const ContractKernels* contract_kernels() {
  static const ContractKernels table = [] {
    ContractKernels kernels = *v4::contract_kernels();
    kernels.u8s8 = kernels_of<U8S8>();
    kernels.s8u8 = kernels_of<S8U8>();
    kernels.i16 = kernels_of<I16>();
    // Intel's cores take four cycles for the instruction: a Xeon with AMX reaches 110 GFLOP/s a core by it,
    // and 145 by v4's multiply-adds, with the same bits.
    __builtin_cpu_init();
    if (__builtin_cpu_is("intel") == 0) kernels.bf16 = kernels_of<BF16>();
    kernels.quantize_row = quantize_row;
    return kernels;
  }();
  return &table;
}

/// Those of v4a: v4x's with tiles for int8 and bfloat16.
const ContractKernels* tile_kernels();
const ContractKernels* tile_kernels() {
  static const ContractKernels table = [] {
    ContractKernels kernels = *contract_kernels();
    kernels.u8s8 = tile_kernels_of<U8S8>();
    kernels.s8u8 = tile_kernels_of<S8U8>();
    kernels.bf16_tiles = tile_kernels_of<BF16>();
    return kernels;
  }();
  return &table;
}
#else
const ElementKernels* semiring_kernels();

namespace {

template <class E>
constexpr ElementKernels complex_kernels() {
  ElementKernels k = kernels_of<E>();
  k.pack_b = pack_complex_columns<E>;
  k.in_place = false;
  k.items = nullptr;
  k.few = nullptr;
  return k;
}

}  // namespace

const ContractKernels* contract_kernels() {
  static const ContractKernels table{kernels_of<F32>(),
                                     kernels_of<F64>(),
                                     kernels_of<U8S8>(),
                                     kernels_of<S8U8>(),
                                     complex_kernels<F32>(),
                                     complex_kernels<F64>(),
                                     kernels_of<BF16>(),
                                     kernels_of<I16>(),
                                     kernels_of<I32>(),
                                     kernels_of<I64>(),
                                     semiring_kernels(),
                                     {gather_panel<std::uint8_t>, gather_panel<std::uint16_t>,
                                      gather_panel<std::uint32_t>, gather_panel<std::uint64_t>},
                                     quantize_row,
                                     {}};
  return &table;
}
#endif

}  // namespace UFUSE_TIER
}  // namespace ufuse
