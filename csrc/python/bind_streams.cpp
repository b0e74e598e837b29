// States of streams: ndarrays to pointers. Python has validated everything else.
#include "streams/exact_sums.hpp"
#include "streams/sorted_steps.hpp"

#include <pybind11/numpy.h>

#include <stdexcept>
#include <string>

#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

using Indices = py::array_t<std::int64_t, py::array::c_style>;

void check(const py::array& array, const py::array& like, std::int64_t size, const char* what) {
  const bool dense = (array.flags() & py::array::c_style) != 0;
  if (!dense || array.size() != size || array.itemsize() != like.itemsize())
    throw std::invalid_argument(std::string("ufuse sorted_steps: ") + what + " is of another size or layout");
}

void sorted_steps_of(const py::array& x, std::int64_t block, std::int64_t step, const Indices& first,
                     py::array out) {
  SortedSteps job;
  const char kind = x.dtype().kind();
  const std::string code = kind == 'b' ? "?" : kind + std::to_string(x.itemsize());
  if (!dtype_of(code, job.dtype) || block <= 0 || step <= 0 || block % step != 0 || x.size() % block != 0 ||
      block > INT32_MAX)
    throw std::invalid_argument("ufuse sorted_steps: expected whole blocks of a compiled element type");
  job.blocks = x.size() / block;
  check(x, x, job.blocks * block, "x");
  check(out, x, job.blocks * (block / step), "out");
  if (first.size() != job.blocks)
    throw std::invalid_argument("ufuse sorted_steps: expected a first index for each block");
  for (std::int64_t b = 0; b < job.blocks; ++b)
    if (first.data()[b] < 0 || first.data()[b] >= step)
      throw std::invalid_argument("ufuse sorted_steps: a first index is outside its step");
  job.data = static_cast<const char*>(x.data());
  job.block = block;
  job.step = step;
  job.first = first.data();
  job.out = static_cast<char*>(out.mutable_data());
  const py::gil_scoped_release released;
  sorted_steps(job);
}

/// Limbs and specials of each row of `x`, with the unit's exponent.
py::tuple exact_sums_of(const py::array& x, bool squares) {
  ExactSums job;
  const std::string code = x.dtype().kind() + std::to_string(x.itemsize());
  const bool dense = (x.flags() & py::array::c_style) != 0;
  if (!dtype_of(code, job.dtype) || (job.dtype != DType::F32 && job.dtype != DType::F64) || !dense ||
      x.ndim() != 2)
    throw std::invalid_argument("ufuse exact_sums: expected contiguous rows of float32 or float64");
  job.data = static_cast<const char*>(x.data());
  job.rows = x.shape(0);
  job.count = x.shape(1);
  job.squares = squares;
  const int limbs = limbs_of(job.dtype, squares);
  py::array_t<std::int64_t> found({job.rows, static_cast<std::int64_t>(limbs)});
  py::array_t<std::int64_t> specials({job.rows, std::int64_t{3}});
  job.limbs = found.mutable_data();
  job.specials = specials.mutable_data();
  {
    const py::gil_scoped_release released;
    exact_sums(job);
  }
  return py::make_tuple(found, specials, limbs == kSquareLimbs ? 2148 : 1074);
}

}  // namespace

void register_streams(py::module_& m) {
  m.def("exact_sums", &exact_sums_of, py::arg("x"), py::arg("squares"),
        "Sums of rows, or of their squares, without rounding: see csrc/streams/exact_sums.hpp.");
  m.def("sorted_steps", &sorted_steps_of, py::arg("x"), py::arg("block"), py::arg("step"), py::arg("first"),
        py::arg("out"), "Write the elements first, first + step... of each sorted block of x.");
}

}  // namespace ufuse
