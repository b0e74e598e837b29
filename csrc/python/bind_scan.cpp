// Scans: ndarrays to the engine's pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "python/operands.hpp"
#include "python/register.hpp"
#include "scan/scan.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

constexpr const char* kNames[] = {"sum", "prod", "nansum", "nanprod"};
static_assert(std::size(kNames) == kScans);

ScanId scan_of(const std::string& wanted) {
  for (int i = 0; i < kScans; ++i)
    if (wanted == kNames[i]) return static_cast<ScanId>(i);
  throw std::invalid_argument("ufuse scan: no scan '" + wanted + "'");
}

void scan_array(const py::array& x, int axis, const std::string& name, py::array& out) {
  const bool flat = axis < 0;
  bool fits = x.ndim() <= kMaxScanAxes && axis < x.ndim() && out.ndim() == (flat ? 1 : x.ndim());
  for (py::ssize_t i = 0; fits && !flat && i < x.ndim(); ++i) fits = x.shape(i) == out.shape(i);
  if (!fits || x.size() != out.size()) throw std::invalid_argument("ufuse scan: out has another shape");
  std::int64_t shape[kMaxScanAxes], in_strides[kMaxScanAxes], out_strides[kMaxScanAxes];
  for (py::ssize_t i = 0; i < x.ndim(); ++i) {
    shape[i] = x.shape(i);
    in_strides[i] = x.strides(i);
  }
  for (py::ssize_t i = 0; i < out.ndim(); ++i) out_strides[i] = out.strides(i);
  Scan s;
  s.axes = static_cast<int>(x.ndim());
  s.shape = shape;
  s.axis = flat ? -1 : axis;
  s.scan = scan_of(name);
  s.in = static_cast<const char*>(x.data());
  s.in_strides = in_strides;
  s.in_type = dtype_of_array(x);
  s.in_swapped = x.dtype().byteorder() == '>';
  s.out = static_cast<char*>(out.mutable_data());  // throws where it is read-only
  s.out_strides = out_strides;
  s.out_type = dtype_of_array(out);
  without_gil(x.size(), [&] { scan(s); });
}

}  // namespace

void register_scan(py::module_& m) {
  m.def(
      "scans", [] { return std::vector<std::string>(std::begin(kNames), std::end(kNames)); },
      "Names of the scans, in the order of the core's numbers.");
  m.def("scan", &scan_array, py::arg("x"), py::arg("axis"), py::arg("name"), py::arg("out"),
        "Running sums or products along an axis, or of all elements in C order where `axis` is negative.");
}

}  // namespace ufuse
