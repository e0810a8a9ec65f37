// Instance and group norm with the activation after it; x is [samples, voxels, channels].
//
// Reductions have two stages: blocks sum pieces of the voxels, then one block a (sample, group) joins
// the pieces in order. Tables hold four floats a (sample, channel).
#include "common.cuh"

// Sums over a piece of voxels for a tile of up to THREADS channels: threads lie as rows x channels.
// `term` produces the two summands of one value. partial: [samples, pieces, channels, 2] doubles.
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

// As piece_sums for rows of whole packs: a thread keeps its V channels, and four rows are on their way at
// once. `Columns` holds what it needs of its channels and adds a row's terms.
template <typename T, int V, typename Columns>
__device__ __forceinline__ void piece_sums_wide(i64 voxels, int channels, double *partial, Columns columns) {
    __shared__ double scratch[THREADS * V];
    int piece = blockIdx.x, pieces = gridDim.x, sample = blockIdx.y;
    int width = channels / V, lanes = THREADS / width, lane = threadIdx.x / width, column = threadIdx.x % width;
    double sums[V], products[V];
    for (int v = 0; v < V; v++) sums[v] = products[v] = 0;
    if (lane < lanes) {
        columns.open(sample, column);
        i64 row = cut(voxels, piece, pieces) + lane, end = cut(voxels, piece + 1, pieces);
        while (row < end) {
            // f32 within short runs, f64 above.
            float a[V], b[V];
            for (int v = 0; v < V; v++) a[v] = b[v] = 0;
            for (int i = 0; i < 8 && row < end; i++, row += 4 * lanes) columns.add(row, lanes, end, a, b);
            for (int v = 0; v < V; v++) {
                sums[v] += a[v];
                products[v] += b[v];
            }
        }
    }
    // The lanes' sums in order, first those of one kind, then of the other.
    for (int which = 0; which < 2; which++) {
        __syncthreads();
        for (int v = 0; v < V; v++) scratch[threadIdx.x * V + v] = which ? products[v] : sums[v];
        __syncthreads();
        for (int channel = threadIdx.x; channel < channels; channel += THREADS) {
            double sum = 0;
            for (int l = 0; l < lanes; l++) sum += scratch[l * channels + channel];
            partial[(((i64)sample * pieces + piece) * channels + channel) * 2 + which] = sum;
        }
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

template <typename T, int V> struct MomentColumns {
    const T *x;
    i64 voxels;
    int channels, groups;
    const Pack<T, V> *from;
    float first[V];
    __device__ __forceinline__ void open(int sample, int column) {
        const T *start = x + (i64)sample * voxels * channels;
        int width = channels / groups;
        for (int v = 0; v < V; v++) first[v] = load(start, (column * V + v) / width * width);
        from = (const Pack<T, V> *)start + column;
    }
    __device__ __forceinline__ void add(i64 row, int lanes, i64 end, float *a, float *b) {
        Pack<T, V> packs[4];
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (row + k * lanes < end) packs[k] = from[(row + k * lanes) * (channels / V)];
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (row + k * lanes < end)
                for (int v = 0; v < V; v++) {
                    float value = load(packs[k].at, v) - first[v];
                    a[v] += value;
                    b[v] += value * value;
                }
    }
};

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

// Grid: chunks x samples. A thread whose stride is whole rows stays in its channels.
template <typename T, int V>
__device__ __forceinline__ void apply(const T *x, const float *table, i64 voxels, int channels, float slope, T *y) {
    i64 count = voxels * channels / V, stride = (i64)gridDim.x * THREADS, i = blockIdx.x * (i64)THREADS + threadIdx.x;
    const Pack<T, V> *from = (const Pack<T, V> *)(x + (i64)blockIdx.y * voxels * channels);
    Pack<T, V> *to = (Pack<T, V> *)(y + (i64)blockIdx.y * voxels * channels);
    table += (i64)blockIdx.y * channels * 4;
    int width = channels / V, column = (int)(i % width), step = (int)(stride % width);
    float factor[V], summand[V];
    for (bool fresh = true; i < count; i += stride) {
        if (fresh)
            for (int v = 0; v < V; v++) {
                factor[v] = table[(column * V + v) * 4];
                summand[v] = table[(column * V + v) * 4 + 1];
            }
        Pack<T, V> values = from[i], out;
        for (int v = 0; v < V; v++) {
            float u = load(values.at, v) * factor[v] + summand[v];
            store(out.at, v, u > 0 ? u : u * slope);
        }
        to[i] = out;
        column += step;
        if (column >= width) column -= width;
        fresh = step != 0;
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

template <typename T, int V> struct GradColumns {
    const T *x, *dy;
    const float *table;
    i64 voxels;
    int channels;
    float slope;
    const Pack<T, V> *xs, *dys;
    float factor[V], summand[V], mean[V];
    __device__ __forceinline__ void open(int sample, int column) {
        i64 start = (i64)sample * voxels * channels;
        xs = (const Pack<T, V> *)(x + start) + column;
        dys = (const Pack<T, V> *)(dy + start) + column;
        for (int v = 0; v < V; v++) {
            const float *t = table + ((i64)sample * channels + column * V + v) * 4;
            factor[v] = t[0];
            summand[v] = t[1];
            mean[v] = t[2];
        }
    }
    __device__ __forceinline__ void add(i64 row, int lanes, i64 end, float *a, float *b) {
        Pack<T, V> values[4], grads[4];
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (row + k * lanes < end) {
                values[k] = xs[(row + k * lanes) * (channels / V)];
                grads[k] = dys[(row + k * lanes) * (channels / V)];
            }
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (row + k * lanes < end)
                for (int v = 0; v < V; v++) {
                    float value = load(values[k].at, v), g = load(grads[k].at, v);
                    g = value * factor[v] + summand[v] > 0 ? g : g * slope;
                    a[v] += g;
                    b[v] += g * (value - mean[v]);
                }
    }
};

// Joins the pieces: totals [samples, channels, 2] (sum g v, sum g) and terms (a, b, e, 0) with
// dx = g a - (x - mean) b - e. Grid: samples x groups.
extern "C" __global__ void norm_grad_finish(const double *partial, int pieces, i64 voxels, int channels, int groups,
                                            const float *scale, const float *table, double *totals, float *terms) {
    __shared__ double scratch[THREADS];
    int sample = blockIdx.x / groups, group = blockIdx.x % groups, width = channels / groups, first = group * width;
    double plain = 0, product = 0;
    for (int j = first; j < first + width; j++) {
        double sum = 0, sum_product = 0;
        for (int piece = threadIdx.x; piece < pieces; piece += THREADS) {
            const double *at = partial + (((i64)sample * pieces + piece) * channels + j) * 2;
            sum += at[0];
            sum_product += at[1];
        }
        sum = block_sum(sum, scratch);
        sum_product = block_sum(sum_product, scratch) * table[((i64)sample * channels + j) * 4 + 3];
        if (threadIdx.x == 0) {
            double *out = totals + ((i64)sample * channels + j) * 2;
            out[0] = sum_product;
            out[1] = sum;
        }
        plain += sum * scale[j];
        product += sum_product * scale[j];
    }
    double count = (double)voxels * width;
    plain /= count;
    product /= count;
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

// Grid: chunks x samples; as `apply`.
template <typename T, int V>
__device__ __forceinline__ void grad_apply(const T *x, const T *dy, const float *table, const float *terms, i64 voxels,
                                           int channels, float slope, T *dx) {
    i64 count = voxels * channels / V, start = (i64)blockIdx.y * voxels * channels;
    i64 stride = (i64)gridDim.x * THREADS, i = blockIdx.x * (i64)THREADS + threadIdx.x;
    const Pack<T, V> *xs = (const Pack<T, V> *)(x + start), *dys = (const Pack<T, V> *)(dy + start);
    Pack<T, V> *to = (Pack<T, V> *)(dx + start);
    table += (i64)blockIdx.y * channels * 4;
    terms += (i64)blockIdx.y * channels * 4;
    int width = channels / V, column = (int)(i % width), step = (int)(stride % width);
    float t0[V], t1[V], t2[V], s0[V], s1[V], s2[V];
    for (bool fresh = true; i < count; i += stride) {
        if (fresh)
            for (int v = 0; v < V; v++) {
                const float *t = table + (column * V + v) * 4, *s = terms + (column * V + v) * 4;
                t0[v] = t[0], t1[v] = t[1], t2[v] = t[2];
                s0[v] = s[0], s1[v] = s[1], s2[v] = s[2];
            }
        Pack<T, V> values = xs[i], grads = dys[i], out;
        for (int v = 0; v < V; v++) {
            float value = load(values.at, v), g = load(grads.at, v);
            g = value * t0[v] + t1[v] > 0 ? g : g * slope;
            store(out.at, v, g * s0[v] - (value - t2[v]) * s1[v] - s2[v]);
        }
        to[i] = out;
        column += step;
        if (column >= width) column -= width;
        fresh = step != 0;
    }
}

// Sums of columns, joined over pieces; one block a channel.
extern "C" __global__ void column_sums_finish(const double *partial, int pieces, int channels, float *sums) {
    __shared__ double scratch[THREADS];
    double sum = 0;
    for (int piece = threadIdx.x; piece < pieces; piece += THREADS) sum += partial[((i64)piece * channels + blockIdx.x) * 2];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = (float)sum;
}

#define NORM(T, name, WIDE)                                                                                                    \
    extern "C" __global__ void norm_moments_##name(const T *x, i64 voxels, int channels, int groups, double *partial) {        \
        moments<T>(x, voxels, channels, groups, partial);                                                                      \
    }                                                                                                                          \
    extern "C" __global__ void norm_moments_wide_##name(const T *x, i64 voxels, int channels, int groups, double *partial) {   \
        piece_sums_wide<T, WIDE>(voxels, channels, partial, MomentColumns<T, WIDE>{x, voxels, channels, groups});              \
    }                                                                                                                          \
    extern "C" __global__ void norm_grad_sums_wide_##name(const T *x, const T *dy, const float *table, i64 voxels,             \
                                                          int channels, float slope, double *partial) {                        \
        piece_sums_wide<T, WIDE>(voxels, channels, partial, GradColumns<T, WIDE>{x, dy, table, voxels, channels, slope});      \
    }                                                                                                                          \
    extern "C" __global__ void column_sums_##name(const T *x, i64 voxels, int channels, double *partial) {                     \
        piece_sums(voxels, channels, partial, [=](int sample, i64 row, int channel, float &a, float &b) {                      \
            a += load(x, ((i64)sample * voxels + row) * channels + channel);                                                   \
        });                                                                                                                    \
    }                                                                                                                          \
    extern "C" __global__ void add_bias_##name(const T *x, const float *bias, i64 count, int channels, T *y) {                 \
        for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS)                        \
            store(y, i, load(x, i) + bias[i % channels]);                                                                      \
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
