// Windows of a few elements: every one folded from its first element to its last.
#pragma once

#include "window/fold.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class F, class T>
struct Afresh {
  using Fold = Folding<F, T>;
  using A = typename F::A;
  using V = typename Fold::V;
  static constexpr int kParts = F::kParts;

  struct Scratch {
    alignas(64) T rows[kTileRows * kWindowLanes];
    alignas(64) T results[kTileRows * kWindowLanes];
  };
  static constexpr std::int64_t kScratch = static_cast<std::int64_t>(sizeof(Scratch));

  template <bool kClean>
  static void scan(const WindowJob& job, const Tile& tile, std::int64_t first_row, std::int64_t rows, char* to,
                   std::int64_t pitch, bool stream) {
    const typename Fold::Finish finish(job);
    const std::int64_t window = job.window;
    V reciprocal[kAfresh + 1];
    for (std::int64_t n = 1; n <= window; ++n) reciprocal[n] = Fold::number(1.0 / static_cast<double>(n));
    for (std::int64_t j = 0; j < rows; ++j) {
      const char* newest = tile.data + (kHistoryRows + j) * tile.pitch;
      for (int v = 0; v < Fold::kRegisters; ++v) {
        V s[kParts];
        F::start(s);
        V count = Fold::number(0);
        for (std::int64_t n = 1; n <= window; ++n) {
          const std::int64_t back = window - n;
          const Step<V> next{reciprocal[n], Fold::number(static_cast<double>(first_row + j - back))};
          Fold::template step<kClean, true>(
              s, count, load_as<V, T>(newest - back * tile.pitch + v * Fold::kLaneBytes), next);
        }
        const V row = Fold::number(static_cast<double>(first_row + j));
        store_as<T>(to + j * pitch + v * Fold::kLaneBytes, finish.template operator()<kClean>(s, count, row),
                    stream);
      }
    }
  }

  static void run(const WindowJob& job, const LaneGroup* groups, int count, std::int64_t segments,
                  char* scratch) {
    const Tiles<T> tiles(job);
    auto* own = reinterpret_cast<Scratch*>(scratch);
    const std::int64_t rows = job.segment;
    for (std::int64_t k = 0; k < segments; ++k)
      for (int i = 0; i < count; ++i) {
        const LaneGroup& g = groups[i];
        const std::int64_t row = k * rows;
        const Tile tile = tiles.fetch(g, row - kHistoryRows, kHistoryRows + rows, own->rows);
        bool stream = false;
        char* place = tiles.place(g, row, rows, stream);
        char* to = place != nullptr ? place : reinterpret_cast<char*>(own->results);
        const std::int64_t pitch = place != nullptr ? job.out_stride : Tiles<T>::kPitch;
        if (tile.clean)
          scan<true>(job, tile, row, rows, to, pitch, stream);
        else
          scan<false>(job, tile, row, rows, to, pitch, stream);
        if (place == nullptr) tiles.store(g, row, rows, own->results);
      }
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
