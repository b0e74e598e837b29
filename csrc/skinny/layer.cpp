#include "skinny/layer.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "contract/dispatch.hpp"
#include "contract/scratch.hpp"
#include "core/cache.hpp"
#include "core/threads.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(skinny::Kernels, skinny_kernels)

#if defined(__x86_64__)
namespace v2 {
const skinny::DotKernels* dot_kernels();
}
namespace v3 {
const skinny::DotKernels* dot_kernels();
}
namespace v4 {
const skinny::DotKernels* dot_kernels();
}
namespace v4x {
const skinny::DotKernels* dot_kernels();
}
const skinny::DotKernels& dot_kernels(Tier tier) {
  switch (tier) {
    case Tier::v2:
      return *v2::dot_kernels();
    case Tier::v3:
      return *v3::dot_kernels();
    case Tier::v4:
      return *v4::dot_kernels();
    default:
      return *v4x::dot_kernels();
  }
}
#else
namespace neon {
const skinny::DotKernels* dot_kernels();
}
const skinny::DotKernels& dot_kernels(Tier) { return *neon::dot_kernels(); }
#endif

namespace {

using skinny::kGroup;
using skinny::kMostRows;
using skinny::kTogether;

constexpr std::int64_t kMostGroups = 4;             // of a task: an epilogue of 256 columns
constexpr std::int64_t kActivationBytes = 8 << 20;  // of copied activations at a time

/// Calls `compute(group, row, rows, sums, pitch)` for all groups of outputs and every eight rows, and the
/// epilogue with what it has written. A group's weights stay in L2 while there are more rows.
template <class Compute>
void over_groups(std::int64_t n, std::int64_t first, std::int64_t rows, std::int64_t bytes,
                 const Epilogue& epilogue, Compute compute) {
  const std::int64_t groups = ceil_div(n, kGroup);
  const int threads = std::min(thread_limit(), threads_for_bytes(bytes * ceil_div(rows, kMostRows)));
  const std::int64_t together =
      rows > kMostRows ? 1 : std::clamp<std::int64_t>(groups / (4 * threads), 1, kMostGroups);
  parallel_for(ceil_div(groups, together), threads, [&](std::int64_t task) {
    alignas(64) float sums[kMostRows * kMostGroups * kGroup];
    const std::int64_t begin = task * together, end = std::min(groups, begin + together);
    const std::int64_t column = begin * kGroup, columns = std::min(n, end * kGroup) - column;
    for (std::int64_t row = 0; row < rows; row += kMostRows) {
      const int count = static_cast<int>(std::min<std::int64_t>(kMostRows, rows - row));
      for (std::int64_t g = begin; g < end; ++g)
        compute(g, row, count, sums + (g - begin) * kGroup, together * kGroup);
      epilogue(EpilogueTile{0, first + row, count, column, columns, sums, together * kGroup});
    }
  });
}

/// Rows of activations as kernels read them: copied eight at a time, [k / 8][row][8] of T, and zeros up to a
/// multiple of 8.
template <class T>
class Rows {
 public:
  Rows(std::int64_t k, char* copies) : padded_(round_up(k, kTogether)), k_(k), copies_(copies) {}

  static std::int64_t bytes_of_row(std::int64_t k) {
    return round_up(k, kTogether) * static_cast<std::int64_t>(sizeof(T));
  }
  /// Where the eight rows that begin with `row` lie.
  char* at(std::int64_t row) const { return copies_ + row * padded_ * kSize; }
  /// Copies row `i` of `rows`.
  void put(std::int64_t i, std::int64_t rows, const char* from, const Axis& along_k) const {
    const std::int64_t first = i / kMostRows * kMostRows,
                       together = std::min<std::int64_t>(kMostRows, rows - first);
    char* to = at(first) + (i - first) * kTogether * kSize;
    const bool contiguous = along_k.affine() && along_k.stride == kSize;
    for (std::int64_t k = 0; k < k_; k += kTogether, to += together * kTogether * kSize) {
      const std::int64_t count = std::min<std::int64_t>(kTogether, k_ - k);
      if (contiguous && count == kTogether) {
        std::memcpy(to, from + k * kSize, kTogether * kSize);
        continue;
      }
      std::memset(to, 0, kTogether * kSize);
      for (std::int64_t c = 0; c < count; ++c)
        std::memcpy(to + c * kSize, from + along_k.at(k + c), static_cast<std::size_t>(kSize));
    }
  }

 private:
  static constexpr std::int64_t kSize = sizeof(T);
  std::int64_t padded_, k_;
  char* copies_;
};

/// Rows at a time, and calls `body(first, rows)`.
template <class Body>
void in_slabs(std::int64_t m, std::int64_t bytes_of_row, Body body) {
  const std::int64_t most =
      std::max<std::int64_t>(1, kActivationBytes / std::max<std::int64_t>(1, bytes_of_row));
  const std::int64_t step = most > kMostRows ? most / kMostRows * kMostRows : kMostRows;
  for (std::int64_t first = 0; first < m; first += step) body(first, std::min(step, m - first));
}

void each_row(std::int64_t rows, std::int64_t bytes, FunctionRef<void(std::int64_t)> body) {
  parallel_for(rows, std::min(thread_limit(), threads_for_bytes(rows * bytes)), body);
}

const char* row_of(const Matrix& x, std::int64_t i) {
  return static_cast<const char*>(x.data) + x.rows.at(i);
}

void zeros(std::int64_t n, std::int64_t m, const Epilogue& epilogue) {
  over_groups(n, 0, m, 0, epilogue,
              [](std::int64_t, std::int64_t, int rows, float* sums, std::int64_t pitch) {
                for (int r = 0; r < rows; ++r) std::fill(sums + r * pitch, sums + r * pitch + kGroup, 0.0F);
              });
}

/// Quantized activations (int8 + 128) as `dotted` reads them: of each eight the even ones first.
void order_for_dots(std::uint8_t* codes, std::int64_t k) {
  constexpr std::uint64_t kBytes = 0x00ff00ff00ff00ffU, kPairs = 0x0000ffff0000ffffU;
  const auto every_other = [](std::uint64_t x) {
    x &= kBytes;
    x = (x | x >> 8) & kPairs;
    return (x | x >> 16) & 0xffffffffU;
  };
  for (std::int64_t i = 0; i < k; i += kTogether) {
    std::uint64_t eight;
    std::memcpy(&eight, codes + i, sizeof eight);
    eight ^= 0x8080808080808080U;
    eight = every_other(eight) | every_other(eight >> 8) << 32;
    std::memcpy(codes + i, &eight, sizeof eight);
  }
}

/// Of each part: the sum of a row, as float32, and what sums of products begin with.
void sums_of_codes(const std::uint8_t* codes, const skinny::CodesCall& call, char* sums, char* starts) {
  for (std::int64_t first = 0; first < call.k; first += call.part, sums += 4, starts += 4) {
    std::int32_t sum = 0;
    for (std::int64_t i = first; i < std::min(call.k, first + call.part); ++i)
      sum += static_cast<std::int8_t>(codes[i]);
    const auto wide = static_cast<float>(sum);
    std::memcpy(sums, &wide, 4);
    sum *= -call.zero;
    std::memcpy(starts, &sum, 4);
  }
}

}  // namespace

void multiply_turned(Tier tier, const TurnedLayer& layer, const Epilogue& epilogue) {
  if (layer.m <= 0 || layer.n <= 0) return;
  if (layer.k == 0) return zeros(layer.n, layer.m, epilogue);
  const auto run = skinny_kernels(tier).turned[static_cast<int>(layer.kind)];
  const std::int64_t block = k_block(contract_kernels(tier), Elements::f32, layer.k);
  Axis along_k = layer.x.cols;
  along_k.size = layer.k;
  in_slabs(layer.m, Rows<float>::bytes_of_row(layer.k), [&](std::int64_t first, std::int64_t rows) {
    const Scratch scratch(static_cast<std::size_t>(rows * Rows<float>::bytes_of_row(layer.k)));
    const Rows<float> x(layer.k, scratch.data());
    each_row(rows, 4 * layer.k, [&](std::int64_t i) { x.put(i, rows, row_of(layer.x, first + i), along_k); });
    over_groups(layer.n, first, rows, layer.n * layer.k * (layer.kind == skinny::Weight::f32 ? 4 : 2),
                epilogue,
                [&](std::int64_t group, std::int64_t row, int count, float* sums, std::int64_t pitch) {
                  skinny::TurnedCall call{};
                  call.weights = layer.weights + group * kGroup * layer.row_bytes;
                  call.row_bytes = layer.row_bytes;
                  call.outputs = static_cast<int>(std::min<std::int64_t>(kGroup, layer.n - group * kGroup));
                  call.x = x.at(row);
                  call.rows = count;
                  call.k = layer.k;
                  call.k_block = block;
                  call.sums = sums;
                  call.pitch = pitch;
                  run(call);
                });
  });
}

void multiply_coded(Tier tier, const CodedLayer& layer, const Epilogue& epilogue) {
  const PackedCodes& w = *layer.weights;
  const CodesForm& form = w.form();
  const bool dots = layer.row_scales != nullptr;
  if (dots && (form.codes != skinny::Codes::nibbles || !form.integers))
    throw std::invalid_argument("multiply_coded: these codes are not multiplied as integers");
  if (layer.m <= 0 || form.n <= 0) return;
  if (dots) std::fill(layer.row_scales, layer.row_scales + layer.m, 1.0F);
  if (form.k == 0) return zeros(form.n, layer.m, epilogue);
  const skinny::Kernels& kernels = skinny_kernels(tier);
  const auto run = dots ? dot_kernels(tier).dotted : kernels.coded[static_cast<int>(form.codes)];
  const auto quantize = contract_kernels(tier).quantize_row;
  const std::int64_t padded = w.padded_k();
  const skinny::CodesCall common = w.call(0);
  Axis along_k = layer.x.cols;
  along_k.size = form.k;
  const std::int64_t x_bytes = round_up(padded * (dots ? 1 : 4), 64);
  const bool summed = form.offsets || (dots && form.zero != 0);
  const std::int64_t sum_bytes = summed ? round_up(4 * common.parts, 64) : 0;
  const std::int64_t code_bytes = dots ? padded : 0;  // a row's, as they are quantized
  in_slabs(layer.m, x_bytes, [&](std::int64_t first, std::int64_t rows) {
    const Scratch scratch(static_cast<std::size_t>(rows * (x_bytes + 2 * sum_bytes + code_bytes)));
    char* const sums_of_x = scratch.data() + rows * x_bytes;
    char* const starts = sums_of_x + rows * sum_bytes;
    char* const unordered = starts + rows * sum_bytes;
    const Rows<float> floats(padded, scratch.data());
    const Rows<std::int8_t> codes(padded, scratch.data());
    each_row(rows, 4 * form.k, [&](std::int64_t i) {
      const char* const from = row_of(layer.x, first + i);
      if (!dots) {
        Rows<float>(form.k, scratch.data()).put(i, rows, from, along_k);
        return;
      }
      auto* const q = reinterpret_cast<std::uint8_t*>(unordered + i * padded);
      layer.row_scales[first + i] = quantize(from, along_k, q);
      std::memset(q + form.k, 128, static_cast<std::size_t>(padded - form.k));
      order_for_dots(q, padded);
      codes.put(i, rows, reinterpret_cast<const char*>(q), Axis{padded, 1, nullptr});
      if (summed) sums_of_codes(q, common, sums_of_x + i * sum_bytes, starts + i * sum_bytes);
    });
    if (summed && !dots)
      each_row(rows, 4 * form.k, [&](std::int64_t i) {
        const std::int64_t eight = i / kMostRows * kMostRows;
        const auto count = static_cast<int>(std::min<std::int64_t>(kMostRows, rows - eight));
        kernels.sum_of_row(floats.at(eight) + (i - eight) * kTogether * 4, count, padded, common.part,
                           sums_of_x + i * sum_bytes);
      });
    over_groups(form.n, first, rows, w.bytes(), epilogue,
                [&](std::int64_t group, std::int64_t row, int count, float* sums, std::int64_t pitch) {
                  skinny::CodesCall call = w.call(group);
                  call.x = dots ? codes.at(row) : floats.at(row);
                  call.x_sums = sums_of_x + row * sum_bytes;
                  call.x_starts = starts + row * sum_bytes;
                  call.x_sum_bytes = sum_bytes;
                  call.rows = count;
                  call.sums = sums;
                  call.pitch = pitch;
                  run(call);
                });
  });
}

}  // namespace ufuse
