#include "contract/contraction.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "contract/dispatch.hpp"
#include "contract/few_rows.hpp"
#include "contract/finish.hpp"
#include "contract/fused_axis.hpp"
#include "contract/plan.hpp"
#include "core/threads.hpp"
#include "core/tiers.hpp"

namespace ufuse {
namespace {

using contract::extent;
using contract::FusedAxis;
using contract::merged;

// Positions that an axis keeps as offsets: 8 bytes for each array. Longer ones are cut into several products.
constexpr std::int64_t kMostOffsets = 1 << 19;

constexpr std::int64_t kLine = 64;

constexpr double kWorkPerThread = 1e6;  // multiplications: what waking a worker is worth

/// The label that an array steps along in the smallest steps comes last: the innermost.
void order_by(std::vector<Label>& labels, std::size_t array) {
  std::stable_sort(labels.begin(), labels.end(), [array](const Label& x, const Label& y) {
    return std::abs(x.strides[array]) > std::abs(y.strides[array]);
  });
}

}  // namespace

struct Contraction::Lowered {
  explicit Lowered(ContractionSpec given) : spec(std::move(given)) {
    c = static_cast<std::size_t>(spec.a_arrays + spec.b_arrays);
    arrays = c + 1 + static_cast<std::size_t>(spec.extras);
    order_by(spec.rows, c);
    order_by(spec.cols, c);
    order_by(spec.batch, c);
    for (auto* labels : {&spec.batch, &spec.rows, &spec.cols}) *labels = merged(*labels);
    all_rows = extent(spec.rows);
    terms = extent(spec.cols) * extent(spec.shared);
    turned = better_turned();
    if (turned) turn();
    if (spec.elements == Elements::c64 || spec.elements == Elements::c128) count_parts();
    separate_runs();
    order_rows();
    const auto b = static_cast<std::size_t>(spec.a_arrays);
    shorten(spec.rows, 0);
    shorten(spec.cols, b);
    shorten(spec.batch, c);
    batch.emplace(spec.batch, arrays);
    fuse(rows, spec.rows, 0, extent(spec.cols));
    fuse(cols, spec.cols, b, extent(spec.rows));
    fuse_shared();
  }

  /// Whether C^T = B^T A^T suits the layout better. Products commute, so the bits are the same, but for the
  /// two terms of an imaginary part, and the greater of 0 and -0: there the sizes alone decide.
  bool better_turned() const {
    bool by_layout = true;
    std::int64_t few = 4;
    switch (spec.elements) {
      case Elements::u8s8:
      case Elements::s8u8:
      case Elements::s8s8:
        // 2048 x 2048 by 8 columns: AVX2 1.5 ms, turned 0.8, AMX 0.74 and 0.55; 64 x 64 by 8 are 20 % slower.
        if (extent(spec.rows) * extent(spec.shared) > 1 << 15) few = 8;
        break;
      case Elements::offset_u8s8:
        return false;  // the operands have their types by their sides
      case Elements::c64:
      case Elements::c128:
        if (spec.real_a != spec.real_b) return spec.real_b;  // the real one is A
        by_layout = false;
        break;
      case Elements::min_max_F32:
      case Elements::min_max_F64:
      case Elements::arg_min_max_F32:
      case Elements::arg_min_max_F64:
        by_layout = false;
        break;
      default:
        break;
    }
    const std::int64_t m = extent(spec.rows), n = extent(spec.cols);
    const bool in_rows = !spec.rows.empty(), in_cols = !spec.cols.empty();
    if (!in_rows || !in_cols) return in_rows && !in_cols;  // a matrix times a vector: lanes over the many
    const std::int64_t along_rows = std::abs(spec.rows.back().strides[c]);
    const std::int64_t along_cols = std::abs(spec.cols.back().strides[c]);
    if (n <= few && m >= 16) return true;
    if (m <= few && n >= 16) return false;
    return by_layout && along_rows < along_cols;
  }

  void turn() {
    std::swap(spec.rows, spec.cols);
    if (spec.elements == Elements::u8s8)
      spec.elements = Elements::s8u8;
    else if (spec.elements == Elements::s8u8)
      spec.elements = Elements::u8s8;
    std::swap(spec.real_a, spec.real_b);
    std::swap(spec.conjugate_a, spec.conjugate_b);
    std::swap(spec.prologue_a, spec.prologue_b);
    const auto middle = spec.a_arrays;
    std::swap(spec.a_arrays, spec.b_arrays);
    for (auto* labels : {&spec.batch, &spec.rows, &spec.cols, &spec.shared})
      for (Label& label : *labels)
        std::rotate(label.strides.begin(), label.strides.begin() + middle,
                    label.strides.begin() + static_cast<std::ptrdiff_t>(c));
  }

  /// A few rows take a run of columns that lie side by side as an item of the batch: such runs are read in
  /// place, and rows are few enough to be packed again for each.
  void separate_runs() {
    constexpr std::int64_t kRun = 32;
    const auto b = static_cast<std::size_t>(spec.a_arrays);
    if (spec.cols.size() < 2 || extent(spec.rows) > kFewest) return;
    const Label& inner = spec.cols.back();
    if (inner.size < kRun || step(inner, b) > 8 || step(inner, b) != step(inner, c)) return;
    spec.batch.insert(spec.batch.end(), spec.cols.begin(), spec.cols.end() - 1);
    spec.cols.erase(spec.cols.begin(), spec.cols.end() - 1);
  }

  /// Where C steps least along columns, rows may follow A: its neighbours lie side by side in a panel. Not
  /// where C is more than A: `dega,gfbc->abcdef`, 24 terms, wrote to far pages at 12 GFLOP/s instead of 29.
  void order_rows() {
    if (spec.rows.size() < 2 || step(spec.rows.back(), c) < kLine) return;
    if (extent(spec.shared) < extent(spec.cols)) return;
    if (step(spec.rows[least_step(spec.rows, 0)], 0) >= kLine) return;
    order_by(spec.rows, 0);
    spec.rows = merged(spec.rows);
  }

  /// A complex product as one of parts (product.hpp).
  void count_parts() {
    const std::int64_t part = spec.elements == Elements::c64 ? 4 : 8;
    parts = 2;
    Label both{parts, std::vector<std::int64_t>(arrays, 0)};
    both.strides[static_cast<std::size_t>(spec.a_arrays)] = both.strides[c] = part;
    spec.cols.push_back(both);
    if (spec.real_a) {
      spec.elements = spec.elements == Elements::c64 ? Elements::f32 : Elements::f64;
      return;
    }
    both.strides.assign(arrays, 0);
    both.strides[0] = part;
    spec.shared.push_back(both);
  }

  static std::int64_t step(const Label& label, std::size_t array) { return std::abs(label.strides[array]); }

  /// The label that an array steps least along.
  static std::size_t least_step(const std::vector<Label>& labels, std::size_t array) {
    std::size_t least = 0;
    for (std::size_t i = 1; i < labels.size(); ++i)
      if (step(labels[i], array) <= step(labels[least], array)) least = i;
    return least;
  }

  /// Fuses rows or columns, which belong to one operand and C. `others`: how many columns or rows C has.
  void fuse(std::optional<FusedAxis>& axis, const std::vector<Label>& labels, std::size_t operand,
            std::int64_t others) const {
    const std::size_t last = labels.size() - 1;
    const std::size_t least = labels.empty() ? 0 : least_step(labels, operand);
    const std::int64_t unit = labels.empty() ? 0 : std::max<std::int64_t>(1, step(labels.back(), c));
    if (labels.size() < 2 || extent(labels) == 0 || least == last || step(labels[least], operand) >= kLine ||
        unit >= kLine || step(labels.back(), operand) < kLine) {
      axis.emplace(labels, arrays);
      return;
    }
    // C steps least along the last label, the operand along another one. Of what there is more is moved in
    // whole lines: the operand's elements for each position, or C's. A register of the operand's neighbours
    // for each of C's are turned when they are stored (scatter.hpp).
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < last; ++i)
      if (i != least) order.push_back(i);
    const ElementKernels& e = contract::element_kernels(contract_kernels(active_tier()), spec.elements);
    if (e.squares && extent(spec.shared) > others) {
      // The pages that the operand is read from change seldom.
      std::stable_sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
        return step(labels[x], operand) > step(labels[y], operand);
      });
      axis.emplace(labels, arrays, contract::Squares{least, last, e.lanes, e.lanes, order, true, true});
    } else {
      const std::int64_t side = std::max<std::int64_t>(4, kLine / unit);
      axis.emplace(labels, arrays, contract::Squares{last, least, side, side, order});
    }
  }

  /// Shared labels: where the operands' innermost ones differ, in squares along both. The order decides the
  /// bits: it follows from the order and the sizes of the labels alone.
  void fuse_shared() {
    constexpr std::int64_t kSide = 16;  // a line of float32, two of float64
    const bool two = spec.innermost.size() == 2 && spec.innermost[0] != spec.innermost[1];
    const auto wide = [&](std::size_t label) { return spec.shared[label].size >= kSide; };
    if (!two || parts > 1 || !wide(spec.innermost[0]) || !wide(spec.innermost[1])) {
      shared.emplace(merged(spec.shared), arrays);
      return;
    }
    const std::size_t inner = spec.innermost[0], other = spec.innermost[1];
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < spec.shared.size(); ++i)
      if (i != inner && i != other) order.push_back(i);
    shared.emplace(spec.shared, arrays, contract::Squares{inner, other, kSide, kSide, order});
  }

  /// Cuts the first of two labels where its size has a divisor that leaves few enough offsets, or moves it
  /// whole.
  void split(std::vector<Label>& labels) {
    constexpr std::int64_t kLeast = 8;
    Label& first = labels.front();
    std::int64_t kept = kMostOffsets / labels.back().size;
    while (kept >= kLeast && first.size % kept != 0) --kept;
    Label moved = first;
    if (kept < kLeast) {
      labels.erase(labels.begin());
    } else {
      moved.size /= kept;
      for (std::int64_t& stride : moved.strides) stride *= kept;
      first.size = kept;
    }
    outer.push_back(moved);
  }

  /// Moves outer labels to the loop around the products while the fused axis is long and needs offsets: none
  /// that an array steps least along.
  void shorten(std::vector<Label>& labels, std::size_t operand) {
    const auto uneven = [&] {
      for (std::size_t k = 0; k < arrays; ++k)
        if (!contract::steps_evenly(labels, k)) return true;
      return false;
    };
    while (labels.size() > 1 && extent(labels) > kMostOffsets && uneven()) {
      const std::size_t first = least_step(labels, operand) == 0 ? 1 : 0;
      if (first + 1 == labels.size()) return split(labels);
      outer.push_back(labels[first]);
      labels.erase(labels.begin() + static_cast<std::ptrdiff_t>(first));
    }
  }

  Matrix operand(char* const* at, std::size_t first, int count, const Program* program, bool columns,
                 Prologue& prologue) const {
    const FusedAxis& lanes = columns ? *cols : *rows;
    const auto axes = [&](std::size_t array, Axis& along_rows, Axis& along_cols) {
      along_rows = columns ? shared->axis(array) : lanes.axis(array);
      along_cols = columns ? lanes.axis(array) : shared->axis(array);
    };
    Matrix matrix;
    matrix.data = at[first];
    axes(first, matrix.rows, matrix.cols);
    if (program == nullptr) return matrix;
    prologue.program = program;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(count); ++i) {
      Prologue::Input input{at[i], {}, {}, batch->axis(i)};
      axes(i, input.rows, input.cols);
      prologue.inputs.push_back(input);
    }
    matrix.prologue = &prologue;
    return matrix;
  }

  Product product_of(char* const* at, Prologue& made_a, Prologue& made_b, std::int64_t fewer = -1) const {
    Product product;
    product.terms = terms * (fewer < 0 ? all_rows : fewer);
    product.elements = spec.elements;
    product.wraps = spec.wraps;
    product.m = rows->size();
    product.n = cols->size();
    product.k = shared->size();
    product.a = operand(at, 0, spec.a_arrays, spec.prologue_a, false, made_a);
    product.b =
        operand(at, static_cast<std::size_t>(spec.a_arrays), spec.b_arrays, spec.prologue_b, true, made_b);
    product.a.conjugate = spec.conjugate_a;
    product.b.conjugate = spec.conjugate_b;
    product.batch = batch->size();
    product.batch_a = batch->axis(0);
    product.batch_b = batch->axis(static_cast<std::size_t>(spec.a_arrays));
    product.c = at[c];
    product.c_rows = rows->axis(c);
    product.c_cols = cols->axis(c);
    product.batch_c = batch->axis(c);
    return product;
  }

  /// How often an element of A and of B is packed at most, on one thread.
  std::pair<std::int64_t, std::int64_t> packings() const {
    const std::vector<char*> nowhere(arrays);
    Prologue made_a, made_b;
    Product product = product_of(nowhere.data(), made_a, made_b);
    const auto nothing = [](const EpilogueTile&) {};
    const Epilogue epilogue(nothing);
    if (spec.finish != nullptr) product.epilogue = &epilogue;
    const contract::Plan plan(contract_kernels(active_tier()), product);
    const std::int64_t strip = plan.strip_columns(1);
    std::int64_t a = ceil_div(product.n, strip), b = 1;
    if (plan.keep && plan.source == contract::Source::shared && !plan.resident(std::min(product.n, strip)))
      b = ceil_div(product.m, plan.mc);
    const auto lacks = [](const Label& label, std::size_t first, int count) {
      const auto strides = label.strides.begin() + static_cast<std::ptrdiff_t>(first);
      return std::all_of(strides, strides + count, [](std::int64_t stride) { return stride == 0; });
    };
    for (const std::vector<Label>* labels : {&spec.batch, &outer})
      for (const Label& label : *labels) {
        if (lacks(label, 0, spec.a_arrays)) a *= label.size;
        if (lacks(label, static_cast<std::size_t>(spec.a_arrays), spec.b_arrays)) b *= label.size;
      }
    return {a, b};
  }

  void run(char* const* at, std::int64_t positions, std::int64_t fewer) const {
    const ContractKernels& kernels = contract_kernels(active_tier());
    Prologue made_a, made_b;
    Product product = product_of(at, made_a, made_b, fewer);
    product.positions = positions;
    if (fewer >= 0) (turned ? product.n : product.m) = turned ? fewer * parts : fewer;
    const auto run_product = [&] {
      if (!multiply_few_rows(active_tier(), product)) multiply(kernels, product);
      made_a.failure.check();
      made_b.failure.check();
    };
    if (spec.finish == nullptr) return run_product();
    ProgramFinish finish(*spec.finish, item_size(spec.finish->input_dtype(0)));
    for (std::size_t i = c; i < arrays; ++i) finish.add(at[i], rows->axis(i), cols->axis(i), batch->axis(i));
    const Epilogue epilogue(finish);
    product.epilogue = &epilogue;
    run_product();
    finish.check();
  }

  ContractionSpec spec;
  std::size_t c, arrays;         // where C is among the arrays, and how many there are
  std::int64_t all_rows, terms;  // of the rows as given, and of each
  bool turned = false;
  std::int64_t parts = 1;  // that each column of a complex product counts as
  std::vector<Label> outer;
  std::optional<FusedAxis> batch, rows, cols, shared;
};

Contraction::Contraction(ContractionSpec spec) : lowered_(std::make_unique<const Lowered>(std::move(spec))) {}
Contraction::~Contraction() = default;

void Contraction::run_rows(char* const* arrays, std::int64_t positions, std::int64_t rows) const {
  const Lowered& l = *lowered_;
  std::vector<char*> at(arrays, arrays + l.arrays);
  if (l.turned)
    std::rotate(at.begin(), at.begin() + l.spec.b_arrays, at.begin() + static_cast<std::ptrdiff_t>(l.c));
  const std::int64_t products = extent(l.outer);
  const std::vector<char*> start = at;
  for (std::int64_t i = 0; i < products; ++i) {
    std::int64_t rest = i;
    at = start;
    for (const Label& label : l.outer) {
      for (std::size_t k = 0; k < l.arrays; ++k) at[k] += rest % label.size * label.strides[k];
      rest /= label.size;
    }
    l.run(at.data(), positions, rows);
  }
}

void run_many(std::span<const ContractionCall> calls) {
  double work = 0, most = 0;
  for (const ContractionCall& call : calls) {
    work += call.work();
    most = std::max(most, call.work());
  }
  const int threads = thread_limit();
  const auto run = [&](std::int64_t i) {
    const ContractionCall& call = calls[static_cast<std::size_t>(i)];
    call.contraction->run_rows(call.arrays, 0, call.rows);
  };
  const auto count = static_cast<std::int64_t>(calls.size());
  // One thread each where the largest is no more than a thread's share; else one after the other on all
  // threads.
  if (threads > 1 && work > 2 * kWorkPerThread && most * threads <= work)
    return parallel_for(count, threads, run);
  for (std::int64_t i = 0; i < count; ++i) run(i);
}

double ContractionCall::work() const {
  const std::int64_t m = contraction->m(), n = contraction->n();
  const bool columns = rows >= 0 && contraction->turned();  // that are fewer
  return static_cast<double>(rows >= 0 && !columns ? rows : m) * static_cast<double>(columns ? rows : n) *
         static_cast<double>(contraction->k()) * static_cast<double>(contraction->items());
}

std::int64_t Contraction::m() const noexcept { return lowered_->rows->size(); }
std::int64_t Contraction::n() const noexcept { return lowered_->cols->size(); }
std::int64_t Contraction::k() const noexcept { return lowered_->shared->size(); }
std::int64_t Contraction::items() const noexcept { return lowered_->batch->size() * extent(lowered_->outer); }
std::pair<std::int64_t, std::int64_t> Contraction::packings() const {
  const auto [a, b] = lowered_->packings();
  return lowered_->turned ? std::pair{b, a} : std::pair{a, b};
}
bool Contraction::turned() const noexcept { return lowered_->turned; }

}  // namespace ufuse
