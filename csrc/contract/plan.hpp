// How one product is cut: derived once per call from the sizes, the layout and the tier's block sizes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "contract/product.hpp"
#include "core/cache.hpp"

namespace ufuse::contract {

/// Throws std::invalid_argument where K is too large for the elements or `packed` does not fit.
void check(const ContractKernels& kernels, const Product& product);

UFUSE_API const ElementKernels& element_kernels(const ContractKernels& kernels, Elements elements);

/// Those for a product of these sizes: as far as they decide the bits, those of the whole.
inline const ElementKernels& element_kernels(const ContractKernels& kernels, const Product& p) {
  const std::int64_t terms = p.terms > 0 ? p.terms : p.m * p.n * p.k;
  const bool tiles = p.elements == Elements::bf16 && kernels.bf16_tiles.block != nullptr &&
                     p.packed == nullptr && terms > kFewTerms;
  return tiles ? kernels.bf16_tiles : element_kernels(kernels, p.elements);
}

/// K cut into equal blocks of at most `kc`, and where the packed blocks of B lie.
struct KBlocks {
  std::int64_t k, width, count;

  KBlocks(const ElementKernels& e, std::int64_t size)
      : k(size), width(0), count(std::max<std::int64_t>(1, ceil_div(size, e.kc))) {
    // Whole registers of every type: 1025 is 528 + 497.
    width = round_up(ceil_div(size, count), std::max(16, e.group));
  }
  std::int64_t begin(std::int64_t block) const { return block * width; }
  std::int64_t size(std::int64_t block) const {
    return std::max<std::int64_t>(0, std::min(width, k - begin(block)));
  }
};

/// Bytes of a full packed panel of B over `k` positions.
inline std::int64_t panel_bytes(const ElementKernels& e, std::int64_t k) {
  return e.nr * (ceil_div(k, e.group) * e.b_group + e.b_trailer);
}

inline PackTask pack_task(const Matrix& x, bool columns, std::int64_t lane0, std::int64_t lanes,
                          std::int64_t k0, std::int64_t k, char* out) {
  PackTask task{};
  task.base = static_cast<const char*>(x.data);
  task.lane_axis = columns ? x.cols : x.rows;
  task.k_axis = columns ? x.rows : x.cols;
  task.lane0 = lane0;
  task.lanes = lanes;
  task.k0 = k0;
  task.k = k;
  task.out = out;
  return task;
}

/// Members of a gang on a grid over the tiles of C, so that the fullest has the least to do.
struct Grid {
  int rows = 1, cols = 1;
};
inline Grid choose_grid(int members, std::int64_t row_panels, std::int64_t col_panels) {
  Grid best{members, 1};
  std::int64_t least = INT64_MAX;
  for (int r = members; r >= 1; --r) {
    if (members % r != 0) continue;
    const int c = members / r;
    const std::int64_t load = ceil_div(row_panels, r) * ceil_div(col_panels, c);
    if (load < least) {
      least = load;
      best = {r, c};
    }
  }
  return best;
}

/// Part `index` of `parts` of [0, size), cut at multiples of `unit`.
struct Range {
  std::int64_t begin, end;
};
inline Range part_of(std::int64_t size, std::int64_t unit, int index, int parts) {
  const std::int64_t units = ceil_div(size, unit);
  return {std::min(size, units * index / parts * unit), std::min(size, units * (index + 1) / parts * unit)};
}

/// Where a block of B comes from.
enum class Source : std::uint8_t {
  prepacked,   // the caller's PackedMatrix
  shared,      // packed by the gang into a double buffer, one barrier per k block
  just_once,   // each panel packed by its only reader right before use: M fits one block of rows
  offsets,     // read where it lies, columns with unit stride, at offsets along k: few rows
  along_rows,  // the same from memory, one row of it after another
  in_place,    // read where it lies (columns with unit stride): too few rows to pay for packing
};

inline constexpr std::int64_t kEpilogueColumns = 256;     // 112 x 256 accumulators: 112 KiB, in L2
inline constexpr std::int64_t kPanelBytes = 128 << 10;    // of B packed just once: in L2, beside A
inline constexpr std::int64_t kSquaresBytes = 512 << 10;  // the same, where sums are stored in squares
inline constexpr std::int64_t kFewBytes = 1024;           // of a row of B that is read along
inline constexpr std::int64_t kResidentBytes = 8 << 20;   // of B that stays packed over all k blocks
inline constexpr std::int64_t kCachedBytes = 5 << 18;     // the same, in L2
inline constexpr int kKeptShare = 4;            // of L2 for accumulators that wait for the last k block
inline constexpr std::int64_t kMadePanels = 2;  // of B that a prologue makes at a time: its rows are short
// A is read where it lies for few panels of B: 64 x 32 x 64 in place 108, packed 83 GFLOP/s; 32^3 99 and 77;
// float64 128^3, 8 panels, 20 % of a large stack, whose next item is asked for meanwhile. Fewer where every
// element has a line to itself: at 8 panels packing halves the time.
inline constexpr std::int64_t kUnpackedPanels = 8, kUnpackedPanelsApart = 4;
inline constexpr std::int64_t kUnpackedK = 256;  // longer rows share few sets of the L1 cache

/// How far ahead each of eight rows of B that are read together is asked for: see along_rows.hpp.
inline std::int64_t row_bytes_ahead() { return bytes_ahead() / 2; }

/// Scratch for one panel that a prologue makes; 0 where there is none.
std::int64_t made_panel_bytes(const Prologue* prologue, std::int64_t lanes, std::int64_t k);

/// Runs a prologue for `lanes` lanes from lane0 on and `k` positions from k0 on into `made`: the operand that
/// is to be packed instead (from position 0 on).
Matrix make_panel(const Matrix& x, const ContractKernels& kernels, std::int64_t item, bool columns,
                  std::int64_t lane0, std::int64_t lanes, std::int64_t k0, std::int64_t k, char* made);

/// The sizes of one product that every thread reads.
struct Plan {
  Plan(const ContractKernels& kernels_in_use, const Product& product, int threads = 1)
      : p(product), kernels(kernels_in_use), e(element_kernels(kernels, product)), blocks(e, product.k) {
    mc = e.mc / e.mr * e.mr;
    const bool columns_adjacent = e.in_place && p.b.prologue == nullptr && p.b.rows.affine() &&
                                  p.b.cols.affine() && p.b.cols.stride == e.b_size;
    const bool small = blocks.width * e.b_size * p.n <= kPanelBytes && p.m <= 4 * mc;
    const bool few = e.few != nullptr && p.m <= kFewest && p.epilogue == nullptr && direct(p, e);
    if (p.packed != nullptr)
      source = Source::prepacked;
    else if (few && columns_adjacent && p.k * p.n * e.b_size > kPanelBytes && p.n * e.b_size >= kFewBytes)
      source = Source::along_rows;
    else if (columns_adjacent && (small || p.m <= e.mr))
      source = Source::in_place;
    else if (few && p.b.prologue == nullptr && !p.b.rows.affine() && p.b.cols.affine() &&
             p.b.cols.stride == e.b_size)
      source = Source::offsets;
    else
      source = p.m <= mc ? Source::just_once : Source::shared;
    const bool affine = p.a.rows.affine() && p.a.cols.affine();
    const bool adjacent = affine && (p.a.rows.stride == e.b_size || p.a.cols.stride == e.b_size);
    const std::int64_t unpacked = adjacent ? kUnpackedPanels : kUnpackedPanelsApart;
    a_in_place = e.in_place && p.a.prologue == nullptr && affine && p.n <= unpacked * e.nr &&
                 (p.k <= kUnpackedK || p.m <= e.mr);
    items_in_place = e.items != nullptr && a_in_place && source == Source::in_place && blocks.count == 1 &&
                     p.epilogue == nullptr && p.c_rows.affine() && p.c_cols.affine() &&
                     p.c_cols.stride == e.c_size;
    panel = panel_bytes(e, blocks.width);
    c_direct = direct(p, e);
    // A finish reads its sums from rows of their own: a member's columns are to fit those of a strip.
    const bool squares = e.squares && p.epilogue == nullptr && !c_direct && !p.c_cols.affine();
    unit = squares ? e.lanes * e.nr : e.nr;
    if (source == Source::offsets || source == Source::along_rows) a_in_place = false;
    correct = p.elements == Elements::s8s8 || p.elements == Elements::offset_u8s8;
    keep = p.epilogue != nullptr && blocks.count > 1;
    stream =
        blocks.count == 1 && p.epilogue == nullptr && p.batch * p.m * p.n * e.c_size > streaming_threshold();
    tile_columns = kEpilogueColumns / e.nr * e.nr;
    if (keep && blocks.count * (tile_columns / e.nr) * panel > kCachedBytes) {
      // B does not stay in L2 over all rows: as many columns at a time as accumulators do, as A is packed
      // again for the next ones. Float32, K = 4096: 4 to 8 %; float16 2048^3, which is converted as it is
      // packed, 12 % from an eighth of L2 to a quarter; bfloat16 on tiles, K = 2048, whose B does: 14 %
      // worse.
      std::int64_t wide = second_level_cache_bytes() / kKeptShare / (mc * e.nr * e.c_size);
      if (source == Source::shared) wide = std::min(wide, kResidentBytes / (threads * blocks.count * panel));
      tile_columns = std::max(tile_columns, wide * e.nr);
    }
    std::int64_t panels = std::max<std::int64_t>(1, kPanelBytes / std::max<std::int64_t>(1, panel));
    // A register's lanes of panels are stored together (scatter.hpp).
    if (!c_direct && e.lanes * panel <= kSquaresBytes) panels = round_up(panels, e.lanes);
    once_columns = panels * e.nr;
  }

  static bool direct(const Product& p, const ElementKernels& e) {
    return p.c_rows.affine() && p.c_cols.affine() && p.c_cols.stride == e.c_size;
  }

  /// Columns of a strip. Accumulators that outlive a k block must fit each member's scratch.
  std::int64_t strip_columns(int column_members) const {
    if (source == Source::along_rows) return p.n;  // the kernel's own are of rows of B, not of packed panels
    return keep ? tile_columns * column_members : std::max<std::int64_t>(1, e.nc / unit) * unit;
  }
  /// Where `columns` are cut for as many members: between squares, if that leaves each enough.
  std::int64_t cut(std::int64_t columns, int members) const {
    return columns >= 2 * members * unit ? unit : e.nr;
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
    return round_up(round_up(std::min(p.m, mc), e.mr) * ceil_div(blocks.width, e.group) * e.a_group, 64);
  }
  std::int64_t once_bytes() const {
    const std::int64_t columns = source == Source::in_place ? e.nr : std::min(once_columns, p.n);
    return source == Source::just_once || source == Source::in_place ? ceil_div(columns, e.nr) * panel : 0;
  }
  std::int64_t own_bytes() const {
    return round_up(a_bytes() + round_up(once_bytes(), 64) + acc_bytes() + made_bytes(), 4096);
  }
  std::int64_t acc_bytes() const {
    return p.epilogue != nullptr ? round_up(std::min(p.m, mc) * tile_columns * e.c_size, 64) : 0;
  }
  /// Columns of B that its prologue makes at a time; what is gathered first comes a panel at a time.
  std::int64_t made_columns() const {
    if (p.b.prologue != nullptr)
      for (const Prologue::Input& input : p.b.prologue->inputs)
        if (!input.rows.affine() || !input.cols.affine()) return e.nr;
    return kMadePanels * e.nr;
  }
  /// Of the elements of one panel that a prologue has made.
  std::int64_t made_bytes() const {
    return std::max(made_panel_bytes(p.a.prologue, e.mr, blocks.width),
                    made_panel_bytes(p.b.prologue, made_columns(), blocks.width));
  }

  const Product& p;
  const ContractKernels& kernels;
  const ElementKernels& e;
  KBlocks blocks;
  Source source;
  std::int64_t mc;            // rows of A packed at a time
  std::int64_t panel;         // bytes of a packed panel of B
  std::int64_t tile_columns;  // of an epilogue tile: whole panels
  std::int64_t once_columns;  // columns packed just once at a time
  bool a_in_place;            // so few columns that packed A is not used often enough
  bool items_in_place;        // nothing is packed or moved: one call does many items
  std::int64_t unit;          // columns that are stored together: whole squares, or a panel
  bool c_direct;              // C is written in whole registers
  bool correct;               // subtract 128 * column sums
  bool stream;                // C is more than the caches hold
  bool keep;                  // the epilogue waits for several k blocks
};

}  // namespace ufuse::contract
