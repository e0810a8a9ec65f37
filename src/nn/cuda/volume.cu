// Max pooling, the block permutation of the transposed convolution, and a plain convolution for the
// shapes cuDNN refuses. Volumes are [n, d, h, w, c]; one thread makes one value.
#include "common.cuh"

struct Sizes {
    i64 n, d, h, w, c;
};

// Sizes are those of the input; the window is 2, or 1 along an axis of size 1.
template <typename T>
__device__ __forceinline__ void pool(const T *x, Sizes s, int kd, int kh, int kw, T *y) {
    i64 d = s.d / kd, h = s.h / kh, w = s.w / kw, count = s.n * d * h * w * s.c;
    for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        i64 c = i % s.c, px = i / s.c % w, py = i / s.c / w % h, pz = i / s.c / w / h;
        T best;
        bool first = true;
        for (int dz = 0; dz < kd; dz++)
            for (int dy = 0; dy < kh; dy++)
                for (int dx = 0; dx < kw; dx++) {
                    // n and d together: the window divides the depth.
                    i64 at = (((pz * kd + dz) * s.h + py * kh + dy) * s.w + px * kw + dx) * s.c + c;
                    float value = load(x, at);
                    if (first || value > load(&best, 0) || value != value) best = x[at];
                    first = false;
                }
        y[i] = best;
    }
}

// Of equal maxima the first takes the gradient.
template <typename T>
__device__ __forceinline__ void pool_grad(const T *x, const T *y, const T *dy, Sizes s, int kd, int kh, int kw, T *dx) {
    i64 d = s.d / kd, h = s.h / kh, w = s.w / kw, count = s.n * d * h * w * s.c;
    for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        i64 c = i % s.c, px = i / s.c % w, py = i / s.c / w % h, pz = i / s.c / w / h;
        float best = load(y, i), left = load(dy, i);
        for (int z = 0; z < kd; z++)
            for (int r = 0; r < kh; r++)
                for (int q = 0; q < kw; q++) {
                    i64 at = (((pz * kd + z) * s.h + py * kh + r) * s.w + px * kw + q) * s.c + c;
                    bool is_max = load(x, at) == best;
                    store(dx, at, is_max ? left : 0.f);
                    if (is_max) left = 0;
                }
    }
}

// Blocks [n, d, h, w, kd, kh, kw, c] to the volume [n, d kd, h kh, w kw, c], or back; sizes are those
// of the voxels, c counts words.
template <typename W>
__device__ __forceinline__ void permute(const W *from, Sizes s, int kd, int kh, int kw, int back, W *to) {
    i64 count = s.n * s.d * s.h * s.w * kd * kh * kw * s.c;
    for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        // i runs over the volume.
        i64 rest = i, c = rest % s.c;
        rest /= s.c;
        i64 q = rest % kw, x = rest / kw % s.w;
        rest /= kw * s.w;
        i64 r = rest % kh, y = rest / kh % s.h;
        rest /= kh * s.h;
        i64 p = rest % kd, z = rest / kd; // n and d together
        i64 block = (((((z * s.h + y) * s.w + x) * kd + p) * kh + r) * kw + q) * s.c + c;
        if (back)
            to[block] = from[i];
        else
            to[i] = from[block];
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

#define VOLUME(T, name)                                                                                                       \
    extern "C" __global__ void max_pool_##name(const T *x, Sizes s, int kd, int kh, int kw, T *y) {                           \
        pool<T>(x, s, kd, kh, kw, y);                                                                                         \
    }                                                                                                                         \
    extern "C" __global__ void max_pool_grad_##name(const T *x, const T *y, const T *dy, Sizes s, int kd, int kh, int kw,     \
                                                    T *dx) {                                                                  \
        pool_grad<T>(x, y, dy, s, kd, kh, kw, dx);                                                                            \
    }                                                                                                                         \
    extern "C" __global__ void convolve_##name(const T *x, const T *w, Sizes s, int kd, int kh, int kw, int co, int mirrored, \
                                               T *y) {                                                                        \
        convolve<T>(x, w, s, kd, kh, kw, co, mirrored, y);                                                                    \
    }                                                                                                                         \
    extern "C" __global__ void filter_grad_##name(const T *x, const T *dy, Sizes s, int kd, int kh, int kw, int co, T *dw) {  \
        filter_grad<T>(x, dy, s, kd, kh, kw, co, dw);                                                                         \
    }

VOLUME(float, f32)
VOLUME(__nv_bfloat16, bf16)

struct alignas(16) Word16 {
    uint32_t at[4];
};

extern "C" __global__ void permute_2(const uint16_t *from, Sizes s, int kd, int kh, int kw, int back, uint16_t *to) {
    permute<uint16_t>(from, s, kd, kh, kw, back, to);
}
extern "C" __global__ void permute_4(const uint32_t *from, Sizes s, int kd, int kh, int kw, int back, uint32_t *to) {
    permute<uint32_t>(from, s, kd, kh, kw, back, to);
}
extern "C" __global__ void permute_16(const Word16 *from, Sizes s, int kd, int kh, int kw, int back, Word16 *to) {
    permute<Word16>(from, s, kd, kh, kw, back, to);
}
