// Histograms and counts: ndarrays to the engine's pointers and byte strides. Python has validated the rest.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "count/count.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

// Below this many elements, giving up the GIL and taking it back costs more than the work.
constexpr py::ssize_t kSmall = 4096;
// From here on, elements of one byte are counted by value: their 256 bins are found once.
constexpr py::ssize_t kByValue = 2048;
// Slots are 32-bit numbers.
constexpr py::ssize_t kMostBins = (py::ssize_t{1} << 31) - 8;

WalkOperand operand_of(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const std::string code = dtype.kind() == 'b' ? "?" : dtype.kind() + std::to_string(dtype.itemsize());
  WalkOperand operand;
  if (!dtype_of(code, operand.dtype))
    throw std::invalid_argument("ufuse histogram: no element type '" + code + "'");
  operand.data = static_cast<const char*>(array.data());
  operand.swapped = dtype.byteorder() == '>';
  return operand;
}

std::vector<std::int64_t> strides_of(const py::array& array) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(array.ndim()));
  for (py::ssize_t i = 0; i < array.ndim(); ++i) strides[static_cast<std::size_t>(i)] = array.strides(i);
  return strides;
}

/// The part that both functions share: `bins` are made.
void count_arrays(const py::array& x, std::uint64_t axes, const Bins& bins,
                  const std::optional<py::array>& weights, py::array& out) {
  Counting c;
  c.axes = static_cast<int>(x.ndim());
  std::vector<std::int64_t> shape(static_cast<std::size_t>(c.axes));
  std::int64_t lanes = 1;
  for (int i = 0; i < c.axes; ++i) {
    shape[static_cast<std::size_t>(i)] = x.shape(i);
    if (!(axes >> i & 1)) lanes *= x.shape(i);
  }
  const std::vector<std::int64_t> strides = strides_of(x);
  std::vector<std::int64_t> weight_strides;
  c.shape = shape.data();
  c.reduced = axes;
  c.x = operand_of(x);
  c.strides = strides.data();
  c.bins = &bins;
  if (weights) {
    bool same = weights->ndim() == x.ndim();
    for (py::ssize_t i = 0; same && i < x.ndim(); ++i) same = weights->shape(i) == x.shape(i);
    if (!same) throw std::invalid_argument("ufuse histogram: weights of another shape");
    c.weighted = true;
    c.weights = operand_of(*weights);
    weight_strides = strides_of(*weights);
    c.weight_strides = weight_strides.data();
  }
  const bool fits = out.size() == lanes * bins.count && (out.flags() & py::array::c_style) != 0 &&
                    out.itemsize() == 8 && out.dtype().kind() == (weights ? 'f' : 'i');
  if (!fits) throw std::invalid_argument("ufuse histogram: an output of another shape or type");
  if (out.size() == 0) return;
  c.out = out.mutable_data();
  const Tier tier = active_tier();
  const PieceKernels& pieces = reduce_kernels(tier).pieces;
  if (x.size() < kSmall) {
    count_lanes(c, count_kernels(tier), pieces);
  } else {
    const py::gil_scoped_release released;
    count_lanes(c, count_kernels(tier), pieces);
  }
}

bool histogram(const py::array& x, std::uint64_t axes, const py::array& edges, double width,
               const std::optional<py::array>& weights, py::array out) {
  const std::string code = edges.dtype().kind() + std::to_string(edges.dtype().itemsize());
  const bool contiguous = edges.ndim() == 1 && (edges.flags() & py::array::c_style) != 0;
  if ((code != "f4" && code != "f8") || edges.dtype().byteorder() == '>' || !contiguous || edges.size() < 2 ||
      edges.size() > kMostBins)
    throw std::invalid_argument("ufuse histogram: edges are not a contiguous array of two or more floats");
  const WalkOperand operand = operand_of(x);
  if (code == "f4" && operand.dtype != DType::F32)
    throw std::invalid_argument("ufuse histogram: float32 edges are for float32 elements");
  const CountKernels& kernels = count_kernels(active_tier());
  Bins bins;
  if (!make_bins(bins, edges.data(), edges.size() - 1, code == "f4" ? DType::F32 : DType::F64, width,
                 kernels))
    return false;
  if (item_size(operand.dtype) == 1 && x.size() >= kByValue && !weights) {
    count_by_value(bins, operand.dtype, kernels);
  }
  count_arrays(x, axes, bins, weights, out);
  return true;
}

void bincount(const py::array& x, const std::optional<py::array>& weights, py::array out) {
  if (x.ndim() > 64 || x.dtype().kind() == 'f' || out.ndim() != 1 || out.size() > kMostBins)
    throw std::invalid_argument("ufuse bincount: expected integers, and fewer bins");
  Bins bins;
  make_values(bins, out.size());
  const int axes = static_cast<int>(x.ndim());
  count_arrays(x, axes == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << axes) - 1, bins, weights, out);
}

}  // namespace

void register_count(py::module_& m) {
  m.def("histogram", &histogram, py::arg("x"), py::arg("axes"), py::arg("edges"), py::arg("width"),
        py::arg("weights").none(true), py::arg("out"),
        "Count elements of the lanes along the axes of a bit mask, or add up their weights.\n\n"
        "`edges` are floats in the type that elements are compared in; `width` is the extent of uniform\n"
        "bins, or 0 for given ones. `out` is int64, or float64 with weights: kept axes, then bins. False,\n"
        "and nothing counted, where uniform bins are too narrow for that.");
  m.def("bincount", &bincount, py::arg("x"), py::arg("weights").none(true), py::arg("out"),
        "Count integers below `out.size`, or add up their weights; others are left out.");
}

}  // namespace ufuse
