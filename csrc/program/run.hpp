// One run of a program: the loop is cut into tiles, a tile is loaded into registers, the steps run over it,
// and the results are stored.
#pragma once

#include <cstdint>
#include <span>

#include "core/cache.hpp"
#include "core/scratch.hpp"
#include "core/streamed.hpp"
#include "program/program.hpp"

namespace ufuse {

// Where results are streamed past the cache, reading a tile and storing it must overlap: 2*a + 3*b reaches 44
// GB/s with tiles of 256 or 512 elements, 38 with 1024 and more, of 55 that a copy does.
inline constexpr std::int64_t kStreamTile = 512;
// Of functions that take long, what a tile asks memory for is spread better if it is little: tanh of float32
// 29.5 and 34.5 GB/s with 512 and 128, silu 21.5 and 25, where a copy has 40 and 30. In a program of many
// steps their calls cost as much.
inline constexpr std::int64_t kLongStreamTile = 128;
inline constexpr std::size_t kFewSteps = 3;

// Up to so many elements a program that is one chain runs as such on the calling thread: no second one is
// worth waking.
inline constexpr std::int64_t kWhole = 4096;

// Rows of outputs that are streamed side by side, at most.
inline constexpr int kMostLines = 16;

// Instructions of chains that a run has room for; few programs have more.
inline constexpr int kCodeHere = 128;

/// One call's plan, shared by its threads.
class ProgramRun {
 public:
  ProgramRun(const Program& program, int axes, const std::int64_t* shape,
             std::span<const ProgramOperand> operands, bool settled = false);

  /// To operands laid out alike, at `data`.
  void move_to(char* const* data);

  /// For what lies `ahead` bytes from each operand that is read side by side.
  void ask(const std::int64_t* ahead) const;

  void run();

 private:
  /// How an input gets into its register.
  enum class Feed : std::uint8_t {
    once,     // the same for every tile
    pointer,  // one value per tile: the register points at it
    direct,   // the register is the operand's own memory, where the tile is a whole multiple
    load,
  };
  struct OperandPlan {
    int reg;
    int row_reg;  // an input's register as a row value, or -1
    int log2;
    Feed feed;
    bool swapped;
    bool row;
    bool direct;         // the tile is contiguous in the operand
    bool invariant;      // the same for every tile
    std::int64_t ahead;  // bytes before its use that an input is asked for, or 0
    bool spread;         // an input with a value per row, of tiles of several rows
    std::int64_t step;   // bytes from a tile to the next one along the fastest axis, or `down` the second
  };
  /// The strides of an operand along a block, and from one line of a block to the next.
  struct BlockStrides {
    std::int64_t along, between;
  };

  int count() const { return static_cast<int>(operands_.size()); }
  bool is_output(int k) const { return k < program_.outputs(); }
  DType dtype(int k) const {
    return is_output(k) ? program_.output_dtype(k) : program_.input_dtype(k - program_.outputs());
  }

  /// Whether a tile has all of the fastest axis, so that the next one lies along the second.
  bool down() const { return tiles0_ == 1 && !program_.has_rows_; }

  // run_plan.cpp
  void decide_streaming();
  void choose_tile();
  bool takes_long_in_few_steps() const;
  /// Whether tiles of rows are laid out with the rows side by side: where some operand has them so in memory,
  /// or where they are too short to fill a register.
  bool rows_run_across() const;
  void choose_moves();
  /// Whether the elements of few long rows lie side by side in an input: the channels of an image.
  bool has_interleaved_rows() const;
  /// Where an operand's fastest axis is another than the loop's (a transposed input), that axis becomes the
  /// second: a tile over both then uses whole cache lines of every operand.
  bool bring_crossed_axis_next();
  void prepare_operands();
  /// Whether every line of tiles reads the same of an operand, and a tile another part of it than the next
  /// one.
  bool is_repeated(int k) const;
  bool is_instruction(int value) const;
  /// Constants and operands with one element per tile stay single values: their register points at the value.
  /// Only where a step has no kernel for that are they copied into a block.
  void prepare_steps();
  /// The code of chains. Where the step behind one makes codes of its result by one scale, they are one.
  void write_chains();
  /// Where all steps that read a value per row have kernels for that, full tiles need not spread it.
  void choose_rows_kernels();

  // row_steps.cpp
  void choose_streams();
  void choose_asks();
  /// What a tile of rows needs besides its registers.
  struct RowTile {
    StreamedCopy* lines;
    char* const* to;  // of each output
  };
  /// A map or a chain over rows that are treated one by one.
  void apply_by_row(std::size_t i, char* const* reg, std::int64_t rows, std::int64_t cols,
                    const RowTile& tile) const;
  /// The same of one row, in pieces, to the output `streamed` or, if that is -1, to a block.
  void apply_in_pieces(std::size_t i, char* const* row, std::int64_t cols, int streamed,
                       StreamedCopy& lines) const;
  bool can_ask(std::size_t i) const;
  ChainTask::Ask ask_of(std::size_t i) const;

  // run.cpp
  void run_tiles(std::int64_t first, std::int64_t last);
  void run_tile(char* const* own, char** reg, char* const* start, std::int64_t i0, std::int64_t rows,
                StreamedCopy* lines);
  /// Where the operands are at the beginning of a line of tiles, and how many rows its tiles have.
  std::int64_t locate(std::int64_t line, char** start) const;
  void run_steps(char** reg, std::int64_t rows, std::int64_t cols, const RowTile& tile);
  /// Row values beside each element of their row; across memory, for as many lines as steps take at a time.
  void expand(char* to, const char* from, const Program::RegisterSpec& spec, std::int64_t rows,
              std::int64_t cols) const;
  /// Lines of an across block that make whole multiples for kernels, and stay in L1 from step to step.
  static std::int64_t lines_at_once(std::int64_t rows);
  /// Steps over full values of an across block, some lines at a time.
  void run_lines(char* const* reg, std::size_t first, std::size_t end, std::int64_t rows,
                 std::int64_t cols) const;
  /// A map or a chain over `elements`, a whole multiple.
  void apply(std::size_t i, char** reg, std::int64_t elements) const {
    const auto& step = program_.steps_[i];
    if (chain_[i] != nullptr)
      kernels_.chains[program_.chain_of(step).wide ? 1 : 0](
          {chain_[i], reg, elements, program_.first_kept_, program_.slots_});
    else if (settled_)
      apply_settled(i, reg, elements);
    else if (!joined_[i])
      kernel_[i](reg[step.out], reg[step.in[0]], reg[step.in[1]], reg[step.in[2]], reg[step.in[3]], elements);
  }

  // settled.cpp
  void apply_settled(std::size_t i, char* const* reg, std::int64_t elements) const;

  // steady.cpp
  /// Of the next tiles, how many are full ones of the same line, or `down` of the same column of lines.
  std::int64_t steady_tiles(std::int64_t i0, std::int64_t line, std::int64_t left) const;
  /// Full tiles one after another, where no input needs a block of its own but to spread a value over each
  /// row: from one tile to the next only pointers move. (A tile of 512 floats comes from memory in 300
  /// cycles: what `run_tile` decides for each was up to a quarter of that.)
  void run_steady(char* const* own, char** reg, char* const* start, std::int64_t i0,
                  std::int64_t tiles) const;

  /// Behind `elements` of a block the first one, up to a whole multiple: what kernels make of those sets no
  /// floating-point flags that the others do not.
  void pad(int log2, char* block, std::int64_t elements) const;
  void pad_rows(int log2, char* block, std::int64_t rows, std::int64_t cols) const;

  // load_store.cpp
  void load(int k, const char* from, char* block, std::int64_t rows, std::int64_t cols) const;
  /// One value per row: where the trailing axis begins.
  void load_rows(int k, const char* from, char* block, std::int64_t rows) const;
  void store(int k, char* to, const char* block, std::int64_t rows, std::int64_t cols) const;
  void store_native(int k, char* to, const char* block, std::int64_t rows, std::int64_t cols) const;
  BlockStrides block_strides(int k) const;

  const Program& program_;
  std::span<const ProgramOperand> operands_;
  const ProgramKernels& kernels_;
  Tier tier_;
  const bool settled_;
  LoopPlan plan_;
  std::int64_t begin_[kMaxOperands];  // of the loop in each operand
  OperandPlan operand_plan_[kMaxOperands];
  bool contiguous_out_[kMaxOperands];
  bool in_lines_[kMaxOperands];        // an output streamed from a block that nothing else uses
  const void* scalar_[kMaxRegisters];  // where a register holds one value for the whole run: that value
  bool single_[kMaxRegisters];         // its kernels take it as a single value
  BlockKernel kernel_[kMaxSteps];
  RowsKernel rows_kernel_[kMaxSteps];
  const ChainCode* chain_[kMaxSteps];  // of a step that is run as a chain, or null
  bool joined_[kMaxSteps + 1];         // it is part of the chain before it
  ChainCode code_[kCodeHere];
  std::unique_ptr<ChainCode[]> more_code_;  // where that is not enough
  // Where rows are treated one by one (`one_by_one_`): the registers that differ from row to row.
  ChainTask::Move moves_[kMaxRegisters];
  int moving_ = 0;
  int streams_[kMaxSteps];         // the output that a step sends past the caches as it makes it, or -1
  bool by_step_[kMaxOperands];     // an output that some step sends
  int ways_ = 1;                   // rows of an output that do not follow each other
  int asked_ = -1;                 // an input of which the next tile is asked for, or -1,
  int log2_asking_ = 0;            // by so many steps,
  int asks_[kMaxSteps];            // of which this is the how manieth one, or -1
  bool row_value_[kMaxRegisters];  // an input with a value for each row of a tile
  std::int64_t row_stride_[kMaxRegisters];
  std::int64_t step_[kMaxRegisters];  // along a row that is treated by itself: an element's bytes, or 0
  bool stream_ = false;
  bool across_ = false;  // a block holds the first elements of its rows, then their second ones...
  /// Tiles of rows that are long enough to be treated one by one, so that a value of a row is a single value
  /// for its steps, and a value for each column is there once. In blocks they are `pitch_` elements apart.
  bool one_by_one_ = false;
  bool by_rows_ = false;  // full tiles read those values where they are
  bool steady_ = false;   // full tiles need no block of an input
  std::int64_t n0_ = 1, n1_ = 1, t0_ = 1, t1_ = 1, tiles0_ = 1, tiles1_ = 1, outer_ = 1, pitch_ = 1,
               block_ = 64, rows_block_ = 64;
};

}  // namespace ufuse
