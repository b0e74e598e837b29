// Chains: cheap operations in a row, of which what is between stays in registers.
//
// A chain is code for a machine with one accumulator: a group of registers (kChainGroup bytes at most). One
// instruction loads it, each next one computes with it, the last one stores it, narrowed where that is asked.
// What a tree needs besides is kept in L1 (`keep`). The machine is one function per tier and size of lane, with
// one indirect jump per instruction and group; in a chain's loop their order repeats, so that they are
// predicted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace ufuse {

// Functors of the catalogue. Of float lanes: the accumulator with another value; by itself. Of int32 lanes,
// beside float32.
#define UFUSE_CHAIN_BINARY(X) X(add) X(subtract) X(multiply) X(divide) X(maximum) X(minimum)
#define UFUSE_CHAIN_UNARY(X) \
  X(negative)                \
  X(absolute) X(square) X(reciprocal) X(sqrt) X(relu) X(floor) X(ceil) X(trunc) X(rint)
#define UFUSE_CHAIN_INT_BINARY(X) X(add) X(subtract) X(multiply) X(maximum) X(minimum)
#define UFUSE_CHAIN_INT_UNARY(X) X(negative) X(absolute) X(square)

enum class ChainOp : std::uint8_t {
#define UFUSE_CHAIN_OP(name) name,
  UFUSE_CHAIN_BINARY(UFUSE_CHAIN_OP) UFUSE_CHAIN_UNARY(UFUSE_CHAIN_OP)
#undef UFUSE_CHAIN_OP
#define UFUSE_CHAIN_OP(name) int_##name,
      UFUSE_CHAIN_INT_BINARY(UFUSE_CHAIN_OP) UFUSE_CHAIN_INT_UNARY(UFUSE_CHAIN_OP)
#undef UFUSE_CHAIN_OP
  add_product,  // with the product of two others, the second the operand of the next instruction
  subtract_product,
  at_least,  // maximum with one value that is no NaN: one instruction instead of four
  at_most,
  to_int,  // float32 to int32, and back
  rint_to_int,
  to_float,
  load,
  load_i8,  // to int32
  load_u8,
  load_i16,
  load_u16,
  load_float,  // to float64
  load_int,
  keep,  // stores, and goes on
  store,
  store_8,  // the low bits of int32
  store_16,
  store_float,  // of float64
  quantize_i8,  // by one scale and zero point, with limits: the three instructions behind it are these
  quantize_u8,
  quantize_i16,
  quantize_u16,
  operand,
};

/// One instruction of the machine: `form` says of the other value that it is a single one, and that it comes
/// first.
struct ChainCode {
  static constexpr unsigned kSplat = 1, kReversed = 2, kForms = 4;

  std::uint8_t code;
  std::int16_t reg;

  static constexpr std::uint8_t of(ChainOp op, unsigned form = 0) {
    return static_cast<std::uint8_t>(static_cast<unsigned>(op) * kForms + form);
  }
  constexpr ChainOp op() const { return static_cast<ChainOp>(code / kForms); }
};
static_assert(static_cast<unsigned>(ChainOp::operand) * ChainCode::kForms < 256);

/// What a chain runs over: rows of `count` elements (a multiple of `kBlockMultiple`). All operands are blocks
/// that `reg` points at, or single values. The result may be in the place of an operand with elements of its size.
struct ChainTask {
  struct Move {
    int reg;
    std::int64_t stride;
  };
  const ChainCode* code;
  char** reg;
  std::int64_t count;
  int kept, slots;  // registers for what is kept, `kChainGroup` bytes each
  std::int64_t rows = 1;
  const Move* moves = nullptr;  // from row to row
  int moving = 0;
};
using ChainKernel = void (*)(const ChainTask& task);

inline constexpr std::size_t kChainGroup = 512;  // bytes of an accumulator, at most
inline constexpr int kMaxChainOps = 48;          // in a chain, with loads and stores
inline constexpr int kMaxKept = 4;

/// One operation, or several in one: what computes a value of a program.
struct Chain {
  struct Item {
    ChainOp op;
    bool reversed = false;
    int value = -1;  // of the program, or what was kept: -2, -3...
    int reg = -1;
  };
  static constexpr int kept(int slot) { return -2 - slot; }
  static constexpr int slot_of(int value) { return -2 - value; }

  std::vector<Item> items;
  DType output{};
  bool wide = false;  // lanes of float64
  bool ends = false;  // the result is narrowed
  int slots = 0;      // kept at a time

  bool empty() const { return items.empty(); }
};

/// An operation as a chain of its own; empty where it is none.
Chain chain_of(const std::string& operation, DType output, const std::vector<DType>& inputs,
               const std::vector<int>& args);

/// Puts what computes its arguments before `reader`, as far as these are chains (null: they are not, or others
/// read them too) and all of it is not too long for one. Returns which: bit i for argument i.
unsigned join(Chain& reader, const std::vector<int>& args, const std::vector<const Chain*>& parts);

/// Whether a step of this operation may end a chain, by one scale and zero point.
bool quantizes(const std::string& operation, DType output, DType input);

/// A register that this chain reads as a block, but that is single; -1 if there is none.
int block_wanted(const Chain& chain, const bool* single);

/// Where the result of a chain goes, and whether it ends by making codes.
struct ChainEnd {
  int out;                    // register of the result
  const std::int16_t* scale;  // those of scale, zero point and limits, or null
  DType type;                 // of the codes
};

/// Writes the code of a chain. `single`: registers that hold one value; `scalar`: that value, where it is the
/// same throughout, else null. Returns how many instructions that takes, at most kMaxChainOps + 4.
int write_code(const Chain& chain, const bool* single, const void* const* scalar, const ChainEnd& end,
               ChainCode* code);

}  // namespace ufuse
