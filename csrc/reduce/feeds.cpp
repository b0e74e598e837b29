#include "reduce/feeds.hpp"

namespace ufuse {
namespace {

// Blocks start on different sets of the L1 cache, 4 KB apart plus two lines.
std::int64_t block_bytes(std::int64_t capacity) { return (capacity * 8 + 63) / 64 * 64 + 128; }

int log2_size(std::int64_t size) { return size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0; }

}  // namespace

FirstPass::FirstPass(const Reduction& r, const ReducePlan& p, const ReduceKernels& k)
    : reduction(r), plan(p), kernels(k), chunks((p.count + kChunk - 1) / kChunk) {
  std::int64_t lane_bytes = 0;
  for (int s = 0; s < r.slots; ++s) {
    const ReduceSlot& slot = r.slot[s];
    kernel[s] = &k.at(slot.reducer, slot.element);
    for (int i = 0; i < kernel[s]->lane_components; ++i)
      lane_bytes += kernel[s]->lane_size[i] * (kernel[s]->exact ? 1 : kLanes);
    int f = 0;
    while (f < feeds && (feed[f].input != slot.input || feed[f].element != slot.element)) ++f;
    feed_of[s] = f;
    if (f < feeds) continue;
    const ReduceInput& input = r.input[slot.input];
    const auto stored = static_cast<std::int64_t>(item_size(input.dtype));
    const bool swapped = input.swapped && r.source == nullptr && stored > 1;
    feed[feeds++] = {slot.input,
                     input.dtype,
                     slot.element,
                     swapped,
                     !swapped && input.dtype == slot.element && r.source == nullptr,
                     stored,
                     static_cast<std::int64_t>(item_size(slot.element)),
                     log2_size(stored)};
  }
  tile_columns = std::clamp<std::int64_t>(kTileLaneBytes / lane_bytes, 256, kTileColumns);
}

Pieces::Pieces(const FirstPass& pass, std::int64_t capacity)
    : pass_(pass),
      frame_(static_cast<std::size_t>(block_bytes(capacity) * (pass.feeds + pass.reduction.inputs + 2))) {
  char* at = frame_.data();
  const std::int64_t bytes = block_bytes(capacity);
  for (int f = 0; f < pass.feeds; ++f, at += bytes) block_[f] = at;
  for (int k = 0; k < pass.reduction.inputs; ++k, at += bytes) raw_[k] = at;
  copy_ = at;
  mask_ = reinterpret_cast<std::uint8_t*>(at + bytes);
}

Place Pieces::place(const Tile& tile) const {
  const Reduction& r = pass_.reduction;
  const ReducePlan& plan = pass_.plan;
  Place place;
  for (int k = 0; k < r.inputs; ++k) place.data[k] = r.input[k].data;
  if (r.mask != nullptr) place.data[kMaskOperand] = r.mask->data;
  place.outer = tile.outer;
  place.inner = place.element = 0;
  std::int64_t left = tile.outer;
  for (int i = plan.outer_axes - 1; i >= 0; --i) {
    move(place, plan.outer[i], left % plan.outer[i].extent);
    left /= plan.outer[i].extent;
  }
  advance_inner(place, tile.first);
  return place;
}

void Pieces::seek(Place& place, std::int64_t j) const {
  const ReducePlan& plan = pass_.plan;
  place.element = j;
  for (int i = plan.group_axes - 1; i > 0; --i) {
    move(place, plan.group[i], j % plan.group[i].extent);
    j /= plan.group[i].extent;
  }
  if (plan.group_axes > 0) move(place, plan.group[0], j);
}

void Pieces::seek_lane(const Place& start, int operand, std::int64_t j, std::int64_t count,
                       const char** to) const {
  const ReducePlan& plan = pass_.plan;
  if (plan.group_axes <= 1) {
    const std::int64_t stride = plan.group_axes == 0 ? 0 : plan.group[0].stride[operand];
    const char* at = start.data[operand] + j * stride;
    for (std::int64_t k = 0; k < count; ++k) to[k] = at + k * (kLanes * stride);
    return;
  }
  for (std::int64_t k = 0; k < count; ++k) {
    Place place = start;
    seek(place, j + k * kLanes);
    to[k] = place.data[operand];
  }
}

void Pieces::read_source(const Place& place, const ReduceAxis& axis, std::int64_t count) {
  const Reduction& r = pass_.reduction;
  const ReducePlan& plan = pass_.plan;
  std::int64_t index[kMaxReduceAxes] = {};
  std::int64_t left = place.outer;
  for (int i = plan.outer_axes - 1; i >= 0; left /= plan.outer[i].extent, --i)
    index[plan.outer[i].id] = left % plan.outer[i].extent;
  left = place.element;
  for (int i = plan.group_axes - 1; i >= 0; left /= plan.group[i].extent, --i)
    index[plan.group[i].id] = left % plan.group[i].extent;
  if (plan.inner.id >= 0) index[plan.inner.id] = place.inner;
  void* to[kMaxReduceInputs];
  for (int k = 0; k < r.inputs; ++k) to[k] = raw_[k];
  r.source->read(index, axis.id < 0 ? 0 : axis.id, count, to);
}

void Pieces::fetch_one(const Feed& feed, const char* from, std::int64_t stride, std::int64_t count,
                       char* to) {
  const PieceKernels& moves = pass_.kernels.pieces;
  const bool converts = feed.stored != feed.element;
  char* stored = converts ? raw_[feed.input] : to;
  if (stride == feed.stored_size) {
    if (converts && !feed.swapped)
      stored = const_cast<char*>(from);
    else
      std::memcpy(stored, from, static_cast<std::size_t>(count * feed.stored_size));
  } else {
    moves.gather[feed.stored_log2](stored, from, stride, count);
  }
  if (feed.swapped) moves.swap[feed.stored_log2](stored, count);
  if (converts) moves.to_f64[static_cast<int>(feed.stored)](reinterpret_cast<double*>(to), stored, count);
}

void Pieces::fetch(const Place& place, const ReduceAxis& axis, std::int64_t count, std::int64_t at) {
  const Reduction& r = pass_.reduction;
  if (r.source != nullptr) read_source(place, axis, count);
  for (int f = 0; f < pass_.feeds; ++f) {
    const Feed& feed = pass_.feed[f];
    if (in_place(feed, axis)) continue;
    char* to = block_[f] + at * feed.size;
    if (r.source == nullptr)
      fetch_one(feed, place.data[feed.input], axis.stride[feed.input], count, to);
    else if (feed.stored == feed.element)
      std::memcpy(to, raw_[feed.input], static_cast<std::size_t>(count * feed.size));
    else
      pass_.kernels.pieces.to_f64[static_cast<int>(feed.stored)](reinterpret_cast<double*>(to),
                                                                 raw_[feed.input], count);
  }
}

void Pieces::fetch_mask(const Place& place, const ReduceAxis& axis, std::int64_t count, std::int64_t at) {
  pass_.kernels.pieces.gather[0](mask_ + at, place.data[kMaskOperand], axis.stride[kMaskOperand], count);
}

void Pieces::fetch_group(const Place& start, std::int64_t j, std::int64_t count, std::int64_t at, bool mask) {
  const ReducePlan& plan = pass_.plan;
  const ReduceAxis& axis = plan.group_axes > 0 ? plan.group[plan.group_axes - 1] : kSingleAxis;
  while (count > 0) {
    Place place = start;
    seek(place, j);
    const std::int64_t run = std::min(count, axis.extent - j % axis.extent);
    fetch(place, axis, run, at);
    for (int f = 0; f < pass_.feeds; ++f) {
      const Feed& feed = pass_.feed[f];
      if (in_place(feed, axis))
        std::memcpy(block_[f] + at * feed.size, place.data[feed.input],
                    static_cast<std::size_t>(run * feed.size));
    }
    if (mask) fetch_mask(place, axis, run, at);
    j += run;
    at += run;
    count -= run;
  }
}

}  // namespace ufuse
