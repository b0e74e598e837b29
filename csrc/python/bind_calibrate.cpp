// Calibration: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

#include "calibrate/calibrate.hpp"
#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

py::object count_leading(const py::array& x, py::array counts, const std::string& coding,
                         const CodeValues& values) {
  const bool dense = counts.ndim() == 1 && (counts.flags() & py::array::c_style) != 0;
  const auto slots = static_cast<std::uint64_t>(counts.size());
  if (!dense || counts.dtype().kind() != 'i' || counts.itemsize() != 8 || counts.dtype().byteorder() == '>' ||
      !std::has_single_bit(slots))
    throw std::invalid_argument("ufuse count_leading: counts are not a power of two of contiguous int64");
  if (x.ndim() > kMaxReduceAxes) throw std::invalid_argument("ufuse count_leading: too many axes");
  Strides strides;
  std::int64_t shape[kMaxReduceAxes];
  for (py::ssize_t i = 0; i < x.ndim(); ++i) shape[i] = x.shape(i);
  Calibration c;
  c.axes = static_cast<int>(x.ndim());
  c.shape = shape;
  c.strides = strides_of(x, strides);
  c.x.data = static_cast<const char*>(x.data());
  c.x.dtype = dtype_of_array(x);
  c.x.swapped = x.dtype().byteorder() == '>';
  c.x.coding = coding_of(coding, c.x.dtype, values);
  if (c.x.coding == Coding::table) c.x.table = values->data();
  if (c.x.coding != Coding::plain) c.x.dtype = DType::F32;
  c.log2_slots = std::countr_zero(slots);
  c.counts = static_cast<std::int64_t*>(counts.mutable_data());  // throws where it is read-only
  without_gil(x.size(), [&] { calibrate(c); });
  if (c.infinite) return py::none();
  return py::make_tuple(c.seen.low, c.seen.high, c.seen.bits, c.nans);
}

using Doubles = py::array_t<double, py::array::c_style>;
using Starts = py::array_t<std::int64_t, py::array::c_style>;

/// Whether `start` cuts `size` elements into streams.
bool cuts(const Starts& start, py::ssize_t size) {
  const std::int64_t* const at = start.data();
  for (py::ssize_t i = 0; i + 1 < start.size(); ++i)
    if (at[i] > at[i + 1]) return false;
  return start.ndim() == 1 && start.size() > 0 && at[0] == 0 && at[start.size() - 1] == size;
}

void squared_errors_of(const Doubles& points, const Doubles& numbers, const Starts& point_start,
                       const Doubles& edges, const Doubles& jumps, const Starts& edge_start,
                       const std::pair<int, double>& levels, const Doubles& scale, const Doubles& least,
                       const Doubles& most, Doubles out) {
  const py::ssize_t streams = point_start.size() - 1;
  const bool fits = points.size() == numbers.size() && edges.size() == jumps.size() &&
                    point_start.size() == edge_start.size() && cuts(point_start, points.size()) &&
                    cuts(edge_start, edges.size()) && scale.ndim() == 2 && scale.shape(0) == streams &&
                    scale.size() == least.size() && scale.size() == most.size() && scale.size() == out.size();
  if (!fits || levels.first > 16) throw std::invalid_argument("ufuse squared_errors: arrays of unlike sizes");
  const Spread spread{streams,      points.data(), numbers.data(),   point_start.data(),
                      edges.data(), jumps.data(),  edge_start.data()};
  double* const to = out.mutable_data();
  without_gil(scale.shape(1) * (points.size() + edges.size()), [&] {
    squared_errors(spread, {levels.first, levels.second}, scale.shape(1), scale.data(), least.data(),
                   most.data(), to);
  });
}

void divergences_of(const Doubles& counts, std::int64_t levels, Doubles out) {
  const bool fits = counts.ndim() == 2 && levels > 1 && levels < counts.shape(1) && out.ndim() == 2 &&
                    out.shape(0) == counts.shape(0) && out.shape(1) == counts.shape(1) / 2 + 1 - levels / 2;
  if (!fits) throw std::invalid_argument("ufuse divergences: arrays of unlike sizes");
  double* const to = out.mutable_data();
  without_gil(out.size() * counts.shape(1),
              [&] { divergences(counts.data(), counts.shape(0), counts.shape(1), levels, to); });
}

}  // namespace

void register_calibrate(py::module_& m) {
  m.def(
      "count_leading", &count_leading, py::arg("x"), py::arg("counts"), py::arg("coding"),
      py::arg("values").none(true),
      "Count elements by the leading bits of their float32: as many bits as `counts`, int64, has slots "
      "for.\n\n"
      "Returns the smallest and the largest, +-infinity the wrong way round where there is none, all bits\n"
      "that one of them has, and how many are NaN, which are not counted. None, and nothing counted, where\n"
      "one is infinite.");
  m.def("squared_errors", &squared_errors_of, py::arg("points").noconvert(), py::arg("numbers").noconvert(),
        py::arg("point_start").noconvert(), py::arg("edges").noconvert(), py::arg("jumps").noconvert(),
        py::arg("edge_start").noconvert(), py::arg("levels"), py::arg("scale").noconvert(),
        py::arg("least").noconvert(), py::arg("most").noconvert(), py::arg("out").noconvert(),
        "What it costs to quantize points and intervals: see csrc/calibrate/calibrate.hpp. float64, starts "
        "int64;\n"
        "`levels` are bits of the fraction (-1 of integers) and the smallest normal number.");
  m.def("divergences", &divergences_of, py::arg("counts").noconvert(), py::arg("levels"),
        py::arg("out").noconvert(),
        "How much histograms diverge from what quantizing makes of them: see csrc/calibrate/calibrate.hpp.");
}

}  // namespace ufuse
