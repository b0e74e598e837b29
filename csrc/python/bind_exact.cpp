// Exact sums: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "exact/exact.hpp"
#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

void exact_sum_array(const py::array& x, std::uint64_t axes, py::array_t<double>& out,
                     const std::optional<py::array>& where, std::optional<double> initial,
                     std::uint64_t divisor, const std::string& coding, const CodeValues& table) {
  bool fits = x.ndim() <= kMaxReduceAxes && x.size() > 0 && divisor > 0;
  fits &= (out.flags() & py::array::c_style) != 0;
  std::int64_t shape[kMaxReduceAxes];
  Strides strides, mask_strides;
  py::ssize_t results = 1;
  for (py::ssize_t i = 0; fits && i < x.ndim(); ++i) {
    shape[i] = x.shape(i);
    if ((axes >> i & 1) == 0) results *= x.shape(i);
    fits = !where || (where->ndim() == x.ndim() && where->shape(i) == x.shape(i));
  }
  if (!fits || out.size() != results) throw std::invalid_argument("ufuse exact: arrays of other shapes");
  ExactSum s;
  s.axes = static_cast<int>(x.ndim());
  s.shape = shape;
  s.reduced = axes;
  s.input = input_of(x, strides);
  set_coding(s.input, coding, table);
  ReduceInput mask;
  if (where) {
    mask = input_of(*where, mask_strides);
    if (mask.dtype != DType::Bool) throw std::invalid_argument("ufuse exact: where is not bool");
    s.mask = &mask;
  }
  s.initial = initial ? &*initial : nullptr;
  s.divisor = divisor;
  s.out = out.mutable_data();  // throws where it is read-only
  without_gil(x.size(), [&] { exact_sum(s); });
}

}  // namespace

void register_exact(py::module_& m) {
  m.def("exact_sum", &exact_sum_array, py::arg("x"), py::arg("axes"), py::arg("out").noconvert(),
        py::arg("where") = py::none(), py::arg("initial") = py::none(), py::arg("divisor") = 1,
        py::arg("coding") = "plain", py::arg("table") = py::none(),
        "Sum over the axes of a bit mask without rounding, divide, and round once, into a contiguous `out`.");
}

}  // namespace ufuse
