// How a product is spread over threads, and the loops around the packed blocks.
#include "contract/product.hpp"

#include <atomic>
#include <climits>
#include <stdexcept>
#include <string>
#include <utility>

#include "contract/plan.hpp"
#include "contract/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace contract {
namespace {

constexpr double kFlopsPerThread = 1.5e6;  // a worker joins in 1 to 50 us; in 15 us one core does this much
constexpr std::int64_t kEpilogueColumns = 256;    // 112 x 256 accumulators: 112 KiB, in L2
constexpr std::int64_t kPanelBytes = 128 << 10;   // of B packed just once: in L2, beside A
constexpr std::int64_t kResidentBytes = 4 << 20;  // of a strip of B that stays packed over all k blocks
// A is read where it lies for few panels of B: 64 x 32 x 64 in place 108, packed 83 GFLOP/s; 32^3 99 and 77.
constexpr std::int64_t kUnpackedPanels = 4;
constexpr std::int64_t kUnpackedK = 256;      // longer rows share few sets of the L1 cache
constexpr std::int64_t kItemBytes = 1 << 20;  // of B: below, one thread does a whole batch item

/// The sizes of one product that every thread reads.
struct Plan {
  Plan(const ContractKernels& kernels, const Product& product)
      : p(product), e(element_kernels(kernels, product.elements)), blocks(e, product.k) {
    const bool columns_adjacent = p.b.rows.affine() && p.b.cols.affine() && p.b.cols.stride == e.b_size;
    const bool small = blocks.width * e.b_size * p.n <= kPanelBytes && p.m <= 4 * e.mc;
    if (p.packed != nullptr)
      source = Source::prepacked;
    else if (e.group == 1 && columns_adjacent && (small || p.m <= e.mr))
      source = Source::in_place;
    else
      source = p.m <= e.mc ? Source::just_once : Source::shared;
    a_in_place = e.group == 1 && p.a.rows.affine() && p.a.cols.affine() && p.n <= kUnpackedPanels * e.nr &&
                 (p.k <= kUnpackedK || p.m <= e.mr);
    panel = panel_bytes(e, blocks.width);
    c_direct = p.c_rows.affine() && p.c_cols.affine() && p.c_cols.stride == e.c_size;
    correct = p.elements == Elements::s8s8 || p.elements == Elements::offset_u8s8;
    keep = p.epilogue != nullptr && blocks.count > 1;
    tile_columns = kEpilogueColumns / e.nr * e.nr;
    once_columns = std::max<std::int64_t>(1, kPanelBytes / std::max<std::int64_t>(1, panel)) * e.nr;
  }

  /// Columns of a strip. Accumulators that outlive a k block must fit each member's scratch.
  std::int64_t strip_columns(int column_members) const {
    return keep ? tile_columns * column_members : e.nc / e.nr * e.nr;
  }
  bool resident(std::int64_t strip) const {
    return keep && blocks.count * ceil_div(strip, e.nr) * panel <= kResidentBytes;
  }
  std::int64_t stage_bytes(int members) const {
    if (source != Source::shared) return 0;
    const std::int64_t block = ceil_div(std::min(p.n, strip_columns(members)), e.nr) * panel;
    // A narrower strip (the last one, or another grid's) may stay resident where this one cannot.
    return keep ? std::max(block, std::min(kResidentBytes, blocks.count * block)) : block;
  }
  std::int64_t a_bytes() const {
    return round_up(std::min(p.m, e.mc) * ceil_div(blocks.width, e.group) * e.a_group, 64);
  }
  std::int64_t once_bytes() const {
    const std::int64_t columns = source == Source::in_place ? e.nr : std::min(once_columns, p.n);
    return source == Source::just_once || source == Source::in_place ? ceil_div(columns, e.nr) * panel : 0;
  }
  std::int64_t own_bytes() const {
    const std::int64_t acc = p.epilogue != nullptr ? std::min(p.m, e.mc) * tile_columns * e.c_size : 0;
    return round_up(a_bytes() + round_up(once_bytes(), 64) + acc, 4096);
  }

  const Product& p;
  const ElementKernels& e;
  KBlocks blocks;
  Source source;
  std::int64_t panel;         // bytes of a packed panel of B
  std::int64_t tile_columns;  // of an epilogue tile: whole panels
  std::int64_t once_columns;  // columns packed just once at a time
  bool a_in_place;            // so few columns that packed A is not used often enough
  bool c_direct;              // C is written in whole registers
  bool correct;               // subtract 128 * column sums
  bool keep;                  // the epilogue waits for several k blocks
};

/// One thread's part in a product.
class Member {
 public:
  Member(const Plan& plan, const Gang* gang, char* own, char* stage, std::int64_t stage_bytes)
      : plan_(plan), p_(plan.p), e_(plan.e), gang_(gang), stage_(stage), stage_bytes_(stage_bytes) {
    a_ = own;
    once_ = own + plan.a_bytes();
    acc_ = once_ + round_up(plan.once_bytes(), 64);
  }

  void item(std::int64_t item, Range columns) {
    item_ = item;
    const Grid grid =
        choose_grid(size(), ceil_div(p_.m, e_.mr), ceil_div(columns.end - columns.begin, e_.nr));
    const std::int64_t strip = plan_.strip_columns(grid.cols);
    const std::int64_t rows = plan_.keep ? e_.mc / e_.mr * e_.mr * grid.rows : p_.m;
    const int my_row = rank() / grid.cols, my_col = rank() % grid.cols;
    for (std::int64_t jc = columns.begin; jc < columns.end; jc += strip) {
      const std::int64_t width = std::min(strip, columns.end - jc);
      const Range mine = part_of(width, e_.nr, my_col, grid.cols);
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
      for (std::int64_t j = share.begin, i = 0; j < share.end; j += e_.nr, ++i)
        pack_b(jc + j, std::min<std::int64_t>(e_.nr, share.end - j), block, k,
               staged_ + (panels + i) * plan_.panel);
    }
    if (gang_ != nullptr) gang_->barrier();
  }

  void pack_b(std::int64_t j, std::int64_t columns, std::int64_t block, std::int64_t k, char* out) const {
    Matrix b = p_.b;
    b.data = static_cast<const char*>(b.data) + p_.batch_b.at(item_);
    e_.pack_b(pack_task(b, true, j, columns, plan_.blocks.begin(block), k, out));
  }

  /// My rows times my columns over one k block; the strip's packed B starts at column `strip`.
  void compute(std::int64_t block, Range rows, std::int64_t strip, Range columns) {
    const std::int64_t k = plan_.blocks.size(block), k0 = plan_.blocks.begin(block);
    const std::int64_t mc = e_.mc / e_.mr * e_.mr;
    const std::int64_t nb =
        p_.epilogue != nullptr ? plan_.tile_columns : std::max<std::int64_t>(1, columns.end - columns.begin);
    if (columns.begin >= columns.end) return;
    for (std::int64_t i = rows.begin; i < rows.end; i += mc) {
      const std::int64_t m = std::min(mc, rows.end - i);
      Matrix a = p_.a;
      a.data = static_cast<const char*>(a.data) + p_.batch_a.at(item_);
      BlockTask task{};
      if (plan_.a_in_place) {
        task.a_in_place = true;
        task.a_row = a.rows.stride;
        task.a_k = a.cols.stride;
        task.a = static_cast<const char*>(a.data) + i * task.a_row + k0 * task.a_k;
      } else {
        PackTask pack = pack_task(a, false, i, m, k0, k, a_);
        pack.flip = p_.elements == Elements::s8s8;
        e_.pack_a(pack);
        task.a = a_;
      }
      for (std::int64_t j = columns.begin; j < columns.end; j += nb) {
        const std::int64_t n = std::min(nb, columns.end - j);
        task.rows = m;
        task.k = k;
        task.add = block > 0;
        task.correct = plan_.correct;
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
          for (std::int64_t q = 0; q < width; q += e_.nr)
            pack_b(j + at + q, std::min<std::int64_t>(e_.nr, width - q), block, k, once_ + q / e_.nr * panel);
          run(task, width, panel);
        }
        return;
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
  char *a_, *once_, *acc_;
  char* stage_;
  std::int64_t stage_bytes_;
  const char* b_ = nullptr;
  char* staged_ = nullptr;
  std::int64_t item_ = 0, step_ = 0;
};

/// Tasks that share nothing: batch items, or strips of columns of them.
void run_apart(const Plan& plan, int threads, bool whole_items) {
  const Product& p = plan.p;
  std::int64_t pieces = 1;
  if (threads > 1 && !whole_items) pieces = std::min<std::int64_t>(4 * threads, ceil_div(p.n, plan.e.nr));
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
                    part_of(p.n, plan.e.nr, static_cast<int>(task % pieces), static_cast<int>(pieces)));
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
  const Plan plan(kernels, p);
  const double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) *
                       static_cast<double>(std::max<std::int64_t>(p.k, 1)) * static_cast<double>(p.batch);
  const double limit = p.threads > 0 ? p.threads : thread_limit();
  const int threads = static_cast<int>(std::clamp(flops / kFlopsPerThread, 1.0, limit));
  const bool whole_items = p.batch >= 2 * threads && p.n * p.k * plan.e.b_size <= kItemBytes;
  const bool private_b = plan.source == Source::in_place || plan.source == Source::just_once;
  if (threads == 1 || whole_items || private_b)
    run_apart(plan, threads, whole_items);
  else
    run_together(plan, threads);
}

/// Whether C^T = B^T A^T suits the layout better: the same bits for floats, since a * b = b * a.
bool better_turned(const Product& p, int c_size) {
  if (p.epilogue != nullptr || p.packed != nullptr ||
      (p.elements != Elements::f32 && p.elements != Elements::f64))
    return false;
  const bool rows_adjacent = p.c_rows.affine() && p.c_rows.stride == c_size && p.c_cols.affine();
  const bool columns_adjacent = p.c_cols.affine() && p.c_cols.stride == c_size && p.c_rows.affine();
  if (rows_adjacent != columns_adjacent) return rows_adjacent ? p.n > 1 && p.m > 1 : p.n <= 4 && p.m >= 16;
  return p.n < p.m && p.n <= 4;  // a matrix times a few vectors: lanes over the many
}

std::string text(std::int64_t value) { return std::to_string(value); }

}  // namespace
}  // namespace contract

std::int64_t max_k(Elements elements) noexcept {
  switch (elements) {
    case Elements::u8s8:
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
  if (product.k > max_k(product.elements))
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

void multiply(const ContractKernels& kernels, const Product& product) {
  contract::check(kernels, product);
  if (product.m <= 0 || product.n <= 0 || product.batch <= 0) return;
  Product turned = product;
  if (contract::better_turned(product, product.elements == Elements::f32 ? 4 : 8)) {
    std::swap(turned.m, turned.n);
    turned.a = {product.b.data, product.b.cols, product.b.rows};
    turned.b = {product.a.data, product.a.cols, product.a.rows};
    std::swap(turned.c_rows, turned.c_cols);
    std::swap(turned.batch_a, turned.batch_b);
  }
  contract::run(kernels, turned);
}

}  // namespace ufuse
