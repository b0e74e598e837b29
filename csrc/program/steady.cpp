// Full tiles one after another: what of a run lasts where arrays are long.
#include <algorithm>

#include "core/cache.hpp"
#include "core/streamed.hpp"
#include "program/run.hpp"

namespace ufuse {

void ProgramRun::ask(const std::int64_t* ahead) const {
  for (int k = program_.outputs(); k < count(); ++k) {
    const auto size = static_cast<std::int64_t>(item_size(dtype(k)));
    if (ahead[k] == 0 || plan_.axes == 0 || plan_.stride[k][0] != size) continue;
    for (std::int64_t row = 0; row < (plan_.axes > 1 ? n1_ : 1); ++row) {
      const char* const at = plan_.data[k] + row * plan_.stride[k][1] + ahead[k];
      for (std::int64_t byte = 0; byte < n0_ * size; byte += kCacheLine) __builtin_prefetch(at + byte, 0, 2);
    }
  }
}

std::int64_t ProgramRun::steady_tiles(std::int64_t i0, std::int64_t line, std::int64_t left) const {
  const std::int64_t at = down() ? line % tiles1_ : i0;
  return std::min(at + left, down() ? n1_ / t1_ : n0_ / t0_) - at;
}

void ProgramRun::run_steady(char* const* own, char** reg, char* const* start, std::int64_t i0,
                            std::int64_t tiles) const {
  struct Moving {
    char** at;
    std::int64_t step, ahead;
  };
  struct Apart {  // what is streamed tile by tile
    char* to;
    char* const* block;
    std::int64_t bytes, step;
  };
  struct InLines {  // what goes on where the tile before ended
    Streamed stream;
    char** block;
    std::int64_t bytes;
    int reg;
  };
  struct Spread {
    char* block;
    const char* from;
    std::int64_t stride, step;
    int log2;
  };
  Moving moving[kMaxOperands];
  Apart apart[kMaxOperands];
  InLines in_lines[kMaxOperands];
  Spread spread[kMaxOperands];
  int moves = 0, aparts = 0, lines = 0, spreads = 0;
  const std::int64_t elements = t0_ * t1_;
  for (int k = 0; k < count(); ++k) {
    const OperandPlan& p = operand_plan_[k];
    char* at = start[k] + i0 * p.step;
    if (is_output(k) && !p.direct && in_lines_[k] && p.step == elements << p.log2) {
      InLines& output = in_lines[lines++];
      output = {{at, own[p.reg], kernels_.move.stream}, &reg[p.reg], p.step, p.reg};
      reg[p.reg] = output.stream.next();
    } else if (is_output(k) && !p.direct) {
      apart[aparts++] = {at, &reg[p.reg], elements << p.log2, p.step};
    } else if (!is_output(k) && p.feed == Feed::load && by_rows_) {
      reg[p.reg] = at;
      moving[moves++] = {&reg[p.reg], p.step, p.ahead};
    } else if (!is_output(k) && p.feed == Feed::load) {
      reg[p.reg] = own[p.reg];
      spread[spreads++] = {own[p.reg], at, plan_.stride[k][1], p.step, p.log2};
    } else if (is_output(k) || p.feed != Feed::once) {
      reg[p.reg] = at;
      if (p.step != 0) moving[moves++] = {&reg[p.reg], p.step, p.ahead};
    }
  }
  const std::size_t steps = program_.steps_.size();
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    for (int k = 0; k < moves; ++k) {
      if (moving[k].ahead == 0) continue;
      const char* const next = *moving[k].at + moving[k].ahead;
      for (std::int64_t byte = 0; byte < moving[k].step; byte += kCacheLine)
        __builtin_prefetch(next + byte, 0, 2);
    }
    for (int k = 0; k < spreads; ++k) {
      kernels_.move.spread[spread[k].log2](spread[k].block, spread[k].from, spread[k].stride, t1_, t0_);
      spread[k].from += spread[k].step;
    }
    for (std::size_t i = 0; i < steps; ++i) {
      const auto& step = program_.steps_[i];
      if (by_rows_ && rows_kernel_[i] != nullptr) {
        const void* values[kMaxArity];
        std::int64_t strides[kMaxArity];
        for (int a = 1; a < step.arity; ++a) {
          values[a - 1] = reg[step.in[a]];
          strides[a - 1] = row_value_[step.in[a]] ? row_stride_[step.in[a]] : 0;
        }
        rows_kernel_[i](reg[step.out], reg[step.in[0]], values, strides, t1_, t0_);
        continue;
      }
      apply(i, reg, elements);
    }
    for (int k = 0; k < lines; ++k) {
      in_lines[k].stream.put(in_lines[k].bytes);
      *in_lines[k].block = in_lines[k].stream.next();
    }
    for (int k = 0; k < aparts; ++k) {
      kernels_.move.stream(apart[k].to, *apart[k].block, apart[k].bytes);
      apart[k].to += apart[k].step;
    }
    for (int k = 0; k < moves; ++k) *moving[k].at += moving[k].step;
  }
  for (int k = 0; k < lines; ++k) {
    in_lines[k].stream.finish();
    *in_lines[k].block = own[in_lines[k].reg];
  }
}

}  // namespace ufuse
