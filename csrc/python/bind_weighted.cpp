// Weighted sums: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "python/operands.hpp"
#include "python/register.hpp"
#include "weighted/weighted.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

/// An array, how its elements are written, and the values of their codes.
using Operand = std::tuple<py::array, std::string, CodeValues>;

ReduceInput input_of(const Operand& operand, Strides& strides) {
  const auto& [array, coding, table] = operand;
  ReduceInput input = input_of(array, strides);
  set_coding(input, coding, table);
  return input;
}

void check_output(const py::array& out, const py::array& x, std::uint64_t axes) {
  bool fits = out.ndim() == x.ndim();
  for (py::ssize_t i = 0; fits && i < x.ndim(); ++i) fits = out.shape(i) == (axes >> i & 1 ? 1 : x.shape(i));
  if (!fits) throw std::invalid_argument("ufuse weighted: an output of another shape");
}

void weighted_sum_arrays(const Operand& values, const Operand& weights, std::uint64_t axes,
                         py::array_t<double>& sums, std::optional<py::array_t<double>>& totals) {
  const py::array& x = std::get<0>(values);
  const py::array& w = std::get<0>(weights);
  bool fits = x.ndim() <= kMaxReduceAxes && x.ndim() == w.ndim() && x.size() > 0;
  for (py::ssize_t i = 0; fits && i < x.ndim(); ++i) fits = x.shape(i) == w.shape(i);
  if (!fits) throw std::invalid_argument("ufuse weighted: arrays of other shapes");
  Strides strides[4];
  std::int64_t shape[kMaxReduceAxes];
  for (py::ssize_t i = 0; i < x.ndim(); ++i) shape[i] = x.shape(i);
  WeightedSum s;
  s.axes = static_cast<int>(x.ndim());
  s.shape = shape;
  s.reduced = axes;
  s.values = input_of(values, strides[0]);
  s.weights = input_of(weights, strides[1]);
  check_output(sums, x, axes);
  s.sums = static_cast<char*>(static_cast<void*>(sums.mutable_data()));
  s.sum_strides = strides_of(sums, strides[2]);
  if (totals) {
    check_output(*totals, x, axes);
    s.totals = static_cast<char*>(static_cast<void*>(totals->mutable_data()));
    s.total_strides = strides_of(*totals, strides[3]);
  }
  without_gil(x.size(), [&] { weighted_sum(s); });
}

}  // namespace

void register_weighted(py::module_& m) {
  m.def("weighted_sum", &weighted_sum_arrays, py::arg("values"), py::arg("weights"), py::arg("axes"),
        py::arg("sums").noconvert(), py::arg("totals").noconvert(),
        "Sums of products over the axes of a bit mask and, unless `totals` is None, of the weights.\n\n"
        "An operand is (array, coding, table), as `reduce` takes them.");
}

}  // namespace ufuse
