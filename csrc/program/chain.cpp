// Chains: operations to instructions of the machine, and several operations to one chain.
#include "program/chain.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ufuse {
namespace {

struct Named {
  const char* name;
  ChainOp op;
};

constexpr Named kBinary[] = {
#define UFUSE_NAMED(name) {#name, ChainOp::name},
    UFUSE_CHAIN_BINARY(UFUSE_NAMED)};
constexpr Named kUnary[] = {UFUSE_CHAIN_UNARY(UFUSE_NAMED)};
#undef UFUSE_NAMED
#define UFUSE_NAMED(name) {#name, ChainOp::int_##name},
constexpr Named kIntBinary[] = {UFUSE_CHAIN_INT_BINARY(UFUSE_NAMED)};
constexpr Named kIntUnary[] = {UFUSE_CHAIN_INT_UNARY(UFUSE_NAMED)};
#undef UFUSE_NAMED

template <std::size_t Size>
bool find(const Named (&table)[Size], const std::string& name, ChainOp& op) {
  for (const Named& row : table)
    if (name == row.name) {
      op = row.op;
      return true;
    }
  return false;
}

/// How an element gets into lanes: those of float64, or those of 4 bytes.
bool load_of(DType type, bool wide, ChainOp& op) {
  switch (type) {
    case DType::F64:
      op = ChainOp::load;
      return wide;
    case DType::F32:
      op = wide ? ChainOp::load_float : ChainOp::load;
      return true;
    case DType::I32:
      op = wide ? ChainOp::load_int : ChainOp::load;
      return true;
    case DType::I8:
      op = ChainOp::load_i8;
      return !wide;
    case DType::U8:
      op = ChainOp::load_u8;
      return !wide;
    case DType::I16:
      op = ChainOp::load_i16;
      return !wide;
    case DType::U16:
      op = ChainOp::load_u16;
      return !wide;
    default:
      return false;
  }
}

bool is_narrow_integer(DType type) {
  return type == DType::I8 || type == DType::U8 || type == DType::I16 || type == DType::U16;
}

Chain cast_of(DType output, DType input, int value) {
  Chain chain;
  ChainOp load;
  chain.output = output;
  chain.wide = output == DType::F64 || input == DType::F64;
  const bool to_lanes = output == DType::F32 || output == DType::I32;
  chain.ends = chain.wide ? output == DType::F32 : is_narrow_integer(output);
  if (output == input || !load_of(input, chain.wide, load)) return {};
  if (chain.wide && output != DType::F64 && output != DType::F32) return {};
  if (!chain.wide && !to_lanes && !chain.ends) return {};
  chain.items.push_back({load, false, value});
  if (chain.wide) return chain;
  if (input == DType::F32)
    chain.items.push_back({ChainOp::to_int});
  else if (output == DType::F32)
    chain.items.push_back({ChainOp::to_float});
  return chain;
}

bool is_small_integer(ChainOp load) {
  return load == ChainOp::load_i8 || load == ChainOp::load_u8 || load == ChainOp::load_i16 ||
         load == ChainOp::load_u16;
}

bool is_product(ChainOp op) { return op == ChainOp::add_product || op == ChainOp::subtract_product; }

/// Whether a maximum or minimum with this value, the same throughout, is `at_least` or `at_most`.
bool is_limit(const Chain::Item& item, bool wide, const void* scalar) {
  if (scalar == nullptr || wide || (item.op != ChainOp::maximum && item.op != ChainOp::minimum)) return false;
  float value;
  std::memcpy(&value, scalar, sizeof value);
  // Which of two zeros it is depends on their order.
  return value == value && (!item.reversed || value != 0);
}

/// Whether rounding may follow rather than precede clamping at this value, if the result becomes an integer.
bool is_integral(ChainOp op, const void* value) {
  if (op != ChainOp::at_least && op != ChainOp::at_most) return false;
  float number;
  std::memcpy(&number, value, sizeof number);
  return number == std::rint(number);
}

/// Rounding and conversion to integers are one instruction, also where clamping at integers is between: these
/// do not depend on the order, but for a zero's sign.
int join_roundings(ChainCode* code, int count, const void* const* scalar) {
  for (int i = 0; i < count; ++i) {
    if (code[i].op() != ChainOp::rint) continue;
    int to = i + 1;
    while (to < count && is_integral(code[to].op(), scalar[code[to].reg])) ++to;
    if (to == count || code[to].op() != ChainOp::to_int) continue;
    code[to].code = ChainCode::of(ChainOp::rint_to_int);
    std::move(code + i + 1, code + count, code + i);
    --count;
  }
  return count;
}

bool is_product_alone(const Chain& chain) {
  return chain.items.size() == 2 && chain.items[0].op == ChainOp::load &&
         chain.items[1].op == ChainOp::multiply;
}

/// `reader` behind what computes its first argument, its second, or both, of which the first is kept.
Chain joined_of(const Chain& reader, const std::vector<int>& args, const Chain* first, const Chain* second) {
  Chain joined = reader;
  joined.items.clear();
  const auto append = [&joined](const Chain& part) {
    joined.items.insert(joined.items.end(), part.items.begin(), part.items.end());
    joined.slots = std::max(joined.slots, part.slots);
  };
  if (second == nullptr) {
    append(*first);
    joined.items.insert(joined.items.end(), reader.items.begin() + 1, reader.items.end());
    return joined;
  }
  Chain::Item last = reader.items[1];
  if (first != nullptr && (last.op == ChainOp::add || last.op == ChainOp::subtract)) {
    const bool reversed = !is_product_alone(*second) && is_product_alone(*first);
    if (reversed || is_product_alone(*second)) {
      const Chain& product = reversed ? *first : *second;
      append(reversed ? *second : *first);
      last.op = last.op == ChainOp::add ? ChainOp::add_product : ChainOp::subtract_product;
      joined.items.push_back({last.op, reversed, product.items[0].value});
      joined.items.push_back({ChainOp::operand, false, product.items[1].value});
      return joined;
    }
  }
  last.reversed = true;
  last.value = args[0];
  if (first != nullptr) {
    append(*first);
    last.value = Chain::kept(second->slots);
    joined.items.push_back({ChainOp::keep, false, last.value});
    joined.slots = std::max(joined.slots, second->slots + 1);
  }
  append(*second);
  joined.items.push_back(last);
  return joined;
}

}  // namespace

Chain chain_of(const std::string& operation, DType output, const std::vector<DType>& inputs,
               const std::vector<int>& args) {
  if (operation == "cast") return cast_of(output, inputs[0], args[0]);
  for (const DType input : inputs)
    if (input != output) return {};
  ChainOp op;
  const bool binary = inputs.size() == 2, floats = output == DType::F32 || output == DType::F64;
  if (!floats && output != DType::I32) return {};
  if (binary ? !(floats ? find(kBinary, operation, op) : find(kIntBinary, operation, op))
             : !(floats ? find(kUnary, operation, op) : find(kIntUnary, operation, op)))
    return {};
  Chain chain;
  chain.output = output;
  chain.wide = output == DType::F64;
  chain.items = {{ChainOp::load, false, args[0]}, {op, false, binary ? args[1] : -1}};
  return chain;
}

unsigned join(Chain& reader, const std::vector<int>& args, const std::vector<const Chain*>& parts) {
  unsigned possible = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Chain* const part = parts[i];
    if (part != nullptr && !part->empty() && !part->ends && part->wide == reader.wide &&
        reader.items.front().op == ChainOp::load)
      possible |= 1U << i;
  }
  for (const unsigned which : {3U, 1U, 2U}) {
    if ((which & possible) != which) continue;
    const Chain joined =
        joined_of(reader, args, (which & 1) != 0 ? parts[0] : nullptr, (which & 2) != 0 ? parts[1] : nullptr);
    if (joined.slots > kMaxKept || joined.items.size() >= static_cast<std::size_t>(kMaxChainOps)) continue;
    reader = joined;
    return which;
  }
  return 0;
}

bool quantizes(const std::string& operation, DType output, DType input) {
  return operation == "quantize_linear" && input == DType::F32 && is_narrow_integer(output);
}

int block_wanted(const Chain& chain, const bool* single) {
  for (std::size_t i = 0; i < chain.items.size(); ++i) {
    const Chain::Item& item = chain.items[i];
    if (item.value < 0 || !single[item.reg]) continue;
    if (item.op >= ChainOp::load_i8 && item.op <= ChainOp::load_int) return item.reg;
    if (is_product(item.op) && single[chain.items[i + 1].reg]) return item.reg;
  }
  return -1;
}

int write_code(const Chain& chain, const bool* single, const void* const* scalar, const ChainEnd& end,
               ChainCode* code) {
  int count = 0;
  const auto put = [&](ChainOp op, unsigned form, int reg) {
    code[count++] = {ChainCode::of(op, form), static_cast<std::int16_t>(reg)};
  };
  for (std::size_t i = 0; i < chain.items.size(); ++i) {
    Chain::Item item = chain.items[i];
    if (item.value == -1) {
      put(item.op, 0, end.out);
      continue;
    }
    unsigned form = item.reversed ? ChainCode::kReversed : 0;
    if (is_product(item.op)) {
      Chain::Item factor = chain.items[++i];
      if (single[item.reg]) std::swap(item.reg, factor.reg);
      if (single[factor.reg]) form |= ChainCode::kSplat;
      put(item.op, form, item.reg);
      put(factor.op, 0, factor.reg);
      continue;
    }
    const bool splat = item.value >= 0 && single[item.reg];
    if (splat) form |= ChainCode::kSplat;
    if (splat && is_limit(item, chain.wide, scalar[item.reg])) {
      item.op = item.op == ChainOp::maximum ? ChainOp::at_least : ChainOp::at_most;
      form = ChainCode::kSplat;
    }
    if (item.op == ChainOp::divide && form == ChainCode::kSplat && count == 2 &&
        code[1].op() == ChainOp::to_float && is_small_integer(code[0].op()))
      item.op = ChainOp::divide_small;
    put(item.op, form, item.reg);
  }
  count = join_roundings(code, count, scalar);
  const std::size_t size = item_size(end.type);
  if (end.scale != nullptr) {
    constexpr ChainOp kQuantize[] = {ChainOp::quantize_i8, ChainOp::quantize_u8, ChainOp::quantize_i16,
                                     ChainOp::quantize_u16};
    const bool is_signed = end.type == DType::I8 || end.type == DType::I16;
    put(kQuantize[(size == 2 ? 2 : 0) + (is_signed ? 0 : 1)], 0, end.out);
    for (int k = 0; k < 3; ++k) put(ChainOp::operand, 0, end.scale[k]);
  } else {
    const ChainOp narrow = chain.wide  ? ChainOp::store_float
                           : size == 2 ? ChainOp::store_16
                                       : ChainOp::store_8;
    put(chain.ends ? narrow : ChainOp::store, 0, end.out);
  }
  return count;
}

}  // namespace ufuse
