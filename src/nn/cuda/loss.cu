// Log-softmax, cross entropy and soft Dice: sums, score, gradient. No result leaves the device.
//
// logits [samples, voxels, classes] f32, target [samples, voxels] u8 with IGNORE where nothing counts.
#include "common.cuh"

#define IGNORE 255
// Classes whose sums a thread holds at once.
#define HELD 8

__device__ __forceinline__ void softmax(const float *z, int classes, float &largest, float &total) {
    largest = z[0];
    for (int c = 1; c < classes; c++) largest = z[c] > largest ? z[c] : largest;
    total = 0;
    for (int c = 0; c < classes; c++) total += expf(z[c] - largest);
}

// Sums of a piece of voxels. partial: [samples, 3 classes + 2, pieces] doubles: per class p t, q, t;
// then w (-log p) and w. A label that is no class makes the sums NaN. Grid: pieces x samples.
extern "C" __global__ void dice_ce_sums(const float *logits, const uint8_t *target, i64 voxels, int classes,
                                        const float *weights, int squared, double *partial) {
    __shared__ double scratch[THREADS];
    int piece = blockIdx.x, pieces = gridDim.x;
    i64 first = cut(voxels, piece, pieces), end = cut(voxels, piece + 1, pieces), start = (i64)blockIdx.y * voxels;
    double *out = partial + (i64)blockIdx.y * (3 * classes + 2) * pieces + piece;
    double entropy = 0, weight = 0;
    for (int low = 0; low < classes; low += HELD) {
        int held = classes - low < HELD ? classes - low : HELD;
        float both[HELD], predicted[HELD], truth[HELD];
        for (int c = 0; c < HELD; c++) both[c] = predicted[c] = truth[c] = 0;
        for (i64 v = first + threadIdx.x; v < end; v += THREADS) {
            int label = target[start + v];
            if (label == IGNORE) continue;
            if (label >= classes) {
                entropy = nan("");
                continue;
            }
            const float *z = logits + (start + v) * classes;
            float largest, total;
            softmax(z, classes, largest, total);
            if (low == 0) {
                float w = weights[label];
                entropy += (double)w * ((double)logf(total) - (double)(z[label] - largest));
                weight += w;
            }
            for (int c = 0; c < HELD; c++) {
                if (c >= held) break;
                float p = expf(z[low + c] - largest) / total;
                predicted[c] += squared ? p * p : p;
                if (low + c == label) {
                    both[c] += p;
                    truth[c] += 1;
                }
            }
        }
        for (int c = 0; c < HELD; c++) {
            if (c >= held) break;
            float values[3] = {both[c], predicted[c], truth[c]};
            for (int which = 0; which < 3; which++) {
                double sum = block_sum(values[which], scratch);
                if (threadIdx.x == 0) out[(i64)(3 * (low + c) + which) * pieces] = sum;
            }
        }
    }
    entropy = block_sum(entropy, scratch);
    weight = block_sum(weight, scratch);
    if (threadIdx.x == 0) {
        out[(i64)(3 * classes) * pieces] = entropy;
        out[(i64)(3 * classes + 1) * pieces] = weight;
    }
}

// Joins pieces: one block a row. rows x pieces to rows.
extern "C" __global__ void join_pieces(const double *partial, int pieces, double *sums) {
    __shared__ double scratch[THREADS];
    double sum = 0;
    for (int piece = threadIdx.x; piece < pieces; piece += THREADS) sum += partial[(i64)blockIdx.x * pieces + piece];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

struct Score {
    double both, predicted, truth;
};

__device__ __forceinline__ Score score_of(const double *sums, int samples, int classes, int sample, int c, int batch_dice) {
    Score s = {0, 0, 0};
    int rows = 3 * classes + 2;
    for (int i = batch_dice ? 0 : sample; i < (batch_dice ? samples : sample + 1); i++) {
        const double *at = sums + (i64)i * rows + 3 * c;
        s.both += at[0];
        s.predicted += at[1];
        s.truth += at[2];
    }
    return s;
}

// One thread: the loss, and what the gradient needs: terms [samples, classes, 2] (where t, everywhere),
// then the factor of the cross entropy; all for a loss gradient of 1.
extern "C" __global__ void dice_ce_terms(const double *sums, int samples, int classes, int background, double smooth,
                                         double dice_weight, double ce_weight, int batch_dice, float *loss, float *terms) {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    int distinct = batch_dice ? 1 : samples, count = 0, rows = 3 * classes + 2;
    double dice_sum = 0, entropy = 0, weight = 0;
    for (int sample = 0; sample < distinct; sample++)
        for (int c = background ? 0 : 1; c < classes; c++) {
            Score s = score_of(sums, samples, classes, sample, c, batch_dice);
            if (!(s.truth > 0)) continue;
            count++;
            dice_sum += (2 * s.both + smooth) / (s.predicted + s.truth + smooth);
        }
    for (int sample = 0; sample < samples; sample++) {
        entropy += sums[(i64)sample * rows + 3 * classes];
        weight += sums[(i64)sample * rows + 3 * classes + 1];
    }
    double dice = count > 0 ? 1 - dice_sum / count : 0, factor = dice_weight / (count > 0 ? count : 1);
    // Without valid voxels entropy is 0, unless a label was no class: then it is NaN, and stays it.
    double mean_entropy = weight > 0 ? entropy / weight : entropy;
    loss[0] = (float)(dice_weight * dice + ce_weight * mean_entropy);
    if (!(entropy == entropy)) loss[0] = (float)entropy;
    for (int sample = 0; sample < samples; sample++)
        for (int c = 0; c < classes; c++) {
            float *out = terms + ((i64)sample * classes + c) * 2;
            Score s = score_of(sums, samples, classes, sample, c, batch_dice);
            bool scored = (background || c > 0) && s.truth > 0;
            double top = 2 * s.both + smooth, bottom = s.predicted + s.truth + smooth;
            out[0] = scored ? (float)(-factor * 2 / bottom) : 0.f;
            out[1] = scored ? (float)(factor * top / (bottom * bottom)) : 0.f;
        }
    terms[(i64)samples * classes * 2] = weight > 0 ? (float)(ce_weight / weight) : 0.f;
}

// dz, times the gradient of the loss. Grid: chunks x samples.
extern "C" __global__ void dice_ce_grad(const float *logits, const uint8_t *target, const float *g, const float *terms,
                                        i64 voxels, int classes, const float *weights, int squared, float *dz) {
    float factor = g[0], entropy = terms[(i64)gridDim.y * classes * 2];
    i64 start = (i64)blockIdx.y * voxels;
    terms += (i64)blockIdx.y * classes * 2;
    for (i64 v = blockIdx.x * (i64)THREADS + threadIdx.x; v < voxels; v += (i64)gridDim.x * THREADS) {
        const float *z = logits + (start + v) * classes;
        float *out = dz + (start + v) * classes;
        int label = target[start + v];
        if (label == IGNORE || label >= classes) {
            for (int c = 0; c < classes; c++) out[c] = 0;
            continue;
        }
        float largest, total, mean = 0;
        softmax(z, classes, largest, total);
        for (int c = 0; c < classes; c++) {
            float p = expf(z[c] - largest) / total;
            float a = squared ? terms[2 * c + 1] * 2 * p : terms[2 * c + 1];
            mean += (c == label ? a + terms[2 * c] : a) * p;
        }
        float w = entropy * weights[label];
        for (int c = 0; c < classes; c++) {
            float p = expf(z[c] - largest) / total;
            float a = squared ? terms[2 * c + 1] * 2 * p : terms[2 * c + 1];
            if (c == label) a += terms[2 * c];
            out[c] = factor * (p * (a - mean) + w * (p - (c == label ? 1.f : 0.f)));
        }
    }
}
