// What this machine can do, measured beside the benchmarks so that every figure has a limit next to it.
//
// Each entry point runs one pass on `threads` threads and returns seconds. Threads are started first and
// released together, and the clock runs from the first release to the last finish: starting threads takes
// tens of microseconds, which a limit must not contain. Buffers come from the caller, already touched, so
// page faults are not measured either.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

// The constraint of a vector register in an asm statement.
#if defined(__AVX512F__)
#define REG "+v"
#elif defined(__x86_64__)
#define REG "+x"
#elif defined(__aarch64__)
#define REG "+w"
#else
#define REG "+m"
#endif

// The widest registers the compiler was told about: wider vectors would spill.
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

typedef float VecF __attribute__((vector_size(kBytes)));
typedef double VecD __attribute__((vector_size(kBytes)));
typedef int64_t VecI __attribute__((vector_size(kBytes)));

// Enough independent chains to hide 4 to 5 cycles of latency on two pipes, few enough for 16 registers.
// Each starts from a value hidden from the compiler, or equal chains become one. Loops over them are unrolled
// by pragma: GCC 12 otherwise keeps the chains in memory (120 instead of 236 GFLOP/s).
constexpr int kChains = kBytes == 64 ? 20 : 12;

// A value the optimiser must assume is used; volatile would cost a store per pass only, which is nothing.
volatile int64_t sink_bits;

template <class V>
void consume(const V& v) {
  int64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  sink_bits = bits;
}

// A thread that starts on its parent's CPU may stay there for a scheduler tick, longer than a whole
// measurement, so each gets its own of the CPUs this process may use. The caller is left as it is.
void pin([[maybe_unused]] int index) {
#if defined(__linux__)
  cpu_set_t allowed, one;
  if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0) return;
  int skip = index % std::max(1, CPU_COUNT(&allowed));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      pthread_setaffinity_np(pthread_self(), sizeof one, &one);
      return;
    }
#endif
}

template <class Work>
double run_together(int threads, Work work) {
  struct Span {
    Clock::time_point begin, end;
  };
  std::vector<Span> spans(threads);
  std::atomic<int> ready{0};
  auto body = [&](int index) {
    pin(index);
    ready.fetch_add(1);
    while (ready.load(std::memory_order_acquire) < threads) std::this_thread::yield();
    spans[index].begin = Clock::now();
    work(index);
    spans[index].end = Clock::now();
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back(body, i);
  for (auto& t : workers) t.join();
  auto begin = spans[0].begin, end = spans[0].end;
  for (auto& s : spans) {
    begin = std::min(begin, s.begin);
    end = std::max(end, s.end);
  }
  return std::chrono::duration<double>(end - begin).count();
}

struct Range {
  size_t begin, end;
};

// Chunks of whole 4 KiB pages; the rest of the buffer goes to the last thread.
Range chunk(size_t bytes, int threads, int index) {
  size_t page = 4096, each = bytes / threads / page * page;
  return {each * index, index + 1 == threads ? bytes / page * page : each * (index + 1)};
}

// ---- memory ---------------------------------------------------------------------------------------

// Integer sums: one cycle of latency, so that eight accumulators are far from limiting.
void read_chunk(const char* p, size_t bytes) {
  VecI acc[8] = {};
  for (size_t i = 0; i + 8 * kBytes <= bytes; i += 8 * kBytes)
    for (int k = 0; k < 8; ++k) {
      VecI v;
      std::memcpy(&v, p + i + k * kBytes, kBytes);
      acc[k] += v;
    }
  for (int k = 1; k < 8; ++k) acc[0] += acc[k];
  consume(acc[0]);
}

// Streaming stores where the target has them: an ordinary store would first read the line it replaces.
void copy_chunk(char* to, const char* from, size_t bytes) {
#if defined(__AVX512F__)
  for (size_t i = 0; i < bytes; i += 256)
    for (int k = 0; k < 256; k += 64)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i + k), _mm512_loadu_si512(from + i + k));
  _mm_sfence();
#elif defined(__AVX__)
  for (size_t i = 0; i < bytes; i += 128)
    for (int k = 0; k < 128; k += 32)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i + k),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i + k)));
  _mm_sfence();
#elif defined(__x86_64__)
  for (size_t i = 0; i < bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  _mm_sfence();
#else
  std::memcpy(to, from, bytes);
#endif
}

// ---- arithmetic -----------------------------------------------------------------------------------

// acc = acc * m + a, contracted to one instruction where the target has it (the GNU default).
template <class V>
void multiply_add_chains(int64_t steps) {
  V acc[kChains], m, a;
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = V{} + 1;
    asm volatile("" : REG(acc[k]));
  }
  m = V{} + 1;
  a = V{};
  asm volatile("" : REG(m), REG(a));  // hide the constants: x * 1 + 0 must not fold
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = acc[k] * m + a;
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] += acc[k];
  consume(acc[0]);
}

// GCC turns a vector ternary into compare and blend, twice the work of the one instruction.
inline VecF lesser(VecF a, VecF b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX__)
  return _mm256_min_ps(a, b);
#elif defined(__x86_64__)
  return _mm_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

// min(acc, x + y), the inner step of a tropical product: two operations.
void min_plus_chains(int64_t steps) {
  VecF acc[kChains], x, y;
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = VecF{} + 1;
    asm volatile("" : REG(acc[k]));
  }
  x = VecF{} + 2;
  y = VecF{} + 1;
  asm volatile("" : REG(x), REG(y));
  for (int64_t s = 0; s < steps; ++s)
  // The sum is of acc, so that no addition is shared between chains.
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = lesser(acc[k] + y, x);
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] += acc[k];
  consume(acc[0]);
}

// Multiply-adds of one step of all chains below; 0 where the machine has no such instruction.
#if defined(__AVX512VNNI__)
constexpr int kDotPairs = 64 * kChains;
void dot_chains(int64_t steps) {
  __m512i acc[kChains], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-2);
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = _mm512_setzero_si512();
    asm volatile("" : REG(acc[k]));
  }
  asm volatile("" : REG(x), REG(y));
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = _mm512_dpbusd_epi32(acc[k], x, y);
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] = _mm512_add_epi32(acc[0], acc[k]);
  consume(acc[0]);
}
#elif defined(__AVXVNNI__)
constexpr int kDotPairs = 32 * kChains;
void dot_chains(int64_t steps) {
  __m256i acc[kChains], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2);
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = _mm256_setzero_si256();
    asm volatile("" : REG(acc[k]));
  }
  asm volatile("" : REG(x), REG(y));
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = _mm256_dpbusd_avx_epi32(acc[k], x, y);
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] = _mm256_add_epi32(acc[0], acc[k]);
  consume(acc[0]);
}
#elif defined(__AVX2__)
constexpr int kDotPairs = 32 * kChains;
void dot_chains(int64_t steps) {
  __m256i acc[kChains], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2), one = _mm256_set1_epi16(1);
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = _mm256_setzero_si256();
    asm volatile("" : REG(acc[k]));
  }
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) {
      asm volatile("" : REG(x));  // the products differ in real use: do not hoist them
      acc[k] = _mm256_add_epi32(acc[k], _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), one));
    }
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] = _mm256_add_epi32(acc[0], acc[k]);
  consume(acc[0]);
}
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int kDotPairs = 16 * kChains;
void dot_chains(int64_t steps) {
  int32x4_t acc[kChains];
  int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(-2);
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = vdupq_n_s32(0);
    asm volatile("" : REG(acc[k]));
  }
  asm volatile("" : REG(x), REG(y));
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = vdotq_s32(acc[k], x, y);
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] = vaddq_s32(acc[0], acc[k]);
  consume(acc[0]);
}
#else
constexpr int kDotPairs = 64;
void dot_chains(int64_t steps) {
  int32_t acc[64] = {};
  int8_t x[64], y[64];
  std::memset(x, 3, sizeof x);
  std::memset(y, -2, sizeof y);
  for (int64_t s = 0; s < steps; ++s) {
    asm volatile("" : : "r"(x), "r"(y) : "memory");
    for (int k = 0; k < 64; ++k) acc[k] += x[k] * y[k];
  }
  consume(acc);
}
#endif

#if defined(__AVX512BF16__)
constexpr int kBf16Pairs = 32 * kChains;
void bf16_chains(int64_t steps) {
  __m512 acc[kChains];
  __m512i bits = _mm512_set1_epi16(0x3f80);
  asm volatile("" : REG(bits));
  __m512bh x = (__m512bh)bits;
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = _mm512_setzero_ps();
    asm volatile("" : REG(acc[k]));
  }
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = _mm512_dpbf16_ps(acc[k], x, x);
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] = _mm512_add_ps(acc[0], acc[k]);
  consume(acc[0]);
}
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
constexpr int kBf16Pairs = 8 * kChains;
void bf16_chains(int64_t steps) {
  float32x4_t acc[kChains];
  bfloat16x8_t x = vreinterpretq_bf16_u16(vdupq_n_u16(0x3f80));
#pragma GCC unroll 32
  for (int k = 0; k < kChains; ++k) {
    acc[k] = vdupq_n_f32(0);
    asm volatile("" : REG(acc[k]));
  }
  for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 32
    for (int k = 0; k < kChains; ++k) acc[k] = vbfdotq_f32(acc[k], x, x);
#pragma GCC unroll 32
  for (int k = 1; k < kChains; ++k) acc[0] = vaddq_f32(acc[0], acc[k]);
  consume(acc[0]);
}
#else
constexpr int kBf16Pairs = 0;
void bf16_chains(int64_t) {}
#endif

}  // namespace

extern "C" {

double probe_read(const char* from, size_t bytes, int threads) {
  return run_together(threads, [=](int i) {
    Range r = chunk(bytes, threads, i);
    read_chunk(from + r.begin, r.end - r.begin);
  });
}

// `to` must be aligned to 64 bytes.
double probe_copy(char* to, const char* from, size_t bytes, int threads) {
  return run_together(threads, [=](int i) {
    Range r = chunk(bytes, threads, i);
    copy_chunk(to + r.begin, from + r.begin, r.end - r.begin);
  });
}

double probe_fma_f32(int64_t steps, int threads) {
  return run_together(threads, [=](int) { multiply_add_chains<VecF>(steps); });
}

double probe_fma_f64(int64_t steps, int threads) {
  return run_together(threads, [=](int) { multiply_add_chains<VecD>(steps); });
}

double probe_dot_i8(int64_t steps, int threads) {
  return run_together(threads, [=](int) { dot_chains(steps); });
}

double probe_dot_bf16(int64_t steps, int threads) {
  return run_together(threads, [=](int) { bf16_chains(steps); });
}

double probe_min_plus(int64_t steps, int threads) {
  return run_together(threads, [=](int) { min_plus_chains(steps); });
}

// Operations of one step on one thread (a multiply-add counts two); 0: not on this machine.
int probe_ops_fma_f32() { return 2 * kChains * kBytes / 4; }
int probe_ops_fma_f64() { return 2 * kChains * kBytes / 8; }
int probe_ops_dot_i8() { return 2 * kDotPairs; }
int probe_ops_dot_bf16() { return 2 * kBf16Pairs; }
int probe_ops_min_plus() { return 2 * kChains * kBytes / 4; }
}
