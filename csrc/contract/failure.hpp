// What fails on one of a product's threads: nothing may be thrown through these.
#pragma once

#include <exception>
#include <mutex>

namespace ufuse {

class Failure {
 public:
  /// Keeps the exception that is being handled, if it is the first.
  void note() noexcept {
    const std::lock_guard lock(mutex_);
    if (!first_) first_ = std::current_exception();
  }
  /// Throws it, once all threads are done.
  void check() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr first_;
};

}  // namespace ufuse
