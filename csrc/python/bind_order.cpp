// Order statistics: ndarrays to the engine's pointers and byte strides. Python has validated everything else.
#include "order/order.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

using Integers = py::array_t<std::int64_t, py::array::c_style>;
using Doubles = py::array_t<double, py::array::c_style>;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("ufuse order: " + what); }

OrderInput input_of(const py::array& x, std::uint64_t reduced, const std::string& kind,
                    std::uint64_t infinity, const std::optional<Bytes>& ranks) {
  if (x.ndim() > kMaxAxes) refuse("too many axes");
  OrderInput input;
  input.data = static_cast<const char*>(x.data());
  const auto size = x.itemsize();
  if (size != 1 && size != 2 && size != 4 && size != 8) refuse("no elements of this size");
  input.log2_size = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
  if (kind != "u" && kind != "i" && kind != "f") refuse("no elements of kind '" + kind + "'");
  if ((kind == "f" && size == 1) != ranks.has_value() || (ranks && ranks->size() != 256))
    refuse("ranks are for floats of one byte");
  input.ranks = ranks ? ranks->data() : nullptr;
  input.kind = kind == "u" ? KeyKind::unsigned_ : kind == "i" ? KeyKind::signed_ : KeyKind::floating;
  input.swap = x.dtype().byteorder() == '>';
  input.infinity = infinity;
  input.axes = static_cast<int>(x.ndim());
  input.shape = reinterpret_cast<const std::int64_t*>(x.shape());
  input.strides = reinterpret_cast<const std::int64_t*>(x.strides());
  input.reduced = reduced;
  for (py::ssize_t i = 0; i < x.ndim(); ++i)
    if (x.shape(i) == 0) refuse("no elements");
  return input;
}

/// Checks an output: `lead` axes, and then those of the input, 1 long where they are reduced (or `k` long).
char* output_of(const py::array& out, const OrderInput& x, int lead, std::int64_t along = 1) {
  bool same = out.ndim() == lead + x.axes;
  for (int i = 0; same && i < x.axes; ++i)
    same = out.shape(lead + i) == (x.reduced >> i & 1 ? along : x.shape[i]);
  if (!same) refuse("an output of another shape");
  return static_cast<char*>(py::array(out).mutable_data());  // throws where it is read-only
}

const std::int64_t* strides_of(const py::array& array) {
  return reinterpret_cast<const std::int64_t*>(array.strides());
}

/// counts, previous, next, t, one_minus_t, blend.
using Rows = std::tuple<Integers, Integers, Integers, Doubles, Doubles, Bytes>;

QuantileTable table_of(const Rows& rows, std::int64_t queries) {
  const auto& [counts, previous, next, t, one_minus_t, blend] = rows;
  if (counts.ndim() != 1 || counts.shape(0) == 0) refuse("a table of another shape");
  QuantileTable table{counts.shape(0), queries,  counts.data(),      previous.data(),
                      next.data(),     t.data(), one_minus_t.data(), blend.data()};
  for (const py::array& part :
       {py::array(previous), py::array(next), py::array(t), py::array(one_minus_t), py::array(blend)})
    if (part.ndim() != 2 || part.shape(0) != table.rows || part.shape(1) != queries)
      refuse("a table of another shape");
  for (std::int64_t row = 0; row < table.rows; ++row)
    for (std::int64_t i = row * queries; i < (row + 1) * queries; ++i)
      if (table.previous[i] < 0 || table.next[i] < table.previous[i] || table.next[i] >= table.counts[row] ||
          table.next[i] > table.previous[i] + 1 || table.blend[i] > 3)
        refuse("ranks out of range");
  return table;
}

/// Rows that Python makes, from a thread without the GIL.
RuleRows rows_by(const py::object& make, std::int64_t queries, const std::vector<std::int64_t>& counts) {
  const py::gil_scoped_acquire acquired;
  const Rows rows = make(Integers(static_cast<py::ssize_t>(counts.size()), counts.data())).cast<Rows>();
  const QuantileTable table = table_of(rows, queries);
  const auto all = static_cast<std::size_t>(table.rows * queries);
  const auto copy = [all](auto* from) { return std::vector(from, from + all); };
  return {queries,
          {table.counts, table.counts + table.rows},
          copy(table.previous),
          copy(table.next),
          copy(table.t),
          copy(table.one_minus_t),
          copy(table.blend)};
}

std::int64_t statistics(const py::array& x, std::uint64_t reduced, const std::string& kind,
                        std::uint64_t infinity, const std::optional<Bytes>& ranks, std::int64_t queries,
                        const py::object& rules, bool skip_nan, const std::string& result,
                        const std::vector<py::array>& out) {
  OrderJob job;
  job.input = input_of(x, reduced, kind, infinity, ranks);
  constexpr const char* results[] = {"elements", "pair", "f4", "f8"};
  int wanted = 0;
  while (wanted < 4 && result != results[wanted]) ++wanted;
  if (wanted == 4) refuse("no result '" + result + "'");
  job.result = static_cast<OrderResult>(wanted);
  const bool blended = job.result == OrderResult::f32 || job.result == OrderResult::f64;
  if (blended && kind == "f" && x.itemsize() < 4) refuse("no blend of these elements");
  const std::size_t outputs = job.result == OrderResult::pair ? 2 : 1;
  if (out.size() != outputs) refuse("another number of outputs");
  Rows rows;
  if (py::isinstance<py::tuple>(rules)) {
    rows = rules.cast<Rows>();
    job.table = table_of(rows, queries);
  } else {
    job.table = RuleRows{}.table();
    job.table.queries = queries;
    job.rows_of = [&rules, queries](const std::vector<std::int64_t>& counts) {
      return rows_by(rules, queries, counts);
    };
  }
  for (std::size_t k = 0; k < outputs; ++k) {
    job.out[k] = output_of(out[k], job.input, 1);
    if (out[k].shape(0) != queries) refuse("an output of another shape");
    const auto size = job.result == OrderResult::f32 ? 4 : job.result == OrderResult::f64 ? 8 : x.itemsize();
    if (out[k].itemsize() != size) refuse("an output of another type");
    job.query_stride[k] = out[k].strides(0);
    job.out_strides[k] = strides_of(out[k]) + 1;
  }
  job.skip_nan = skip_nan;
  const py::gil_scoped_release released;
  return order_statistics(job);
}

void valid(const py::array& x, std::uint64_t reduced, std::uint64_t infinity,
           const std::optional<Bytes>& ranks, const py::array& out) {
  const OrderInput input = input_of(x, reduced, "f", infinity, ranks);
  char* to = output_of(out, input, 0);
  if (out.itemsize() != 8) refuse("an output of another type");
  const std::int64_t* strides = strides_of(out);
  const py::gil_scoped_release released;
  count_valid(input, to, strides);
}

void top(const py::array& x, int axis, const std::string& kind, std::uint64_t infinity,
         const std::optional<Bytes>& ranks, std::int64_t k, bool descending, const py::array& values,
         const py::array& indices) {
  if (axis < 0 || axis >= x.ndim()) refuse("no such axis");
  TopkJob job;
  job.input = input_of(x, std::uint64_t{1} << axis, kind, infinity, ranks);
  if (k < 1 || k > x.shape(axis)) refuse("k out of range");
  job.k = k;
  job.descending = descending;
  job.values = output_of(values, job.input, 0, k);
  job.indices = output_of(indices, job.input, 0, k);
  if (values.itemsize() != x.itemsize() || indices.itemsize() != 8) refuse("an output of another type");
  job.value_strides = strides_of(values);
  job.index_strides = strides_of(indices);
  const py::gil_scoped_release released;
  topk(job);
}

}  // namespace

void register_order(py::module_& m) {
  m.def("order_statistics", &statistics,
        "Order statistics of the lanes of an array, blended: see csrc/order/order.hpp.");
  m.def("topk", &top, "The first elements of each lane in sorted order, and their indices.");
  m.def("count_valid", &valid, "How many elements of each lane of an array are no NaN.");
}

}  // namespace ufuse
