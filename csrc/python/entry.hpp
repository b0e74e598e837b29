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
