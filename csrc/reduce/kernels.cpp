// Every reducer of the catalogue for one tier: this file is compiled once per tier.
#include "reduce/kernels.hpp"

#include "reduce/codes.hpp"
#include "reduce/columns.hpp"
#include "reduce/compensated.hpp"
#include "reduce/exponentials.hpp"
#include "reduce/integer_moments.hpp"
#include "reduce/pieces.hpp"
#include "reduce/rows.hpp"
#include "reduce/several.hpp"
#include "reduce/states.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class T>
void put_identity(ReducerKernel& kernel, T value) {
  std::memcpy(kernel.identity, &value, sizeof value);
}

template <class T>
using plain_t = Plain<reducers::storage_t<T>>;

/// Sums, products, smallest, largest: whatever has a fold and an identity.
template <template <class> class Reducer, class T, class Source>
  requires requires { Reducer<T>::identity; }
ReducerKernel kernel_of() {
  constexpr bool kPlain = std::is_same_v<Source, plain_t<T>>;
  using R = typename over<Reducer<T>, Source>::reducer;
  using From = typename over<Reducer<T>, Source>::source;
  using Element = std::conditional_t<kPlain, T, typename From::value>;
  using Lane = lane_sum_t<R, Element>;
  ReducerKernel k{};
  k.components = k.lane_components = 1;
  k.state_size[0] = sizeof(typename Reducer<T>::wide);
  k.lane_size[0] = sizeof(Lane);
  k.exact = R::exact;
  using Fold = typename R::wide;
  k.idempotent = R::exact && R::fold(Fold{2}, Fold{2}) == Fold{2};
  put_identity(k, Reducer<T>::element_identity);
  k.rows = simple_rows<R, Element, From>;
  k.columns = simple_columns<R, Element, From>;
  if constexpr (kPlain) {
    if constexpr (!R::exact) k.backward_rows = simple_rows<R, T, Backward<reducers::storage_t<T>>>;
    k.maskable = true;
    k.masked_rows = simple_rows<R, T, From, true>;
    k.masked_columns = simple_columns<R, T, From, true>;
    k.short_columns = short_columns<R, T, From>;
  }
  k.fold = simple_fold<R, Lane>;
  k.merge = simple_merge<Reducer<T>>;
  k.close = simple_close<R, Lane, From>;
  return k;
}

/// Moments and what else keeps several accumulators.
template <template <class> class Reducer, class T, class Source>
  requires requires { typename Reducer<T>::parts; }
ReducerKernel kernel_of() {
  constexpr bool kPlain = std::is_same_v<Source, plain_t<T>>;
  using R = Reducer<T>;
  using Chunks = typename over<R, Source>::reducer;
  ReducerKernel k{};
  k.lane_components = parts_in<Chunks>;
  each_part<Chunks>([&](auto i) { k.lane_size[i] = sizeof(typename part_of<Chunks, i>::wide); });
  k.maskable = kPlain;
  k.shifted = Chunks::shifted;
  k.skips_nan = Chunks::skips_nan;
  k.exact = is_exact<Chunks>;
  k.shared_lanes = shared_parts<Chunks>;
  k.rows = several_rows<Chunks, Source>;
  k.columns = several_columns<Chunks, Source>;
  k.fold = several_fold<Chunks>;
  k.close = several_close<Chunks>;
  if constexpr (kPlain && std::is_floating_point_v<T>) k.backward_rows = several_rows<R, Backward<T>>;
  for (auto& size : k.state_size) size = sizeof(double);
  if constexpr (kPlain && (R::shifted || R::skips_nan)) {
    k.masked_rows = several_rows<R, Source, true>;
    k.masked_columns = several_columns<R, Source, true>;
  }
  if constexpr (std::is_same_v<R, reducers::nan_mean<T>>) {
    k.components = 2;
    k.merge = nan_mean_merge;
  } else if constexpr (std::is_same_v<R, reducers::summary<T>>) {
    k.components = 7;
    k.maskable = false;
    k.state_size[5] = k.state_size[6] = sizeof(T);
    k.merge = summary_merge<T>;
  } else if constexpr (std::is_same_v<R, reducers::minmax<T>>) {
    k.components = 2;
    k.state_size[0] = k.state_size[1] = sizeof(T);
    k.maskable = false;
    k.merge = pair_merge<reducers::min<T>, reducers::max<T>>;
  } else if constexpr (std::is_same_v<R, reducers::central_moments<T>>) {
    k.components = 6;
    k.merge = central_moments_merge;
  } else {
    k.components = 4;
    k.merge = moments_merge;
  }
  if constexpr (R::skips_nan) put_identity(k, R::element_identity);
  return k;
}

/// A sum and what rounding takes from it.
template <template <class> class Reducer, class T, class Source>
  requires requires { Reducer<T>::compensates; }
ReducerKernel kernel_of() {
  ReducerKernel k{};
  k.components = k.lane_components = 2;
  for (int i = 0; i < 2; ++i) k.state_size[i] = k.lane_size[i] = sizeof(double);
  put_identity(k, T{0});
  k.maskable = true;
  k.rows = compensated_rows<Source>;
  k.columns = compensated_columns<Source>;
  k.fold = k.merge = compensated_merge;
  k.close = compensated_close;
  return k;
}

/// Sums of exponentials.
template <template <class> class Reducer, class T, class Source>
  requires requires { Reducer<T>::rescales; }
ReducerKernel kernel_of() {
  ReducerKernel k{};
  k.components = k.lane_components = 3;
  k.state_size[0] = k.lane_size[0] = k.lane_size[1] = sizeof(T);
  k.state_size[1] = k.state_size[2] = k.lane_size[2] = sizeof(double);
  put_identity(k, -std::numeric_limits<T>::infinity());
  k.maskable = true;
  k.rows = exponentials_rows<T, Source>;
  k.columns = exponentials_columns<T, Source>;
  if constexpr (std::is_same_v<Source, Plain<T>>) k.masked_columns = exponentials_columns<T, Source, true>;
  k.fold = exponentials_merge<T, T>;
  k.close = exponentials_close<T>;
  k.merge = exponentials_merge<T, double>;
  return k;
}

/// Moments of small integers.
template <template <class> class Reducer, class T, class>
  requires requires { typename Reducer<T>::integer; }
ReducerKernel kernel_of() {
  using Kernels = IntegerMoments<Reducer<T>>;
  ReducerKernel k{};
  k.components = 4;
  k.lane_components = 2;
  k.lane_size[0] = sizeof(typename Kernels::Sum);
  k.lane_size[1] = sizeof(typename Kernels::Squares);
  for (auto& size : k.state_size) size = sizeof(double);
  k.exact = k.maskable = k.shifted = true;
  k.rows = Kernels::rows;
  k.columns = Kernels::columns;
  k.fold = Kernels::fold;
  k.close = Kernels::close;
  k.merge = moments_merge;
  return k;
}

template <template <class> class Reducer, class T, class Source>
  requires requires { Reducer<T>::largest; }
ReducerKernel kernel_of() {
  using R = typename over<Reducer<T>, Source>::reducer;
  using From = typename over<Reducer<T>, Source>::source;
  using S = typename R::element;
  ReducerKernel k{};
  k.components = k.lane_components = 2;
  k.state_size[0] = sizeof(typename Reducer<T>::element);
  k.state_size[1] = sizeof(std::int64_t);
  k.indexed = true;
  k.lane_size[0] = k.lane_size[1] = sizeof(index_value_t<S>);
  put_identity(k, Reducer<T>::fold_value::element_identity);
  k.maskable = true;
  k.rows = index_rows<R, From>;
  k.columns = index_columns<R, From>;
  if constexpr (std::is_same_v<From, Plain<S>> && std::is_floating_point_v<T>)
    k.backward_rows = index_rows<R, Backward<S>>;
  k.fold = index_fold<R>;
  k.close = index_close<R, From>;
  k.merge = index_merge<Reducer<T>>;
  return k;
}

/// The smallest and the largest: two simple reducers that take turns while the elements are in L1.
template <template <class> class Reducer, class T, class>
  requires requires { typename Reducer<T>::second; }
ReducerKernel kernel_of() {
  using A = typename Reducer<T>::first;
  using B = typename Reducer<T>::second;
  ReducerKernel k{};
  k.components = k.lane_components = 2;
  k.state_size[0] = k.lane_size[0] = k.state_size[1] = k.lane_size[1] = sizeof(typename A::wide);
  k.exact = true;
  k.rows = pair_rows<A, B, T>;
  k.columns = pair_columns<A, B, T>;
  k.fold = k.merge = pair_merge<A, B>;
  k.close = pair_close<A, B>;
  return k;
}

template <template <class> class Reducer, DType Type>
void put_kernels(ReduceKernels& t, ReducerId id) {
  using T = cpp_type<Type>;
  const int row = static_cast<int>(id);
  t.reducer[row][static_cast<int>(Type)] = kernel_of<Reducer, T, plain_t<T>>();
  if constexpr (std::is_same_v<T, float>) {
    t.coded[0][row] = kernel_of<Reducer, T, Coded<DecodeHalf>>();
    t.coded[1][row] = kernel_of<Reducer, T, Coded<DecodeBfloat16>>();
  }
}

template <class From, class To>
void put_value(ReduceKernels& t, DType from, DType to) {
  t.finish[static_cast<int>(Finish::value)][static_cast<int>(from)][static_cast<int>(to)] =
      finish_value<From, To>;
}
template <class From>
void put_mean(ReduceKernels& t, DType from) {
  auto* row = t.finish[static_cast<int>(Finish::mean)][static_cast<int>(from)];
  row[static_cast<int>(DType::F32)] = finish_mean<From, float>;
  row[static_cast<int>(DType::F64)] = finish_mean<From, double>;
}

ReduceKernels make_table() {
  ReduceKernels t{};
#define UFUSE_REDUCER_KERNEL(name, in, ...) put_kernels<reducers::name, DType::in>(t, ReducerId::name);
#include "reducers.inc"
#undef UFUSE_REDUCER_KERNEL

  // Extremes keep their type; integer sums go to every integer (wrapping) and float, float sums to floats.
#define UFUSE_ELEMENT_TYPE(name, cpp, code)                                                                  \
  put_value<reducers::storage_t<cpp>, reducers::storage_t<cpp>>(t, DType::name, DType::name);                \
  if constexpr (!std::is_same_v<cpp, Bool8>) {                                                               \
    if constexpr (std::is_integral_v<cpp> || std::is_same_v<cpp, float>) {                                   \
      put_value<std::int64_t, cpp>(t, DType::I64, DType::name);                                              \
      put_value<std::uint64_t, cpp>(t, DType::U64, DType::name);                                             \
    }                                                                                                        \
  }                                                                                                          \
  if constexpr (!std::is_same_v<cpp, Bool8>)                                                                 \
    t.finish[static_cast<int>(Finish::span)][static_cast<int>(DType::name)][static_cast<int>(DType::name)] = \
        finish_span<cpp>;                                                                                    \
  t.pieces.to_f64[static_cast<int>(DType::name)] = to_f64<cpp>;                                              \
  t.pieces.mask_columns[static_cast<int>(DType::name)] = mask_columns<cpp>;
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  put_value<std::int64_t, double>(t, DType::I64, DType::F64);
  put_value<std::uint64_t, double>(t, DType::U64, DType::F64);
  put_value<double, float>(t, DType::F64, DType::F32);
  put_mean<double>(t, DType::F64);
  put_mean<std::int64_t>(t, DType::I64);
  put_mean<std::uint64_t>(t, DType::U64);
  auto& ratio = t.finish[static_cast<int>(Finish::ratio)][static_cast<int>(DType::F64)];
  ratio[static_cast<int>(DType::F32)] = finish_ratio<float>;
  ratio[static_cast<int>(DType::F64)] = finish_ratio<double>;
  t.finish[static_cast<int>(Finish::nonzero)][static_cast<int>(DType::I64)][static_cast<int>(DType::Bool)] =
      finish_nonzero;
  t.finish[static_cast<int>(Finish::complete)][static_cast<int>(DType::I64)][static_cast<int>(DType::Bool)] =
      finish_complete;
  auto put_floats = [&t](Finish finish, FinishKernel narrow, FinishKernel wide) {
    auto* row = t.finish[static_cast<int>(finish)][static_cast<int>(DType::F64)];
    row[static_cast<int>(DType::F32)] = narrow;
    row[static_cast<int>(DType::F64)] = wide;
  };
  put_floats(Finish::skewness, finish_skewness<float>, finish_skewness<double>);
  put_floats(Finish::kurtosis, finish_kurtosis<float>, finish_kurtosis<double>);
  put_floats(Finish::restored, finish_restored<float>, finish_restored<double>);
  put_floats(Finish::log_total, finish_log_total<float>, finish_log_total<double>);
  auto put_exponentials = [&t]<class T>(T, DType type) {
    auto row = [&t, type](Finish finish) {
      return t.finish[static_cast<int>(finish)][static_cast<int>(type)];
    };
    row(Finish::logsumexp)[static_cast<int>(type)] = finish_logsumexp<T, T>;
    row(Finish::share)[static_cast<int>(type)] = finish_share<T, T>;
  };
  put_exponentials(float{}, DType::F32);
  put_exponentials(double{}, DType::F64);
  auto& root = t.finish[static_cast<int>(Finish::root)][static_cast<int>(DType::F64)];
  root[static_cast<int>(DType::F32)] = finish_root<float>;
  root[static_cast<int>(DType::F64)] = finish_root<double>;
  auto& variance = t.finish[static_cast<int>(Finish::variance)][static_cast<int>(DType::F64)];
  variance[static_cast<int>(DType::F32)] = finish_variance<float, false>;
  variance[static_cast<int>(DType::F64)] = finish_variance<double, false>;
  auto& deviation = t.finish[static_cast<int>(Finish::deviation)][static_cast<int>(DType::F64)];
  deviation[static_cast<int>(DType::F32)] = finish_variance<float, true>;
  deviation[static_cast<int>(DType::F64)] = finish_variance<double, true>;

  t.pieces.decode[1] = decode_half;
  t.pieces.decode[2] = decode_bfloat16;
  t.pieces.decode[3] = decode_table;
  t.pieces.to_half[0] = to_half<float>;
  t.pieces.to_half[1] = to_half<double>;
  t.pieces.count_columns = count_columns;
  t.pieces.count_bytes = count_bytes;
  t.pieces.not_nan[0] = not_nan<float>;
  t.pieces.not_nan[1] = not_nan<double>;
#define UFUSE_PIECES(i, type)          \
  t.pieces.gather[i] = gather<type>;   \
  t.pieces.split[i] = split<type>;     \
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
