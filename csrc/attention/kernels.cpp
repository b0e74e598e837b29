// Attention for one tier: this file is compiled once per tier.
#include "attention/kernels.hpp"

#include "attention/row.hpp"
#include "attention/rows.hpp"
#include "attention/tile.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class T>
void block(const AttentionBlock& b) {
  static_assert(kAttentionVectors == 2);
  if (b.vectors == 2)
    add_block<T, 2>(b);
  else if (b.vectors == 1)
    add_block<T, 1>(b);
  else
    Row<T>::add(b);
}

template <class T>
constexpr AttentionTable table_of() {
  static_assert(kAttentionVectors * Register<T>::size <= kAttentionQueries);
  return {Register<T>::size, sizeof(T), read<T>, write<T>, turn<T>, block<T>, finish<T>, finite<T>};
}

}  // namespace

const AttentionKernels* attention_kernels();
const AttentionKernels* attention_kernels() {
  static constexpr AttentionKernels table{table_of<float>(), table_of<double>()};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
