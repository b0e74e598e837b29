// Compiler spellings used everywhere, for the host compiler and for nvcc/NVRTC.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define UFUSE_DEVICE_CODE 1
#define UFUSE_INLINE __host__ __device__ __forceinline__
#else
#define UFUSE_DEVICE_CODE 0
#define UFUSE_INLINE inline __attribute__((always_inline))
#endif

#define UFUSE_API __attribute__((visibility("default")))

// Tier sources are compiled once per CPU tier; everything in them lives in a namespace of the tier, so
// that the linker can never pick an AVX-512 copy of an inline function for an older machine.
#ifndef UFUSE_TIER
#define UFUSE_TIER scalar
#endif
