// Reductions of segments and groups: ndarrays to the engine's pointers and byte strides. Python has validated
// everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "python/operands.hpp"
#include "python/register.hpp"
#include "segment/groups.hpp"
#include "segment/segments.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

using SlotSpec =
    std::tuple<std::string, std::string, std::string, int, py::array, double, std::optional<py::bytes>>;
using Integers = py::array_t<std::int64_t, py::array::c_style>;

/// The arguments of both functions as a reduction of one axis, whose results are `parts` along it.
class Arguments {
 public:
  Arguments(const py::array& x, int axis, const std::string& coding, const CodeValues& table,
            const std::vector<SlotSpec>& slots, std::int64_t parts) {
    if (x.ndim() > kMaxReduceAxes || axis < 0 || axis >= x.ndim() || slots.empty() ||
        slots.size() > kMaxSlots)
      throw std::invalid_argument("ufuse segment: between 1 and 64 axes and 1 and 16 slots");
    reduction.axes = static_cast<int>(x.ndim());
    reduction.shape = reinterpret_cast<const std::int64_t*>(x.shape());
    reduction.reduced = std::uint64_t{1} << axis;
    reduction.input[0] = input_of(x, strides_);
    set_coding(reduction.input[0], coding, table);
    reduction.slots = static_cast<int>(slots.size());
    for (int s = 0; s < reduction.slots; ++s)
      read_slot(s, x, axis, slots[static_cast<std::size_t>(s)], parts);
  }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  Reduction reduction;

 private:
  void read_slot(int s, const py::array& x, int axis, const SlotSpec& spec, std::int64_t parts) {
    const auto& [reducer, element, finish, component, out, ddof, initial] = spec;
    bool same = out.ndim() == x.ndim();
    for (py::ssize_t i = 0; same && i < x.ndim(); ++i)
      same = out.shape(i) == (i == axis ? parts : x.shape(i));
    if (!same) throw std::invalid_argument("ufuse segment: an output of another shape");
    ReduceSlot& slot = reduction.slot[s];
    slot.reducer = reducer_of(reducer);
    slot.element = dtype_of_code(element);
    slot.finish = finish_of(finish);
    if (component < 0) throw std::invalid_argument("ufuse segment: no such component");
    slot.component = component;
    slot.result = dtype_of_array(out);
    slot.out = static_cast<char*>(py::array(out).mutable_data());  // throws where it is read-only
    slot.out_strides = reinterpret_cast<const std::int64_t*>(out.strides());
    slot.ddof = ddof;
    if (!initial) return;
    const auto bytes = static_cast<std::string_view>(*initial);
    if (bytes.size() > sizeof initial_[s])
      throw std::invalid_argument("ufuse segment: initial of the wrong size");
    std::memcpy(initial_[s], bytes.data(), bytes.size());
    slot.initial = initial_[s];
  }

  Strides strides_;
  alignas(8) char initial_[kMaxSlots][8];
};

using Facts = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

Facts segment_reduce(const py::array& x, int axis, const std::string& coding, const CodeValues& table,
                     const Integers& starts, const std::optional<Integers>& stops,
                     const std::vector<SlotSpec>& slots, bool all_needed) {
  const Segments segments{starts.size(), starts.data(), stops ? stops->data() : nullptr, all_needed};
  const Arguments given(x, axis, coding, table, slots, segments.count);
  if (stops && stops->size() != segments.count)
    throw std::invalid_argument("ufuse segment: as many stops as starts");
  const SegmentFacts facts =
      without_gil(x.size(), [&] { return reduce_segments(given.reduction, axis, segments, active_tier()); });
  return {facts.start, facts.stop, facts.empty, facts.shortest};
}

std::tuple<std::int64_t, std::int64_t> group_reduce(const py::array& x, int axis, const std::string& coding,
                                                    const CodeValues& table, const py::array& labels,
                                                    std::int64_t count, const std::vector<SlotSpec>& slots,
                                                    std::optional<Integers> sizes, bool all_needed) {
  const Arguments given(x, axis, coding, table, slots, count);
  Strides label_strides;
  Groups groups{count, input_of(labels, label_strides), nullptr, all_needed};
  const char kind = labels.dtype().kind();
  if (labels.ndim() != 1 || labels.shape(0) != x.shape(axis) || (kind != 'i' && kind != 'u'))
    throw std::invalid_argument("ufuse segment: labels are integers, one for each position of the axis");
  if (sizes) {
    if (sizes->size() != count) throw std::invalid_argument("ufuse segment: one size for each group");
    groups.sizes = sizes->mutable_data();
  }
  const GroupErrors errors =
      without_gil(x.size(), [&] { return reduce_groups(given.reduction, axis, groups, active_tier()); });
  return {errors.label, errors.group};
}

}  // namespace

void register_segment(py::module_& m) {
  m.def(
      "segment_reduce", &segment_reduce,
      "segment_reduce(x, axis, coding, table, starts, stops, slots, all_needed): reduce each\n"
      "x[starts[i]:stops[i]]; stops of None are where the next one starts.\n\n"
      "A slot is (reducer, element code, finish, component, out, ddof, initial): `out` has the shape of `x`\n"
      "with the number of segments along the axis, and `initial` is the bytes of a first state component,\n"
      "or None. `coding` and `table` are those of `reduce`. Returns the first start and the first stop that\n"
      "are not within the axis, the first empty segment where `all_needed`, -1 each where there is none, "
      "and\n"
      "the length of the shortest.");
  m.def(
      "group_reduce", &group_reduce,
      "group_reduce(x, axis, coding, table, labels, groups, slots, sizes, all_needed): reduce what has one\n"
      "label.\n\n"
      "Slots as of segment_reduce. Returns the position of the first label that is no group, and the first\n"
      "group without elements where `all_needed`; -1 each where there is none.");
}

}  // namespace ufuse
