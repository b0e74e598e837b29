// Histograms and counts: ndarrays to the engine's pointers and byte strides. Python has validated the rest.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "count/count.hpp"
#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

// Below this many elements, giving up the GIL and taking it back costs more than the work.
constexpr py::ssize_t kQuick = 4096;
// From here on, elements of one byte are counted by value: their 256 bins are found once.
constexpr py::ssize_t kByValue = 2048;
// Slots are 32-bit numbers.
constexpr py::ssize_t kMostBins = (py::ssize_t{1} << 31) - 8;

/// How narrow floats are read, and the values of their bits where they have one byte.
using CodingSpec = std::pair<std::string, CodeValues>;

WalkOperand operand_of(const py::array& array, const CodingSpec& spec) {
  const auto& [coding, table] = spec;
  WalkOperand operand;
  operand.dtype = dtype_of_array(array);
  operand.data = static_cast<const char*>(array.data());
  operand.swapped = array.dtype().byteorder() == '>';
  operand.coding = coding_of(coding, operand.dtype, table);
  if (operand.coding == Coding::plain) return operand;
  if (operand.coding == Coding::table) operand.table = table->data();
  operand.dtype = DType::F32;
  return operand;
}

std::vector<std::int64_t> strides_of(const py::array& array) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(array.ndim()));
  for (py::ssize_t i = 0; i < array.ndim(); ++i) strides[static_cast<std::size_t>(i)] = array.strides(i);
  return strides;
}

/// The part that both functions share: `bins` are made.
std::int64_t count_arrays(const py::array& x, const WalkOperand& operand, std::uint64_t axes,
                          const Bins& bins, const std::optional<py::array>& weights,
                          const CodingSpec& weight_coding, py::array& out) {
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
  c.x = operand;
  c.strides = strides.data();
  c.bins = &bins;
  if (weights) {
    bool same = weights->ndim() == x.ndim();
    for (py::ssize_t i = 0; same && i < x.ndim(); ++i) same = weights->shape(i) == x.shape(i);
    if (!same) throw std::invalid_argument("ufuse histogram: weights of another shape");
    c.weighted = true;
    c.weights = operand_of(*weights, weight_coding);
    weight_strides = strides_of(*weights);
    c.weight_strides = weight_strides.data();
  }
  const bool fits = out.size() == lanes * bins.count && (out.flags() & py::array::c_style) != 0 &&
                    out.itemsize() == 8 && out.dtype().kind() == (weights ? 'f' : 'i');
  if (!fits) throw std::invalid_argument("ufuse histogram: an output of another shape or type");
  if (out.size() == 0) return -1;
  c.out = out.mutable_data();
  const Tier tier = active_tier();
  const PieceKernels& pieces = reduce_kernels(tier).pieces;
  if (x.size() < kQuick) return count_lanes(c, count_kernels(tier), pieces);
  const py::gil_scoped_release released;
  return count_lanes(c, count_kernels(tier), pieces);
}

/// Elements of one byte by their bits.
void count_bytes(Bins& bins, WalkOperand& operand, const CountKernels& kernels) {
  std::uint8_t codes[256];
  for (int i = 0; i < 256; ++i) codes[i] = static_cast<std::uint8_t>(i);
  const bool coded = operand.coding == Coding::table;
  count_by_value(bins, operand.dtype, coded ? static_cast<const void*>(operand.table) : codes, kernels);
  operand.coding = Coding::plain;
  if (coded) operand.dtype = DType::U8;
}

bool histogram(const py::array& x, std::uint64_t axes, const py::array& edges, double width,
               const std::optional<py::array>& weights, py::array out, const CodingSpec& coding,
               const CodingSpec& weight_coding) {
  const std::string code = edges.dtype().kind() + std::to_string(edges.dtype().itemsize());
  const bool contiguous = edges.ndim() == 1 && (edges.flags() & py::array::c_style) != 0;
  if ((code != "f4" && code != "f8") || edges.dtype().byteorder() == '>' || !contiguous || edges.size() < 2 ||
      edges.size() > kMostBins)
    throw std::invalid_argument("ufuse histogram: edges are not a contiguous array of two or more floats");
  WalkOperand operand = operand_of(x, coding);
  if (code == "f4" && operand.dtype != DType::F32)
    throw std::invalid_argument("ufuse histogram: float32 edges are for float32 elements");
  const CountKernels& kernels = count_kernels(active_tier());
  Bins bins;
  if (!make_bins(bins, edges.data(), edges.size() - 1, code == "f4" ? DType::F32 : DType::F64, width,
                 kernels))
    return false;
  if (operand.log2_stored() == 0 && x.size() >= kByValue && !weights) count_bytes(bins, operand, kernels);
  count_arrays(x, operand, axes, bins, weights, weight_coding, out);
  return true;
}

std::int64_t bincount(const py::array& x, const std::optional<py::array>& weights, py::array out,
                      const CodingSpec& weight_coding) {
  if (x.ndim() != 1 || x.dtype().kind() == 'f' || out.ndim() != 1 || out.size() < 1 || out.size() > kMostBins)
    throw std::invalid_argument("ufuse bincount: expected integers in one dimension, and some bins");
  Bins bins;
  make_values(bins, out.size());
  const CodingSpec plain{"plain", std::nullopt};
  return count_arrays(x, operand_of(x, plain), 1, bins, weights, weight_coding, out);
}

void count_octaves(const py::array& x, std::uint64_t axes, int top, int octaves, int fraction_bits,
                   py::array out, const CodingSpec& coding) {
  if (fraction_bits < 0 || fraction_bits > 12 || octaves < 1 || octaves > 254 || top - octaves < -126 ||
      top > 128)
    throw std::invalid_argument("ufuse count_octaves: no such octaves");
  Bins bins;
  make_octaves(bins, top, octaves, fraction_bits);
  count_arrays(x, operand_of(x, coding), axes, bins, std::nullopt, coding, out);
}

}  // namespace

void register_count(py::module_& m) {
  m.def("histogram", &histogram, py::arg("x"), py::arg("axes"), py::arg("edges"), py::arg("width"),
        py::arg("weights").none(true), py::arg("out"), py::arg("coding"), py::arg("weight_coding"),
        "Count elements of the lanes along the axes of a bit mask, or add up their weights.\n\n"
        "`edges` are floats in the type that elements are compared in; `width` is the extent of uniform\n"
        "bins, or 0 for given ones. `out` is int64, or float64 with weights: kept axes, then bins. Codings\n"
        "are pairs: how the bits of narrow floats in u2 or u1 arrays are read, and the 256 values of bytes.\n"
        "False, and nothing counted, where uniform bins are too narrow for that.");
  m.def(
      "count_octaves", &count_octaves, py::arg("x"), py::arg("axes"), py::arg("top"), py::arg("octaves"),
      py::arg("fraction_bits"), py::arg("out"), py::arg("coding"),
      "Count elements of the lanes along the axes of a bit mask by the leading bits of their float32, which\n"
      "are less than 2**top: see make_octaves in csrc/count/bins.hpp. `out` and `coding` as for "
      "`histogram`.");
  m.def("bincount", &bincount, py::arg("x"), py::arg("weights").none(true), py::arg("out"),
        py::arg("weight_coding"),
        "Count integers below `out.size`, or add up their weights. Returns the largest integer; `out.size`\n"
        "where there are others, which are left out.");
}

}  // namespace ufuse
