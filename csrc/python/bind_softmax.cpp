// Softmax: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>

#include <stdexcept>

#include "python/operands.hpp"
#include "python/register.hpp"
#include "softmax/softmax.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

void softmax_array(const py::array& x, std::uint64_t axes, py::array& out, bool logarithm) {
  bool fits = x.ndim() <= kMaxReduceAxes && x.ndim() == out.ndim() && x.dtype().equal(out.dtype());
  for (py::ssize_t i = 0; fits && i < x.ndim(); ++i) fits = x.shape(i) == out.shape(i);
  if (!fits || x.dtype().byteorder() == '>') throw std::invalid_argument("ufuse softmax: unlike arrays");
  Strides strides[2];
  std::int64_t shape[kMaxReduceAxes];
  for (py::ssize_t i = 0; i < x.ndim(); ++i) shape[i] = x.shape(i);
  Softmax s;
  s.axes = static_cast<int>(x.ndim());
  s.shape = shape;
  s.reduced = axes;
  s.in = static_cast<const char*>(x.data());
  s.in_strides = strides_of(x, strides[0]);
  s.out = static_cast<char*>(out.mutable_data());  // throws where it is read-only
  s.out_strides = strides_of(out, strides[1]);
  s.dtype = dtype_of_array(x);
  s.logarithm = logarithm;
  without_gil(x.size(), [&] { softmax(s); });
}

}  // namespace

void register_softmax(py::module_& m) {
  m.def("softmax", &softmax_array, py::arg("x"), py::arg("axes"), py::arg("out"), py::arg("logarithm"),
        "Softmax over the axes of a bit mask, or its logarithm, of float32 or float64; `out` is apart from\n"
        "`x` or the same elements.");
  m.def("softmax_by_line", &softmax_by_line, py::arg("count"), py::arg("size"),
        "Whether `softmax` is for lines of `count` elements, `size` in all.");
}

}  // namespace ufuse
