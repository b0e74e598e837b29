// Every reducer of the catalogue for one tier: this file is compiled once per tier.
#include "reduce/kernels.hpp"

#include "reduce/columns.hpp"
#include "reduce/pieces.hpp"
#include "reduce/rows.hpp"
#include "reduce/states.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class T>
void put_identity(ReducerKernel& kernel, T value) {
  std::memcpy(kernel.identity, &value, sizeof value);
}

/// Sums, products, smallest, largest: whatever has a fold and an identity.
template <template <class> class Reducer, class T>
  requires requires { Reducer<T>::identity; }
ReducerKernel kernel_of() {
  using R = Reducer<T>;
  ReducerKernel k{};
  k.components = k.lane_components = 1;
  k.state_size[0] = k.lane_size[0] = sizeof(typename R::wide);
  k.exact = R::exact;
  put_identity(k, R::element_identity);
  k.rows = simple_rows<R, T>;
  k.columns = simple_columns<R, T>;
  k.fold = k.merge = simple_merge<R>;
  k.close = simple_close<R>;
  return k;
}

template <template <class> class Reducer, class T>
  requires requires { &Reducer<T>::pivot_of; }
ReducerKernel kernel_of() {
  ReducerKernel k{};
  k.components = 4;
  k.lane_components = 2;
  for (auto& size : k.state_size) size = sizeof(double);
  k.lane_size[0] = k.lane_size[1] = sizeof(double);
  k.shifted = true;
  k.rows = moments_rows<T>;
  k.columns = moments_columns<T>;
  k.fold = moments_fold;
  k.close = moments_close;
  k.merge = moments_merge;
  return k;
}

template <template <class> class Reducer, class T>
  requires requires { Reducer<T>::largest; }
ReducerKernel kernel_of() {
  using R = reducers::extreme_index<T, Reducer<T>::largest>;
  using S = typename R::element;
  ReducerKernel k{};
  k.components = k.lane_components = 2;
  k.state_size[0] = sizeof(S);
  k.state_size[1] = sizeof(std::int64_t);
  k.lane_size[0] = k.lane_size[1] = sizeof(index_value_t<S>);
  put_identity(k, R::fold_value::element_identity);
  k.rows = index_rows<R, T>;
  k.columns = index_columns<R>;
  k.fold = index_fold<R>;
  k.close = index_close<R>;
  k.merge = index_merge<R>;
  return k;
}

template <class From, class To>
void put_value(ReduceKernels& t, DType from, DType to) {
  t.finish[static_cast<int>(Finish::value)][static_cast<int>(from)][static_cast<int>(to)] =
      finish_value<From, To, 0>;
}
template <class From>
void put_mean(ReduceKernels& t, DType from) {
  auto* row = t.finish[static_cast<int>(Finish::mean)][static_cast<int>(from)];
  row[static_cast<int>(DType::F32)] = finish_mean<From, float>;
  row[static_cast<int>(DType::F64)] = finish_mean<From, double>;
}

ReduceKernels make_table() {
  ReduceKernels t{};
#define UFUSE_REDUCER_KERNEL(name, in, ...)                                   \
  t.reducer[static_cast<int>(ReducerId::name)][static_cast<int>(DType::in)] = \
      kernel_of<reducers::name, cpp_type<DType::in>>();
#include "catalogue.inc"
#undef UFUSE_REDUCER_KERNEL

  // Extremes keep their type; integer sums go to every integer (wrapping) and float, float sums to floats.
#define UFUSE_ELEMENT_TYPE(name, cpp, code)                                                   \
  put_value<reducers::storage_t<cpp>, reducers::storage_t<cpp>>(t, DType::name, DType::name); \
  if constexpr (!std::is_same_v<cpp, Bool8>) {                                                \
    if constexpr (std::is_integral_v<cpp> || std::is_same_v<cpp, float>) {                    \
      put_value<std::int64_t, cpp>(t, DType::I64, DType::name);                               \
      put_value<std::uint64_t, cpp>(t, DType::U64, DType::name);                              \
    }                                                                                         \
  }                                                                                           \
  t.pieces.to_f64[static_cast<int>(DType::name)] = to_f64<cpp>;
#include "catalogue.inc"
#undef UFUSE_ELEMENT_TYPE
  put_value<std::int64_t, double>(t, DType::I64, DType::F64);
  put_value<std::uint64_t, double>(t, DType::U64, DType::F64);
  put_value<double, float>(t, DType::F64, DType::F32);
  put_mean<double>(t, DType::F64);
  put_mean<std::int64_t>(t, DType::I64);
  put_mean<std::uint64_t>(t, DType::U64);
  for (auto& row : t.finish[static_cast<int>(Finish::index)])
    row[static_cast<int>(DType::I64)] = finish_value<std::int64_t, std::int64_t, 1>;
  auto& variance = t.finish[static_cast<int>(Finish::variance)][static_cast<int>(DType::F64)];
  variance[static_cast<int>(DType::F32)] = finish_variance<float, false>;
  variance[static_cast<int>(DType::F64)] = finish_variance<double, false>;
  auto& deviation = t.finish[static_cast<int>(Finish::deviation)][static_cast<int>(DType::F64)];
  deviation[static_cast<int>(DType::F32)] = finish_variance<float, true>;
  deviation[static_cast<int>(DType::F64)] = finish_variance<double, true>;

  constexpr int f64 = static_cast<int>(DType::F64);
  t.finish[static_cast<int>(Finish::state)][f64][f64] = finish_state;

  t.pieces.not_nan[0] = not_nan<float>;
  t.pieces.not_nan[1] = not_nan<double>;
#define UFUSE_PIECES(i, type)          \
  t.pieces.gather[i] = gather<type>;   \
  t.pieces.swap[i] = swap_bytes<type>; \
  t.pieces.mask[i] = mask_out<type>;
  UFUSE_PIECES(0, std::uint8_t)
  UFUSE_PIECES(1, std::uint16_t)
  UFUSE_PIECES(2, std::uint32_t)
  UFUSE_PIECES(3, std::uint64_t)
#undef UFUSE_PIECES
  return t;
}

}  // namespace

const ReduceKernels* reduce_kernels() {
  static const ReduceKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
