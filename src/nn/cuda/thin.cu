// Convolutions where one side has one to four channels: cuDNN's tensor-core engines want eight, and its
// others take ten times as long. Volumes are [n, d, h, w, c], kernels [co, kd, kh, kw, ci].
#include "common.cuh"

// Output channels of one thread.
#define OUTPUTS 16
// Largest kernel in shared memory: 27 taps, 4 channels on the thin side, 64 on the other.
#define MOST_WEIGHTS (27 * 4 * 64)

// Sizes are those of x, whose channels are the thin side; `to` is a multiple of OUTPUTS. `mirrored` takes
// the kernel [ci', taps, co'] of the data gradient.
template <typename T, int V>
__device__ __forceinline__ void from_thin(const T *x, const T *w, Sizes s, int kd, int kh, int kw, int to, int mirrored, T *y) {
    __shared__ float weights[MOST_WEIGHTS]; // [taps, from, to]
    int taps = kd * kh * kw, from = (int)s.c;
    for (int i = threadIdx.x; i < taps * from * to; i += THREADS) {
        int o = i % to, c = i / to % from, tap = i / to / from;
        weights[i] = load(w, mirrored ? (c * taps + taps - 1 - tap) * to + o : (o * taps + tap) * from + c);
    }
    __syncthreads();
    uint32_t sw = (uint32_t)s.w, sh = (uint32_t)s.h, sd = (uint32_t)s.d, parts = (uint32_t)to / OUTPUTS;
    uint32_t count = (uint32_t)s.n * sd * sh * sw * parts;
    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        uint32_t part = i % parts, voxel = i / parts, px = voxel % sw, rest = voxel / sw, py = rest % sh, pz = rest / sh % sd;
        float sums[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) sums[o] = 0;
        for (int tz = 0; tz < kd; tz++)
            for (int ty = 0; ty < kh; ty++)
                for (int tx = 0; tx < kw; tx++) {
                    int z = tz - kd / 2, r = ty - kh / 2, q = tx - kw / 2;
                    // A step below zero is a huge unsigned number.
                    if (pz + z >= sd || py + r >= sh || px + q >= sw) continue;
                    const T *row = x + ((i64)voxel + ((i64)z * sh + r) * sw + q) * from;
                    const float *at = weights + ((tz * kh + ty) * kw + tx) * from * to + part * OUTPUTS;
                    for (int c = 0; c < from; c++, at += to) {
                        float value = load(row, c);
                        for (int o = 0; o < OUTPUTS; o++) sums[o] += value * at[o];
                    }
                }
        Pack<T, V> *out = (Pack<T, V> *)(y + (i64)i * OUTPUTS);
        for (int p = 0; p < OUTPUTS / V; p++) {
            Pack<T, V> values;
            for (int v = 0; v < V; v++) store(values.at, v, sums[p * V + v]);
            out[p] = values;
        }
    }
}

// A kernel 1³ from `from` channels, a multiple of V, to at most four.
template <typename T, int V>
__device__ __forceinline__ void to_thin(const T *x, const T *w, i64 voxels, int from, int to, T *y) {
    __shared__ float weights[MOST_WEIGHTS]; // [to, from]
    for (int i = threadIdx.x; i < to * from; i += THREADS) weights[i] = load(w, i);
    __syncthreads();
    for (i64 voxel = blockIdx.x * (i64)THREADS + threadIdx.x; voxel < voxels; voxel += (i64)gridDim.x * THREADS) {
        const Pack<T, V> *row = (const Pack<T, V> *)(x + voxel * from);
        float sums[4] = {0, 0, 0, 0};
        for (int c = 0; c < from; c += V) {
            Pack<T, V> values = row[c / V];
            for (int v = 0; v < V; v++) {
                float value = load(values.at, v);
                for (int o = 0; o < 4; o++)
                    if (o < to) sums[o] += value * weights[o * from + c + v];
            }
        }
        for (int o = 0; o < 4; o++)
            if (o < to) store(y, voxel * to + o, sums[o]);
    }
}

// The filter gradient of a thin x, first stage: grid (pieces, co / OUTPUTS). A thread owns one tap and
// channel of every few voxels of the piece; partial[piece, entry, o] is summed over the block's threads.
template <typename T, int V>
__device__ __forceinline__ void thin_filter(const T *x, const T *dy, Sizes s, int kd, int kh, int kw, int co, double *partial) {
    __shared__ float shared[THREADS * OUTPUTS];
    int from = (int)s.c, entries = kd * kh * kw * from, lanes = THREADS / entries;
    int lane = threadIdx.x / entries, entry = threadIdx.x % entries, first = blockIdx.y * OUTPUTS;
    float sums[OUTPUTS];
    for (int o = 0; o < OUTPUTS; o++) sums[o] = 0;
    if (lane < lanes) {
        int c = entry % from, tap = entry / from;
        int z = tap / kw / kh - kd / 2, r = tap / kw % kh - kh / 2, q = tap % kw - kw / 2;
        int sw = (int)s.w, sh = (int)s.h, sd = (int)s.d;
        i64 voxels = s.n * s.d * s.h * s.w, end = cut(voxels, blockIdx.x + 1, gridDim.x);
        i64 voxel = cut(voxels, blockIdx.x, gridDim.x) + lane;
        int px = (int)(voxel % sw), py = (int)(voxel / sw % sh), pz = (int)(voxel / sw / sh % sd);
        i64 shift = (((i64)z * sh + r) * sw + q) * from + c;
        for (; voxel < end; voxel += lanes) {
            if ((unsigned)(pz + z) < (unsigned)sd && (unsigned)(py + r) < (unsigned)sh && (unsigned)(px + q) < (unsigned)sw) {
                float value = load(x, voxel * from + shift);
                const Pack<T, V> *row = (const Pack<T, V> *)(dy + voxel * co + first);
                for (int p = 0; p < OUTPUTS / V; p++) {
                    Pack<T, V> grads = row[p];
                    for (int v = 0; v < V; v++) sums[p * V + v] += value * load(grads.at, v);
                }
            }
            // Carries instead of divisions.
            for (px += lanes; px >= sw; px -= sw)
                if (++py == sh) {
                    py = 0;
                    if (++pz == sd) pz = 0;
                }
        }
    }
    for (int o = 0; o < OUTPUTS; o++) shared[threadIdx.x * OUTPUTS + o] = sums[o];
    __syncthreads();
    for (int i = threadIdx.x; i < entries * OUTPUTS; i += THREADS) {
        double sum = 0;
        for (int l = 0; l < lanes; l++) sum += shared[l * entries * OUTPUTS + i];
        partial[((i64)blockIdx.x * gridDim.y + blockIdx.y) * entries * OUTPUTS + i] = sum;
    }
}

// Second stage: one block a weight, grid taps * ci * co.
template <typename T> __device__ __forceinline__ void thin_filter_finish(const double *partial, int pieces, int entries, T *dw) {
    __shared__ double scratch[THREADS];
    int weight = blockIdx.x, entry = weight % entries, output = weight / entries;
    i64 at = ((i64)(output / OUTPUTS) * entries + entry) * OUTPUTS + output % OUTPUTS;
    double sum = 0;
    for (int piece = threadIdx.x; piece < pieces; piece += THREADS) sum += partial[(i64)piece * gridDim.x + at];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) store(dw, weight, (float)sum);
}

#define THIN(T, name, V)                                                                                                       \
    extern "C" __global__ void from_thin_##name(const T *x, const T *w, Sizes s, int kd, int kh, int kw, int to, int mirrored, \
                                                T *y) {                                                                        \
        from_thin<T, V>(x, w, s, kd, kh, kw, to, mirrored, y);                                                                 \
    }                                                                                                                          \
    extern "C" __global__ void to_thin_##name(const T *x, const T *w, i64 voxels, int from, int to, T *y) {                    \
        to_thin<T, V>(x, w, voxels, from, to, y);                                                                              \
    }                                                                                                                          \
    extern "C" __global__ void thin_filter_##name(const T *x, const T *dy, Sizes s, int kd, int kh, int kw, int co,            \
                                                  double *partial) {                                                           \
        thin_filter<T, V>(x, dy, s, kd, kh, kw, co, partial);                                                                  \
    }                                                                                                                          \
    extern "C" __global__ void thin_filter_finish_##name(const double *partial, int pieces, int entries, T *dw) {              \
        thin_filter_finish<T>(partial, pieces, entries, dw);                                                                   \
    }

THIN(float, f32, 4)
THIN(__nv_bfloat16, bf16, 8)
