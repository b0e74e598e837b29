// Weighted sums: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "python/register.hpp"
#include "weighted/weighted.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

// Below this many elements, giving up the GIL and taking it back costs more than the work.
constexpr py::ssize_t kSmall = 16384;

struct Strides {
  std::int64_t bytes[kMaxReduceAxes];
};

const std::int64_t* strides_of(const py::array& array, Strides& strides) {
  for (py::ssize_t i = 0; i < array.ndim(); ++i) strides.bytes[i] = array.strides(i);
  return strides.bytes;
}

/// An array, how its elements are written, and the values of their codes.
using Operand = std::tuple<py::array, std::string, std::optional<py::array_t<float>>>;

ReduceInput input_of(const Operand& operand, Strides& strides) {
  const auto& [array, coding, table] = operand;
  const py::dtype dtype = array.dtype();
  const std::string code = dtype.kind() == 'b' ? "?" : dtype.kind() + std::to_string(dtype.itemsize());
  ReduceInput input;
  if (!dtype_of(code, input.dtype))
    throw std::invalid_argument("ufuse weighted: no element type '" + code + "'");
  constexpr const char* names[] = {"plain", "half", "bfloat16", "table"};
  int found = 0;
  while (found < 4 && coding != names[found]) ++found;
  input.coding = static_cast<Coding>(found);
  const DType stored = input.coding == Coding::table ? DType::U8 : DType::U16;
  const bool known = found < 4 && (input.coding != Coding::table || (table && table->size() == 256));
  if (!known || (found > 0 && input.dtype != stored))
    throw std::invalid_argument("ufuse weighted: no such coding of the elements: '" + coding + "'");
  if (input.coding == Coding::table) input.table = table->data();
  input.data = static_cast<const char*>(array.data());
  input.swapped = dtype.byteorder() == '>';
  input.strides = strides_of(array, strides);
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
  if (x.size() < kSmall) {
    weighted_sum(s);
  } else {
    const py::gil_scoped_release released;
    weighted_sum(s);
  }
}

}  // namespace

void register_weighted(py::module_& m) {
  m.def("weighted_sum", &weighted_sum_arrays, py::arg("values"), py::arg("weights"), py::arg("axes"),
        py::arg("sums").noconvert(), py::arg("totals").noconvert(),
        "Sums of products over the axes of a bit mask and, unless `totals` is None, of the weights.\n\n"
        "An operand is (array, coding, table), as `reduce` takes them.");
}

}  // namespace ufuse
