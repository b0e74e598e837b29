// The cells of groups and spans of segments for one tier: this file is compiled once per tier.
#include "segment/cells.hpp"
#include "segment/positions.hpp"
#include "segment/spans.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

/// Sums, products, smallest, largest: whatever has a fold and an identity.
template <template <class> class Reducer, class T>
  requires requires { Reducer<T>::identity; }
GroupKernel group_kernel_of() {
  using R = Reducer<T>;
  return {sizeof(typename R::wide), true, start_simple<R>, add_simple<R, T>, close_simple<R>};
}

/// Moments and what else keeps several accumulators.
template <template <class> class Reducer, class T>
  requires requires { typename Reducer<T>::parts; }
GroupKernel group_kernel_of() {
  using R = Reducer<T>;
  if constexpr (std::is_same_v<R, reducers::summary<T>> || std::is_same_v<R, reducers::central_moments<T>>)
    return {};  // several reducers at once are reductions of whole axes
  else if constexpr (std::is_same_v<R, reducers::nan_mean<T>>)
    return {sizeof(NanMeanCell), false, start_nan_mean, add_nan_mean<T>, close_nan_mean};
  else if constexpr (std::is_same_v<R, reducers::minmax<T>>)
    return {sizeof(MinmaxCell<T>), false, start_minmax<T>, add_minmax<T>, close_minmax<T>};
  else
    return {sizeof(MomentsCell), false, start_moments, add_moments<T, R::skips_nan>, close_moments};
}

/// Moments of small integers.
template <template <class> class Reducer, class T>
  requires requires { typename Reducer<T>::integer; }
GroupKernel group_kernel_of() {
  return {sizeof(MomentsCell), false, start_moments, add_moments<storage_t<T>, false>, close_moments};
}

template <template <class> class Reducer, class T>
  requires requires { Reducer<T>::largest; }
GroupKernel group_kernel_of() {
  using R = Reducer<T>;
  return {sizeof(IndexCell<typename R::element>), false, start_index<R>, add_index<R>, close_index<R>};
}

/// Compensated sums and sums of exponentials are of whole axes.
template <template <class> class Reducer, class T>
  requires(
      requires { Reducer<T>::compensates; } || requires { Reducer<T>::rescales; })
GroupKernel group_kernel_of() {
  return {};
}

/// The smallest and the largest of what has no NaN.
template <template <class> class Reducer, class T>
  requires requires { typename Reducer<T>::second; }
GroupKernel group_kernel_of() {
  return {sizeof(MinmaxCell<storage_t<T>>), false, start_minmax<T>, add_minmax<T>, close_minmax<T>};
}

/// The spans of reducers of one component.
template <template <class> class Reducer, class T>
void put_spans(PartKernels& t, ReducerId id, DType dtype) {
  using R = Reducer<T>;
  if constexpr (requires { R::identity; }) {
    auto& spans = t.spans[static_cast<int>(id)][static_cast<int>(dtype)];
    spans[0] = simple_spans<R, T, Plain<storage_t<T>>>;
    if constexpr (std::is_same_v<T, float>) {
      spans[1] = simple_spans<R, T, Coded<DecodeHalf>>;
      spans[2] = simple_spans<R, T, Coded<DecodeBfloat16>>;
    }
  }
}

PartKernels make_table() {
  PartKernels t{};
#define UFUSE_REDUCER_KERNEL(name, in, ...)                                   \
  t.reducer[static_cast<int>(ReducerId::name)][static_cast<int>(DType::in)] = \
      group_kernel_of<reducers::name, cpp_type<DType::in>>();                 \
  put_spans<reducers::name, cpp_type<DType::in>>(t, ReducerId::name, DType::in);
#include "reducers.inc"
#undef UFUSE_REDUCER_KERNEL
#define UFUSE_ELEMENT_TYPE(name, cpp, code)                               \
  if constexpr (std::is_integral_v<cpp> && !std::is_same_v<cpp, Bool8>) { \
    t.read_labels[static_cast<int>(DType::name)] = read_labels<cpp>;      \
  }
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  t.measure = measure_segments;
  t.clamp = clamp_positions;
  return t;
}

}  // namespace

const PartKernels* part_kernels() {
  static const PartKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
