// What ufuse._fast (Cython) calls: plain functions over plain structs, and NumPy's memory handler.
#pragma once

#include <Python.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#ifndef NPY_NO_DEPRECATED_API
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#endif
#include <numpy/arrayobject.h>

#include "core/float_errors.hpp"
#include "core/memory.hpp"
#include "program/program.hpp"
#include "ranged/ranged.hpp"

namespace ufuse {

inline const Program* program_at(std::uintptr_t address) { return reinterpret_cast<const Program*>(address); }

/// Whether a result takes the place of an operand, which then cannot be read again.
inline bool runs_in_place(const Program* program, const ProgramOperand* operands, int count) {
  for (int out = 0; out < program->outputs(); ++out)
    for (int in = program->outputs(); in < count; ++in)
      if (operands[in].data == operands[out].data) return true;
  return false;
}

/// Returns the floating-point errors that are suspected: see `Program::run` for `settled`.
inline unsigned run_program(const Program* program, int axes, const std::int64_t* shape,
                            const ProgramOperand* operands, int count, bool settled = false) {
  FloatErrorWatch watch;
  program->run(axes, shape, {operands, static_cast<std::size_t>(count)},
               settled || runs_in_place(program, operands, count));
  return watch.found();
}

inline unsigned run_program_items(const Program* program, int axes, const std::int64_t* shape,
                                  const ProgramOperand* operands, int count, char* const* data,
                                  std::int64_t items, bool fresh) {
  FloatErrorWatch watch;
  program->run_items(axes, shape, {operands, static_cast<std::size_t>(count)}, {data, items}, fresh);
  return watch.found();
}

inline void set_operand(ProgramOperand& operand, char* data, const std::int64_t* strides, bool swapped) {
  operand.data = data;
  operand.strides = strides;
  operand.swapped = swapped;
}

/// Arrays of float32 to be quantized by their own ranges, each with one scale and one zero point. Shapes and
/// strides are the arrays' own, which outlive this.
class RangedArrays {
 public:
  void add(int axes, const std::int64_t* shape, char* x, const std::int64_t* strides, char* codes,
           const std::int64_t* code_strides, char* scale, char* zero, int zero_size) {
    static constexpr std::int64_t kNone[kMaxAxes] = {};
    RangedPart part{};
    part.x = x;
    part.axes = part.code_axes = axes;
    part.shape = part.code_shape = shape;
    part.strides = strides;
    part.reduced = axes < 64 ? (std::uint64_t{1} << axes) - 1 : ~std::uint64_t{0};
    part.scale = scale;
    part.zero = zero_size > 0 ? zero : nullptr;  // read, and not written
    part.scale_strides = part.zero_strides = kNone;
    part.zero_size = zero_size;
    set_operand(part.operands[0], codes, code_strides, false);
    set_operand(part.operands[1], x, strides, false);
    set_operand(part.operands[2], scale, kNone, false);
    set_operand(part.operands[3], zero, kNone, false);
    parts_.push_back(part);
  }
  /// Returns false where a range is not as the rule asks; nothing of that array has been written then.
  bool quantize(const Program* program, ScaleRule rule, float least, float most) const {
    return quantize_ranged(parts_, *program, {rule, least, most});
  }

 private:
  std::vector<RangedPart> parts_;
};

/// NumPy's allocator interface (NEP 49) over the block pool: results own their data as any array does.
inline PyDataMem_Handler* pool_handler() {
  static PyDataMem_Handler handler = {
      "ufuse_block_pool",
      1,
      {nullptr, [](void*, size_t size) { return pool_allocate(size); },
       [](void*, size_t count, size_t size) {
         void* block = pool_allocate(count * size);
         if (block != nullptr) std::memset(block, 0, count * size);
         return block;
       },
       [](void*, void* block, size_t size) { return pool_reallocate(block, size); },
       [](void*, void* block, size_t) { pool_free(block); }}};
  return &handler;
}

/// A capsule as PyDataMem_SetHandler wants it. The handler itself is never freed: arrays outlive the module.
inline PyObject* pool_handler_capsule() { return PyCapsule_New(pool_handler(), "mem_handler", nullptr); }

}  // namespace ufuse
