// Reductions: ndarrays to the engine's pointers and byte strides. Python has validated everything else.
#include "reduce/reduction.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

// Below this many elements, giving up the GIL and taking it back costs more than the work.
constexpr py::ssize_t kSmall = 16384;

struct Strides {
  std::int64_t bytes[kMaxReduceAxes];
};

DType dtype_of_array(const py::dtype& dtype) {
  const std::string code = dtype.kind() == 'b' ? "?" : dtype.kind() + std::to_string(dtype.itemsize());
  DType found;
  if (!dtype_of(code, found)) throw std::invalid_argument("ufuse reduce: no element type '" + code + "'");
  return found;
}

DType dtype_of_code(const std::string& code) {
  DType found;
  if (!dtype_of(code, found)) throw std::invalid_argument("ufuse reduce: no element type '" + code + "'");
  return found;
}

ReducerId reducer_of(const std::string& wanted) {
#define UFUSE_REDUCER(name, components) \
  if (wanted == #name) return ReducerId::name;
#include "catalogue.inc"
#undef UFUSE_REDUCER
  throw std::invalid_argument("ufuse reduce: no reducer '" + wanted + "'");
}

Finish finish_of(const std::string& wanted) {
#define UFUSE_FINISH(name) \
  if (wanted == #name) return Finish::name;
#include "catalogue.inc"
#undef UFUSE_FINISH
  throw std::invalid_argument("ufuse reduce: no finish '" + wanted + "'");
}

void check_shape(const py::array& array, const py::array& like, const char* what, std::uint64_t reduced = 0) {
  bool same = array.ndim() == like.ndim();
  for (py::ssize_t i = 0; same && i < like.ndim(); ++i)
    same = array.shape(i) == (reduced >> i & 1 ? 1 : like.shape(i));
  if (!same) throw std::invalid_argument(std::string("ufuse reduce: ") + what + " of another shape");
}

const std::int64_t* strides_of(const py::array& array, Strides& strides) {
  for (py::ssize_t i = 0; i < array.ndim(); ++i) strides.bytes[i] = array.strides(i);
  return strides.bytes;
}

ReduceInput input_of(const py::array& array, Strides& strides) {
  const char order = array.dtype().byteorder();
  return {static_cast<const char*>(array.data()), dtype_of_array(array.dtype()), order == '>',
          strides_of(array, strides)};
}

using SlotSpec = std::tuple<std::string, int, std::string, std::string, int, py::array, double, double,
                            std::optional<py::bytes>>;

void set_coding(Reduction& r, const std::string& wanted, const std::optional<py::array_t<float>>& table) {
  constexpr const char* names[] = {"plain", "half", "bfloat16", "table"};
  int found = 0;
  while (found < 4 && wanted != names[found]) ++found;
  const auto coding = static_cast<Coding>(found);
  const bool known = found < 4 && (coding != Coding::table || (table && table->size() == 256));
  const DType stored = coding == Coding::table ? DType::U8 : DType::U16;
  for (int k = 0; k < r.inputs; ++k) {
    if (!known || (coding != Coding::plain && r.input[k].dtype != stored))
      throw std::invalid_argument("ufuse reduce: no such coding of the elements: '" + wanted + "'");
    r.input[k].coding = coding;
    if (coding == Coding::table) r.input[k].table = table->data();
  }
}

void reduce_arrays(const std::vector<py::array>& inputs, std::uint64_t axes,
                   const std::vector<SlotSpec>& slots, const std::optional<py::array>& where, bool skip_nan,
                   const std::string& coding, const std::optional<py::array_t<float>>& table) {
  if (inputs.empty() || inputs.size() > kMaxReduceInputs || slots.empty() || slots.size() > kMaxSlots)
    throw std::invalid_argument("ufuse reduce: between 1 and 8 inputs and 1 and 16 slots");
  const py::array& x = inputs[0];
  Reduction r;
  r.axes = static_cast<int>(x.ndim());
  std::int64_t shape[kMaxReduceAxes];
  for (int i = 0; i < r.axes; ++i) shape[i] = x.shape(i);
  r.shape = shape;
  r.reduced = axes;
  r.inputs = static_cast<int>(inputs.size());
  Strides strides[kMaxReduceInputs + 1], out_strides[kMaxSlots];
  for (int k = 0; k < r.inputs; ++k) {
    check_shape(inputs[static_cast<std::size_t>(k)], x, "an input");
    r.input[k] = input_of(inputs[static_cast<std::size_t>(k)], strides[k]);
  }
  ReduceInput mask;
  if (where) {
    check_shape(*where, x, "where");
    mask = input_of(*where, strides[kMaxReduceInputs]);
    if (mask.dtype != DType::Bool) throw std::invalid_argument("ufuse reduce: where is not bool");
    r.mask = &mask;
  }
  r.skip_nan = skip_nan;
  set_coding(r, coding, table);
  r.slots = static_cast<int>(slots.size());
  alignas(8) char initial[kMaxSlots][8];
  for (int s = 0; s < r.slots; ++s) {
    const auto& [reducer, input, element, finish, component, out, divisor, ddof, start] =
        slots[static_cast<std::size_t>(s)];
    check_shape(out, x, "an output", axes);
    if (input < 0 || input >= r.inputs) throw std::invalid_argument("ufuse reduce: no such input");
    ReduceSlot& slot = r.slot[s];
    slot.reducer = reducer_of(reducer);
    slot.input = input;
    slot.element = dtype_of_code(element);
    slot.finish = finish_of(finish);
    if (component < 0) throw std::invalid_argument("ufuse reduce: no such component");
    slot.component = component;
    slot.result = dtype_of_array(out.dtype());
    slot.out = static_cast<char*>(py::array(out).mutable_data());  // throws where it is read-only
    slot.out_strides = strides_of(out, out_strides[s]);
    slot.divisor = divisor;
    slot.ddof = ddof;
    if (!start) continue;
    const auto bytes = static_cast<std::string_view>(*start);
    if (bytes.size() > sizeof initial[s])
      throw std::invalid_argument("ufuse reduce: initial of the wrong size");
    std::memcpy(initial[s], bytes.data(), bytes.size());
    slot.initial = initial[s];
  }
  const ReduceKernels& kernels = reduce_kernels(active_tier());
  if (x.size() < kSmall) {
    reduce(r, kernels);
  } else {
    const py::gil_scoped_release released;
    reduce(r, kernels);
  }
}

}  // namespace

void register_reduce(py::module_& m) {
  m.def(
      "reduce", &reduce_arrays, py::arg("inputs"), py::arg("axes"), py::arg("slots"),
      py::arg("where") = py::none(), py::arg("skip_nan") = false, py::arg("coding") = "plain",
      py::arg("table") = py::none(),
      "Reduce arrays of one shape over the axes of a bit mask, in one read.\n\n"
      "A slot is (reducer, input, element code, finish, component, out, divisor, ddof, initial): `out` has "
      "the inputs'\n"
      "shape with 1 for each reduced axis, and `initial` is the bytes of a first state component, or None.\n"
      "`coding` says how the bits of narrow floats in u2 or u1 arrays are read; they are reduced as f4.");
}

}  // namespace ufuse
