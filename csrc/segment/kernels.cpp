// The cells of groups for one tier: this file is compiled once per tier.
#include "segment/cells.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <template <class> class Reducer, class T>
  requires requires { Reducer<T>::identity; }
GroupKernel group_kernel_of() {
  using R = Reducer<T>;
  return {sizeof(typename R::wide), true,           start_simple<R>, add_simple<R, T>,
          add_simple<R, T>,         close_simple<R>};
}

template <template <class> class Reducer, class T>
  requires requires { &Reducer<T>::pivot_of; }
GroupKernel group_kernel_of() {
  return {sizeof(MomentsCell),  false,        start_moments, add_moments<T, false>,
          add_moments<T, true>, close_moments};
}

template <template <class> class Reducer, class T>
  requires requires { Reducer<T>::largest; }
GroupKernel group_kernel_of() {
  using R = reducers::extreme_index<T, Reducer<T>::largest>;
  constexpr bool kNan = std::is_floating_point_v<T>;
  return {sizeof(IndexCell<typename R::element>),
          false,
          start_index<R>,
          add_index<R, false>,
          add_index<R, kNan>,
          close_index<R>};
}

GroupKernels make_table() {
  GroupKernels t{};
#define UFUSE_REDUCER_KERNEL(name, in, ...)                                   \
  t.reducer[static_cast<int>(ReducerId::name)][static_cast<int>(DType::in)] = \
      group_kernel_of<reducers::name, cpp_type<DType::in>>();
#include "catalogue.inc"
#undef UFUSE_REDUCER_KERNEL
#define UFUSE_ELEMENT_TYPE(name, cpp, code)                               \
  if constexpr (std::is_integral_v<cpp> && !std::is_same_v<cpp, Bool8>) { \
    t.largest[static_cast<int>(DType::name)] = largest_label<cpp>;        \
    t.narrow[static_cast<int>(DType::name)] = narrow_labels<cpp>;         \
  }
#include "catalogue.inc"
#undef UFUSE_ELEMENT_TYPE
  return t;
}

}  // namespace

const GroupKernels* group_kernels() {
  static const GroupKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
