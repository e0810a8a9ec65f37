// Lets CUDA kernel files compile as C++ and run on the CPU, one thread of a block at a time.
//
// The threads of a block are fibers that take turns at barriers, so a missing barrier or a wrong
// index shows as a wrong result, as it would on a GPU; data races within one stretch do not.
#pragma once
#include <cuda_runtime.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <math.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#undef __global__
#undef __device__
#undef __forceinline__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#define __global__
#define __device__
#define __constant__ const
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __CUDA_ARCH__ 900

extern uint3 threadIdx_, blockIdx_;
extern dim3 blockDim_, gridDim_;
#define threadIdx threadIdx_
#define blockIdx blockIdx_
#define blockDim blockDim_
#define gridDim gridDim_

// Waits for the whole block; or lets every other thread take one turn.
void emulated_barrier();
void emulated_turn();
extern char emulated_lanes[1024][16];
inline void __syncthreads() { emulated_barrier(); }
inline void __syncwarp(unsigned = 0) { emulated_turn(); }
inline int emulated_lane() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
template <typename T> inline T emulated_shuffle(T value, int from) {
    memcpy(emulated_lanes[emulated_lane()], &value, sizeof(T));
    emulated_turn();
    memcpy(&value, emulated_lanes[from], sizeof(T));
    emulated_turn();
    return value;
}
template <typename T> inline T __shfl_xor_sync(unsigned, T value, int mask, int = 32) { return emulated_shuffle(value, emulated_lane() ^ mask); }
template <typename T> inline T __shfl_down_sync(unsigned, T value, int delta, int = 32) {
    int lane = emulated_lane();
    return emulated_shuffle(value, lane % 32 + delta < 32 ? lane + delta : lane);
}

inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
inline double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
// Kernels that training launches use no atomics; the others only have to compile.
template <typename T> inline T emulated_atomic(T *at, T value) { T old = *at; *at = value; return old; }
#define EMULATED_ATOMIC(name, expression)                                                                             \
    template <typename T, typename V> inline T name(T *at, V v) { T old = *at; *at = expression; return old; }
EMULATED_ATOMIC(atomicMax, old > (T)v ? old : (T)v)
EMULATED_ATOMIC(atomicMin, old < (T)v ? old : (T)v)
EMULATED_ATOMIC(atomicAdd, (T)(old + (T)v))
template <typename T> inline T atomicCAS(T *at, T compare, T v) { T old = *at; if (old == compare) *at = v; return old; }

#define EMULATED_HALF(name, function)                                                                                 \
    inline __half name(__half x) { return __float2half(function(__half2float(x))); }                                  \
    inline __nv_bfloat16 name(__nv_bfloat16 x) { return __float2bfloat16(function(__bfloat162float(x))); }
EMULATED_HALF(hsqrt, sqrtf)
EMULATED_HALF(hcos, cosf)
EMULATED_HALF(hsin, sinf)
EMULATED_HALF(hlog, logf)
EMULATED_HALF(hexp, expf)
EMULATED_HALF(hrcp, 1.f / )
EMULATED_HALF(hceil, ceilf)
EMULATED_HALF(hfloor, floorf)
EMULATED_HALF(hrint, rintf)
EMULATED_HALF(hrsqrt, 1.f / sqrtf)
template <typename A, typename B> inline typename std::common_type<A, B>::type min(A a, B b) { return a < b ? a : b; }
template <typename A, typename B> inline typename std::common_type<A, B>::type max(A a, B b) { return a > b ? a : b; }

typedef void (*Launch)(void **);
void emulated_register(const char *name, Launch launch);

template <typename... A, size_t... I> inline void emulated_call(void (*f)(A...), void **args, std::index_sequence<I...>) {
    f(*(typename std::remove_reference<A>::type *)args[I]...);
}
template <typename... A> inline void emulated_apply(void (*f)(A...), void **args) {
    emulated_call(f, args, std::index_sequence_for<A...>());
}
#define KERNEL(name)                                                                                                  \
    static void launch_##name(void **args) { emulated_apply(&name, args); }                                           \
    static struct Register_##name {                                                                                   \
        Register_##name() { emulated_register(#name, launch_##name); }                                                \
    } register_##name;
