// What an optimiser step is made of; all values are f32.
#include "common.cuh"

#define EACH(i, count) for (i64 i = blockIdx.x * (i64)THREADS + threadIdx.x; i < (count); i += (i64)gridDim.x * THREADS)

// dst = keep dst + factor src
extern "C" __global__ void blend(float *dst, const float *src, i64 count, float keep, float factor) {
    EACH(i, count) dst[i] = keep * dst[i] + factor * src[i];
}

// dst = factor dst; 0 clears, whatever was there
extern "C" __global__ void scale(float *dst, i64 count, float factor) {
    EACH(i, count) dst[i] = factor == 0 ? 0 : dst[i] * factor;
}

extern "C" __global__ void adamw(float *p, const float *g, float *m, float *v, i64 count, float beta1, float beta2, float keep,
                                 float rate, float root, float eps) {
    EACH(i, count) {
        float gi = g[i];
        float mi = beta1 * m[i] + (1 - beta1) * gi;
        float vi = beta2 * v[i] + (1 - beta2) * gi * gi;
        m[i] = mi;
        v[i] = vi;
        p[i] = keep * p[i] - rate * mi / (sqrtf(vi) * root + eps);
    }
}

// Sum of squares of each block's share; the shares are cut by the count alone.
extern "C" __global__ void squares(const float *x, i64 count, double *partial) {
    __shared__ double scratch[THREADS];
    double sum = 0;
    EACH(i, count) sum += (double)x[i] * x[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
