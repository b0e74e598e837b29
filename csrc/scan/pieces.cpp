#include "scan/pieces.hpp"

#include <cstring>
#include <stdexcept>
#include <string>

#include "core/cache.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace {

const ScanKernel& kernel_of(const Scan& s, const ScanKernels& kernels) {
  const ScanKernel& kernel = kernels.at(s.scan, s.in_type, s.out_type);
  if (kernel.rows == nullptr)
    throw std::invalid_argument("scan: no kernel from " + std::string(code_of(s.in_type)) + " to " +
                                std::string(code_of(s.out_type)));
  return kernel;
}

}  // namespace

ScanRun::ScanRun(const Scan& s)
    : scan(s),
      kernel(kernel_of(s, scan_kernels(active_tier()))),
      moves(program_kernels(active_tier()).move),
      gathers(reduce_kernels(active_tier()).pieces),
      in_size(static_cast<std::int64_t>(item_size(s.in_type))),
      out_size(static_cast<std::int64_t>(item_size(s.out_type))),
      in_log2(log2_size(s.in_type)),
      out_log2(log2_size(s.out_type)) {
  plan_scan(plan, s);
  const ScanAxis& last = plan.columns          ? plan.inner
                         : plan.group_axes > 0 ? plan.group[plan.group_axes - 1]
                                               : ScanAxis{1, in_size, out_size};
  in_step = last.in;
  out_step = plan.columns ? plan.inner.out : plan.group_axes > 0 ? plan.out_step : out_size;
  const std::int64_t bytes = plan.count * plan.lines() * (in_size + out_size);
  stream = bytes > streaming_threshold() && out_step == out_size && s.in != s.out;
  in_place_in = in_step == in_size && !s.in_swapped && (plan.columns || plan.group_axes <= 1);
  in_place_out = out_step == out_size && !stream;
  threads = threads_for_bytes(bytes);
}

const char* ScanPieces::read_group(const char* line, std::int64_t first, std::int64_t count,
                                   std::int64_t lane) const {
  const ScanPlan& plan = run_.plan;
  const ScanAxis& last = plan.group[plan.group_axes - 1];
  char* block = frame_.data() + lane * pitch_of(run_.in_size);
  for (std::int64_t done = 0; done < count;) {
    std::int64_t left = (first + done) / last.extent;
    const std::int64_t at = (first + done) % last.extent;
    const std::int64_t run = std::min(count - done, last.extent - at);
    const char* from = line + at * last.in;
    for (int i = plan.group_axes - 2; i >= 0; --i) {
      from += left % plan.group[i].extent * plan.group[i].in;
      left /= plan.group[i].extent;
    }
    run_.gathers.gather[run_.in_log2](block + done * run_.in_size, 0, &from, 1, last.in, run);
    done += run;
  }
  if (run_.scan.in_swapped) run_.gathers.swap[run_.in_log2](block, count);
  return block;
}

void ScanPieces::write(char* const* to, std::int64_t rows, std::int64_t count) const {
  if (run_.in_place_out) return;
  if (run_.stream) {
    for (std::int64_t r = 0; r < rows; ++r) run_.moves.stream(to[r], out_block(r), count * run_.out_size);
    return;
  }
  if (run_.out_step == run_.out_size) {
    for (std::int64_t r = 0; r < rows; ++r)
      std::memcpy(to[r], out_block(r), static_cast<std::size_t>(count * run_.out_size));
    return;
  }
  // Some elements of all rows before the next: rows are often neighbours in memory.
  constexpr std::int64_t kTurn = 16;
  const auto store = run_.moves.store[run_.out_log2];
  for (std::int64_t i = 0; i < count; i += kTurn)
    for (std::int64_t r = 0; r < rows; ++r)
      store(to[r] + i * run_.out_step, run_.out_step, out_block(r) + i * run_.out_size,
            std::min(kTurn, count - i));
}

}  // namespace ufuse
