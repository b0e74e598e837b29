// Moving windows: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>

#include <stdexcept>
#include <string>

#include "python/register.hpp"
#include "window/window.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

// Below this many elements, giving up the GIL and taking it back costs more than the work.
constexpr py::ssize_t kSmall = 4096;

DType dtype_of_array(const py::dtype& dtype) {
  const std::string code = dtype.kind() == 'b' ? "?" : dtype.kind() + std::to_string(dtype.itemsize());
  DType found;
  if (!dtype_of(code, found))
    throw std::invalid_argument("ufuse move_reduce: no element type '" + code + "'");
  return found;
}

WindowOp op_of(const std::string& wanted) {
  constexpr const char* names[] = {"sum", "mean",   "var",    "std",    "min",
                                   "max", "argmin", "argmax", "median", "rank"};
  for (int i = 0; i < kWindowOps; ++i)
    if (wanted == names[i]) return static_cast<WindowOp>(i);
  throw std::invalid_argument("ufuse move_reduce: no operation '" + wanted + "'");
}

void move_reduce_array(const py::array& x, const std::string& op, py::array out, int axis,
                       std::int64_t window, std::int64_t min_count, double ddof) {
  std::int64_t shape[kMaxWindowAxes], strides[kMaxWindowAxes], out_strides[kMaxWindowAxes];
  if (x.ndim() != out.ndim() || x.ndim() > kMaxWindowAxes)
    throw std::invalid_argument("ufuse move_reduce: an output of another shape");
  for (py::ssize_t i = 0; i < x.ndim(); ++i) {
    if (x.shape(i) != out.shape(i))
      throw std::invalid_argument("ufuse move_reduce: an output of another shape");
    shape[i] = x.shape(i);
    strides[i] = x.strides(i);
    out_strides[i] = out.strides(i);
  }
  WindowReduction r;
  r.op = op_of(op);
  r.x = static_cast<const char*>(x.data());
  r.dtype = dtype_of_array(x.dtype());
  r.swapped = x.dtype().byteorder() == '>';
  r.out = static_cast<char*>(out.mutable_data());  // throws where it is read-only
  r.result = dtype_of_array(out.dtype());
  r.axes = static_cast<int>(x.ndim());
  r.shape = shape;
  r.strides = strides;
  r.out_strides = out_strides;
  r.axis = axis;
  r.window = window;
  r.min_count = min_count;
  r.ddof = ddof;
  if (x.size() < kSmall) {
    move_reduce(r, active_tier());
  } else {
    const py::gil_scoped_release released;
    move_reduce(r, active_tier());
  }
}

}  // namespace

void register_window(py::module_& m) {
  m.def("move_reduce", &move_reduce_array, py::arg("x"), py::arg("op"), py::arg("out"), py::arg("axis"),
        py::arg("window"), py::arg("min_count"), py::arg("ddof"),
        "Reduce the window that ends at each position of an axis; `out` has the shape of `x`, and is float32 "
        "for\n"
        "float32, else float64.");
}

}  // namespace ufuse
