// The lanes of an array: what is reduced to one result each, and where the results go.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/plan.hpp"
#include "order/kernels.hpp"

namespace ufuse {

/// An array whose axes of the bit mask `reduced` are the lanes. Byte strides, C order.
struct OrderInput {
  const char* data;
  int log2_size;
  KeyKind kind;
  bool swap;                  // bytes are in the other order
  std::uint64_t infinity;     // bits of the infinity of a floating type
  const std::uint8_t* ranks;  // keys of the 256 bytes where elements are floats of one; 255: NaN
  int axes;
  const std::int64_t* shape;
  const std::int64_t* strides;
  std::uint64_t reduced;
};

inline constexpr int kMaxOrderOutputs = 3;

/// Lanes are numbered in the order in which they lie in memory, whatever the order of the axes; results are
/// exact, so that no order of lanes or of their elements can change them.
struct LanePlan {
  OrderInput input;
  LoopPlan lane;  // the reduced axes; operand 0: the input
  LoopPlan kept;  // the other axes; operand 0: the input, then the outputs
  bool across;    // neighbours in memory belong to different lanes

  std::int64_t length() const { return lane.size; }
  std::int64_t lanes() const { return kept.size; }
};

/// `out` are arrays of the input's axes, 1 long where they are reduced.
void plan_lanes(LanePlan& plan, const OrderInput& input, int outputs, char* const* out,
                const std::int64_t* const* out_strides);

/// The stretches of [first, first + count) of a nest along its fastest axis: calls f(offset of the first of
/// the stretch, how many positions, byte offsets of operand k by `at(k)`).
template <class F>
void each_stretch(const LoopPlan& nest, std::int64_t first, std::int64_t count, F f) {
  if (nest.axes == 0) {
    const std::int64_t none[kMaxOrderOutputs + 1] = {};
    if (count > 0) f(std::int64_t{0}, std::int64_t{1}, none);
    return;
  }
  const std::int64_t inner = nest.extent[0];
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t position = first + done, within = position % inner;
    std::int64_t rest = position / inner, offset[kMaxOrderOutputs + 1];
    for (int k = 0; k <= kMaxOrderOutputs; ++k) offset[k] = within * nest.stride[k][0];
    for (int axis = 1; axis < nest.axes; ++axis) {
      const std::int64_t at = axis + 1 < nest.axes ? rest % nest.extent[axis] : rest;
      rest /= nest.extent[axis];
      for (int k = 0; k <= kMaxOrderOutputs; ++k) offset[k] += at * nest.stride[k][axis];
    }
    const std::int64_t run = inner - within < count - done ? inner - within : count - done;
    f(done, run, offset);
    done += run;
  }
}

/// How the keys of some lanes are laid out: lane l, element e at l * lane_pitch + e * element_pitch, one of
/// which is 1.
struct KeyLayout {
  std::int64_t lane_pitch, element_pitch;
};

/// Loads elements [begin, begin + count) of lanes [first, first + lanes), `step` elements apart.
template <class K>
void load_lanes(const LanePlan& plan, const KeyKernels<K>& kernels, K* to, KeyLayout layout,
                std::int64_t first, std::int64_t lanes, std::int64_t begin, std::int64_t count,
                std::int64_t step = 1) {
  const OrderInput& input = plan.input;
  const auto load = kernels.load[input.log2_size][static_cast<int>(input.kind)];
  const std::int64_t lane_stride = plan.kept.axes > 0 ? plan.kept.stride[0][0] : 0;
  const std::int64_t stride = plan.lane.axes > 0 ? plan.lane.stride[0][0] : 0;
  TileLoad<K> call;
  call.infinity = static_cast<K>(input.infinity);
  call.ranks = input.ranks;
  call.swap = input.swap;
  auto tile = [&](std::int64_t lane, std::int64_t wide, std::int64_t element, std::int64_t long_,
                  const char* from, std::int64_t element_stride) {
    call.to = to + lane * layout.lane_pitch + element * layout.element_pitch;
    call.from = from;
    if (layout.element_pitch == 1) {
      call.pitch = layout.lane_pitch;
      call.a_stride = lane_stride, call.a_count = wide;
      call.b_stride = element_stride, call.b_count = long_;
    } else {
      call.pitch = layout.element_pitch;
      call.a_stride = element_stride, call.a_count = long_;
      call.b_stride = lane_stride, call.b_count = wide;
    }
    load(call);
  };
  each_stretch(plan.kept, first, lanes, [&](std::int64_t lane, std::int64_t wide, const std::int64_t* at) {
    const char* start = plan.kept.data[0] + at[0];
    if (plan.lane.axes <= 1) return tile(lane, wide, 0, count, start + begin * stride, stride * step);
    if (step == 1) {
      each_stretch(plan.lane, begin, count,
                   [&](std::int64_t element, std::int64_t run, const std::int64_t* offset) {
                     tile(lane, wide, element, run, start + offset[0], stride);
                   });
      return;
    }
    for (std::int64_t i = 0; i < count; ++i)
      each_stretch(plan.lane, begin + i * step, 1,
                   [&](std::int64_t, std::int64_t, const std::int64_t* offset) {
                     tile(lane, wide, i, 1, start + offset[0], stride);
                   });
  });
}

}  // namespace ufuse
