// Chains: cheap operations in a row, of which what is between stays in registers.
//
// A chain is code for a machine with one accumulator: a group of registers (kChainGroup bytes at most). One
// instruction loads it, each next one computes with it, the last one stores it, narrowed where that is asked.
// What a tree needs besides is kept in L1 (`keep`). The machine is one function per tier and size of lane,
// with one indirect jump per instruction and group; in a chain's loop their order repeats, so that they are
// predicted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ufuse {

// Functors of the catalogue that take no longer than storing what they make and loading it again. Of float
// lanes: the accumulator with another value; by itself. Of int32 lanes, beside float32.
#define UFUSE_CHAIN_BINARY(X) X(add) X(subtract) X(multiply) X(divide) X(maximum) X(minimum)
#define UFUSE_CHAIN_UNARY(X) \
  X(negative)                \
  X(absolute) X(square) X(reciprocal) X(sqrt) X(relu) X(floor) X(ceil) X(trunc) X(rint)
#define UFUSE_CHAIN_INT_BINARY(X) X(add) X(subtract) X(multiply) X(maximum) X(minimum)
#define UFUSE_CHAIN_INT_UNARY(X) X(negative) X(absolute) X(square)

enum class ChainOp : std::uint8_t {
  load,
  load_i8,  // to int32
  load_u8,
  load_i16,
  load_u16,
  load_float,  // to float64
  load_int,
  to_int,  // float32 to int32, and back
  to_float,
  rint_to_int,       // both in one instruction
  at_least,          // maximum with one value that is no NaN: one instruction instead of four
  at_most,           // minimum
  divide_small,      // by one value, an integer of 8 or 16 bits
  add_product,       // with the product of two others, the second the operand of the next instruction
  subtract_product,  // reversed: from it
  keep,              // stores, and goes on
  store,             // this and what follows end a chain
  store_8,           // the low bits of int32
  store_16,
  store_float,  // of float64
  quantize_i8,  // by one scale and zero point, with limits: the operands of the next three instructions
  quantize_u8,
  quantize_i16,
  quantize_u16,
  operand,
#define UFUSE_CHAIN_OP(name) name,
  UFUSE_CHAIN_BINARY(UFUSE_CHAIN_OP) UFUSE_CHAIN_UNARY(UFUSE_CHAIN_OP)
#undef UFUSE_CHAIN_OP
#define UFUSE_CHAIN_OP(name) int_##name,
      UFUSE_CHAIN_INT_BINARY(UFUSE_CHAIN_OP) UFUSE_CHAIN_INT_UNARY(UFUSE_CHAIN_OP)
#undef UFUSE_CHAIN_OP
          count
};

constexpr bool ends_chain(ChainOp op) { return op >= ChainOp::store && op <= ChainOp::quantize_u16; }

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
static_assert(static_cast<unsigned>(ChainOp::count) * ChainCode::kForms <= 256);

/// What a chain runs over: rows of `count` elements (a multiple of `kBlockMultiple`). All operands are blocks
/// that `reg` points at, or single values. The result may be in the place of an operand with elements of its
/// size.
struct ChainTask {
  struct Move {
    int reg;
    std::int64_t stride;
  };
  /// An operand of which more is asked for, into L2, while what is there is read.
  struct Ask {
    int reg;
    int log2_smaller;    // than lanes are its elements
    std::int64_t ahead;  // bytes
  };
  const ChainCode* code;
  char** reg;
  std::int64_t count;
  int kept, slots;  // registers for what is kept, `kChainGroup` bytes each
  std::int64_t rows = 1;
  const Move* moves = nullptr;  // from row to row
  int moving = 0;
  const Ask* asks = nullptr;
  int asking = 0;
};
using ChainKernel = void (*)(const ChainTask& task);

inline constexpr std::size_t kChainGroup = 512;  // bytes of an accumulator, at most

}  // namespace ufuse
