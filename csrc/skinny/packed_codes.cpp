#include "skinny/packed_codes.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "contract/scratch.hpp"
#include "core/cache.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace {

using skinny::kGroup;
using skinny::kPanel;

constexpr std::int64_t kMostOfPart = 256;  // k: sums of nibbles times int8 stay below 2^24

/// k of a part: all of a block, or an even share of it.
std::int64_t part_of_block(std::int64_t block) {
  if (block <= kMostOfPart) return block;
  std::int64_t part = kMostOfPart;
  while (block % part != 0) part -= 8;
  return part;
}

/// Eight codes of a byte each, joined: the first lowest.
std::uint32_t join(std::uint64_t bytes) {
  bytes &= 0x0f0f0f0f0f0f0f0fU;
  bytes = (bytes | bytes >> 4) & 0x00ff00ff00ff00ffU;
  bytes = (bytes | bytes >> 8) & 0x0000ffff0000ffffU;
  return static_cast<std::uint32_t>(bytes | bytes >> 16);
}

/// The same the other way round.
std::uint64_t separate(std::uint64_t word) {
  word = (word | word << 16) & 0x0000ffff0000ffffU;
  word = (word | word << 8) & 0x00ff00ff00ff00ffU;
  return (word | word << 4) & 0x0f0f0f0f0f0f0f0fU;
}

/// Where the kernels look for the value of an output and block.
std::int64_t place(std::int64_t j, std::int64_t b, std::int64_t blocks) {
  return (j / kGroup * blocks + b) * kGroup + j % kGroup;
}

/// One value of each output and block to where the kernels look for it.
void spread(char* to, const void* from, std::int64_t size, std::int64_t n, std::int64_t blocks) {
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t b = 0; b < blocks; ++b)
      std::memcpy(to + place(j, b, blocks) * size, static_cast<const char*>(from) + (j * blocks + b) * size,
                  static_cast<std::size_t>(size));
}
void collect(void* to, const char* from, std::int64_t size, std::int64_t n, std::int64_t blocks) {
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t b = 0; b < blocks; ++b)
      std::memcpy(static_cast<char*>(to) + (j * blocks + b) * size, from + place(j, b, blocks) * size,
                  static_cast<std::size_t>(size));
}

}  // namespace

void PackedCodes::Free::operator()(char* p) const noexcept { std::free(p); }

PackedCodes::PackedCodes(const CodesForm& form) : form_(form) {
  if (form.n < 0 || form.k < 0 || form.block <= 0 || form.per_super <= 0 ||
      (form.block < form.k && form.block % 8 != 0))
    throw std::invalid_argument("PackedCodes: blocks of this size are not packed");
  groups_ = ceil_div(form_.n, kGroup);
  blocks_ = std::max<std::int64_t>(1, ceil_div(form_.k, form_.block));
  supers_ = form_.scales == skinny::Scales::super ? ceil_div(blocks_, form_.per_super) : 0;
  padded_k_ = round_up(form_.k, 8);
  part_ =
      blocks_ > 1 ? part_of_block(form_.block) : std::max<std::int64_t>(8, std::min(kMostOfPart, padded_k_));
  parts_ = ceil_div(padded_k_, part_);
  const bool bytes = form_.codes == skinny::Codes::int8;
  group_bytes_ = padded_k_ * kGroup / (bytes ? 1 : 2);
  scale_bytes_ = form_.scales == skinny::Scales::f32 ? 4 : form_.scales == skinny::Scales::f16 ? 2 : 1;
  const std::int64_t codes = groups_ * group_bytes_, scales = groups_ * blocks_ * kGroup * scale_bytes_;
  const std::int64_t super = groups_ * supers_ * kGroup * 2;
  bytes_ = codes + (scales + super) * (form_.offsets ? 2 : 1);
  // Kernels of nibbles read a few bytes past the last.
  data_.reset(allocate_aligned(static_cast<std::size_t>(bytes_ + 64)));
  std::memset(data_.get(), 0, static_cast<std::size_t>(bytes_ + 64));
  scale_ = data_.get() + codes;
  super_scale_ = scale_ + scales;
  offset_ = super_scale_ + super;
  super_offset_ = offset_ + scales;
}

void PackedCodes::check_outputs(std::int64_t first, std::int64_t rows) const {
  if (first < 0 || first % kGroup != 0 || rows < 0 || first + rows > form_.n)
    throw std::invalid_argument("PackedCodes: no such outputs");
}

void PackedCodes::put_codes(std::int64_t first, std::int64_t rows, const std::uint8_t* codes,
                            std::int64_t row_bytes) {
  check_outputs(first, rows);
  const std::int64_t panel_bytes = form_.codes == skinny::Codes::int8 ? 8 * kPanel : 4 * kPanel;
  parallel_for(ceil_div(rows, kGroup), threads_for_bytes(rows * form_.k), [&](std::int64_t group) {
    char* const to = data_.get() + (first / kGroup + group) * group_bytes_;
    for (std::int64_t j = group * kGroup; j < std::min(rows, (group + 1) * kGroup); ++j) {
      const std::int64_t lane = j % kPanel;
      char* panel = to + j % kGroup / kPanel * panel_bytes;
      for (std::int64_t k = 0; k < form_.k; k += 8, panel += kGroup / kPanel * panel_bytes) {
        char eight[8] = {};
        std::memcpy(eight, codes + j * row_bytes + k,
                    static_cast<std::size_t>(std::min<std::int64_t>(8, form_.k - k)));
        if (form_.codes == skinny::Codes::int8) {
          for (int i = 0; i < 8; ++i) panel[i * kPanel + lane] = eight[i];
        } else {
          std::uint64_t joined;
          std::memcpy(&joined, eight, sizeof joined);
          const std::uint32_t word = join(joined);
          std::memcpy(panel + 4 * lane, &word, sizeof word);
        }
      }
    }
  });
}

void PackedCodes::put_scales(const CodesScales& scales) {
  spread(scale_, scales.scale, scale_bytes_, form_.n, blocks_);
  spread(super_scale_, scales.super_scale, 2, form_.n, supers_);
  if (!form_.offsets) return;
  spread(offset_, scales.offset, scale_bytes_, form_.n, blocks_);
  spread(super_offset_, scales.super_offset, 2, form_.n, supers_);
}

void PackedCodes::take_codes(std::int64_t first, std::int64_t rows, std::uint8_t* codes,
                             std::int64_t row_bytes) const {
  check_outputs(first, rows);
  const bool bytes = form_.codes == skinny::Codes::int8;
  const std::int64_t panel_bytes = bytes ? 8 * kPanel : 4 * kPanel;
  parallel_for(rows, threads_for_bytes(rows * form_.k), [&](std::int64_t j) {
    const char* panel = data_.get() + (first + j) / kGroup * group_bytes_ + j % kGroup / kPanel * panel_bytes;
    for (std::int64_t k = 0; k < form_.k; k += 8, panel += kGroup / kPanel * panel_bytes) {
      char eight[8];
      if (bytes) {
        for (int i = 0; i < 8; ++i) eight[i] = panel[i * kPanel + j % kPanel];
      } else {
        std::uint32_t word;
        std::memcpy(&word, panel + 4 * (j % kPanel), sizeof word);
        const std::uint64_t apart = separate(word);
        std::memcpy(eight, &apart, sizeof apart);
      }
      std::memcpy(codes + j * row_bytes + k, eight,
                  static_cast<std::size_t>(std::min<std::int64_t>(8, form_.k - k)));
    }
  });
}

void PackedCodes::take_scales(const TakenScales& scales) const {
  collect(scales.scale, scale_, scale_bytes_, form_.n, blocks_);
  collect(scales.super_scale, super_scale_, 2, form_.n, supers_);
  if (!form_.offsets) return;
  collect(scales.offset, offset_, scale_bytes_, form_.n, blocks_);
  collect(scales.super_offset, super_offset_, 2, form_.n, supers_);
}

skinny::CodesCall PackedCodes::call(std::int64_t group) const {
  skinny::CodesCall call{};
  call.codes = data_.get() + group * group_bytes_;
  call.levels = form_.levels;
  call.zero = form_.zero;
  call.part = part_;
  call.parts = parts_;
  call.k = padded_k_;
  call.per_scale = blocks_ == 1 ? parts_ + 1 : form_.block / part_;
  call.per_super = form_.per_super;
  call.scales = form_.scales;
  call.offsets = form_.offsets;
  const std::int64_t scales = group * blocks_ * kGroup * scale_bytes_, super = group * supers_ * kGroup * 2;
  call.scale = scale_ + scales;
  call.offset = offset_ + scales;
  call.super_scale = super_scale_ + super;
  call.super_offset = super_offset_ + super;
  return call;
}

}  // namespace ufuse
