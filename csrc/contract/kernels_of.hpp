// The table's entry of one element combination.
#pragma once

#include "contract/kernels.hpp"
#include "contract/micro.hpp"
#include "contract/pack.hpp"
#include "contract/small.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class E>
struct PackedAs {
  using type = E;
};
template <class E>
  requires requires { typename E::Packed; }
struct PackedAs<E> {
  using type = typename E::Packed;
};

template <class E>
void largest_kernels(const void* (&at)[3]) {
  constexpr int kVectors = E::kShape.vectors - 1, kRows = E::kShape.mr - 1;
  at[0] = reinterpret_cast<const void*>(kMicro<E, false>.at[kVectors][kRows]);
  at[1] = at[2] = nullptr;
  if constexpr (E::kInPlace) at[1] = reinterpret_cast<const void*>(kMicro<E, true>.at[kVectors][kRows]);
  if constexpr (E::kSpecials)
    at[2] = reinterpret_cast<const void*>(kMicro<typename E::Careful, false>.at[kVectors][kRows]);
}

template <class E>
constexpr ElementKernels kernels_of() {
  using P = typename PackedAs<E>::type;
  constexpr int kSize = is_bits<E> ? 1 : static_cast<int>(sizeof(typename E::Storage));
  ElementKernels k{};
  k.mr = E::kShape.mr;
  k.nr = kTileColumns<E>;
  k.lanes = E::Vector::size;
  k.group = E::kGroup;
  k.b_size = kSize;
  k.c_size = is_bits<E> ? 1 : static_cast<int>(sizeof(typename E::Accumulator));
  k.a_group = E::kGroupBytes * E::kWordsOfA;
  k.b_group = E::kGroupBytes;
  k.b_trailer = kTrailerBytes<E>;
  k.in_place = E::kInPlace;
  k.squares = E::kSquares;
  k.kc = E::kShape.kc;
  k.mc = E::kShape.mc;
  k.nc = E::kShape.nc;
  k.pack_a = pack_rows<P>;
  k.pack_b = pack_columns<P>;
  k.block = multiply_block<E>;
  if constexpr (E::kInPlace) {
    k.items = multiply_items<E>;
    k.few = multiply_few<E>;
  }
  k.largest = largest_kernels<E>;
  return k;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
