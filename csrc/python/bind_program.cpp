// Programs: built here from value numbers and element codes, run by ufuse._fast.
#include <pybind11/stl.h>

#include <cstring>
#include <stdexcept>
#include <tuple>
#include <variant>

#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

DType checked_dtype(const std::string& code) {
  DType dtype;
  if (!dtype_of(code, dtype)) throw std::invalid_argument("ufuse program: no element type '" + code + "'");
  return dtype;
}

/// Reducer, finish, component of the state, degrees of freedom.
using Reduction = std::tuple<std::string, std::string, int, double>;
/// The operation, or a reduction of rows; the element code of the result; operands.
using Instruction = std::tuple<std::variant<std::string, Reduction>, std::string, std::vector<int>>;

Program make_program(const std::vector<std::string>& inputs,
                     const std::vector<std::pair<std::string, py::bytes>>& constants,
                     const std::vector<Instruction>& instructions, std::vector<int> outputs,
                     const std::vector<int>& rows) {
  std::vector<DType> input_types;
  for (const auto& code : inputs) input_types.push_back(checked_dtype(code));
  std::vector<ConstantSpec> constant_specs;
  for (const auto& [code, bytes] : constants) {
    ConstantSpec spec{checked_dtype(code), {}};
    const auto view = static_cast<std::string_view>(bytes);
    if (view.size() != item_size(spec.dtype))
      throw std::invalid_argument("ufuse program: constant of the wrong size");
    std::memcpy(spec.bytes, view.data(), view.size());
    constant_specs.push_back(spec);
  }
  std::vector<InstructionSpec> steps;
  for (const auto& [operation, code, args] : instructions) {
    InstructionSpec& step = steps.emplace_back(InstructionSpec{"", checked_dtype(code), args});
    if (const auto* name = std::get_if<std::string>(&operation)) {
      step.operation = *name;
      continue;
    }
    const auto& [reducer, finish, component, ddof] = std::get<Reduction>(operation);
    step.reduction =
        RowReduction{reducer_of(reducer), finish_of(finish), component, ddof, DType::F32, DType::F32};
  }
  return Program(std::move(input_types), constant_specs, steps, std::move(outputs), rows);
}

}  // namespace

void register_program(py::module_& m) {
  py::class_<Program>(m, "Program",
                      "A straight-line list of scalar operations, compiled to kernels and registers.")
      .def(py::init(&make_program), py::arg("inputs"), py::arg("constants"), py::arg("instructions"),
           py::arg("outputs"), py::arg("rows") = std::vector<int>{})
      .def_property_readonly("address", [](const Program& p) { return reinterpret_cast<std::uintptr_t>(&p); })
      .def_property_readonly("inputs", &Program::inputs)
      .def_property_readonly("outputs", &Program::outputs)
      .def_property_readonly("registers", &Program::registers)
      .def_property_readonly("has_rows", &Program::has_rows);
}

}  // namespace ufuse
