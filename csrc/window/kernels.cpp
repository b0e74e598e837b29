// Every window operation for one tier: this file is compiled once per tier.
#if defined(__x86_64__)
// GCC 12 warns of the undefined pass-through operands inside its own intrinsics.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include "window/kernels.hpp"

#include "window/doubling.hpp"
#include "window/fold.hpp"
#include "window/sorted.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

/// F folds long windows, G short ones.
template <class F, class T, class G = F>
void put_fold(WindowKernels& t, WindowOp op) {
  using Long = Folding<F, T>;
  using Short = Doubling<G, T>;
  constexpr int kWide = sizeof(T) == 8;
  t.kernel[static_cast<int>(op)][kWide] = {Long::kScratch,
                                           Long::kRecord * static_cast<std::int64_t>(sizeof(typename F::A)),
                                           Long::run, Long::totals, Long::middles};
  t.doubling[static_cast<int>(op)][kWide] = {Short::kScratch, 0, Short::run, nullptr, nullptr};
}

/// Sums and moments are kept in float64 whatever the elements; extremes need no more than they have, and rows
/// of a tile no more than float32.
template <class T>
void put_all(WindowKernels& t) {
  using enum WindowOp;
  put_fold<SumFold<double>, T>(t, sum);
  put_fold<SumFold<double>, T>(t, mean);
  put_fold<MomentsFold<double>, T>(t, var);
  put_fold<MomentsFold<double>, T>(t, std);
  put_fold<ExtremeFold<T, false>, T>(t, min);
  put_fold<ExtremeFold<T, true>, T>(t, max);
  put_fold<IndexFold<double, false>, T, IndexFold<T, false>>(t, argmin);
  put_fold<IndexFold<double, true>, T, IndexFold<T, true>>(t, argmax);
  constexpr int kWide = sizeof(T) == 8;
  using Medians = SortedColumns<T>;
  using Ranks = CountedRanks<T>;
  t.kernel[static_cast<int>(median)][kWide] = {Medians::kScratch, 0, Medians::run, nullptr, nullptr};
  t.kernel[static_cast<int>(rank)][kWide] = {Ranks::kScratch, 0, Ranks::run, nullptr, nullptr};
}

WindowKernels make_table() {
  WindowKernels t{};
  put_all<float>(t);
  put_all<double>(t);
  return t;
}

}  // namespace

const WindowKernels* window_kernels() {
  static const WindowKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
