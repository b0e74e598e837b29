#include "reduce/feeds.hpp"

namespace ufuse {
namespace {

// Blocks start on different sets of the L1 cache, 4 KB apart plus two lines.
std::int64_t block_bytes(std::int64_t capacity) { return (capacity * 8 + 63) / 64 * 64 + 128; }

}  // namespace

FirstPass::FirstPass(const Reduction& r, const ReducePlan& p, const ReduceKernels& k, bool decoded)
    : reduction(r),
      plan(p),
      kernels(k),
      masked(r.mask != nullptr || r.skip_nan),
      chunks((p.count + kChunk - 1) / kChunk) {
  std::int64_t lane_bytes = 0;
  // Short columns are folded in registers, of which there are kernels for decoded elements.
  bool folded = p.columns && p.count < kLanes && !masked;
  for (int s = 0; s < r.slots; ++s)
    folded &= k.at(r.slot[s].reducer, r.slot[s].element).short_columns != nullptr;
  for (int s = 0; s < r.slots; ++s) {
    const ReduceSlot& slot = r.slot[s];
    int f = 0;
    while (f < feeds && (feed[f].input != slot.input || feed[f].element != slot.element)) ++f;
    const ReduceInput& input = r.input[slot.input];
    const bool codes =
        (input.coding == Coding::half || input.coding == Coding::bfloat16) && !masked && !decoded && !folded;
    const ReducerKernel* const wanted =
        codes ? &k.at(slot.reducer, input.coding) : &k.at(slot.reducer, slot.element);
    int state = 0;
    while (state < states && !(kernel[state] == wanted && feed_of[state] == f && slot.initial == nullptr &&
                               r.slot[slot_of[state]].initial == nullptr))
      ++state;
    state_of[s] = state;
    if (state == states) {
      kernel[state] = wanted;
      feed_of[state] = f;
      slot_of[state] = s;
      ++states;
      for (int i = 0; i < wanted->lane_components; ++i)
        if (!(wanted->shared_lanes >> i & 1))
          lane_bytes += wanted->lane_size[i] * (wanted->exact ? 1 : kLanes);
    }
    if (f < feeds) continue;
    const auto stored = static_cast<std::int64_t>(item_size(input.dtype));
    const bool swapped = input.swapped && r.source == nullptr && stored > 1;
    const bool converted = !codes && (input.coding != Coding::plain || input.dtype != slot.element);
    feed[feeds++] = {slot.input,
                     input.dtype,
                     slot.element,
                     swapped,
                     !swapped && !converted && r.source == nullptr,
                     converted,
                     input.coding,
                     stored,
                     converted ? static_cast<std::int64_t>(item_size(slot.element)) : stored,
                     log2_size(input.dtype)};
  }
  tile_columns = std::clamp<std::int64_t>(kTileLaneBytes / lane_bytes, 256, kTileColumns);
  if (p.count < kLanes) tile_columns = std::min<std::int64_t>(tile_columns, 1024);
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
  if (pass.reduction.source != nullptr) reader_ = pass.reduction.source->reader();
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

void Pieces::index_of(const Place& place, std::int64_t* index) const {
  const ReducePlan& plan = pass_.plan;
  std::fill_n(index, pass_.reduction.axes, 0);
  std::int64_t left = place.outer;
  for (int i = plan.outer_axes - 1; i >= 0; left /= plan.outer[i].extent, --i)
    index[plan.outer[i].id] = left % plan.outer[i].extent;
  left = place.element;
  for (int i = plan.group_axes - 1; i >= 0; left /= plan.group[i].extent, --i)
    index[plan.group[i].id] = left % plan.group[i].extent;
  if (plan.inner.id >= 0) index[plan.inner.id] = place.inner;
}

void Pieces::read_source(const Place* places, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                         std::int64_t pitch, void* const* to, const Sequence& sequence) {
  const Reduction& r = pass_.reduction;
  // Rows at equal steps along one axis are read together.
  const std::int64_t inner = rows > 1 ? places[1].inner - places[0].inner : 0;
  const bool together = rows == 1 || inner != 0 || pass_.plan.group_axes == 1;
  if (sequence.follows && together) return reader_->read_on(sequence.next);
  std::int64_t index[kMaxReduceAxes];
  index_of(places[0], index);
  SourceRows piece{index, axis.id < 0 ? 0 : axis.id, count, 0, 0, together ? rows : 1, pitch};
  if (inner != 0)
    piece.across = pass_.plan.inner.id;
  else if (pass_.plan.group_axes == 1)
    piece.across = pass_.plan.group[0].id;
  if (rows > 1) piece.step = inner != 0 ? inner : places[1].element - places[0].element;
  reader_->read(piece, sequence.next, to);
  for (std::int64_t row = piece.rows; row < rows; ++row) {
    void* at[kMaxReduceInputs];
    for (int k = 0; k < r.inputs; ++k)
      at[k] =
          static_cast<char*>(to[k]) + row * pitch * static_cast<std::int64_t>(item_size(r.input[k].dtype));
    index_of(places[row], index);
    reader_->read(piece, {}, at);
  }
}

void Pieces::computed_blocks(std::int64_t at, void** to) const {
  // The block of a feed that takes elements as they are, if there is one.
  for (int k = 0; k < pass_.reduction.inputs; ++k) to[k] = raw_[k];
  for (int f = 0; f < pass_.feeds; ++f) {
    const Feed& feed = pass_.feed[f];
    if (!feed.converted) to[feed.input] = block_[f] + at * feed.size;
  }
}

void Pieces::convert_computed(void* const* from, std::int64_t rows, std::int64_t count, std::int64_t at,
                              std::int64_t pitch) {
  for (int f = 0; f < pass_.feeds; ++f) {
    const Feed& feed = pass_.feed[f];
    for (std::int64_t row = 0; feed.converted && row < rows; ++row)
      convert(feed, block_[f] + (at + row * pitch) * feed.size,
              static_cast<const char*>(from[feed.input]) + row * pitch * feed.stored_size, count);
  }
}

void Pieces::fetch_computed(const Place& place, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                            bool follows) {
  void* from[kMaxReduceInputs];
  computed_blocks(0, from);
  const NextPiece next = rows == 1 ? NextPiece{count, 0} : NextPiece{0, rows};
  if (follows) {
    reader_->read_on(next);
  } else {
    std::int64_t index[kMaxReduceAxes];
    index_of(place, index);
    SourceRows piece{index, axis.id < 0 ? 0 : axis.id, count, 0, 1, rows, count};
    if (pass_.plan.inner.id >= 0) piece.across = pass_.plan.inner.id;
    reader_->read(piece, next, from);
  }
  convert_computed(from, rows, count, 0, count);
}

void Pieces::convert(const Feed& feed, char* to, const void* from, std::int64_t count) const {
  const PieceKernels& moves = pass_.kernels.pieces;
  const ReduceInput& input = pass_.reduction.input[feed.input];
  if (input.coding == Coding::plain)
    moves.to_f64[static_cast<int>(feed.stored)](reinterpret_cast<double*>(to), from, count);
  else
    moves.decode[static_cast<int>(input.coding)](reinterpret_cast<float*>(to), from, count, input.table);
}

void Pieces::fetch_feed(const Feed& feed, const Place* places, std::int64_t rows, std::int64_t stride,
                        std::int64_t count, char* to, std::int64_t pitch) {
  const PieceKernels& moves = pass_.kernels.pieces;
  const auto gather = moves.gather[feed.stored_log2];
  const char* from[kMostInterleaved] = {};
  bool interleaved = rows > 1 && stride == rows * feed.stored_size;
  for (std::int64_t r = 0; r < rows; ++r) {
    from[r] = places[r].data[feed.input];
    interleaved &= from[r] == from[0] + r * feed.stored_size;
  }
  char* const stored = feed.converted ? raw_[feed.input] : to;
  const std::int64_t line = pitch * feed.stored_size;
  if (interleaved) {
    moves.split[feed.stored_log2](stored, line, from[0], rows, count);
  } else if (!feed.converted) {
    for (std::int64_t r = 0; r < rows; r += kRowsPerStep)
      gather(to + r * line, line, from + r, std::min<std::int64_t>(rows - r, kRowsPerStep), stride, count);
  }
  if (!feed.converted) {
    for (std::int64_t r = 0; feed.swapped && r < rows; ++r)
      moves.swap[feed.stored_log2](to + r * line, count);
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const char* row = interleaved ? stored + r * line : from[r];
    if (!interleaved && (feed.swapped || stride != feed.stored_size)) {
      gather(stored, 0, from + r, 1, stride, count);
      row = stored;
    }
    if (feed.swapped) moves.swap[feed.stored_log2](const_cast<char*>(row), count);
    convert(feed, to + r * pitch * feed.size, row, count);
  }
}

void Pieces::fetch(const Place* places, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                   std::int64_t at, std::int64_t pitch, bool all, const Sequence& sequence) {
  const Reduction& r = pass_.reduction;
  if (r.source == nullptr) {
    for (int f = 0; f < pass_.feeds; ++f) {
      const Feed& feed = pass_.feed[f];
      if (all || !in_place(feed, axis))
        fetch_feed(feed, places, rows, axis.stride[feed.input], count, block_[f] + at * feed.size, pitch);
    }
    return;
  }
  if (interleaves(rows, axis)) return fetch_interleaved(places[0], rows, count, pitch, sequence);
  void* from[kMaxReduceInputs];
  computed_blocks(at, from);
  read_source(places, rows, axis, count, pitch, from, sequence);
  convert_computed(from, rows, count, at, pitch);
}

bool Pieces::interleaves(std::int64_t rows, const ReduceAxis& axis) const {
  const ReducePlan& plan = pass_.plan;
  if (rows < 2 || rows > kMostInterleaved || rows != plan.count || plan.group_axes != 1 ||
      axis.id != plan.inner.id || !pass_.reduction.source->continues(axis.id, plan.group[0].id, rows))
    return false;
  for (int f = 0; f < pass_.feeds; ++f)
    if (pass_.feed[f].converted) return false;
  return true;
}

void Pieces::fetch_interleaved(const Place& place, std::int64_t rows, std::int64_t count, std::int64_t pitch,
                               const Sequence& sequence) {
  NextPiece next = sequence.next;
  std::swap(next.along, next.across);
  if (sequence.follows) {
    reader_->read_on(next);
  } else {
    void* to[kMaxReduceInputs];
    for (int k = 0; k < pass_.reduction.inputs; ++k) to[k] = raw_[k];
    std::int64_t index[kMaxReduceAxes];
    index_of(place, index);
    reader_->read({index, pass_.plan.group[0].id, rows * count, pass_.plan.inner.id, 0, 1, 0}, next, to);
  }
  for (int f = 0; f < pass_.feeds; ++f) {
    const Feed& feed = pass_.feed[f];
    pass_.kernels.pieces.split[feed.stored_log2](block_[f], pitch * feed.size, raw_[feed.input], rows, count);
  }
}

void Pieces::fetch_mask(const Place* places, std::int64_t rows, const ReduceAxis& axis, std::int64_t count,
                        std::int64_t at, std::int64_t pitch, const char* const* data, bool all) {
  const bool given = pass_.reduction.mask != nullptr;
  if (given && (all || !mask_in_place(axis))) {
    const char* from[kMostInterleaved] = {};
    for (std::int64_t r = 0; r < rows; ++r) from[r] = places[r].data[kMaskOperand];
    for (std::int64_t r = 0; r < rows; r += kRowsPerStep)
      pass_.kernels.pieces.gather[0](mask_ + at + r * pitch, pitch, from + r,
                                     std::min<std::int64_t>(rows - r, kRowsPerStep),
                                     axis.stride[kMaskOperand], count);
  }
  if (!pass_.reduction.skip_nan) return;
  const auto not_nan = pass_.kernels.pieces.not_nan[pass_.feed[0].size == 8 ? 1 : 0];
  for (std::int64_t r = 0; r < rows; ++r) not_nan(mask_ + at + r * pitch, data[r], count, given);
}

void Pieces::fetch_group(const Place& start, std::int64_t rows, std::int64_t j, std::int64_t count,
                         std::int64_t at, std::int64_t pitch, bool mask) {
  const ReducePlan& plan = pass_.plan;
  const ReduceAxis& axis = plan.group_axes > 0 ? plan.group[plan.group_axes - 1] : kSingleAxis;
  for (std::int64_t done = 0; done < count;) {
    Place places[kMostInterleaved];
    places[0] = start;
    seek(places[0], j + done);
    for (std::int64_t r = 1; r < rows; ++r) {
      places[r] = places[r - 1];
      advance_inner(places[r], 1);
    }
    const std::int64_t run = std::min(count - done, axis.extent - (j + done) % axis.extent);
    fetch(places, rows, axis, run, at + done, pitch, true);
    if (mask) {
      const char* data[kMostInterleaved];
      for (std::int64_t r = 0; r < rows; ++r)
        data[r] = block_[0] + (at + done + r * pitch) * pass_.feed[0].size;
      fetch_mask(places, rows, axis, run, at + done, pitch, data, true);
    }
    done += run;
  }
}

}  // namespace ufuse
