#include "ranged/ranged.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(RangedKernels, ranged_kernels)

namespace {

// What is read twice stays in L2 in between, and what is set up for each is little beside it.
constexpr std::int64_t kPieceBytes = 256 << 10;
// Smaller arrays are reduced without a plan, twice.
constexpr std::int64_t kFew = 2048;

struct Piece {
  const RangedPart* part;
  std::int64_t first, count;  // along the first axis
};

std::int64_t size_of(const RangedPart& part, int from) {
  std::int64_t size = 1;
  for (int i = from; i < part.axes; ++i) size *= part.shape[i];
  return size;
}

/// Whether the first axis may be cut: each index has scales of its own, and codes of its own.
bool is_divisible(const RangedPart& part) {
  return part.axes > 0 && part.code_axes > 0 && (part.reduced & 1) == 0 &&
         part.code_shape[0] == part.shape[0];
}

/// The same part without first axes of one element, which would hide that the next one may be cut.
RangedPart without_single_axes(RangedPart part) {
  while (part.axes > 1 && part.code_axes > 1 && part.shape[0] == 1 && part.code_shape[0] == 1) {
    --part.axes;
    --part.code_axes;
    ++part.shape;
    ++part.strides;
    ++part.scale_strides;
    ++part.code_shape;
    if (part.zero != nullptr) ++part.zero_strides;
    for (ProgramOperand& operand : part.operands) ++operand.strides;
    part.reduced >>= 1;
  }
  return part;
}

/// Smallest and largest of each range, in C order; of ranges about 0 the largest magnitude, with both signs.
void find_ranges(const Piece& piece, const std::int64_t* shape, std::int64_t ranges, bool symmetric,
                 float* low, float* high, Tier tier) {
  const RangedPart& part = *piece.part;
  std::int64_t extents[kMaxReduceAxes], strides[kMaxReduceAxes], out[kMaxReduceAxes];
  int axes = part.axes;
  std::int64_t step = 4, size = 1;
  for (int i = axes - 1; i >= 0; --i) {
    extents[i] = shape[i];
    strides[i] = part.strides[i];
    out[i] = 0;
    size *= shape[i];
    if ((part.reduced >> i & 1) != 0) continue;
    out[i] = step;
    step *= shape[i];
  }
  std::uint64_t reduced = part.reduced;
  if (reduced == 0 || axes == 0) {  // ranges of one element each
    extents[axes] = 1;
    strides[axes] = out[axes] = 0;
    reduced = std::uint64_t{1} << axes++;
  }
  const char* x = part.x + (part.axes > 0 ? piece.first * part.strides[0] : 0);
  const auto mirrored = [&] {
    for (std::int64_t i = 0; i < ranges; ++i) low[i] = -high[i];
  };
  if (ranges == 1 && size <= kFew && !part.swapped) {
    const auto find = [&](ReducerId reducer, float* to) {
      return reduce_fast(x, axes, extents, strides, DType::F32, reduced, to, out, DType::F32, reducer,
                         Finish::value, 0, 0);
    };
    if (symmetric && find(ReducerId::largest_magnitude, high)) return mirrored();
    if (!symmetric && find(ReducerId::min, low) && find(ReducerId::max, high)) return;
  }
  Reduction reduction;
  reduction.axes = axes;
  reduction.shape = extents;
  reduction.reduced = reduced;
  reduction.input[0] = {x, DType::F32, part.swapped, strides};
  reduction.slots = symmetric ? 1 : 2;
  for (int i = 0; i < reduction.slots; ++i) {
    ReduceSlot& slot = reduction.slot[i];
    slot.reducer = symmetric ? ReducerId::largest_magnitude : ReducerId::minmax;
    slot.component = i;
    slot.out = reinterpret_cast<char*>(symmetric || i == 1 ? high : low);
    slot.out_strides = out;
  }
  reduce(reduction, reduce_kernels(tier));
  if (symmetric) mirrored();
}

/// Whether the values of the ranges follow one another in memory, in C order.
bool are_contiguous(const RangedPart& part, const std::int64_t* shape, const std::int64_t* strides,
                    std::int64_t size) {
  for (int axis = part.axes - 1; axis >= 0; --axis) {
    if ((part.reduced >> axis & 1) != 0 || shape[axis] == 1) continue;
    if (strides[axis] != size) return false;
    size *= shape[axis];
  }
  return true;
}

/// The low bytes of integers, which are those of narrower ones.
template <class Z>
void write_codes(char* to, const float* zero, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto code = static_cast<Z>(static_cast<std::int32_t>(zero[i]));
    std::memcpy(to + i * static_cast<std::int64_t>(sizeof code), &code, sizeof code);
  }
}

/// Writes scales and zero points to where they belong.
void write_scales(const Piece& piece, const std::int64_t* shape, std::int64_t ranges, const float* scale,
                  const float* zero) {
  const RangedPart& part = *piece.part;
  std::int64_t index[kMaxAxes] = {};
  const std::int64_t first = part.axes > 0 ? piece.first : 0;
  char* to = part.scale + first * (part.axes > 0 ? part.scale_strides[0] : 0);
  char* to_zero =
      part.zero == nullptr ? nullptr : part.zero + first * (part.axes > 0 ? part.zero_strides[0] : 0);
  if (are_contiguous(part, shape, part.scale_strides, 4) &&
      (to_zero == nullptr ||
       (part.zero_size <= 2 && are_contiguous(part, shape, part.zero_strides, part.zero_size)))) {
    std::memcpy(to, scale, static_cast<std::size_t>(ranges) * 4);
    if (to_zero == nullptr) return;
    (part.zero_size == 1 ? write_codes<std::uint8_t> : write_codes<std::uint16_t>)(to_zero, zero, ranges);
    return;
  }
  for (std::int64_t i = 0; i < ranges; ++i) {
    std::memcpy(to, scale + i, 4);
    if (to_zero != nullptr) {
      const auto code = static_cast<std::int32_t>(zero[i]);
      std::memcpy(to_zero, &code, static_cast<std::size_t>(part.zero_size));
    }
    for (int axis = part.axes - 1; axis >= 0; --axis) {
      if ((part.reduced >> axis & 1) != 0) continue;
      to += part.scale_strides[axis];
      if (to_zero != nullptr) to_zero += part.zero_strides[axis];
      if (++index[axis] < shape[axis]) break;
      to -= shape[axis] * part.scale_strides[axis];
      if (to_zero != nullptr) to_zero -= shape[axis] * part.zero_strides[axis];
      index[axis] = 0;
    }
  }
}

bool quantize_piece(const Piece& piece, const Program& program, const CodeRange& codes, Tier tier) {
  const RangedPart& part = *piece.part;
  std::int64_t shape[kMaxAxes], code_shape[kMaxAxes], ranges = 1;
  std::copy_n(part.shape, part.axes, shape);
  std::copy_n(part.code_shape, part.code_axes, code_shape);
  if (is_divisible(part)) shape[0] = code_shape[0] = piece.count;
  for (int i = 0; i < part.axes; ++i)
    if ((part.reduced >> i & 1) == 0) ranges *= shape[i];
  const std::int64_t room = (ranges + 15) / 16 * 16;
  const ScratchFrame frame(static_cast<std::size_t>(room) * 16);
  auto* const low = reinterpret_cast<float*>(frame.data());
  float *const high = low + room, *const scale = high + room, *const zero = scale + room;
  find_ranges(piece, shape, ranges, codes.rule == ScaleRule::symmetric, low, high, tier);
  const bool fine = ranged_kernels(tier).scales(codes, low, high, ranges, scale, zero);
  if (!fine) return false;
  write_scales(piece, shape, ranges, scale, zero);
  ProgramOperand operands[4];
  for (int k = 0; k < 4; ++k) {
    operands[k] = part.operands[k];
    if (part.code_axes > 0) operands[k].data += piece.first * operands[k].strides[0];
  }
  program.run(part.code_axes, code_shape, operands);
  return true;
}

}  // namespace

bool quantize_ranged(std::span<const RangedPart> given, const Program& program, const CodeRange& codes) {
  const Tier tier = active_tier();
  std::vector<RangedPart> parts(given.size());
  std::transform(given.begin(), given.end(), parts.begin(), without_single_axes);
  std::vector<Piece> pieces;
  bool fine = true;
  std::int64_t bytes = 0;
  for (const RangedPart& part : parts) {
    const std::int64_t whole = 4 * size_of(part, 0);
    if (!is_divisible(part)) {
      const Piece all{&part, 0, 0};
      if (whole > kPieceBytes || parts.size() == 1) {  // threads within
        fine &= quantize_piece(all, program, codes, tier);
      } else {
        pieces.push_back(all);
        bytes += whole;
      }
      continue;
    }
    const std::int64_t step = std::max<std::int64_t>(1, kPieceBytes / (4 * size_of(part, 1)));
    for (std::int64_t first = 0; first < part.shape[0]; first += step)
      pieces.push_back({&part, first, std::min(step, part.shape[0] - first)});
    bytes += whole;
  }
  const auto count = static_cast<std::int64_t>(pieces.size());
  if (count == 1) return quantize_piece(pieces.front(), program, codes, tier) && fine;
  std::atomic<bool> all_fine{fine};
  // An element costs about as much as moving 16 bytes.
  parallel_for(count, threads_for_bytes(4 * bytes), [&](std::int64_t i) {
    if (!quantize_piece(pieces[static_cast<std::size_t>(i)], program, codes, tier))
      all_fine.store(false, std::memory_order_relaxed);
  });
  return all_fine.load();
}

}  // namespace ufuse
