// Chains as a program has them: operations and values, of which code is made for a run.
#pragma once

#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "program/chain_code.hpp"

namespace ufuse {

inline constexpr int kMaxChainOps = 48;  // in a chain, with loads and stores
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

/// Puts what computes its arguments before `reader`, as far as these are chains (null: they are not, or
/// others read them too) and all of it is not too long for one. Returns which: bit i for argument i.
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
