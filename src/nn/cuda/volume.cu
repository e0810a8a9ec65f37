// Max pooling, the block permutation of the transposed convolution, and a plain convolution for the
// shapes cuDNN refuses. Volumes are [n, d, h, w, c]; one thread makes one value.
#include "common.cuh"

// Sizes are those of the input, c in packs of V values; the window is 2, or 1 along an axis of size 1.
// I counts packs: 32 bits divide several times faster than 64, and hold all but the largest volumes.
template <typename T, int V, typename I>
__device__ __forceinline__ void pool(const T *x, Sizes s, int kd, int kh, int kw, T *y) {
    I sh = (I)s.h, sw = (I)s.w, sc = (I)s.c, d = (I)s.d / kd, h = sh / kh, w = sw / kw, count = (I)s.n * d * h * w * sc;
    const Pack<T, V> *from = (const Pack<T, V> *)x;
    for (I i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        I c = i % sc, rest = i / sc, px = rest % w;
        rest /= w;
        I py = rest % h, pz = rest / h;
        Pack<T, V> best;
        bool first = true;
        for (int dz = 0; dz < kd; dz++)
            for (int dy = 0; dy < kh; dy++)
                for (int dx = 0; dx < kw; dx++) {
                    // n and d together: the window divides the depth.
                    Pack<T, V> values = from[(((pz * kd + dz) * sh + py * kh + dy) * sw + px * kw + dx) * sc + c];
                    for (int v = 0; v < V; v++) {
                        float value = load(values.at, v);
                        if (first || value > load(best.at, v) || value != value) best.at[v] = values.at[v];
                    }
                    first = false;
                }
        ((Pack<T, V> *)y)[i] = best;
    }
}

// Of equal maxima the first takes the gradient.
template <typename T, int V, typename I>
__device__ __forceinline__ void pool_grad(const T *x, const T *y, const T *dy, Sizes s, int kd, int kh, int kw, T *dx) {
    I sh = (I)s.h, sw = (I)s.w, sc = (I)s.c, d = (I)s.d / kd, h = sh / kh, w = sw / kw, count = (I)s.n * d * h * w * sc;
    const Pack<T, V> *xs = (const Pack<T, V> *)x;
    for (I i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        I c = i % sc, rest = i / sc, px = rest % w;
        rest /= w;
        I py = rest % h, pz = rest / h;
        Pack<T, V> best = ((const Pack<T, V> *)y)[i], grads = ((const Pack<T, V> *)dy)[i];
        float left[V];
        for (int v = 0; v < V; v++) left[v] = load(grads.at, v);
        for (int z = 0; z < kd; z++)
            for (int r = 0; r < kh; r++)
                for (int q = 0; q < kw; q++) {
                    I at = (((pz * kd + z) * sh + py * kh + r) * sw + px * kw + q) * sc + c;
                    Pack<T, V> values = xs[at], out;
                    for (int v = 0; v < V; v++) {
                        bool is_max = load(values.at, v) == load(best.at, v);
                        store(out.at, v, is_max ? left[v] : 0.f);
                        if (is_max) left[v] = 0;
                    }
                    ((Pack<T, V> *)dx)[at] = out;
                }
    }
}

// Where voxel `at` of the volume [n, d kd, h kh, w kw] is among the blocks [n, d, h, w, kd, kh, kw];
// sizes are those of the blocks.
template <typename I> __device__ __forceinline__ I block_of(I at, Sizes s, int kd, int kh, int kw) {
    I wide = (I)s.w * kw, high = (I)s.h * kh, x = at % wide;
    at /= wide;
    I y = at % high, z = at / high; // n and d together
    return (((z / kd * (I)s.h + y / kh) * (I)s.w + x / kw) * kd + z % kd) * (kh * kw) + y % kh * kw + x % kw;
}

// Blocks [n, d, h, w, kd, kh, kw, c] to the volume [n, d kd, h kh, w kw, c], or back; c counts words.
template <typename W, typename I>
__device__ __forceinline__ void permute(const W *from, Sizes s, int kd, int kh, int kw, int back, W *to) {
    I sc = (I)s.c, count = (I)s.n * (I)s.d * (I)s.h * (I)s.w * kd * kh * kw * sc;
    // i runs over the volume.
    for (I i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        I block = block_of<I>(i / sc, s, kd, kh, kw) * sc + i % sc;
        if (back)
            to[block] = from[i];
        else
            to[i] = from[block];
    }
}

// Blocks as above and a skip connection [n, d kd, h kh, w kw, skips] side by side, the blocks' channels
// first: `joined` has c + skips of them. `apart` takes them apart again.
template <typename W, typename I>
__device__ __forceinline__ void join(W *blocks, W *skip, Sizes s, int kd, int kh, int kw, i64 skips, int apart, W *joined) {
    I sc = (I)s.c, ss = (I)skips, all = sc + ss, count = (I)s.n * (I)s.d * (I)s.h * (I)s.w * kd * kh * kw * all;
    for (I i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        I c = i % all, voxel = i / all;
        W *part = c < sc ? blocks + block_of<I>(voxel, s, kd, kh, kw) * sc + c : skip + voxel * ss + (c - sc);
        if (apart)
            *part = joined[i];
        else
            joined[i] = *part;
    }
}

// y[v, o] = sum over taps and inputs; `mirrored` takes the kernel [ci', k, co'] of the data gradient.
template <typename T>
__device__ __forceinline__ void convolve(const T *x, const T *w, Sizes s, int kd, int kh, int kw, int co, int mirrored, T *y) {
    i64 count = s.n * s.d * s.h * s.w * co;
    int taps = kd * kh * kw;
    for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        i64 o = i % co, px = i / co % s.w, py = i / co / s.w % s.h, pz = i / co / s.w / s.h % s.d, n = i / co / s.w / s.h / s.d;
        float sum = 0;
        for (int tap = 0; tap < taps; tap++) {
            i64 qz = pz + tap / kw / kh - kd / 2, qy = py + tap / kw % kh - kh / 2, qx = px + tap % kw - kw / 2;
            if (qz < 0 || qz >= s.d || qy < 0 || qy >= s.h || qx < 0 || qx >= s.w) continue;
            const T *row = x + (((n * s.d + qz) * s.h + qy) * s.w + qx) * s.c;
            float part = 0;
            for (i64 c = 0; c < s.c; c++) {
                i64 at = mirrored ? (c * taps + taps - 1 - tap) * co + o : (o * taps + tap) * s.c + c;
                part += load(row, c) * load(w, at);
            }
            sum += part;
        }
        store(y, i, sum);
    }
}

// dw[o, tap, c]: one block an entry, grid co * taps * ci.
template <typename T>
__device__ __forceinline__ void filter_grad(const T *x, const T *dy, Sizes s, int kd, int kh, int kw, int co, T *dw) {
    __shared__ double scratch[THREADS];
    int taps = kd * kh * kw;
    i64 entry = blockIdx.x, c = entry % s.c, tap = entry / s.c % taps, o = entry / s.c / taps;
    i64 tz = tap / kw / kh - kd / 2, ty = tap / kw % kh - kh / 2, tx = tap % kw - kw / 2;
    double sum = 0;
    for (i64 v = threadIdx.x; v < s.n * s.d * s.h * s.w; v += THREADS) {
        i64 qx = v % s.w + tx, qy = v / s.w % s.h + ty, qz = v / s.w / s.h % s.d + tz, n = v / s.w / s.h / s.d;
        if (qz < 0 || qz >= s.d || qy < 0 || qy >= s.h || qx < 0 || qx >= s.w) continue;
        sum += load(dy, v * co + o) * load(x, (((n * s.d + qz) * s.h + qy) * s.w + qx) * s.c + c);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) store(dw, entry, (float)sum);
}

#define POOLING(T, name, V, I)                                                                                                 \
    extern "C" __global__ void max_pool_##name(const T *x, Sizes s, int kd, int kh, int kw, T *y) {                            \
        pool<T, V, I>(x, s, kd, kh, kw, y);                                                                                    \
    }                                                                                                                          \
    extern "C" __global__ void max_pool_grad_##name(const T *x, const T *y, const T *dy, Sizes s, int kd, int kh, int kw,      \
                                                    T *dx) {                                                                   \
        pool_grad<T, V, I>(x, y, dy, s, kd, kh, kw, dx);                                                                       \
    }

POOLING(float, f32, 1, i64)
POOLING(float, wide_f32, 4, uint32_t)
POOLING(__nv_bfloat16, bf16, 1, i64)
POOLING(__nv_bfloat16, wide_bf16, 8, uint32_t)

#define PLAIN(T, name)                                                                                                         \
    extern "C" __global__ void convolve_##name(const T *x, const T *w, Sizes s, int kd, int kh, int kw, int co, int mirrored,  \
                                               T *y) {                                                                         \
        convolve<T>(x, w, s, kd, kh, kw, co, mirrored, y);                                                                     \
    }                                                                                                                          \
    extern "C" __global__ void filter_grad_##name(const T *x, const T *dy, Sizes s, int kd, int kh, int kw, int co, T *dw) {   \
        filter_grad<T>(x, dy, s, kd, kh, kw, co, dw);                                                                          \
    }

PLAIN(float, f32)
PLAIN(__nv_bfloat16, bf16)

struct alignas(16) Word16 {
    uint32_t at[4];
};

#define MOVES(W, name, I)                                                                                                      \
    extern "C" __global__ void permute_##name(const W *from, Sizes s, int kd, int kh, int kw, int back, W *to) {               \
        permute<W, I>(from, s, kd, kh, kw, back, to);                                                                          \
    }                                                                                                                          \
    extern "C" __global__ void join_##name(W *blocks, W *skip, Sizes s, int kd, int kh, int kw, i64 skips, int apart,          \
                                           W *joined) {                                                                        \
        join<W, I>(blocks, skip, s, kd, kh, kw, skips, apart, joined);                                                         \
    }

MOVES(uint16_t, 2, i64)
MOVES(uint32_t, 4, i64)
MOVES(Word16, 16, uint32_t)
