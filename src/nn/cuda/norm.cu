// Instance and group norm with the activation after it; x is [samples, voxels, channels].
//
// Reductions have two stages: blocks sum pieces of the voxels, then one block a (sample, group) joins
// the pieces in order. Tables hold four floats a (sample, channel).
#include "common.cuh"

// Sums over a piece of voxels for a tile of up to THREADS channels: threads lie as rows x channels.
// `term` gives the two summands of one value. partial: [samples, pieces, channels, 2] doubles.
template <typename Term>
__device__ __forceinline__ void piece_sums(i64 voxels, int channels, double *partial, Term term) {
    __shared__ double scratch[2 * THREADS];
    int piece = blockIdx.x, pieces = gridDim.x, sample = blockIdx.y;
    int first = blockIdx.z * THREADS;
    int width = channels - first < THREADS ? channels - first : THREADS;
    int lanes = THREADS / width;
    int lane = threadIdx.x / width, channel = first + threadIdx.x % width;
    i64 end = cut(voxels, piece + 1, pieces);
    double sum = 0, product = 0;
    if (lane < lanes) {
        i64 row = cut(voxels, piece, pieces) + lane;
        while (row < end) {
            // f32 within short runs, f64 above.
            float a = 0, b = 0;
            for (int i = 0; i < 32 && row < end; i++, row += lanes) term(sample, row, channel, a, b);
            sum += a;
            product += b;
        }
    }
    scratch[2 * threadIdx.x] = sum;
    scratch[2 * threadIdx.x + 1] = product;
    __syncthreads();
    if (lane == 0) {
        for (int l = 1; l < lanes; l++) {
            sum += scratch[2 * (l * width + threadIdx.x)];
            product += scratch[2 * (l * width + threadIdx.x) + 1];
        }
        double *out = partial + (((i64)sample * pieces + piece) * channels + channel) * 2;
        out[0] = sum;
        out[1] = product;
    }
}

// Summands are shifted by the group's first value, against cancellation in the variance.
template <typename T>
__device__ __forceinline__ void moments(const T *x, i64 voxels, int channels, int groups, double *partial) {
    int width = channels / groups;
    piece_sums(voxels, channels, partial, [=](int sample, i64 row, int channel, float &a, float &b) {
        const T *at = x + (i64)sample * voxels * channels;
        float value = load(at, row * channels + channel) - load(at, channel / width * width);
        a += value;
        b += value * value;
    });
}

// table: factor, summand, mean, 1 / sqrt(variance + eps). Grid: samples x groups.
template <typename T>
__device__ __forceinline__ void finish(const T *x, const double *partial, int pieces, i64 voxels, int channels, int groups,
                                       double eps, const float *scale, const float *shift, float *table) {
    __shared__ double scratch[THREADS];
    int sample = blockIdx.x / groups, group = blockIdx.x % groups, width = channels / groups, first = group * width;
    double sum = 0, squares = 0;
    for (i64 i = threadIdx.x; i < (i64)pieces * width; i += THREADS) {
        const double *at = partial + (((i64)sample * pieces + i / width) * channels + first + i % width) * 2;
        sum += at[0];
        squares += at[1];
    }
    sum = block_sum(sum, scratch);
    squares = block_sum(squares, scratch);
    double count = (double)voxels * width, rest = sum / count;
    double mean = (double)load(x, (i64)sample * voxels * channels + first) + rest;
    double variance = squares / count - rest * rest;
    float inverse = (float)(1.0 / sqrt((variance > 0 ? variance : 0) + eps));
    // A value that is not a number must show.
    if (!(variance == variance)) inverse = (float)variance;
    for (int j = first + threadIdx.x; j < first + width; j += THREADS) {
        float *out = table + ((i64)sample * channels + j) * 4;
        float factor = scale[j] * inverse;
        out[0] = factor;
        out[1] = shift[j] - (float)mean * factor;
        out[2] = (float)mean;
        out[3] = inverse;
    }
}

// Grid: chunks x samples.
template <typename T, int V>
__device__ __forceinline__ void apply(const T *x, const float *table, i64 voxels, int channels, float slope, T *y) {
    i64 count = voxels * channels / V;
    const Pack<T, V> *from = (const Pack<T, V> *)(x + (i64)blockIdx.y * voxels * channels);
    Pack<T, V> *to = (Pack<T, V> *)(y + (i64)blockIdx.y * voxels * channels);
    table += (i64)blockIdx.y * channels * 4;
    for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        Pack<T, V> values = from[i], out;
        int channel = (int)(i * V % channels);
        for (int v = 0; v < V; v++) {
            const float *at = table + (channel + v) * 4;
            float u = load(values.at, v) * at[0] + at[1];
            store(out.at, v, u > 0 ? u : u * slope);
        }
        to[i] = out;
    }
}

// Sums of g and g (x - mean), with g the gradient before the activation.
template <typename T>
__device__ __forceinline__ void grad_sums(const T *x, const T *dy, const float *table, i64 voxels, int channels, float slope,
                                          double *partial) {
    piece_sums(voxels, channels, partial, [=](int sample, i64 row, int channel, float &a, float &b) {
        i64 at = ((i64)sample * voxels + row) * channels + channel;
        const float *t = table + ((i64)sample * channels + channel) * 4;
        float value = load(x, at), g = load(dy, at);
        g = value * t[0] + t[1] > 0 ? g : g * slope;
        a += g;
        b += g * (value - t[2]);
    });
}

// Joins the pieces: totals [samples, channels, 2] (sum g v, sum g) and terms (a, b, e, 0) with
// dx = g a - (x - mean) b - e. Grid: samples x groups.
extern "C" __global__ void norm_grad_finish(const double *partial, int pieces, i64 voxels, int channels, int groups,
                                            const float *scale, const float *table, double *totals, float *terms) {
    __shared__ double scratch[THREADS];
    int sample = blockIdx.x / groups, group = blockIdx.x % groups, width = channels / groups, first = group * width;
    double plain = 0, product = 0;
    for (int j = first + threadIdx.x; j < first + width; j += THREADS) {
        double sum = 0, sum_product = 0;
        for (int piece = 0; piece < pieces; piece++) {
            const double *at = partial + (((i64)sample * pieces + piece) * channels + j) * 2;
            sum += at[0];
            sum_product += at[1];
        }
        sum_product *= table[((i64)sample * channels + j) * 4 + 3];
        double *out = totals + ((i64)sample * channels + j) * 2;
        out[0] = sum_product;
        out[1] = sum;
        plain += sum * scale[j];
        product += sum_product * scale[j];
    }
    double count = (double)voxels * width;
    plain = block_sum(plain, scratch) / count;
    product = block_sum(product, scratch) / count;
    for (int j = first + threadIdx.x; j < first + width; j += THREADS) {
        double inverse = table[((i64)sample * channels + j) * 4 + 3];
        float *out = terms + ((i64)sample * channels + j) * 4;
        out[0] = (float)(scale[j] * inverse);
        out[1] = (float)(product * inverse * inverse);
        out[2] = (float)(plain * inverse);
        out[3] = 0;
    }
}

// dscale, then dshift: the totals over the samples, in order.
extern "C" __global__ void norm_grad_affine(const double *totals, int samples, int channels, float *out) {
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= 2 * channels) return;
    int which = i / channels, j = i % channels;
    double sum = 0;
    for (int sample = 0; sample < samples; sample++) sum += totals[((i64)sample * channels + j) * 2 + which];
    out[i] = (float)sum;
}

// Grid: chunks x samples.
template <typename T, int V>
__device__ __forceinline__ void grad_apply(const T *x, const T *dy, const float *table, const float *terms, i64 voxels,
                                           int channels, float slope, T *dx) {
    i64 count = voxels * channels / V, start = (i64)blockIdx.y * voxels * channels;
    const Pack<T, V> *xs = (const Pack<T, V> *)(x + start), *dys = (const Pack<T, V> *)(dy + start);
    Pack<T, V> *to = (Pack<T, V> *)(dx + start);
    table += (i64)blockIdx.y * channels * 4;
    terms += (i64)blockIdx.y * channels * 4;
    for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        Pack<T, V> values = xs[i], grads = dys[i], out;
        int channel = (int)(i * V % channels);
        for (int v = 0; v < V; v++) {
            const float *t = table + (channel + v) * 4, *s = terms + (channel + v) * 4;
            float value = load(values.at, v), g = load(grads.at, v);
            g = value * t[0] + t[1] > 0 ? g : g * slope;
            store(out.at, v, g * s[0] - (value - t[2]) * s[1] - s[2]);
        }
        to[i] = out;
    }
}

#define NORM(T, name, WIDE)                                                                                                    \
    extern "C" __global__ void norm_moments_##name(const T *x, i64 voxels, int channels, int groups, double *partial) {        \
        moments<T>(x, voxels, channels, groups, partial);                                                                      \
    }                                                                                                                          \
    extern "C" __global__ void norm_finish_##name(const T *x, const double *partial, int pieces, i64 voxels, int channels,     \
                                                  int groups, double eps, const float *scale, const float *shift,              \
                                                  float *table) {                                                              \
        finish<T>(x, partial, pieces, voxels, channels, groups, eps, scale, shift, table);                                     \
    }                                                                                                                          \
    extern "C" __global__ void norm_apply_##name(const T *x, const float *table, i64 voxels, int channels, float slope,        \
                                                 T *y) {                                                                       \
        apply<T, 1>(x, table, voxels, channels, slope, y);                                                                     \
    }                                                                                                                          \
    extern "C" __global__ void norm_apply_wide_##name(const T *x, const float *table, i64 voxels, int channels, float slope,   \
                                                      T *y) {                                                                  \
        apply<T, WIDE>(x, table, voxels, channels, slope, y);                                                                  \
    }                                                                                                                          \
    extern "C" __global__ void norm_grad_sums_##name(const T *x, const T *dy, const float *table, i64 voxels, int channels,    \
                                                     float slope, double *partial) {                                           \
        grad_sums<T>(x, dy, table, voxels, channels, slope, partial);                                                          \
    }                                                                                                                          \
    extern "C" __global__ void norm_grad_apply_##name(const T *x, const T *dy, const float *table, const float *terms,         \
                                                      i64 voxels, int channels, float slope, T *dx) {                          \
        grad_apply<T, 1>(x, dy, table, terms, voxels, channels, slope, dx);                                                    \
    }                                                                                                                          \
    extern "C" __global__ void norm_grad_apply_wide_##name(const T *x, const T *dy, const float *table, const float *terms,    \
                                                           i64 voxels, int channels, float slope, T *dx) {                     \
        grad_apply<T, WIDE>(x, dy, table, terms, voxels, channels, slope, dx);                                                 \
    }

NORM(float, f32, 4)
NORM(__nv_bfloat16, bf16, 8)
