// Reductions: ndarrays to the engine's pointers and byte strides. Python has validated everything else.
#include "reduce/reduction.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "program/map_reduce.hpp"
#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

std::span<const py::ssize_t> shape_of(const py::array& array) {
  return {array.shape(), static_cast<std::size_t>(array.ndim())};
}

void check_shape(const py::array& array, std::span<const py::ssize_t> shape, const char* what,
                 std::uint64_t reduced = 0) {
  const auto axes = static_cast<py::ssize_t>(shape.size());
  bool same = array.ndim() == axes;
  for (py::ssize_t i = 0; same && i < axes; ++i)
    same = array.shape(i) == (reduced >> i & 1 ? 1 : shape[static_cast<std::size_t>(i)]);
  if (!same) throw std::invalid_argument(std::string("ufuse reduce: ") + what + " of another shape");
}

using SlotSpec = std::tuple<std::string, int, std::string, std::string, int, py::array, double, double,
                            std::optional<py::bytes>>;

/// What the slots of a call point at.
struct Outputs {
  Strides strides[kMaxSlots];
  alignas(8) char initial[kMaxSlots][8];
};

/// Reads slots of a reduction over arrays like `x`, whose axes are set.
void set_slots(Reduction& r, std::span<const py::ssize_t> shape, const std::vector<SlotSpec>& slots,
               Outputs& outputs) {
  r.slots = static_cast<int>(slots.size());
  for (int s = 0; s < r.slots; ++s) {
    const auto& [reducer, input, element, finish, component, out, divisor, ddof, start] =
        slots[static_cast<std::size_t>(s)];
    check_shape(out, shape, "an output", r.reduced);
    if (input < 0 || input >= r.inputs) throw std::invalid_argument("ufuse reduce: no such input");
    ReduceSlot& slot = r.slot[s];
    slot.reducer = reducer_of(reducer);
    slot.input = input;
    slot.element = dtype_of_code(element);
    slot.finish = finish_of(finish);
    if (component < 0) throw std::invalid_argument("ufuse reduce: no such component");
    slot.component = component;
    slot.result = dtype_of_array(out);
    slot.out = static_cast<char*>(py::array(out).mutable_data());  // throws where it is read-only
    slot.out_strides = strides_of(out, outputs.strides[s]);
    slot.divisor = divisor;
    slot.ddof = ddof;
    if (!start) continue;
    const auto bytes = static_cast<std::string_view>(*start);
    if (bytes.size() > sizeof outputs.initial[s])
      throw std::invalid_argument("ufuse reduce: initial of the wrong size");
    std::memcpy(outputs.initial[s], bytes.data(), bytes.size());
    slot.initial = outputs.initial[s];
  }
}

void reduce_arrays(const std::vector<py::array>& inputs, std::uint64_t axes,
                   const std::vector<SlotSpec>& slots, const std::optional<py::array>& where, bool skip_nan,
                   const std::string& coding, const CodeValues& table) {
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
  Strides strides[kMaxReduceInputs + 1];
  for (int k = 0; k < r.inputs; ++k) {
    check_shape(inputs[static_cast<std::size_t>(k)], shape_of(x), "an input");
    r.input[k] = input_of(inputs[static_cast<std::size_t>(k)], strides[k]);
  }
  ReduceInput mask;
  if (where) {
    check_shape(*where, shape_of(x), "where");
    mask = input_of(*where, strides[kMaxReduceInputs]);
    if (mask.dtype != DType::Bool) throw std::invalid_argument("ufuse reduce: where is not bool");
    r.mask = &mask;
  }
  r.skip_nan = skip_nan;
  for (int k = 0; k < r.inputs; ++k) set_coding(r.input[k], coding, table);
  Outputs outputs;
  set_slots(r, shape_of(x), slots, outputs);
  const ReduceKernels& kernels = reduce_kernels(active_tier());
  without_gil(x.size(), [&] { reduce(r, kernels); });
}

/// Writes the strides of an array that broadcasts to `shape`.
void set_operand(ProgramOperand& operand, const py::array& array, DType expected,
                 std::span<const py::ssize_t> shape, Strides& strides) {
  const auto axes = static_cast<py::ssize_t>(shape.size()), missing = axes - array.ndim();
  bool fits = missing >= 0 && dtype_of_array(array) == expected;
  for (py::ssize_t i = 0; fits && i < axes; ++i) {
    const py::ssize_t extent = i < missing ? 1 : array.shape(i - missing);
    fits = extent == 1 || extent == shape[static_cast<std::size_t>(i)];
    strides.bytes[i] = extent == 1 ? 0 : array.strides(i - missing);
  }
  if (!fits) throw std::invalid_argument("ufuse reduce: an input that does not fit");
  operand = {const_cast<char*>(static_cast<const char*>(array.data())), strides.bytes,
             array.dtype().byteorder() == '>'};
}

void reduce_computed(std::uintptr_t address, const std::vector<py::array>& inputs,
                     const std::vector<py::ssize_t>& shape, std::uint64_t axes,
                     const std::vector<SlotSpec>& slots) {
  const Program& program = *reinterpret_cast<const Program*>(address);
  if (program.outputs() > kMaxReduceInputs || slots.empty() || slots.size() > kMaxSlots ||
      shape.size() > kMaxReduceAxes || inputs.size() != static_cast<std::size_t>(program.inputs()))
    throw std::invalid_argument("ufuse reduce: at most 8 results of a program and 16 slots");
  Reduction r;
  r.axes = static_cast<int>(shape.size());
  std::int64_t extents[kMaxReduceAxes];
  std::int64_t size = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) size *= extents[i] = shape[i];
  r.shape = extents;
  r.reduced = axes;
  r.inputs = program.outputs();
  ProgramOperand operands[kMaxOperands];
  std::vector<Strides> strides(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    set_operand(operands[i], inputs[i], program.input_dtype(static_cast<int>(i)), shape, strides[i]);
  Outputs outputs;
  set_slots(r, shape, slots, outputs);
  without_gil(size, [&] { reduce_program(program, {operands, inputs.size()}, r); });
}

void to_half(const py::array& values, py::array& out) {
  const DType dtype = dtype_of_array(values);
  if ((dtype != DType::F32 && dtype != DType::F64) || dtype_of_array(out) != DType::U16 ||
      out.size() != values.size() || !(values.flags() & py::array::c_style) ||
      !(out.flags() & py::array::c_style))
    throw std::invalid_argument("ufuse to_half: contiguous float32 or float64 to as many uint16");
  auto* to = static_cast<std::uint16_t*>(out.mutable_data());
  reduce_kernels(active_tier()).pieces.to_half[dtype == DType::F64](to, values.data(), values.size());
}

}  // namespace

void register_reduce(py::module_& m) {
  m.def("to_half", &to_half, py::arg("values"), py::arg("out"),
        "Round contiguous floats to the codes of float16, once.");
  m.def("reduce_program", &reduce_computed, py::arg("program"), py::arg("inputs"), py::arg("shape"),
        py::arg("axes"), py::arg("slots"),
        "Reduce what a program makes of arrays that broadcast to a shape, in one read.\n\n"
        "The input of a slot is the program's output of that number; the rest is as of `reduce`.");
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
