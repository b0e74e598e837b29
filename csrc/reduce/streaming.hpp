// Results that go past the caches.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/cache.hpp"
#include "program/kernels.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {

/// Copies a block past the caches.
using StreamKernel = decltype(MoveKernels::stream);

/// How the results of a reduction are stored: past the caches where what is read and written is too much for
/// anybody to find it there (as in `ProgramRun`), and the results more than a core's own cache would keep;
/// else null.
inline StreamKernel stream_of_results(const Reduction& r) {
  constexpr std::int64_t kOwnCache = 1 << 20;
  std::int64_t results = 0, traffic = 0, kept = 1;
  for (int i = 0; i < r.axes; ++i)
    if (!(r.reduced >> i & 1)) kept *= r.shape[i];
  for (int s = 0; s < r.slots; ++s) results += kept * static_cast<std::int64_t>(item_size(r.slot[s].result));
  if (results <= kOwnCache) return nullptr;
  for (int k = 0; k < r.inputs && r.source == nullptr; ++k) {
    auto bytes = static_cast<std::int64_t>(item_size(r.input[k].dtype));
    for (int i = 0; i < r.axes; ++i)
      if (r.input[k].strides[i] != 0) bytes *= r.shape[i];
    traffic += bytes;
  }
  return results + traffic > streaming_threshold() ? program_kernels(active_tier()).move.stream : nullptr;
}

/// What a task streamed becomes visible before the task counts as done.
inline void end_streams(StreamKernel stream) {
#if defined(__x86_64__)
  if (stream != nullptr) _mm_sfence();
#else
  (void)stream;
#endif
}

}  // namespace ufuse
