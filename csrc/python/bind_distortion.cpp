// Errors of quantization: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <vector>

#include "distortion/distortion.hpp"
#include "program/program.hpp"
#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

/// An operand's strides over a shape it broadcasts to.
struct Broadcast {
  std::int64_t strides[kMaxAxes];
};

/// Runs a program over a slab, and writes the results one beside the other.
void run_slab(const Program& program, const Slab& slab, float* to, std::int64_t size,
              std::span<const ProgramOperand> inputs) {
  const int axes = slab.axes - slab.from;
  std::int64_t strides[kMaxAxes];
  std::int64_t step = size;
  if (slab.turned) {
    strides[0] = step;
    step *= slab.shape[0];
  }
  for (int i = axes - 1; i >= (slab.turned ? 1 : 0); step *= slab.shape[i--]) strides[i] = step;
  ProgramOperand operands[kMaxOperands];
  operands[0] = {reinterpret_cast<char*>(to), strides, false};
  for (std::size_t k = 0; k < inputs.size(); ++k)
    operands[k + 1] = {inputs[k].data + slab.offset(inputs[k].strides), inputs[k].strides + slab.from,
                       inputs[k].swapped};
  program.run(axes, slab.shape, {operands, inputs.size() + 1});
}

ProgramOperand operand_of(const py::array& array, const Broadcast& strides) {
  return {const_cast<char*>(static_cast<const char*>(array.data())), strides.strides,
          array.dtype().byteorder() == '>'};
}

py::array_t<double> distortion_of_program(std::uintptr_t address, const py::array& x,
                                          const std::vector<py::array>& inputs, int lanes) {
  const auto& program = *reinterpret_cast<const Program*>(address);
  const py::ssize_t size = x.itemsize();
  if (x.ndim() > kMaxAxes || lanes < 0 || lanes > x.ndim() || x.dtype().kind() != 'f' || size < 4 ||
      size > 8 || program.outputs() != 1 || program.inputs() != static_cast<int>(inputs.size()) ||
      item_size(program.output_dtype(0)) != static_cast<std::size_t>(size))
    throw std::invalid_argument("ufuse distortion: unlike arrays and program");
  std::int64_t shape[kMaxAxes];
  for (py::ssize_t i = 0; i < x.ndim(); ++i) shape[i] = x.shape(i);
  std::vector<Broadcast> strides(inputs.size() + 1);
  std::vector<ProgramOperand> operands;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (inputs[k].itemsize() != static_cast<py::ssize_t>(item_size(program.input_dtype(static_cast<int>(k)))))
      throw std::invalid_argument("ufuse distortion: unlike arrays and program");
    broadcast_to(inputs[k], x, strides[k].strides, "distortion");
    operands.push_back(operand_of(inputs[k], strides[k]));
  }
  broadcast_to(x, x, strides.back().strides, "distortion");
  const ProgramOperand numbers = operand_of(x, strides.back());
  const Program same({size == 8 ? DType::F64 : DType::F32}, {}, {}, {0});

  py::ssize_t kept = 1;
  for (int i = 0; i < lanes; ++i) kept *= x.shape(i);
  py::array_t<double> result({kept, static_cast<py::ssize_t>(kDistortionSums)});
  std::vector<DistortionSums> sums(static_cast<std::size_t>(kept));
  const auto decode = [&](const Slab& slab, float* to) { run_slab(program, slab, to, size, operands); };
  const auto copy = [&](const Slab& slab, float* to) { run_slab(same, slab, to, size, {&numbers, 1}); };
  Codes codes{codes_row(program),
              program.is_identity() && program.input_dtype(0) == DType::F32 && x.itemsize() == 4,
              {},
              {}};
  for (std::size_t k = 0; k < operands.size() && k < 3; ++k) {
    if (operands[k].swapped) {
      codes.row = nullptr;
      codes.are_numbers = false;
    }
    codes.data[k] = operands[k].data;
    codes.strides[k] = operands[k].strides;
  }
  const Distortion d{static_cast<int>(x.ndim()),
                     shape,
                     lanes,
                     static_cast<int>(size / 4),
                     numbers.data,
                     strides.back().strides,
                     numbers.swapped,
                     codes,
                     decode,
                     copy};
  without_gil(x.size(), [&] { measure_distortion(d, sums.data()); });
  double* to = result.mutable_data();
  for (const DistortionSums& s : sums) {
    for (const double value : {s.xx, s.yy, s.xy, s.squares, s.magnitudes, s.largest}) *to++ = value;
  }
  return result;
}

}  // namespace

void register_distortion(py::module_& m) {
  m.def(
      "distortion", &distortion_of_program, py::arg("program"), py::arg("x"), py::arg("inputs"),
      py::arg("lanes"),
      "Sums that compare x with what a program makes of its inputs, which broadcast to x: of x * x, y * y,\n"
      "x * y, squared and absolute errors, and the largest error. A row for each index of the first axes.\n"
      "Elements of 8 bytes are two float32.");
}

}  // namespace ufuse
