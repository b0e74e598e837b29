// Scales and offsets of a block, for a register of outputs.
#pragma once

#include "simd/half.hpp"
#include "skinny/rows.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace skinny {

using ufuse::skinny::CodesCall;
using ufuse::skinny::kGroup;
using ufuse::skinny::kLine;
using ufuse::skinny::kPanel;
using ufuse::skinny::Scales;

template <class T>
UFUSE_INLINE T value_at(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline constexpr int kPanels = kGroup / kPanel;
// Bytes. One row, 4096 x 4096 from memory, int8 and Q4_K (dots) as a share of a plain read on a Granite
// Rapids: 512 ahead 0.69 and 0.73, 1024 0.87 and 0.77, 4096 1.02 and 0.96, 8192 1.06 and 0.92, 16384 0.88 and
// 0.73.
inline constexpr std::int64_t kCodesAhead = 4096;

/// Some k of one scale.
struct Part {
  std::int64_t index = 0, first = 0;  // k
  std::int64_t steps = 0;             // of 8 k
  std::int64_t block = 0, super = 0;  // of scales
  const char* codes = nullptr;
};

/// Calls `body(part)` for each part; `Bytes`: of 8 k of a panel.
template <int Bytes, class Body>
UFUSE_INLINE void each_part(const CodesCall& call, Body body) {
  const std::int64_t steps = call.part / 8, all = call.k / 8;
  Part part;
  part.codes = call.codes;
  std::int64_t in_block = 0, in_super = 0;
  for (; part.index < call.parts; ++part.index) {
    const std::int64_t left = all - part.index * steps;
    part.steps = left < steps ? left : steps;
    const std::int64_t bytes = part.steps * (kPanels * Bytes);
    body(part);
    part.first += call.part;
    part.codes += bytes;
    if (++in_block == call.per_scale) {
      in_block = 0;
      ++part.block;
      if (++in_super == call.per_super) in_super = 0, ++part.super;
    }
  }
}

template <int Bytes>
UFUSE_INLINE void ask_ahead(const char* at) {
#pragma GCC unroll 4
  for (int byte = 0; byte < Bytes; byte += kLine) __builtin_prefetch(at + kCodesAhead + byte, 0, 3);
}

UFUSE_INLINE Float halves(const char* from) { return half_to_float(Vec<std::uint16_t, kLanes>::load(from)); }

UFUSE_INLINE Float scale_of(const CodesCall& call, const char* scale, const char* super, const Part& part,
                            int output) {
  const std::int64_t at = part.block * kGroup + output;
  if (call.scales == Scales::f32) return Float::load(scale + 4 * at);
  if (call.scales == Scales::f16) return halves(scale + 2 * at);
  const auto codes = convert<Float>(convert<Int>(Vec<std::int8_t, kLanes>::load(scale + at)));
  return halves(super + 2 * (part.super * kGroup + output)) * codes;
}

/// Adds a part's sums to the totals of U registers of outputs, from register `unit` on.
template <int R, int U, class Sum>
UFUSE_INLINE void add_part(const CodesCall& call, const Part& part, int unit, Sum sum) {
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u) {
    const int output = (unit + u) * kLanes;
    const Float scale = scale_of(call, call.scale, call.super_scale, part, output);
    float* to = call.sums + output;
    Float total[R] = {};
    if (part.index > 0)
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) total[r] = Float::load(to + r * call.pitch);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) total[r] = fma(scale, sum(u, r), total[r]);
    if (call.offsets) {
      const Float offset = scale_of(call, call.offset, call.super_offset, part, output);
      const char* at = call.x_sums + 4 * part.index;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r, at += call.x_sum_bytes)
        total[r] = fma(offset, splat<Float>(value_at<float>(at)), total[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r, to += call.pitch) total[r].store(to);
  }
}

}  // namespace skinny
}  // namespace UFUSE_TIER
}  // namespace ufuse
