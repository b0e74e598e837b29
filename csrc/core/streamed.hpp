// Results on their way past the caches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/cache.hpp"

namespace ufuse {

/// Bytes on their way past the caches, in whole lines. What a piece begins or ends within a
/// line would be stored through the caches, which read the line first: codes of 512 bytes that begin 16 bytes
/// after a line, as NumPy's arrays do, are made at 21 GB/s then and at 30 in whole lines. (To send a piece
/// when the next one is made, so that its stores are done, made decoding slower, 7.5 ns for 32 values instead
/// of 4.6, and encoding no faster.)
class Streamed {
 public:
  /// Copies bytes past the caches.
  using Stream = void (*)(char* to, const void* from, std::int64_t bytes);

  Streamed() = default;
  Streamed(char* to, char* buffer, Stream stream)
      : to_(to),
        buffer_(buffer),
        stream_(stream),
        begin_(reinterpret_cast<std::intptr_t>(to) % kCacheLine),
        end_(begin_) {}
  /// Where the next bytes are to be put.
  char* next() const { return buffer_ + end_; }
  void put(std::int64_t bytes) {
    end_ += bytes;
    const std::int64_t lines = end_ / kCacheLine * kCacheLine;
    if (lines == 0) return;
    stream_(to_, buffer_ + begin_, lines - begin_);
    to_ += lines - begin_;
    std::memcpy(buffer_, buffer_ + lines, kCacheLine);
    begin_ = 0;
    end_ -= lines;
  }
  void finish() { std::memcpy(to_, buffer_ + begin_, static_cast<std::size_t>(end_ - begin_)); }
  /// Bytes of the buffer, which is aligned to a line, for pieces of so many.
  static std::int64_t room(std::int64_t bytes) { return round_up(bytes, kCacheLine) + 2 * kCacheLine; }

 private:
  char* to_ = nullptr;
  char* buffer_ = nullptr;
  Stream stream_ = nullptr;
  std::int64_t begin_ = 0, end_ = 0;
};

/// The same of bytes that stay where they are: only what a piece leaves of a line waits for the next one.
class StreamedCopy {
 public:
  /// From here on to `to`; what came before ends there, or elsewhere.
  void go_to(char* to) {
    if (line_ + end_ == to && line_ != nullptr) return;
    finish();
    begin_ = end_ = reinterpret_cast<std::intptr_t>(to) % kCacheLine;
    line_ = to - begin_;
  }
  void put(const char* from, std::int64_t bytes, Streamed::Stream stream) {
    if (end_ != 0) {
      const std::int64_t some = std::min(bytes, kCacheLine - end_);
      std::memcpy(kept_ + end_, from, static_cast<std::size_t>(some));
      from += some;
      bytes -= some;
      end_ += some;
      if (end_ < kCacheLine) return;
      if (begin_ == 0)
        stream(line_, kept_, kCacheLine);
      else
        finish();
      line_ += kCacheLine;
      begin_ = end_ = 0;
    }
    const std::int64_t lines = bytes / kCacheLine * kCacheLine;
    stream(line_, from, lines);
    line_ += lines;
    end_ = bytes - lines;
    std::memcpy(kept_, from + lines, static_cast<std::size_t>(end_));
  }
  void finish() {
    if (end_ > begin_) std::memcpy(line_ + begin_, kept_ + begin_, static_cast<std::size_t>(end_ - begin_));
    begin_ = end_;
  }

 private:
  char* line_ = nullptr;                       // that the next byte is in,
  std::int64_t begin_ = 0, end_ = 0;           // with these bytes of it,
  alignas(kCacheLine) char kept_[kCacheLine];  // here
};

}  // namespace ufuse
