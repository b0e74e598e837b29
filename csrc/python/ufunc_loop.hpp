// The inner loop of the ufuncs that ufuse makes: a program, or a call of Python, over one strided run.
#pragma once

#include <Python.h>

#include <cstdint>
#include <cstring>
#include <exception>

#include "core/float_errors.hpp"
#include "python/entry.hpp"

namespace ufuse {

inline constexpr int kMaxUfuncOperands = 32;  // NumPy's NPY_MAXARGS was as many

struct UfuncLoop;
/// Calls Python over `count` elements; takes the GIL, and leaves an error set where there was one.
using PythonLoop = void (*)(const UfuncLoop* loop, char** args, const npy_intp* dimensions,
                            const npy_intp* steps);
/// Asks Python which of the floating-point errors that are suspected NumPy would find.
using PythonJudge = unsigned (*)(const UfuncLoop* loop, unsigned errors, char** args,
                                 const npy_intp* dimensions, const npy_intp* steps);

/// One signature of a ufunc.
struct UfuncLoop {
  const Program* program;  // null: Python is called
  PythonLoop python;
  PyObject* callable;
  PythonJudge judge;  // null where NumPy finds none
  PyObject* source;   // the `Program` that it is asked of
  int inputs, outputs;
  int types[kMaxUfuncOperands];  // NumPy's numbers: inputs, then outputs
  npy_intp sizes[kMaxUfuncOperands];
  bool core[kMaxUfuncOperands];  // of a gufunc: whether the operand has the core dimension
};

/// How an input lies to an output, for a loop that is to do one element after the other.
enum class Hazard : std::uint8_t {
  none,    // apart, or the same elements
  ahead,   // nothing is read after it has been written: a piece may be copied, then written
  behind,  // what is written is read by a later element (reduce, accumulate), or hard to say
};

struct Strided {
  const char* data;
  npy_intp step, size;
};

inline Hazard hazard(const Strided& in, const Strided& out, npy_intp count) {
  const auto first = [count](const Strided& s) { return s.data + (s.step < 0 ? s.step * (count - 1) : 0); };
  const auto last = [count](const Strided& s) {
    return s.data + (s.step > 0 ? s.step * (count - 1) : 0) + s.size;
  };
  if (last(in) <= first(out) || last(out) <= first(in)) return Hazard::none;
  if (in.step != out.step || in.step == 0) return Hazard::behind;
  const npy_intp distance = in.data - out.data, step = in.step < 0 ? -in.step : in.step;
  if (distance == 0) return in.size == out.size ? Hazard::none : Hazard::ahead;
  const npy_intp between = (distance % step + step) % step;
  if (between >= out.size && between + in.size <= step) return Hazard::none;  // interleaved
  return (distance > 0) == (in.step > 0) ? Hazard::ahead : Hazard::behind;
}

inline void run_apart(const UfuncLoop& loop, char** args, npy_intp count, const npy_intp* steps,
                      bool settled) {
  if (loop.program == nullptr) {
    loop.python(&loop, args, &count, steps);
    return;
  }
  ProgramOperand operands[kMaxUfuncOperands];
  std::int64_t strides[kMaxUfuncOperands];
  const int all = loop.inputs + loop.outputs;
  for (int k = 0; k < all; ++k) {
    const int from =
        k < loop.outputs ? loop.inputs + k : k - loop.outputs;  // a program has its outputs first
    strides[k] = steps[from];
    operands[k] = {args[from], &strides[k]};
  }
  const std::int64_t shape = count;
  loop.program->run(1, &shape, {operands, static_cast<std::size_t>(all)}, settled);
}

/// Runs pieces one after the other, each after its inputs have been copied.
inline void run_pieces(const UfuncLoop& loop, char** args, npy_intp count, const npy_intp* steps,
                       npy_intp piece) {
  constexpr npy_intp kBytes = 1024;
  alignas(64) char copies[kMaxUfuncOperands][kBytes];
  char* pointers[kMaxUfuncOperands];
  npy_intp own_steps[kMaxUfuncOperands];
  for (int k = 0; k < loop.inputs; ++k) {
    pointers[k] = copies[k];
    own_steps[k] = loop.sizes[k];
    if (piece * loop.sizes[k] > kBytes) piece = kBytes / loop.sizes[k];
  }
  for (int k = loop.inputs; k < loop.inputs + loop.outputs; ++k) own_steps[k] = steps[k];
  for (npy_intp done = 0; done < count; done += piece) {
    const npy_intp now = count - done < piece ? count - done : piece;
    for (int k = 0; k < loop.inputs; ++k)
      for (npy_intp i = 0; i < now; ++i)
        std::memcpy(copies[k] + i * loop.sizes[k], args[k] + (done + i) * steps[k],
                    static_cast<std::size_t>(loop.sizes[k]));
    for (int k = loop.inputs; k < loop.inputs + loop.outputs; ++k) pointers[k] = args[k] + done * steps[k];
    run_apart(loop, pointers, now, own_steps, true);
  }
}

inline void set_error(const char* message) noexcept {
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_SetString(PyExc_MemoryError, message);
  PyGILState_Release(state);
}

/// What NumPy calls. It may hand on operands that overlap: the same elements, inputs that lie ahead, and in
/// `reduce` and `accumulate` an input that is what the element before has written.
///
/// It warns of the floating-point flags that are set afterwards. Those are the ones of errors that it would
/// find itself; where an input is overwritten, those that results speak for.
inline void ufunc_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) noexcept {
  const auto& loop = *static_cast<const UfuncLoop*>(data);
  const npy_intp count = dimensions[0];
  if (count <= 0) return;
  Hazard worst = Hazard::none;
  bool overwrites = false;
  for (int k = 0; k < loop.inputs; ++k)
    for (int o = loop.inputs; o < loop.inputs + loop.outputs; ++o) {
      const Strided in{args[k], steps[k], loop.sizes[k]}, out{args[o], steps[o], loop.sizes[o]};
      const Hazard one = hazard(in, out, count);
      overwrites |= one != Hazard::none || args[k] == args[o];
      if (one > worst) worst = one;
    }
  unsigned errors = 0;
  {
    FloatErrorWatch watch;
    try {
      if (worst == Hazard::none || count == 1)
        run_apart(loop, args, count, steps, overwrites);
      else
        run_pieces(loop, args, count, steps, worst == Hazard::ahead ? 1024 : 1);
    } catch (const std::exception& error) {
      set_error(error.what());
    }
    errors = loop.program != nullptr ? watch.found() : kDivideByZero | kOverflow | kUnderflow | kInvalid;
  }
  if (errors == 0 || loop.judge == nullptr || (overwrites && loop.program == nullptr)) return;
  if (!overwrites) errors = loop.judge(&loop, errors, args, dimensions, steps);
  add_float_errors(errors);
}

/// That of a gufunc with one core dimension: Python is called with two axes.
inline void gufunc_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) noexcept {
  const auto* loop = static_cast<const UfuncLoop*>(data);
  if (dimensions[0] <= 0) return;
  const FloatErrorWatch watch;
  loop->python(loop, args, dimensions, steps);
}

/// Has a ufunc own what its loops point to.
inline void keep_alive(PyObject* ufunc, PyObject* owner) {
  Py_INCREF(owner);
  reinterpret_cast<PyUFuncObject*>(ufunc)->obj = owner;
}

}  // namespace ufuse
