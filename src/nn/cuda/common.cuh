// What every kernel file shares: two value types, block sums in a fixed order.
//
// Only block-wide barriers and shared memory are used: no atomics and no warp intrinsics, so that a
// sum's order depends on the shape alone.
#pragma once
#include <cuda_bf16.h>
#include <stdint.h>

typedef long long i64;

#define THREADS 256

// Of a volume [n, d, h, w, c].
struct Sizes {
    i64 n, d, h, w, c;
};

__device__ __forceinline__ float load(const float *p, i64 i) { return p[i]; }
__device__ __forceinline__ float load(const __nv_bfloat16 *p, i64 i) { return __bfloat162float(p[i]); }
__device__ __forceinline__ void store(float *p, i64 i, float v) { p[i] = v; }
__device__ __forceinline__ void store(__nv_bfloat16 *p, i64 i, float v) { p[i] = __float2bfloat16(v); }

// V consecutive values that are read and written as one word of 16 bytes, or one value.
template <typename T, int V> struct alignas(V * sizeof(T)) Pack { T at[V]; };

// Sum over the block, the same on every thread; a tree, whatever the scheduling.
__device__ __forceinline__ double block_sum(double value, double *scratch) {
    scratch[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
        __syncthreads();
    }
    double total = scratch[0];
    __syncthreads();
    return total;
}

// First row of piece `piece` when `rows` rows are cut into `pieces`.
__device__ __forceinline__ i64 cut(i64 rows, i64 piece, i64 pieces) { return rows * piece / pieces; }
