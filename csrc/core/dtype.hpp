// Element types and their sizes, from the catalogue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "simd/scalar.hpp"

namespace ufuse {

enum class DType : std::uint8_t {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) name,
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
};

template <DType>
struct CppTypeOf;
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  template <>                               \
  struct CppTypeOf<DType::name> {           \
    using type = cpp;                       \
  };
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
template <DType D>
using cpp_type = typename CppTypeOf<D>::type;

/// What an element of type T is stored as: itself, but for the bool's byte.
template <class T>
struct StorageOf {
  using type = T;
};
template <>
struct StorageOf<Bool8> {
  using type = std::uint8_t;
};
template <class T>
using storage_t = typename StorageOf<T>::type;
template <DType D>
using storage = storage_t<cpp_type<D>>;

constexpr std::size_t item_size(DType dtype) {
  constexpr std::size_t sizes[] = {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) sizeof(cpp),
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  };
  return sizes[static_cast<std::size_t>(dtype)];
}

constexpr int log2_size(DType dtype) {
  const std::size_t size = item_size(dtype);
  return size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
}

constexpr std::string_view code_of(DType dtype) {
  constexpr std::string_view codes[] = {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) code,
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  };
  return codes[static_cast<std::size_t>(dtype)];
}

/// The element type of a code such as "f4"; false where there is none.
constexpr bool dtype_of(std::string_view wanted, DType& dtype) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  if (wanted == code) {                     \
    dtype = DType::name;                    \
    return true;                            \
  }
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  return false;
}

}  // namespace ufuse
