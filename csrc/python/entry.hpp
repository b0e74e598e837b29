// What ufuse._fast (Cython) calls: plain functions over plain structs, and NumPy's memory handler.
#pragma once

#include <Python.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#ifndef NPY_NO_DEPRECATED_API
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#endif
#include <numpy/arrayobject.h>

#include "core/memory.hpp"
#include "program/program.hpp"
#include "ranged/ranged.hpp"

namespace ufuse {

inline const Program* program_at(std::uintptr_t address) { return reinterpret_cast<const Program*>(address); }

inline void run_program(const Program* program, int axes, const std::int64_t* shape,
                        const ProgramOperand* operands, int count) {
  program->run(axes, shape, {operands, static_cast<std::size_t>(count)});
}

inline void set_operand(ProgramOperand& operand, char* data, const std::int64_t* strides, bool swapped) {
  operand.data = data;
  operand.strides = strides;
  operand.swapped = swapped;
}

/// ONNX's DynamicQuantizeLinear of float32 to uint8, by the program that quantizes: writes one scale and one zero
/// point, then the codes. Returns false, with no code written, where there is a NaN.
inline bool quantize_dynamic(const Program* program, int axes, const std::int64_t* shape, char* x,
                             const std::int64_t* strides, char* codes, const std::int64_t* code_strides,
                             float* scale, std::uint8_t* zero) {
  constexpr std::int64_t kNone[64] = {};
  RangedPart part{};
  part.x = x;
  part.axes = part.code_axes = axes;
  part.shape = part.code_shape = shape;
  part.strides = strides;
  part.reduced = axes < 64 ? (std::uint64_t{1} << axes) - 1 : ~std::uint64_t{0};
  part.scale = reinterpret_cast<char*>(scale);
  part.zero = reinterpret_cast<char*>(zero);
  part.scale_strides = part.zero_strides = kNone;
  part.zero_size = 1;
  set_operand(part.operands[0], codes, code_strides, false);
  set_operand(part.operands[1], x, strides, false);
  set_operand(part.operands[2], part.scale, kNone, false);
  set_operand(part.operands[3], part.zero, kNone, false);
  return quantize_ranged({&part, 1}, *program, {ScaleRule::onnx, 0, 255});
}

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
