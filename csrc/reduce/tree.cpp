#include "reduce/tree.hpp"

#include <algorithm>
#include <cstring>

namespace ufuse {
namespace {

/// Shorter runs of results are not streamed: their ends share lines with others.
constexpr std::int64_t kStreamedRun = 512;

void merge(const ReducerKernel& kernel, const States& states, std::int64_t to, std::int64_t from,
           std::int64_t count) {
  kernel.merge(states.at(kernel, to).pointers(), states.at(kernel, from).constants(), count);
}

/// One chunk of the tree: rows [0, rows) at `states`. Dense rows merge 16 lanes at a time.
void merge_chunk(const ReducerKernel& kernel, const States& states, std::int64_t rows, std::int64_t width,
                 std::int64_t pitch) {
  const bool dense = pitch == width;
  auto fold = [&](std::int64_t to, std::int64_t from, std::int64_t count) {
    if (dense) {
      merge(kernel, states, to * pitch, from * pitch, count * width);
    } else {
      for (std::int64_t i = 0; i < count; ++i)
        merge(kernel, states, (to + i) * pitch, (from + i) * pitch, width);
    }
  };
  for (std::int64_t row = kLanes; row < rows; row += kLanes)
    fold(0, row, std::min<std::int64_t>(kLanes, rows - row));
  std::int64_t lanes = std::min<std::int64_t>(rows, kLanes);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    if (lanes <= half) continue;
    fold(0, half, lanes - half);
    lanes = half;
  }
}

template <class U>
void scatter(char* to, std::int64_t step, const char* from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * step, from + i * static_cast<std::int64_t>(sizeof(U)), sizeof(U));
}

}  // namespace

std::int64_t bytes_of_states(const ReducerKernel& kernel, std::int64_t count) {
  std::int64_t bytes = 0;
  for (int i = 0; i < kernel.components; ++i) bytes += round_up(count * kernel.state_size[i], kCacheLine);
  return bytes;
}

States states_in(char* memory, const ReducerKernel& kernel, std::int64_t count) {
  States states;
  for (int i = 0; i < kernel.components; ++i) {
    states.component[i] = memory;
    memory += round_up(count * kernel.state_size[i], kCacheLine);
  }
  return states;
}

void merge_rows(const ReducerKernel& kernel, States states, std::int64_t rows, std::int64_t width,
                std::int64_t pitch) {
  while (rows > 1) {
    const std::int64_t chunks = (rows + kChunk - 1) / kChunk;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t first = chunk * kChunk;
      merge_chunk(kernel, states.at(kernel, first * pitch), std::min(kChunk, rows - first), width, pitch);
      if (chunk == 0) continue;
      const States to = states.at(kernel, chunk * pitch), from = states.at(kernel, first * pitch);
      for (int i = 0; i < kernel.components; ++i)
        std::memcpy(to.component[i], from.component[i],
                    static_cast<std::size_t>(width * kernel.state_size[i]));
    }
    rows = chunks;
  }
}

void write_results(const ReduceSlot& slot, const ReduceKernels& kernels, States states, std::int64_t count,
                   char* out, std::int64_t step, StreamKernel stream) {
  const ReducerKernel& kernel = kernels.at(slot.reducer, slot.element);
  const DType from = component_type(slot.reducer, slot.element, slot.component);
  const FinishKernel finish =
      kernels.finish[static_cast<int>(slot.finish)][static_cast<int>(from)][static_cast<int>(slot.result)];
  const auto size = static_cast<std::int64_t>(item_size(slot.result));
  constexpr std::int64_t kBlock = 256;
  alignas(64) char results[kBlock * 8], initial[kBlock * 8];
  if (slot.initial != nullptr)
    for (std::int64_t i = 0; i < std::min(count, kBlock); ++i)
      std::memcpy(initial + i * kernel.state_size[0], slot.initial,
                  static_cast<std::size_t>(kernel.state_size[0]));
  const bool streamed = stream != nullptr && step == size && count * size >= kStreamedRun;
  const bool dense = step == size && !streamed;
  const std::int64_t block = dense && slot.initial == nullptr ? count : kBlock;
  for (std::int64_t done = 0; done < count; done += block) {
    const std::int64_t some = std::min(block, count - done);
    const States at = states.at(kernel, done);
    if (slot.initial != nullptr) {
      const void* first[] = {initial};
      kernel.merge(at.pointers(), first, some);
    }
    char* to = out + done * step;
    finish({dense ? to : results, at.constants() + slot.component, some, slot.divisor, slot.ddof,
            slot.divisors == nullptr ? nullptr : slot.divisors + done});
    if (dense) continue;
    if (streamed) {
      stream(to, results, some * size);
      continue;
    }
    switch (size) {
      case 1:
        scatter<std::uint8_t>(to, step, results, some);
        break;
      case 2:
        scatter<std::uint16_t>(to, step, results, some);
        break;
      case 4:
        scatter<std::uint32_t>(to, step, results, some);
        break;
      default:
        scatter<std::uint64_t>(to, step, results, some);
        break;
    }
  }
}

}  // namespace ufuse
