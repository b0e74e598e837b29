// Building a program: operations to kernels, values to registers.
#include "program/program.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace ufuse {

UFUSE_TIER_TABLES(ProgramKernels, program_kernels)

namespace {

const ProgramKernels& any_table() {  // the rows are the same on every tier, the functions are not
#if defined(__x86_64__)
  return program_kernels(Tier::v2);
#else
  return program_kernels(Tier::neon);
#endif
}

int find_kernel(const std::string& name, DType output, const std::vector<DType>& inputs) {
  const auto& table = any_table();
  const KernelRow* row;
  for (int i = 0; (row = table.find(i)) != nullptr; ++i) {
    if (row->output == output && static_cast<std::size_t>(row->arity) == inputs.size() &&
        std::equal(inputs.begin(), inputs.end(), row->inputs) && name == row->name)
      return i;
  }
  std::string text = "ufuse program: no kernel " + name + "(";
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (i != 0) text += ',';
    text += code_of(inputs[i]);
  }
  text += ")->";
  text += code_of(output);
  throw std::invalid_argument(text);
}

/// An instruction, or several in one.
struct Lowered {
  InstructionSpec spec;
  Chain chain;          // empty where it is no cheap operation
  bool joined = false;  // it is a chain of several
  bool dead = false;    // it is part of a later one
};

/// Joins cheap operations whose result is read once, by another of them, to their reader.
class Joiner {
 public:
  Joiner(const std::vector<InstructionSpec>& instructions, const std::vector<int>& outputs,
         const std::vector<DType>& leaves)
      : leaves_(static_cast<int>(leaves.size())), types_(leaves), uses_(instructions.size(), 0) {
    for (const auto& instruction : instructions)
      for (const int value : instruction.args) count(value);
    for (const int value : outputs) count(value);
    for (const auto& instruction : instructions) add(instruction);
  }

  std::vector<Lowered> lowered;

 private:
  void count(int value) {
    if (value >= leaves_) ++uses_[static_cast<std::size_t>(value - leaves_)];
  }

  void add(const InstructionSpec& instruction) {
    Lowered current{instruction, {}};
    std::vector<DType> inputs;
    for (const int value : instruction.args) inputs.push_back(types_[static_cast<std::size_t>(value)]);
    types_.push_back(instruction.output);
    if (!instruction.reduction && (inputs.size() == 1 || inputs.size() == 2))
      current.chain = chain_of(instruction.operation, instruction.output, inputs, instruction.args);
    if (!current.chain.empty()) join_to(current);
    lowered.push_back(std::move(current));
  }

  void join_to(Lowered& reader) {
    std::vector<Lowered*> parts;
    std::vector<const Chain*> chains;
    for (const int value : reader.spec.args) {
      parts.push_back(alone(value));
      chains.push_back(parts.back() != nullptr ? &parts.back()->chain : nullptr);
    }
    const unsigned which = join(reader.chain, reader.spec.args, chains);
    if (which == 0) return;
    reader.joined = true;
    for (std::size_t i = 0; i < parts.size(); ++i)
      if ((which >> i & 1) != 0) parts[i]->dead = true;
    auto& args = reader.spec.args;
    args.clear();
    for (const Chain::Item& item : reader.chain.items)
      if (item.value >= 0 && std::find(args.begin(), args.end(), item.value) == args.end())
        args.push_back(item.value);
  }

  /// What computes a value that is read once.
  Lowered* alone(int value) {
    const auto index = static_cast<std::size_t>(value - leaves_);
    return value < leaves_ || uses_[index] != 1 ? nullptr : &lowered[index];
  }

  const int leaves_;  // their number
  std::vector<DType> types_;
  std::vector<int> uses_;
};

}  // namespace

Program::Program(std::vector<DType> input_types, const std::vector<ConstantSpec>& constants,
                 const std::vector<InstructionSpec>& instructions, std::vector<int> output_values,
                 const std::vector<int>& row_inputs)
    : inputs_(std::move(input_types)), outputs_(std::move(output_values)), value_dtype_(inputs_) {
  const int leaves = static_cast<int>(inputs_.size() + constants.size());
  const int values = leaves + static_cast<int>(instructions.size());
  if (inputs_.size() + outputs_.size() > kMaxOperands)
    throw std::invalid_argument("ufuse program: more than " + std::to_string(kMaxOperands) + " operands");
  const auto check = [](int value, int limit) {
    if (value < 0 || value >= limit)
      throw std::invalid_argument("ufuse program: value " + std::to_string(value) + " is not defined yet");
  };
  for (const int value : outputs_) check(value, values);

  for (const auto& spec : instructions) has_rows_ |= spec.reduction.has_value();

  // A value stands for a full block, for one value per row, or (constants, row inputs) for either: those
  // get a register for each use.
  enum class Stage : char { full, row, either };
  std::vector<Stage> stage(inputs_.size(), Stage::full);
  row_register_of_.assign(inputs_.size(), -1);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    register_of_.push_back(static_cast<int>(i));
    registers_.push_back({inputs_[i], false});
  }
  for (const int i : row_inputs) {
    check(i, inputs());
    if (has_rows_) stage[static_cast<std::size_t>(i)] = Stage::either;
  }
  std::vector<int> constant_row(constants.size(), -1);
  for (const ConstantSpec& constant : constants) {
    value_dtype_.push_back(constant.dtype);
    stage.push_back(Stage::either);
    register_of_.push_back(-1);
  }
  const auto register_for = [&](int value, bool as_row) {
    const auto v = static_cast<std::size_t>(value);
    if (stage[v] != Stage::either) return register_of_[v];
    const bool is_input = value < inputs();
    int& reg = !as_row ? register_of_[v] : is_input ? row_register_of_[v] : constant_row[v - inputs_.size()];
    if (reg < 0) {
      reg = registers();
      registers_.push_back({value_dtype_[v], as_row});
      if (!is_input) constants_.push_back({reg, constants[v - inputs_.size()]});
    }
    return reg;
  };

  for (std::size_t i = 0; i < instructions.size(); ++i)
    for (const int value : instructions[i].args) check(value, leaves + static_cast<int>(i));
  std::vector<Lowered> lowered = std::move(Joiner(instructions, outputs_, value_dtype_).lowered);

  // When each value is last read; outputs are read after the end.
  std::vector<int> last_use(static_cast<std::size_t>(values), -1);
  for (std::size_t i = 0; i < lowered.size(); ++i)
    for (const int value : lowered[i].spec.args)
      if (!lowered[i].dead) last_use[static_cast<std::size_t>(value)] = static_cast<int>(i);
  for (const int value : outputs_) last_use[static_cast<std::size_t>(value)] = values;

  first_kept_ = registers();
  for (const Lowered& one : lowered)
    if (!one.dead) slots_ = std::max(slots_, one.chain.slots);
  for (int slot = 0; slot < slots_; ++slot) {
    registers_.push_back({DType::F64, false});
    registers_.back().kept = true;
  }
  int last_value = -1;  // of the step before
  std::vector<int> free_registers;
  const auto is_leaf = [&](int value) { return value < leaves; };
  for (std::size_t i = 0; i < lowered.size(); ++i) {
    const InstructionSpec& spec = lowered[i].spec;
    const int value = leaves + static_cast<int>(i);
    if (lowered[i].dead) {
      // Nobody reads it by itself; what it is made of has the same stage as its reader sees.
      bool any_full = false;
      for (const int arg : spec.args) any_full |= stage[static_cast<std::size_t>(arg)] == Stage::full;
      value_dtype_.push_back(spec.output);
      stage.push_back(has_rows_ && !any_full ? Stage::row : Stage::full);
      register_of_.push_back(-1);
      continue;
    }
    Step step{};
    std::vector<DType> arg_types;
    bool any_row = false, any_full = false;
    for (const int arg : spec.args) {
      arg_types.push_back(value_dtype_[static_cast<std::size_t>(arg)]);
      any_row |= stage[static_cast<std::size_t>(arg)] == Stage::row;
      any_full |= stage[static_cast<std::size_t>(arg)] == Stage::full;
    }
    bool result_row = false, args_row = false;
    const bool reduces = spec.reduction.has_value();
    if (reduces || spec.operation == "expand") {
      step.kind = reduces ? StepKind::reduce : StepKind::expand;
      if (spec.args.size() != 1 || (reduces ? any_row : any_full || arg_types[0] != spec.output))
        throw std::invalid_argument(
            std::string("ufuse program: ") +
            (reduces ? "a reduction takes one full value" : "expand takes one row value of its own dtype"));
      if (reduces) {
        step.reduction = static_cast<std::int8_t>(reductions_.size());
        RowReduction& reduction = reductions_.emplace_back(*spec.reduction);
        reduction.element = arg_types[0];
        reduction.result = spec.output;
        check_row_reduction(reduction);
        if (reductions_.size() > kMaxReductions)
          throw std::invalid_argument("ufuse program: more than " + std::to_string(kMaxReductions) +
                                      " reductions");
      }
      result_row = reduces;
      args_row = !reduces;
    } else {
      step.kind = lowered[i].joined ? StepKind::chain : StepKind::map;
      if (!lowered[i].joined)
        step.kernel = static_cast<std::int16_t>(find_kernel(spec.operation, spec.output, arg_types));
      if (any_row && any_full)
        throw std::invalid_argument("ufuse program: " + spec.operation +
                                    " mixes row and full values; expand first");
      result_row = step.row = args_row = has_rows_ && !any_full;
    }
    step.chain = -1;
    if (!lowered[i].chain.empty()) {
      step.chain = static_cast<std::int16_t>(chains_.size());
      Chain& chain = chains_.emplace_back(std::move(lowered[i].chain));
      chain_items_ += static_cast<int>(chain.items.size());
      for (Chain::Item& item : chain.items)
        item.reg = item.value >= 0   ? register_for(item.value, args_row)
                   : item.value < -1 ? first_kept_ + Chain::slot_of(item.value)
                                     : -1;
    }
    if (!lowered[i].joined) {
      step.arity = static_cast<std::int8_t>(spec.args.size());
      for (std::size_t a = 0; a < spec.args.size(); ++a)
        step.in[a] = static_cast<std::int16_t>(register_for(spec.args[a], args_row));
    }
    step.ends_chain = step.kind == StepKind::map && !steps_.empty() && steps_.back().chain >= 0 &&
                      !chain_of(steps_.back()).wide && quantizes(spec.operation, spec.output, arg_types[0]) &&
                      spec.args[0] == last_value && step.row == steps_.back().row &&
                      last_use[static_cast<std::size_t>(last_value)] == static_cast<int>(i) &&
                      std::count(spec.args.begin(), spec.args.end(), last_value) == 1;
    last_value = value;
    // A register is free again after its value's last use, and at once for the result of this very step
    // where the elements are of one size (kernels read a lane before they write it).
    for (std::size_t a = 0; a < spec.args.size(); ++a) {
      const int arg = spec.args[a];
      if (!is_leaf(arg) && last_use[static_cast<std::size_t>(arg)] == static_cast<int>(i)) {
        const int reg = register_of_[static_cast<std::size_t>(arg)];
        if (registers_[static_cast<std::size_t>(reg)].expanded) continue;  // runs write it in part only
        if (std::find(free_registers.begin(), free_registers.end(), reg) == free_registers.end())
          free_registers.push_back(reg);
      }
    }
    int reg = -1;
    const bool is_output = last_use[static_cast<std::size_t>(value)] == values;
    if (!is_output && step.is_map()) {  // outputs keep a register of their own: it may be the result's memory
      for (std::size_t f = 0; f < free_registers.size(); ++f) {
        const auto& candidate = registers_[static_cast<std::size_t>(free_registers[f])];
        if (candidate.row == result_row && item_size(candidate.dtype) == item_size(spec.output)) {
          reg = free_registers[f];
          free_registers.erase(free_registers.begin() + static_cast<std::ptrdiff_t>(f));
          break;
        }
      }
    }
    if (reg < 0) {
      reg = registers();
      registers_.push_back({spec.output, result_row, step.kind == StepKind::expand});
    }
    step.out = static_cast<std::int16_t>(reg);
    steps_.push_back(step);
    value_dtype_.push_back(spec.output);
    stage.push_back(result_row ? Stage::row : Stage::full);
    register_of_.push_back(reg);
  }
  for (const int value : outputs_) {  // may be a constant or an input; a row input is stored as rows
    const bool row = value < inputs() && stage[static_cast<std::size_t>(value)] == Stage::either;
    output_register_.push_back(is_leaf(value) ? register_for(value, row)
                                              : register_of_[static_cast<std::size_t>(value)]);
  }
  for (const int reg : output_register_) registers_[static_cast<std::size_t>(reg)].expanded = false;
  for (const Step& step : steps_)
    if (step.kind == StepKind::reduce) registers_[static_cast<std::size_t>(step.in[0])].expanded = false;
  if (registers() > kMaxRegisters || steps() > kMaxSteps)
    throw std::invalid_argument("ufuse program: needs more than " + std::to_string(kMaxRegisters) +
                                " registers or " + std::to_string(kMaxSteps) + " steps");
  for (const RegisterSpec& spec : registers_) {
    if (spec.row || spec.kept) continue;
    row_bytes_ += static_cast<int>(item_size(spec.dtype));
    if (!spec.expanded) across_bytes_ += static_cast<int>(item_size(spec.dtype));
  }
  find_whole();
}

/// Whether there is one result, and that of one chain.
void Program::find_whole() {
  if (has_rows_ || outputs() != 1 || steps_.empty() || steps_.size() > 2) return;
  const Step &first = steps_.front(), &last = steps_.back();
  if (last.out != output_register_.front()) return;
  const bool quantizes_alone =
      steps_.size() == 1 && first.chain < 0 && first.kind == StepKind::map &&
      quantizes(any_table().row(first.kernel).name, any_table().row(first.kernel).output, DType::F32) &&
      any_table().row(first.kernel).inputs[0] == DType::F32;
  if (quantizes_alone) {
    whole_.items = {{ChainOp::load, false, 0, first.in[0]}};
    whole_.output = DType::F32;
  } else if (first.chain >= 0 && (steps_.size() == 1 || last.ends_chain)) {
    whole_ = chain_of(first);
  }
  whole_quantizes_ = quantizes_alone || (!whole_.empty() && steps_.size() == 2);
}

const char* Program::only_operation() const {
  const ProgramKernels& kernels = program_kernels(active_tier());
  if (steps_.size() != 1 || outputs() != 1) return nullptr;
  const Step& step = steps_.front();
  if (step.kind != StepKind::map || step.arity > inputs() || step.out != output_register_.front())
    return nullptr;
  for (int i = 0; i < step.arity; ++i)
    if (step.in[i] != register_of_[static_cast<std::size_t>(i)]) return nullptr;
  return kernels.row(step.kernel).name;
}

}  // namespace ufuse
