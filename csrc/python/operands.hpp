// What the bindings of reductions share: ndarrays to the engine's inputs, names to its numbers. Python has
// validated what a user gives; what is checked here keeps the engine's memory safe.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "reduce/reduction.hpp"

namespace ufuse {

// Below this many elements, giving up the GIL and taking it back costs more than the work.
inline constexpr pybind11::ssize_t kSmall = 16384;

/// What `body` returns of work on so many elements, done without the GIL where that is worth it.
template <class Body>
auto without_gil(pybind11::ssize_t elements, Body body) {
  if (elements < kSmall) return body();
  const pybind11::gil_scoped_release released;
  return body();
}

/// The 256 values of a narrow float of one byte, where there is one.
using CodeValues = std::optional<pybind11::array_t<float>>;

struct Strides {
  std::int64_t bytes[kMaxReduceAxes];
};

inline const std::int64_t* strides_of(const pybind11::array& array, Strides& strides) {
  for (pybind11::ssize_t i = 0; i < array.ndim(); ++i) strides.bytes[i] = array.strides(i);
  return strides.bytes;
}

/// Writes the strides of an array over a shape that it broadcasts to, that of `x`; of as many dimensions.
inline void broadcast_to(const pybind11::array& array, const pybind11::array& x, std::int64_t* strides,
                         const char* what) {
  bool fits = array.ndim() == x.ndim();
  for (pybind11::ssize_t i = 0; fits && i < x.ndim(); ++i) {
    fits = array.shape(i) == x.shape(i) || array.shape(i) == 1;
    strides[i] = array.shape(i) == 1 ? 0 : array.strides(i);
  }
  if (!fits) throw std::invalid_argument(std::string("ufuse ") + what + ": unlike arrays");
}

inline DType dtype_of_code(std::string_view code) {
  DType found;
  if (!dtype_of(code, found))
    throw std::invalid_argument("ufuse: no element type '" + std::string(code) + "'");
  return found;
}

inline DType dtype_of_array(const pybind11::array& array) {
  const pybind11::dtype dtype = array.dtype();
  return dtype_of_code(dtype.kind() == 'b' ? "?" : dtype.kind() + std::to_string(dtype.itemsize()));
}

inline ReduceInput input_of(const pybind11::array& array, Strides& strides) {
  ReduceInput input;
  input.data = static_cast<const char*>(array.data());
  input.dtype = dtype_of_array(array);
  input.swapped = array.dtype().byteorder() == '>';
  input.strides = strides_of(array, strides);
  return input;
}

/// How elements stored as `stored` are written, by its name.
inline Coding coding_of(const std::string& wanted, DType stored, const CodeValues& values) {
  constexpr const char* names[] = {"plain", "half", "bfloat16", "table"};
  int found = 0;
  while (found < 4 && wanted != names[found]) ++found;
  const auto coding = static_cast<Coding>(found);
  const bool table = coding == Coding::table;
  const bool known = found < 4 && (!table || (values && values->size() == 256));
  if (!known || (coding != Coding::plain && stored != (table ? DType::U8 : DType::U16)))
    throw std::invalid_argument("ufuse: no such coding of the elements: '" + wanted + "'");
  return coding;
}

inline void set_coding(ReduceInput& input, const std::string& wanted, const CodeValues& values) {
  input.coding = coding_of(wanted, input.dtype, values);
  if (input.coding == Coding::table) input.table = values->data();
}

inline ReducerId reducer_of(const std::string& wanted) {
#define UFUSE_REDUCER(name, components) \
  if (wanted == #name) return ReducerId::name;
#include "reducers.inc"
#undef UFUSE_REDUCER
  throw std::invalid_argument("ufuse: no reducer '" + wanted + "'");
}

inline Finish finish_of(const std::string& wanted) {
#define UFUSE_FINISH(name) \
  if (wanted == #name) return Finish::name;
#include "reducers.inc"
#undef UFUSE_FINISH
  throw std::invalid_argument("ufuse: no finish '" + wanted + "'");
}

}  // namespace ufuse
