// How a product is spread over threads, and the loops around the packed blocks.
#include "contract/product.hpp"

#include <atomic>
#include <climits>
#include <stdexcept>
#include <string>
#include <utility>

#include "contract/k_blocks.hpp"
#include "contract/plan.hpp"
#include "contract/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace contract {
namespace {

constexpr double kFlopsPerThread = 1.5e6;  // a worker joins in 1 to 50 us; in 15 us one core does this much
constexpr std::int64_t kItemBytes = 1 << 20;  // of B: below, one thread does a whole batch item

/// One thread's part in a product.
class Member {
 public:
  Member(const Plan& plan, const Gang* gang, char* own, char* stage, std::int64_t stage_bytes)
      : plan_(plan), p_(plan.p), e_(plan.e), gang_(gang), stage_(stage), stage_bytes_(stage_bytes) {
    a_ = own;
    once_ = own + plan.a_bytes();
    acc_ = once_ + round_up(plan.once_bytes(), 64);
    made_ = acc_ + plan.acc_bytes();
  }

  void item(std::int64_t item, Range columns) {
    item_ = item;
    const Grid grid =
        choose_grid(size(), ceil_div(p_.m, e_.mr), ceil_div(columns.end - columns.begin, e_.nr));
    const std::int64_t strip = plan_.strip_columns(grid.cols);
    const std::int64_t rows = plan_.keep ? plan_.mc * grid.rows : p_.m;
    const int my_row = rank() / grid.cols, my_col = rank() % grid.cols;
    for (std::int64_t jc = columns.begin; jc < columns.end; jc += strip) {
      const std::int64_t width = std::min(strip, columns.end - jc);
      const Range mine = part_of(width, plan_.cut(width, grid.cols), my_col, grid.cols);
      const bool resident = plan_.resident(width);
      for (std::int64_t is = 0; is < p_.m; is += rows) {
        const Range part = part_of(std::min(rows, p_.m - is), e_.mr, my_row, grid.rows);
        for (std::int64_t block = 0; block < plan_.blocks.count; ++block) {
          if (plan_.source == Source::shared) {
            if (!resident)
              stage(jc, width, block, 1);
            else if (is == 0 && block == 0)
              stage(jc, width, 0, plan_.blocks.count);
            b_ = staged_ + (resident ? block * ceil_div(width, e_.nr) * plan_.panel : 0);
          }
          compute(block, {is + part.begin, is + part.end}, jc, {jc + mine.begin, jc + mine.end});
        }
      }
    }
  }

 private:
  int rank() const { return gang_ == nullptr ? 0 : gang_->rank(); }
  int size() const { return gang_ == nullptr ? 1 : gang_->size(); }

  /// The members pack the strip's panels together. One barrier is enough: whoever is past it has left the
  /// buffer before the last, which is the one written next.
  void stage(std::int64_t jc, std::int64_t width, std::int64_t first, std::int64_t count) {
    staged_ = stage_ + (size() > 1 && ++step_ % 2 != 0 ? stage_bytes_ : 0);
    const Range share = part_of(width, e_.nr, rank(), size());
    for (std::int64_t block = first; block < first + count; ++block) {
      const std::int64_t panels = (block - first) * ceil_div(width, e_.nr) + share.begin / e_.nr;
      const std::int64_t k = plan_.blocks.size(block);
      char* out = staged_ + panels * plan_.panel;
      if (panel_bytes(e_, k) == plan_.panel) {
        pack_b(jc + share.begin, share.end - share.begin, block, k, out);
        continue;
      }
      for (std::int64_t j = share.begin; j < share.end; j += e_.nr, out += plan_.panel)
        pack_b(jc + j, std::min<std::int64_t>(e_.nr, share.end - j), block, k, out);
    }
    if (gang_ != nullptr) gang_->barrier();
  }

  /// `columns` columns of B from column j on, in panels one after the other.
  void pack_b(std::int64_t j, std::int64_t columns, std::int64_t block, std::int64_t k, char* out) const {
    const std::int64_t at_once = p_.b.prologue != nullptr ? plan_.made_columns() : columns;
    for (std::int64_t at = 0; at < columns; at += at_once, out += at_once / e_.nr * panel_bytes(e_, k)) {
      PackTask task = task_of(p_.b, p_.batch_b, true, j + at, std::min(at_once, columns - at),
                              plan_.blocks.begin(block), k, out);
      task.conjugate_a = p_.a.conjugate;
      task.conjugate_b = p_.b.conjugate;
      e_.pack_b(task);
    }
  }

  /// `rows` rows of A from row i on.
  void pack_a(std::int64_t i, std::int64_t rows, std::int64_t block, std::int64_t k,
              unsigned& specials) const {
    const std::int64_t k0 = plan_.blocks.begin(block);
    const std::int64_t at_once = p_.a.prologue != nullptr ? e_.mr : rows;
    char* out = a_;
    for (std::int64_t at = 0; at < rows; at += at_once) {
      PackTask task = task_of(p_.a, p_.batch_a, false, i + at, std::min(at_once, rows - at), k0, k, out);
      task.flip = p_.elements == Elements::s8s8;
      task.specials = &specials;
      e_.pack_a(task);
      out += at_once * ceil_div(k, e_.group) * e_.a_group;
    }
  }

  PackTask task_of(const Matrix& x, const Axis& batch, bool columns, std::int64_t lane0, std::int64_t lanes,
                   std::int64_t k0, std::int64_t k, char* out) const {
    if (x.prologue != nullptr)
      return pack_task(make_panel(x, plan_.kernels, item_, columns, lane0, lanes, k0, k, made_), columns, 0,
                       lanes, 0, k, out);
    Matrix item = x;
    item.data = static_cast<const char*>(x.data) + batch.at(item_);
    return pack_task(item, columns, lane0, lanes, k0, k, out);
  }

  /// My rows times my columns over one k block; the strip's packed B starts at column `strip`.
  void compute(std::int64_t block, Range rows, std::int64_t strip, Range columns) {
    const std::int64_t k = plan_.blocks.size(block), k0 = plan_.blocks.begin(block);
    const std::int64_t mc = plan_.mc;
    const std::int64_t nb =
        p_.epilogue != nullptr ? plan_.tile_columns : std::max<std::int64_t>(1, columns.end - columns.begin);
    if (columns.begin >= columns.end) return;
    for (std::int64_t i = rows.begin; i < rows.end; i += mc) {
      const std::int64_t m = std::min(mc, rows.end - i);
      BlockTask task{};
      if (plan_.a_in_place) {
        task.a_in_place = true;
        task.a_row = p_.a.rows.stride;
        task.a_k = p_.a.cols.stride;
        task.a = static_cast<const char*>(p_.a.data) + p_.batch_a.at(item_) + i * task.a_row + k0 * task.a_k;
      } else {
        pack_a(i, m, block, k, task.specials);
        task.a = a_;
      }
      for (std::int64_t j = columns.begin; j < columns.end; j += nb) {
        const std::int64_t n = std::min(nb, columns.end - j);
        task.rows = m;
        task.k = k;
        task.add = block > 0;
        task.correct = plan_.correct;
        task.stream = plan_.stream;
        task.k0 = k0;
        task.positions = p_.positions;
        aim(task, i, j);
        columns_of_b(task, block, strip, j, n);
        if (p_.epilogue != nullptr && block + 1 == plan_.blocks.count)
          (*p_.epilogue)(EpilogueTile{item_, i, m, j, n, acc_, plan_.tile_columns});
      }
    }
  }

  /// Points the task at the part of the result whose corner is (i, j).
  void aim(BlockTask& task, std::int64_t i, std::int64_t j) const {
    if (p_.epilogue != nullptr) {
      task.c = acc_;
      task.c_row = plan_.tile_columns * e_.c_size;
      return;
    }
    task.c = static_cast<char*>(p_.c) + p_.batch_c.at(item_);
    if (plan_.c_direct) {
      task.c += i * p_.c_rows.stride + j * p_.c_cols.stride;
      task.c_row = p_.c_rows.stride;
    } else {
      task.c_rows = &p_.c_rows;
      task.c_cols = &p_.c_cols;
    }
    task.row0 = i;
    task.col0 = j;
  }

  void columns_of_b(BlockTask task, std::int64_t block, std::int64_t strip, std::int64_t j,
                    std::int64_t n) const {
    const std::int64_t k = task.k, panel = plan_.panel;
    switch (plan_.source) {
      case Source::prepacked:
        task.b = p_.packed->data() + (block * ceil_div(p_.n, e_.nr) + j / e_.nr) * panel;
        return run(task, n, panel);
      case Source::shared:
        task.b = b_ + (j - strip) / e_.nr * panel;
        return run(task, n, panel);
      case Source::just_once:
        task.b = once_;
        for (std::int64_t at = 0; at < n; at += plan_.once_columns, advance(task, plan_.once_columns)) {
          const std::int64_t width = std::min(plan_.once_columns, n - at);
          pack_b(j + at, width, block, k, once_);
          run(task, width, panel_bytes(e_, k));
        }
        return;
      case Source::along_rows:
        task.b_row = p_.b.rows.stride;
        task.b = static_cast<const char*>(p_.b.data) + p_.batch_b.at(item_) +
                 plan_.blocks.begin(block) * task.b_row + j * e_.b_size;
        task.cols = n;
        task.ahead = row_bytes_ahead();
        return e_.few(task);
      case Source::offsets:
        task.b = static_cast<const char*>(p_.b.data) + p_.batch_b.at(item_) + j * e_.b_size;
        task.b_offsets = p_.b.rows.offsets + plan_.blocks.begin(block);
        task.cols = n;
        return e_.few(task);
      case Source::in_place: {
        const std::int64_t whole = n / e_.lanes * e_.lanes, row = p_.b.rows.stride;
        task.b = static_cast<const char*>(p_.b.data) + p_.batch_b.at(item_) +
                 plan_.blocks.begin(block) * row + j * e_.b_size;
        task.b_row = row;
        task.b_in_place = true;
        if (whole > 0) run(task, whole, e_.nr * e_.b_size);
        if (whole == n) return;
        task.b = once_;  // the columns that fill no register
        task.b_in_place = false;
        advance(task, whole);
        pack_b(j + whole, n - whole, block, k, once_);
        return run(task, n - whole, panel);
      }
    }
  }

  void advance(BlockTask& task, std::int64_t columns) const {
    if (task.c_rows == nullptr) task.c += columns * e_.c_size;
    task.col0 += columns;
  }
  void run(BlockTask& task, std::int64_t columns, std::int64_t panel) const {
    task.cols = columns;
    task.b_panel = panel;
    e_.block(task);
  }

  const Plan& plan_;
  const Product& p_;
  const ElementKernels& e_;
  const Gang* gang_;  // null: alone
  char *a_, *once_, *acc_, *made_;
  char* stage_;
  std::int64_t stage_bytes_;
  const char* b_ = nullptr;
  char* staged_ = nullptr;
  std::int64_t item_ = 0, step_ = 0;
};

/// Small products, each where its operands lie.
void run_in_place(const Plan& plan, int threads) {
  const Product& p = plan.p;
  ItemsTask task{};
  task.a = static_cast<const char*>(p.a.data);
  task.b = static_cast<const char*>(p.b.data);
  task.c = static_cast<char*>(p.c);
  task.batch_a = &p.batch_a;
  task.batch_b = &p.batch_b;
  task.batch_c = &p.batch_c;
  task.a_row = p.a.rows.stride;
  task.a_k = p.a.cols.stride;
  task.b_row = p.b.rows.stride;
  task.c_row = p.c_rows.stride;
  task.rows = p.m;
  task.cols = p.n;
  task.k = p.k;
  task.stream = plan.stream;
  const std::int64_t pieces = threads == 1 ? 1 : std::min<std::int64_t>(p.batch, 16 * threads);
  const auto work = [&](std::int64_t piece) {
    ItemsTask mine = task;
    mine.first = p.batch * piece / pieces;
    mine.last = p.batch * (piece + 1) / pieces;
    plan.e.items(mine);
  };
  if (threads == 1) return work(0);
  parallel_for(pieces, threads, work);
}

/// Tasks that share nothing: batch items, or strips of columns of them.
void run_apart(const Plan& plan, int threads, bool whole_items) {
  const Product& p = plan.p;
  if (plan.items_in_place && (threads == 1 || whole_items)) return run_in_place(plan, threads);
  std::int64_t pieces = 1;
  if (threads > 1 && !whole_items) pieces = std::min<std::int64_t>(4 * threads, ceil_div(p.n, plan.e.nr));
  const std::int64_t unit = plan.cut(p.n, static_cast<int>(pieces));
  const std::int64_t stage = round_up(plan.stage_bytes(1), 4096), own = stage + plan.own_bytes();
  const std::int64_t tasks = p.batch * pieces, claim = std::max<std::int64_t>(1, tasks / (16 * threads));
  const Scratch scratch(static_cast<std::size_t>(threads * own));
  std::atomic<std::int64_t> next{0};
  const auto work = [&](std::int64_t slot) {
    char* mine = scratch.data() + slot * own;
    Member member(plan, nullptr, mine + stage, mine, 0);
    for (std::int64_t first; (first = next.fetch_add(claim, std::memory_order_relaxed)) < tasks;)
      for (std::int64_t task = first; task < std::min(first + claim, tasks); ++task)
        member.item(task / pieces,
                    part_of(p.n, unit, static_cast<int>(task % pieces), static_cast<int>(pieces)));
  };
  if (threads == 1)
    work(0);
  else
    parallel_for(threads, threads,
                 work);  // one slot of scratch each; who comes late finds nothing left to do
}

/// The gang does one item after the other and shares packed B.
void run_together(const Plan& plan, int threads) {
  const std::int64_t stage = round_up(plan.stage_bytes(threads), 4096), own = plan.own_bytes();
  const Scratch scratch(static_cast<std::size_t>(2 * stage + threads * own));
  run_gang(threads, [&](const Gang& gang) {
    Member member(plan, &gang, scratch.data() + 2 * stage + gang.rank() * own, scratch.data(), stage);
    for (std::int64_t item = 0; item < plan.p.batch; ++item) member.item(item, {0, plan.p.n});
  });
}

void run(const ContractKernels& kernels, const Product& p) {
  const double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) *
                       static_cast<double>(std::max<std::int64_t>(p.k, 1)) * static_cast<double>(p.batch);
  const double limit = p.threads > 0 ? p.threads : thread_limit();
  const int threads = static_cast<int>(std::clamp(flops / kFlopsPerThread, 1.0, limit));
  const Plan plan(kernels, p, threads);
  const bool whole_items = p.batch >= 2 * threads && p.n * p.k * plan.e.b_size <= kItemBytes;
  const bool private_b = plan.source != Source::prepacked && plan.source != Source::shared;
  if (plan.source == Source::along_rows && threads > 1 && !whole_items)
    multiply_k_blocks(plan, threads);
  else if (threads == 1 || whole_items || private_b)
    run_apart(plan, threads, whole_items);
  else
    run_together(plan, threads);
}

std::string text(std::int64_t value) { return std::to_string(value); }

}  // namespace
}  // namespace contract

std::int64_t max_k(Elements elements) noexcept {
  switch (elements) {
    case Elements::u8s8:
    case Elements::s8u8:
      return INT32_MAX / (255 * 128);
    case Elements::s8s8:
      return INT32_MAX / (128 * 128);
    case Elements::offset_u8s8:
      return INT32_MAX / (127 * 128);
    default:
      return INT64_MAX;
  }
}

std::int64_t k_block(const ContractKernels& kernels, Elements elements, std::int64_t k) noexcept {
  return contract::KBlocks(contract::element_kernels(kernels, elements), k).width;
}

void contract::check(const ContractKernels& kernels, const Product& product) {
  if (product.k > max_k(product.elements) && !product.wraps)
    throw std::invalid_argument("multiply: K = " + text(product.k) +
                                " can overflow int32 sums of int8 products; at most " +
                                text(max_k(product.elements)) + " is exact");
  const PackedMatrix* w = product.packed;
  if (w == nullptr) return;
  if (&w->kernels() != &kernels || w->elements() != product.elements)
    throw std::invalid_argument(
        "multiply: the packed matrix was packed for another CPU tier or element type");
  if (w->k() != product.k || w->n() != product.n)
    throw std::invalid_argument("multiply: expected a packed matrix of " + text(product.k) + " x " +
                                text(product.n) + ", got " + text(w->k()) + " x " + text(w->n()));
}

const ElementKernels& contract::element_kernels(const ContractKernels& kernels, Elements elements) {
  switch (elements) {
    case Elements::f32:
      return kernels.f32;
    case Elements::f64:
      return kernels.f64;
    case Elements::u8s8:
    case Elements::s8s8:
    case Elements::offset_u8s8:
      return kernels.u8s8;
    case Elements::s8u8:
      return kernels.s8u8;
    case Elements::c64:
      return kernels.c64;
    case Elements::c128:
      return kernels.c128;
    case Elements::bf16:
      return kernels.bf16;
    case Elements::i16:
      return kernels.i16;
    case Elements::i32:
      return kernels.i32;
    case Elements::i64:
      return kernels.i64;
    default:
      return kernels.semirings[static_cast<int>(elements) - static_cast<int>(kFirstSemiring)];
  }
}

void multiply(const ContractKernels& kernels, const Product& product) {
  contract::check(kernels, product);
  if (product.m <= 0 || product.n <= 0 || product.batch <= 0) return;
  contract::run(kernels, product);
}

}  // namespace ufuse
