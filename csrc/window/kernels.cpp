// Every window operation for one tier: this file is compiled once per tier.
#include "window/kernels.hpp"

#include "window/afresh.hpp"
#include "window/fold.hpp"
#include "window/sorted.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class F, class T>
void put_fold(WindowKernels& t, WindowOp op) {
  using Long = Folding<F, T>;
  using Short = Afresh<F, T>;
  constexpr int kWide = sizeof(T) == 8;
  t.kernel[static_cast<int>(op)][kWide] = {
      Long::kScratch, Long::kRecord * static_cast<std::int64_t>(sizeof(typename F::A)), Long::run, Long::totals,
      Long::middles};
  t.afresh[static_cast<int>(op)][kWide] = {Short::kScratch, 0, Short::run, nullptr, nullptr};
}

/// Sums, moments and rows are kept in float64 whatever the elements; extremes need no more than they have.
template <class T>
void put_all(WindowKernels& t) {
  using enum WindowOp;
  put_fold<SumFold<double>, T>(t, sum);
  put_fold<SumFold<double>, T>(t, mean);
  put_fold<MomentsFold<double>, T>(t, var);
  put_fold<MomentsFold<double>, T>(t, std);
  put_fold<ExtremeFold<T, false>, T>(t, min);
  put_fold<ExtremeFold<T, true>, T>(t, max);
  put_fold<IndexFold<double, false>, T>(t, argmin);
  put_fold<IndexFold<double, true>, T>(t, argmax);
  constexpr int kWide = sizeof(T) == 8;
  using Medians = SortedColumns<T>;
  using Ranks = CountedRanks<T>;
  for (int afresh = 0; afresh < 2; ++afresh) {
    auto& table = afresh != 0 ? t.afresh : t.kernel;
    table[static_cast<int>(median)][kWide] = {Medians::kScratch, 0, Medians::run, nullptr, nullptr};
    table[static_cast<int>(rank)][kWide] = {Ranks::kScratch, 0, Ranks::run, nullptr, nullptr};
  }
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
