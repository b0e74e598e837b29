// Quantization by ranges: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "python/operands.hpp"
#include "python/register.hpp"
#include "ranged/ranged.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

/// (x, scale, zero point or None: written; then the operands of the program: codes, x, scale, zero point)
using PartArrays =
    std::tuple<py::array, py::array, std::optional<py::array>, py::array, py::array, py::array, py::array>;

/// A part with the strides it points at.
struct Part {
  RangedPart part;
  std::vector<std::int64_t> numbers;
};

char* data_of(const py::array& array) { return const_cast<char*>(static_cast<const char*>(array.data())); }

void read_part(const PartArrays& arrays, const Program& program, Part& to) {
  const auto& [x, scale, zero, codes, numbers, scales, zeros] = arrays;
  if (x.ndim() > kMaxReduceAxes || codes.ndim() > kMaxAxes || x.itemsize() != 4 || scale.itemsize() != 4 ||
      x.size() == 0 || !scale.writeable() || !codes.writeable())
    throw std::invalid_argument("ufuse ranged: unlike arrays");
  // Shape and strides of x, strides of scales and zero points, then shape and strides of the operands.
  const py::ssize_t axes = x.ndim(), code_axes = codes.ndim();
  to.numbers.resize(static_cast<std::size_t>(4 * axes + 5 * code_axes));
  std::int64_t* const shape = to.numbers.data();
  std::int64_t *const strides = shape + axes, *const scale_strides = strides + axes,
                      *const zero_strides = scale_strides + axes, *const code_shape = zero_strides + axes;
  RangedPart& part = to.part;
  part = {};
  part.x = data_of(x);
  part.swapped = x.dtype().byteorder() == '>';
  part.axes = static_cast<int>(axes);
  broadcast_to(scale, x, scale_strides, "ranged");
  for (py::ssize_t i = 0; i < axes; ++i) {
    shape[i] = x.shape(i);
    strides[i] = x.strides(i);
    if (scale.shape(i) == 1) part.reduced |= std::uint64_t{1} << i;
  }
  // Ranges of one element each are of another axis; of so many axes some have one element.
  if (axes == kMaxReduceAxes && part.reduced == 0) throw std::invalid_argument("ufuse ranged: too many axes");
  part.shape = shape;
  part.strides = strides;
  part.scale = data_of(scale);
  part.scale_strides = scale_strides;
  if (zero) {
    broadcast_to(*zero, x, zero_strides, "ranged");
    bool fits = zero->writeable() && zero->itemsize() <= 4;
    for (py::ssize_t i = 0; i < x.ndim(); ++i) fits &= zero->shape(i) == scale.shape(i);
    if (!fits) throw std::invalid_argument("ufuse ranged: unlike arrays");
    part.zero = data_of(*zero);
    part.zero_strides = zero_strides;
    part.zero_size = static_cast<int>(zero->itemsize());
  }
  const py::array* const operands[4] = {&codes, &numbers, &scales, &zeros};
  part.code_axes = static_cast<int>(code_axes);
  for (py::ssize_t i = 0; i < code_axes; ++i) code_shape[i] = codes.shape(i);
  part.code_shape = code_shape;
  for (int k = 0; k < 4; ++k) {
    const DType type = k == 0 ? program.output_dtype(0) : program.input_dtype(k - 1);
    if (operands[k]->itemsize() != static_cast<py::ssize_t>(item_size(type)))
      throw std::invalid_argument("ufuse ranged: unlike arrays and program");
    std::int64_t* const operand_strides = code_shape + (k + 1) * code_axes;
    broadcast_to(*operands[k], codes, operand_strides, "ranged");
    part.operands[k] = {data_of(*operands[k]), operand_strides, operands[k]->dtype().byteorder() == '>'};
  }
}

bool quantize_parts(std::uintptr_t address, const std::vector<PartArrays>& arrays, const std::string& rule,
                    float least, float most) {
  const auto& program = *reinterpret_cast<const Program*>(address);
  constexpr const char* kRules[] = {"symmetric", "asymmetric", "onnx"};
  const auto* const found = std::find(std::begin(kRules), std::end(kRules), rule);
  if (program.inputs() != 3 || program.outputs() != 1 || found == std::end(kRules))
    throw std::invalid_argument("ufuse ranged: no such program or rule");
  std::vector<Part> read(arrays.size());
  std::vector<RangedPart> parts(arrays.size());
  py::ssize_t size = 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    read_part(arrays[i], program, read[i]);
    parts[i] = read[i].part;
    size += std::get<0>(arrays[i]).size();
  }
  const CodeRange codes{static_cast<ScaleRule>(found - std::begin(kRules)), least, most};
  return without_gil(size, [&] { return quantize_ranged(parts, program, codes); });
}

}  // namespace

void register_ranged(py::module_& m) {
  m.def(
      "quantize_ranged", &quantize_parts, py::arg("program"), py::arg("parts"), py::arg("rule"),
      py::arg("least"), py::arg("most"),
      "Quantizes arrays by their ranges: scales and zero points are made of them by a rule, and codes by a\n"
      "program of three inputs. Returns whether all ranges were finite (by the rule of ONNX: no NaN).");
}

}  // namespace ufuse
