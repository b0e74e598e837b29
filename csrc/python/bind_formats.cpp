// Block formats: ndarrays to pointers and byte strides. Python has validated what a user gives; what is
// checked here keeps memory safe.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "formats/blocks.hpp"
#include "python/operands.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

struct FormatRow {
  const char* name;
  std::int64_t block, bytes;
};
constexpr FormatRow kRows[] = {
#define UFUSE_FORMAT(name, block, bytes) {#name, block, bytes},
#include "formats.inc"
#undef UFUSE_FORMAT
};

/// What a format asks for besides arrays: elements and bytes of a block, the array's scale, MX's ScaleMode.
struct Options {
  std::int64_t block, bytes;
  float tensor_scale;
  int scale_mode;
};

[[noreturn]] void refuse(const char* what) {
  throw std::invalid_argument(std::string("ufuse blocks: ") + what);
}

struct Strided {
  std::int64_t values[kMaxBlockAxes], codes[kMaxBlockAxes], scales[kMaxBlockAxes], shape[kMaxBlockAxes];
};

/// Everything but the pointers.
BlockArrays arrays_of(const std::string& format, const py::array& values, const std::string& coding,
                      const py::array& codes, const std::optional<py::array>& scales, const Options& options,
                      Strided& to) {
  BlockArrays b;
  int found = 0;
  while (found < kFormats && format != kRows[found].name) ++found;
  if (found == kFormats) refuse("no such format");
  const FormatRow& row = kRows[found];
  if (options.block <= 0 || options.bytes <= 0 || (row.block != 0 && options.block != row.block) ||
      (row.bytes != 0 && options.bytes != row.bytes))
    refuse("another size of block");
  b.format = static_cast<FormatId>(found);
  b.options = {options.block, options.bytes, 0, options.tensor_scale, options.scale_mode};

  const py::ssize_t axes = values.ndim();
  if (axes < 1 || axes > kMaxBlockAxes || codes.ndim() != axes || codes.dtype().kind() != 'u' ||
      codes.itemsize() != 1)
    refuse("unlike arrays");
  const py::ssize_t last = axes - 1;
  for (py::ssize_t i = 0; i < axes; ++i) {
    to.shape[i] = values.shape(i);
    to.values[i] = values.strides(i);
    to.codes[i] = codes.strides(i);
    if (i < last && codes.shape(i) != values.shape(i)) refuse("unlike arrays");
  }
  const std::int64_t blocks = (values.shape(last) + options.block - 1) / options.block;
  b.code_bytes = codes.shape(last);
  if (b.code_bytes > blocks * options.bytes ||
      b.code_bytes < values.shape(last) / options.block * options.bytes ||
      (b.code_bytes > 1 && codes.strides(last) != 1))
    refuse("codes of another size, or rows of them that are not contiguous");
  if (scales) {
    if (scales->ndim() != axes || scales->shape(last) != blocks ||
        (blocks > 1 && scales->strides(last) != scales->itemsize()))
      refuse("scales of another shape, or rows of them that are not contiguous");
    for (py::ssize_t i = 0; i < axes; ++i) {
      to.scales[i] = scales->strides(i);
      if (i < last && scales->shape(i) != values.shape(i)) refuse("unlike arrays");
    }
    b.options.scale_bytes = scales->itemsize();
    b.scale_strides = to.scales;
  }
  b.axes = static_cast<int>(axes);
  b.shape = to.shape;
  b.strides = to.values;
  b.code_strides = to.codes;

  const DType dtype = dtype_of_array(values);
  if (coding == "half" && dtype == DType::U16)
    b.kind = ValueKind::half;
  else if (coding == "bfloat16" && dtype == DType::U16)
    b.kind = ValueKind::bfloat16;
  else if (coding == "plain" && (dtype == DType::F32 || dtype == DType::F64))
    b.kind = dtype == DType::F64 ? ValueKind::f64 : ValueKind::f32;
  else
    refuse("values of another type");
  b.swapped = values.dtype().byteorder() == '>';
  return b;
}

std::uint8_t* bytes_of(const void* data) { return static_cast<std::uint8_t*>(const_cast<void*>(data)); }

bool encode_arrays(const std::string& format, const py::array& values, const std::string& coding,
                   py::array& codes, std::optional<py::array>& scales,
                   const std::optional<py::array_t<float>>& importance, std::int64_t block,
                   std::int64_t bytes, float tensor_scale, int scale_mode) {
  if (values.size() == 0) return false;
  Strided strided;
  BlockArrays b =
      arrays_of(format, values, coding, codes, scales, {block, bytes, tensor_scale, scale_mode}, strided);
  b.values = static_cast<char*>(const_cast<void*>(values.data()));
  b.codes = static_cast<std::uint8_t*>(codes.mutable_data());  // throws where it is read-only
  if (scales) b.scales = static_cast<std::uint8_t*>(scales->mutable_data());
  if (importance) {
    // A ragged last block reads weights past its values.
    if (importance->ndim() != 1 || importance->shape(0) % block != 0 ||
        importance->shape(0) < strided.shape[b.axes - 1] ||
        (importance->shape(0) > 1 && importance->strides(0) != 4))
      refuse("importance of another shape");
    b.importance = importance->data();
  }
  return without_gil(values.size(), [&] { return encode_blocks(b); });
}

void decode_arrays(const std::string& format, const py::array& codes, const std::optional<py::array>& scales,
                   py::array& values, const std::string& coding, std::int64_t block, std::int64_t bytes,
                   float tensor_scale, int scale_mode) {
  if (values.size() == 0) return;
  Strided strided;
  BlockArrays b =
      arrays_of(format, values, coding, codes, scales, {block, bytes, tensor_scale, scale_mode}, strided);
  b.values = static_cast<char*>(values.mutable_data());  // throws where it is read-only
  b.codes = bytes_of(codes.data());
  if (scales) b.scales = bytes_of(scales->data());
  without_gil(values.size(), [&] { decode_blocks(b); });
}

}  // namespace

void register_formats(py::module_& m) {
  m.def(
      "encode_blocks", &encode_arrays, py::arg("format"), py::arg("values"), py::arg("coding"),
      py::arg("codes"), py::arg("scales"), py::arg("importance"), py::arg("block"), py::arg("bytes"),
      py::arg("tensor_scale"), py::arg("scale_mode"),
      "Write an array in blocks along its last axis. `values` are float32 or float64 ('plain'), or bits of\n"
      "16 ('half', 'bfloat16'); nothing overlaps; rows of `codes`, and of `scales` where a format has them\n"
      "apart, are contiguous.");
  m.def("decode_blocks", &decode_arrays, py::arg("format"), py::arg("codes"), py::arg("scales"),
        py::arg("values"), py::arg("coding"), py::arg("block"), py::arg("bytes"), py::arg("tensor_scale"),
        py::arg("scale_mode"), "The mirror image: float32 ('plain'), 'half' or 'bfloat16' of blocks.");
}

}  // namespace ufuse
