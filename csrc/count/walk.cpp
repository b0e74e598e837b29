#include "count/walk.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace ufuse {

void WalkNest::add(const WalkAxis& next) {
  count *= next.extent;
  if (next.extent != 1) axis[axes++] = next;
}

void WalkNest::sort(std::int64_t (&moved)[2]) {
  for (int i = 0; i < axes; ++i) {
    if (axis[i].stride[0] >= 0) continue;
    for (int k = 0; k < 2; ++k) {
      moved[k] += (axis[i].extent - 1) * axis[i].stride[k];
      axis[i].stride[k] = -axis[i].stride[k];
    }
  }
  std::stable_sort(axis, axis + axes,
                   [](const WalkAxis& a, const WalkAxis& b) { return a.stride[0] > b.stride[0]; });
}

void WalkNest::merge() {
  int kept = 0;
  for (int i = 0; i < axes; ++i) {
    WalkAxis& outer = axis[kept > 0 ? kept - 1 : 0];
    const WalkAxis& inner = axis[i];
    if (kept > 0 && outer.stride[0] == inner.stride[0] * inner.extent &&
        outer.stride[1] == inner.stride[1] * inner.extent) {
      outer = {outer.extent * inner.extent, {inner.stride[0], inner.stride[1]}};
    } else {
      axis[kept++] = inner;
    }
  }
  axes = kept;
}

std::int64_t WalkNest::offset(std::int64_t element, int operand) const {
  std::int64_t bytes = 0;
  for (int i = axes - 1; i > 0; --i) {
    bytes += element % axis[i].extent * axis[i].stride[operand];
    element /= axis[i].extent;
  }
  return axes > 0 ? bytes + element * axis[0].stride[operand] : 0;
}

const void* WalkOperand::made(char* gathered, float* decoded, std::int64_t count,
                              const PieceKernels& pieces) const {
  const int log2 = log2_stored();
  if (swapped && log2 > 0) pieces.swap[log2](gathered, count);
  if (coding == Coding::plain) return gathered;
  pieces.decode[static_cast<int>(coding)](decoded, gathered, count, table);
  return decoded;
}

WalkReader::WalkReader(const WalkNest& nest, const WalkOperand& operand, int which,
                       const PieceKernels& pieces)
    : nest_(nest),
      operand_(operand),
      which_(which),
      log2_(operand.log2_stored()),
      pieces_(pieces),
      frame_(static_cast<std::size_t>(kWalkBlock) << log2_),
      decoded_(operand.coding == Coding::plain ? 0 : kWalkBlock * sizeof(float)) {}

std::int64_t WalkReader::in_place(const char* base, std::int64_t first, std::int64_t count) const {
  // A piece that is shorter than this is cheaper to copy, with its neighbours, than to call kernels for.
  constexpr std::int64_t kLeast = 256;
  const std::int64_t size = std::int64_t{1} << log2_;
  if (!operand_.plain() || reinterpret_cast<std::uintptr_t>(base) % static_cast<std::uintptr_t>(size) != 0)
    return 0;
  if (nest_.axes == 0) return 1;
  const WalkAxis& inner = nest_.axis[nest_.axes - 1];
  if (inner.stride[which_] != size) return 0;
  for (int i = 0; i + 1 < nest_.axes; ++i)
    if (nest_.axis[i].stride[which_] % size != 0) return 0;
  const std::int64_t run = std::min(count, inner.extent - first % inner.extent);
  return run >= std::min(kLeast, count) ? run : 0;
}

const void* WalkReader::read(const char* base, std::int64_t first, std::int64_t count) {
  if (in_place(base, first, count) == count) return base + nest_.offset(first, which_);
  const std::int64_t extent = nest_.axes > 0 ? nest_.axis[nest_.axes - 1].extent : 1;
  const std::int64_t stride = nest_.axes > 0 ? nest_.axis[nest_.axes - 1].stride[which_] : 0;
  auto* decoded = reinterpret_cast<float*>(decoded_.data());
  const bool together = stride == std::int64_t{1} << log2_ && first % extent + count <= extent;
  if (together && operand_.coding != Coding::plain && !operand_.swapped) {
    pieces_.decode[static_cast<int>(operand_.coding)](decoded, base + nest_.offset(first, which_), count,
                                                      operand_.table);
    return decoded;
  }
  char* to = frame_.data();
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t run = std::min(count - done, extent - (first + done) % extent);
    const char* from = base + nest_.offset(first + done, which_);
    pieces_.gather[log2_](to + (done << log2_), 0, &from, 1, stride, run);
    done += run;
  }
  return operand_.made(to, decoded, count, pieces_);
}

}  // namespace ufuse
