#include "distortion/distortion.hpp"

#include <algorithm>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(DistortionKernels, distortion_kernels)

namespace {

/// Numbers of a slab: 128 KB of float32 stay in L2, and setting a decoder up for each costs a few per cent.
constexpr std::int64_t kNumbers = 32768;

void add(DistortionSums& to, const DistortionSums& s) {
  to.xx += s.xx;
  to.yy += s.yy;
  to.xy += s.xy;
  to.squares += s.squares;
  to.magnitudes += s.magnitudes;
  to.largest = std::max(to.largest, s.largest);
}

}  // namespace

void measure_distortion(const Distortion& d, DistortionSums* sums) {
  std::int64_t size = 1;
  for (int i = 0; i < d.axes; ++i) size *= d.shape[i];
  if (size == 0) return;
  // The axis that is cut: what is inside it fits in a slab. With none left of which sums are taken, an
  // element is a slab.
  const std::int64_t most = kNumbers / d.floats;  // elements of a slab
  const bool single = d.axes == d.lanes;
  int from = single ? d.axes : d.axes - 1;
  std::int64_t inside = 1;
  while (from > d.lanes && inside * d.shape[from] <= most) inside *= d.shape[from--];
  const std::int64_t extent = single ? 1 : d.shape[from];
  const std::int64_t step = std::clamp<std::int64_t>(most / inside, 1, extent);
  const std::int64_t cuts = (extent + step - 1) / step;
  std::int64_t outer = 1, lanes = 1;
  for (int i = 0; i < from; ++i) outer *= d.shape[i];
  for (int i = 0; i < d.lanes; ++i) lanes *= d.shape[i];
  const std::int64_t slabs = outer * cuts;

  std::int64_t expected = 4 * d.floats;
  bool direct = !d.swapped;
  for (int i = d.axes - 1; i >= from; --i) {
    direct &= d.strides[i] == expected || d.shape[i] == 1;
    expected *= d.shape[i];
  }
  std::vector<DistortionSums> part(static_cast<std::size_t>(slabs));
  const auto kernel = distortion_kernels(active_tier()).compare;
  const std::int64_t bytes = inside * step * 4 * d.floats;
  const int threads = threads_for_bytes(2 * size * 4 * d.floats);
  parallel_for(slabs, threads, [&](std::int64_t index) {
    const ScratchFrame frame(static_cast<std::size_t>((direct ? 1 : 2) * (bytes + 256)));
    auto* const y = reinterpret_cast<float*>(frame.data());
    auto* const gathered = reinterpret_cast<float*>(frame.data() + bytes + 256);
    Slab slab;
    slab.axes = d.axes;
    slab.from = from;
    std::int64_t rest = index / cuts;
    for (int i = slab.from - 1; i >= 0; --i) {
      slab.start[i] = rest % d.shape[i];
      rest /= d.shape[i];
    }
    for (int i = slab.from; i < d.axes; ++i) {
      slab.start[i] = 0;
      slab.shape[i - slab.from] = d.shape[i];
    }
    if (!single) {
      slab.start[from] = index % cuts * step;
      slab.shape[0] = std::min(step, extent - slab.start[from]);
    }
    d.decode(slab, y);
    const auto* x = reinterpret_cast<const float*>(d.x + slab.offset(d.strides));
    if (!direct) {
      d.copy(slab, gathered);
      x = gathered;
    }
    part[static_cast<std::size_t>(index)] = kernel(x, y, slab.size() * d.floats);
  });
  for (std::int64_t i = 0; i < slabs; ++i) add(sums[i / (slabs / lanes)], part[static_cast<std::size_t>(i)]);
}

}  // namespace ufuse
