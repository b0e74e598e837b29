#include "segment/fast.hpp"

#include "segment/groups.hpp"
#include "segment/segments.hpp"

namespace ufuse {
namespace {

Reduction reduction_of(const PartsCall& call) {
  Reduction r;
  r.axes = call.axes;
  r.shape = call.shape;
  r.reduced = std::uint64_t{1} << call.axis;
  r.input[0] = {call.data, call.dtype, false, call.strides};
  ReduceSlot& slot = r.slot[0];
  slot.reducer = call.reducer;
  slot.element = call.element;
  slot.finish = call.finish;
  slot.component = call.component;
  slot.result = call.result;
  slot.out = call.out;
  slot.out_strides = call.out_strides;
  return r;
}

}  // namespace

bool segments_fast(const PartsCall& call, std::int64_t count, const std::int64_t* starts,
                   const std::int64_t* stops) {
  const SegmentFacts facts =
      reduce_segments(reduction_of(call), call.axis, {count, starts, stops, call.all_needed}, active_tier());
  return facts.start < 0 && facts.stop < 0 && facts.empty < 0;
}

bool groups_fast(const PartsCall& call, std::int64_t count, const char* labels, DType label_type,
                 const std::int64_t* label_stride) {
  const Groups groups{count, {labels, label_type, false, label_stride}, nullptr, call.all_needed};
  const GroupErrors errors = reduce_groups(reduction_of(call), call.axis, groups, active_tier());
  return errors.label < 0 && errors.group < 0;
}

}  // namespace ufuse
