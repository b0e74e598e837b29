#include "distortion/distortion.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(DistortionKernels, distortion_kernels)

namespace {

/// Numbers of a segment: 128 KB of float32 stay in L2, and setting a decoder up for each costs a few per
/// cent.
constexpr std::int64_t kNumbers = 32768;

/// How an operand lies over a slab: the same for the inner axes, or one element beside the other; and a step
/// from a row of those to the next. Where it is the same for all, it is both.
struct Lie {
  std::int64_t inner;  // bytes: 0 or the size of an element
  std::int64_t row;
};

/// Whether the operand lies over rows of the axes from `inner_from` on as its place there; and how.
bool lies(const std::int64_t* strides, const Slab& slab, int inner_from, std::int64_t size, Lie& lie) {
  const int axes = slab.axes - slab.from;
  const std::int64_t* s = strides + slab.from;
  const auto run = [&](int from, int to, std::int64_t& step) {  // the axes as one of this step
    step = 0;
    std::int64_t expected = 0;
    bool first = true;
    for (int i = to - 1; i >= from; --i) {
      if (slab.shape[i] == 1) continue;
      if (first) step = expected = s[i];
      if (s[i] != expected) return false;
      first = false;
      expected *= slab.shape[i];
    }
    return true;
  };
  return run(inner_from, axes, lie.inner) && (lie.inner == 0 || lie.inner == size) &&
         run(0, inner_from, lie.row);
}

/// Whether the elements of a slab, of so many bytes, follow one another.
bool is_contiguous(const std::int64_t* strides, const Slab& slab, std::int64_t size) {
  for (int i = slab.axes - slab.from - 1; i >= 0; --i) {
    if (slab.shape[i] != 1 && strides[slab.from + i] != size) return false;
    size *= slab.shape[i];
  }
  return true;
}

/// The kernel that compares the codes of a slab in its rows, null where they lie otherwise.
CompareCodes kernel_of(const Codes& codes, const Slab& slab, std::int64_t numbers, CodeRows& rows) {
  const int axes = slab.axes - slab.from;
  const auto size = [](DType type) { return static_cast<std::int64_t>(item_size(type)); };
  if (!is_contiguous(codes.strides[0], slab, size(codes.row->codes))) return nullptr;
  // As many inner axes as have one scale, else as many as have their scales side by side.
  Lie scale{}, zero{};
  int from = axes;
  const auto fit = [&](int inner) {
    return lies(codes.strides[1], slab, inner, size(codes.row->scale), scale) &&
           (!codes.row->has_zero || lies(codes.strides[2], slab, inner, size(codes.row->zero), zero));
  };
  for (int inner = 0; inner <= axes; ++inner) {
    if (!fit(inner)) continue;
    from = inner;
    break;
  }
  if (from == axes && axes > 0) return nullptr;  // a row of each element
  rows.columns = 1;
  for (int i = from; i < axes; ++i) rows.columns *= slab.shape[i];
  const std::int64_t all = numbers / codes.row->floats;
  if (rows.columns != all && rows.columns * codes.row->floats % kDistortionLanes != 0) return nullptr;
  if (scale.inner == 0 && zero.inner != 0) return nullptr;
  rows.codes = codes.data[0] + slab.offset(codes.strides[0]);
  rows.scale = codes.data[1] + slab.offset(codes.strides[1]);
  rows.zero = codes.row->has_zero ? codes.data[2] + slab.offset(codes.strides[2]) : rows.scale;
  rows.scale_row = scale.row;
  rows.zero_row = zero.row;
  const auto layout = scale.inner == 0  ? ScaleLayout::single
                      : zero.inner == 0 ? ScaleLayout::scales
                                        : ScaleLayout::both;
  return codes.row->compare[static_cast<int>(layout)];
}

}  // namespace

const CodesRow* codes_row(const Program& program) {
  const char* const name = program.only_operation();
  if (name == nullptr) return nullptr;
  const DistortionKernels& kernels = distortion_kernels(active_tier());
  for (int i = 0; i < kernels.count; ++i) {
    const CodesRow& row = kernels.codes[i];
    const bool has_zero = row.has_zero;
    if (std::strcmp(row.name, name) == 0 && program.inputs() >= (has_zero ? 3 : 2) &&
        program.input_dtype(0) == row.codes && program.input_dtype(1) == row.scale &&
        (!has_zero || program.input_dtype(2) == row.zero))
      return &row;
  }
  return nullptr;
}

namespace {

/// How an array is cut: into segments, whose sums are added up in their order, and for each thread's turn
/// into panels of segments side by side.
class Cuts {
 public:
  explicit Cuts(const Distortion& d) : d_(d), single_(d.axes == d.lanes) {
    // The axis that is cut: what is inside it fits in a segment. With none left of which sums are taken, an
    // element is a segment.
    const std::int64_t most = kNumbers / d.floats;
    from_ = single_ ? d.axes : d.axes - 1;
    while (from_ > d.lanes && inside_ * d.shape[from_] <= most) inside_ *= d.shape[from_--];
    extent_ = single_ ? 1 : d.shape[from_];
    step_ = std::clamp<std::int64_t>(most / inside_, 1, extent_);
    cuts_ = (extent_ + step_ - 1) / step_;
    for (int i = d.lanes; i < from_; ++i) inner_ *= d.shape[i];
    for (int i = 0; i < d.lanes; ++i) lanes_ *= d.shape[i];
    crossed_ = is_crossed();
    neighbours_ = d.lanes > 0 ? d.shape[d.lanes - 1] : 1;
    panel_ = std::clamp<std::int64_t>(crossed_ ? kCrossed : most / (step_ * inside_), 1, neighbours_);
    panels_ = (neighbours_ + panel_ - 1) / panel_;
    std::int64_t expected = 4 * d.floats;
    direct_ = !d.swapped;
    for (int i = d.axes - 1; i >= from_; --i) {
      direct_ &= d.strides[i] == expected || d.shape[i] == 1;
      expected *= d.shape[i];
    }
  }

  std::int64_t panels() const { return lanes_ / neighbours_ * panels_ * inner_ * cuts_; }
  std::int64_t segments() const { return lanes_ * inner_ * cuts_; }
  std::int64_t segments_of_lane() const { return inner_ * cuts_; }

  /// Measures the segments of a panel; each lane has its own one after another in `part`.
  void measure(std::int64_t index, const DistortionKernels& kernels, DistortionSums* part) const {
    Slab slab;  // of one lane after another, or of all of them where `widened`
    slab.axes = d_.axes;
    slab.from = from_;
    const std::int64_t cut = index % cuts_;
    const std::int64_t segment = index % (inner_ * cuts_);
    index /= cuts_;
    for (int i = from_ - 1; i >= d_.lanes; --i, index /= d_.shape[i + 1]) slab.start[i] = index % d_.shape[i];
    const std::int64_t first = index % panels_ * panel_, lanes = std::min(panel_, neighbours_ - first);
    std::int64_t lane = index / panels_;
    const std::int64_t place = (lane * neighbours_ + first) * segments_of_lane() + segment;
    for (int i = d_.lanes - 2; i >= 0; --i, lane /= d_.shape[i + 1]) slab.start[i] = lane % d_.shape[i];
    for (int i = from_; i < d_.axes; ++i) {
      slab.start[i] = 0;
      slab.shape[i - from_] = d_.shape[i];
    }
    if (!single_) {
      slab.start[from_] = cut * step_;
      slab.shape[0] = std::min(step_, extent_ - slab.start[from_]);
    }
    const std::int64_t numbers = slab.size() * d_.floats;
    const auto at_lane = [&](std::int64_t k) {
      if (d_.lanes > 0) slab.start[d_.lanes - 1] = first + k;
    };
    const auto found = [&](std::int64_t k) -> DistortionSums& {
      return part[place + k * segments_of_lane()];
    };
    const auto x = [&] { return reinterpret_cast<const float*>(d_.x + slab.offset(d_.strides)); };
    at_lane(0);
    if (direct_ && d_.codes.are_numbers && is_contiguous(d_.codes.strides[0], slab, 4)) {
      for (std::int64_t k = 0; k < lanes; ++k) {
        at_lane(k);
        const char* const y = d_.codes.data[0] + slab.offset(d_.codes.strides[0]);
        found(k) = kernels.compare(x(), reinterpret_cast<const float*>(y), numbers);
      }
      return;
    }
    CodeRows rows{};
    const CompareCodes fused =
        direct_ && d_.codes.row != nullptr ? kernel_of(d_.codes, slab, numbers, rows) : nullptr;
    if (fused != nullptr) {
      const auto step = [&](const std::int64_t* strides) { return d_.lanes > 0 ? strides[d_.lanes - 1] : 0; };
      const bool zeros = d_.codes.row->has_zero;
      const char* from = reinterpret_cast<const char*>(x());
      for (std::int64_t k = 0; k < lanes; ++k) {
        found(k) = fused(reinterpret_cast<const float*>(from), rows, numbers);
        from += step(d_.strides);
        rows.codes += step(d_.codes.strides[0]);
        rows.scale += step(d_.codes.strides[1]);
        rows.zero += step(d_.codes.strides[zeros ? 2 : 1]);
      }
      return;
    }
    if (crossed_ && !direct_) {
      measure_crossed(slab, lanes, kernels, found);
      return;
    }
    const std::int64_t bytes = (numbers * lanes * 4 + 255) / 256 * 256;
    const ScratchFrame frame(static_cast<std::size_t>(bytes * (direct_ ? 1 : 2)));
    auto* const y = reinterpret_cast<float*>(frame.data());
    auto* const gathered = reinterpret_cast<float*>(frame.data() + bytes);
    const Slab all = widened(slab, lanes);
    d_.decode(all, y);
    if (!direct_) d_.copy(all, gathered);
    for (std::int64_t k = 0; k < lanes; ++k) {
      at_lane(k);
      found(k) = kernels.compare(direct_ ? x() : gathered + k * numbers, y + k * numbers, numbers);
    }
  }

 private:
  /// Lanes side by side in memory are read so, and turned in cache: one by one, the columns of a matrix of
  /// 4096 took 117 ms, and 80 turned as they were gathered, 16 lanes at a time; so, 20.
  static constexpr std::int64_t kCrossed = 32;

  /// Whether the next element of another lane is nearer than that of the same.
  bool is_crossed() const {
    if (d_.lanes == 0 || single_ || d_.floats != 1) return false;
    return std::abs(d_.strides[d_.lanes - 1]) < std::abs(d_.strides[d_.axes - 1]);
  }

  /// Measures a segment of so many lanes from the slab's on.
  template <class Found>
  void measure_crossed(const Slab& slab, std::int64_t lanes, const DistortionKernels& kernels,
                       Found found) const {
    const std::int64_t side = (lanes + 7) / 8 * 8, block = kDistortionGroup * side;
    const ScratchFrame frame(static_cast<std::size_t>(4 * 4 * block));
    auto* const y = reinterpret_cast<float*>(frame.data());
    float *const x = y + block, *const turned_y = x + block, *const turned_x = turned_y + block;
    const std::int64_t numbers = slab.size(), line = slab.shape[slab.axes - 1 - slab.from];
    Slab part = widened(slab, lanes);
    part.turned = true;
    const int inner = part.axes - part.from;  // axes of the part
    for (std::int64_t group = 0; group < numbers; group += kDistortionGroup) {
      const std::int64_t some = std::min(kDistortionGroup, numbers - group);
      for (std::int64_t done = 0; done < some;) {  // as much of a line along the last axis as there is
        std::int64_t rest = (group + done) / line;
        const std::int64_t at = (group + done) % line;
        const std::int64_t count = std::min(some - done, line - at);
        for (int i = inner - 2; i > 0; --i) {
          const int axis = part.from + i;
          const std::int64_t extent = axis < slab.from ? 1 : slab.shape[axis - slab.from];
          part.start[axis] = slab.start[axis] + rest % extent;
          rest /= extent;
          part.shape[i] = 1;
        }
        part.start[part.axes - 1] = slab.start[part.axes - 1] + at;
        part.shape[inner - 1] = count;
        d_.decode(part, y + done * lanes);
        d_.copy(part, x + done * lanes);
        done += count;
      }
      const std::int64_t full = (some + 7) / 8 * 8;
      kernels.turn(y, full, lanes, turned_y);
      kernels.turn(x, full, lanes, turned_x);
      for (std::int64_t k = 0; k < lanes; ++k)
        found(k).add(kernels.compare(turned_x + k * full, turned_y + k * full, some));
    }
  }

  /// The same part of so many lanes from this one on.
  Slab widened(const Slab& slab, std::int64_t lanes) const {
    if (d_.lanes == 0) return slab;
    Slab wide = slab;
    wide.from = d_.lanes - 1;
    const int added = slab.from - wide.from;
    for (int i = 0; i < slab.axes - wide.from; ++i) wide.shape[i] = i < added ? 1 : slab.shape[i - added];
    wide.shape[0] = lanes;
    return wide;
  }

  const Distortion& d_;
  bool single_, crossed_, direct_;
  int from_;
  std::int64_t inside_ = 1, extent_, step_, cuts_, inner_ = 1, lanes_ = 1, neighbours_, panel_, panels_;
};

}  // namespace

void measure_distortion(const Distortion& d, DistortionSums* sums) {
  std::int64_t size = 1;
  for (int i = 0; i < d.axes; ++i) size *= d.shape[i];
  if (size == 0) return;
  const Cuts cuts(d);
  std::vector<DistortionSums> part(static_cast<std::size_t>(cuts.segments()));
  const DistortionKernels& kernels = distortion_kernels(active_tier());
  const int threads = threads_for_bytes(2 * size * 4 * d.floats);
  parallel_for(cuts.panels(), threads,
               [&](std::int64_t index) { cuts.measure(index, kernels, part.data()); });
  for (std::int64_t i = 0; i < cuts.segments(); ++i)
    sums[i / cuts.segments_of_lane()].add(part[static_cast<std::size_t>(i)]);
}

}  // namespace ufuse
