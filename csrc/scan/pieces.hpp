// What one task of a scan reads and writes through: in place where memory allows, else blocks that stay in
// L1.
#pragma once

#include <algorithm>

#include "core/scratch.hpp"
#include "program/kernels.hpp"
#include "reduce/kernels.hpp"
#include "scan/plan.hpp"

namespace ufuse {

/// Elements of a lane per block: eight lanes of results in 8 bytes take half of L1.
inline constexpr std::int64_t kScanPiece = 256;

/// What all tasks of a scan share.
struct ScanRun {
  explicit ScanRun(const Scan& scan);

  const Scan& scan;
  ScanPlan plan;
  const ScanKernel& kernel;
  const MoveKernels& moves;
  const PieceKernels& gathers;
  std::int64_t in_size, out_size;
  int in_log2, out_log2;
  std::int64_t in_step;   // bytes between neighbours in the direction that kernels walk
  std::int64_t out_step;  // likewise
  bool stream;            // results go past the caches
  bool in_place_in, in_place_out;
  int threads;

  /// Elements that go through the kernels at once.
  std::int64_t piece(std::int64_t most) const {
    return in_place_in && in_place_out ? most : std::min(most, kScanPiece);
  }
};

class ScanPieces {
 public:
  explicit ScanPieces(const ScanRun& run)
      : run_(run), frame_(static_cast<std::size_t>(2 * kScanLanes * kPitch)) {}

  /// Brings `count` elements from each of `rows` places to where kernels can read them: `to`.
  void read(const char* const* from, std::int64_t rows, std::int64_t count, const char** to) const {
    if (run_.in_place_in) {
      for (std::int64_t r = 0; r < rows; ++r) to[r] = from[r];
      return;
    }
    const std::int64_t pitch = pitch_of(run_.in_size);
    run_.gathers.gather[run_.in_log2](frame_.data(), pitch, from, rows, run_.in_step, count);
    for (std::int64_t r = 0; r < rows; ++r) {
      if (run_.scan.in_swapped) run_.gathers.swap[run_.in_log2](frame_.data() + r * pitch, count);
      to[r] = frame_.data() + r * pitch;
    }
  }

  /// Elements [first, first + count) of a line of several axes, to where lane `lane` reads them.
  const char* read_group(const char* line, std::int64_t first, std::int64_t count, std::int64_t lane) const;

  /// Where kernels write the results that belong at `to`: there, or in blocks. `spare` rows beyond `rows`
  /// are written, and go nowhere.
  void place(char* const* to, std::int64_t rows, std::int64_t spare, char** out) const {
    for (std::int64_t r = 0; r < rows + spare; ++r)
      out[r] = run_.in_place_out && r < rows ? to[r] : out_block(r);
  }
  /// Takes the results from the blocks to where they belong.
  void write(char* const* to, std::int64_t rows, std::int64_t count) const;

 private:
  // Two lines more than 2 KB: rows of blocks start on different sets of L1.
  static constexpr std::int64_t kPitch = kScanPiece * 8 + 128;
  static std::int64_t pitch_of(std::int64_t size) { return kScanPiece * size + 128; }
  char* out_block(std::int64_t row) const {
    return frame_.data() + kScanLanes * kPitch + row * pitch_of(run_.out_size);
  }

  const ScanRun& run_;
  ScratchFrame frame_;
};

}  // namespace ufuse
