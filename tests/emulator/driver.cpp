// The part of libcuda, cuBLAS, cuRAND, cuDNN and NCCL that voxstream calls, on the CPU: slow, exact, for
// tests on machines without a GPU. Memory that was not written holds NaN; work is done at once.
#include "shim.h"
#include <map>
#include <mutex>
#include <string>
#include <vector>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

// ---- blocks of threads ----
uint3 threadIdx_, blockIdx_;
dim3 blockDim_, gridDim_;
char emulated_lanes[1024][16];

enum State { READY, WAITING, DONE };
static const size_t STACK = 256 << 10;
static char *stacks;
static void *fiber_sp[1024], *scheduler_sp;
static State state[1024];
static int current;
static Launch launched;
static void **launch_args;

extern "C" void emulated_switch(void **save, void *load);
asm(R"(
    .text
    .globl emulated_switch
    .hidden emulated_switch
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

static void leave(State s) {
    state[current] = s;
    emulated_switch(&fiber_sp[current], scheduler_sp);
}
void emulated_barrier() { leave(WAITING); }
void emulated_turn() { leave(READY); }
static void fiber() {
    launched(launch_args);
    leave(DONE);
    abort();
}

static void run_block(int threads) {
    for (int i = 0; i < threads; i++) {
        void **sp = (void **)(stacks + (i + 1) * STACK - 64);
        *--sp = 0; // keeps the stack aligned as after a call
        *--sp = (void *)fiber;
        for (int k = 0; k < 6; k++) *--sp = 0;
        fiber_sp[i] = sp;
        state[i] = READY;
    }
    for (;;) {
        int alive = 0, waiting = 0;
        for (int i = 0; i < threads; i++) {
            if (state[i] == READY) {
                current = i;
                threadIdx_ = {i % blockDim_.x, i / blockDim_.x % blockDim_.y, i / blockDim_.x / blockDim_.y};
                emulated_switch(&scheduler_sp, fiber_sp[i]);
            }
            alive += state[i] != DONE;
            waiting += state[i] == WAITING;
        }
        if (!alive) return;
        if (waiting == alive)
            for (int i = 0; i < threads; i++)
                if (state[i] == WAITING) state[i] = READY;
    }
}

static std::map<std::string, Launch> &kernels() {
    static std::map<std::string, Launch> all;
    return all;
}
void emulated_register(const char *name, Launch launch) { kernels()[name] = launch; }

static std::recursive_mutex lock;
#define API extern "C" __attribute__((visibility("default"))) int
#define API_STR extern "C" __attribute__((visibility("default"))) const char *
typedef unsigned long long ptr;

// ---- driver ----
static std::map<ptr, size_t> sizes;
static unsigned long long used, peak;
API cuInit(unsigned) { return 0; }
API cuDriverGetVersion(int *v) { *v = 13000; return 0; }
API cuDeviceGet(int *d, int i) { *d = i; return i == 0 ? 0 : 101; }
API cuDeviceGetCount(int *n) { *n = 1; return 0; }
API cuDeviceGetName(char *s, int n, int) { snprintf(s, n, "emulated device"); return 0; }
API cuDeviceTotalMem_v2(size_t *n, int) { *n = 8ull << 30; return 0; }
API cuDeviceGetAttribute(int *v, int what, int) { *v = what == 75 ? 9 : what == 76 ? 0 : what == 16 ? 4 : 1; return 0; }
API cuDevicePrimaryCtxRetain(void **c, int) { *c = (void *)1; return 0; }
API cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API cuCtxSetCurrent(void *) { return 0; }
API cuCtxGetCurrent(void **c) { *c = (void *)1; return 0; }
API cuCtxSynchronize() { return 0; }
API cuStreamCreate(void **s, unsigned) { static char streams[64]; static int n; *s = &streams[n++ % 64]; return 0; }
API cuStreamCreateWithPriority(void **s, unsigned f, int) { return cuStreamCreate(s, f); }
API cuStreamDestroy_v2(void *) { return 0; }
API cuStreamSynchronize(void *) { return 0; }
API cuStreamWaitEvent(void *, void *, unsigned) { return 0; }
API cuEventCreate(void **e, unsigned) { *e = malloc(1); return 0; }
API cuEventRecord(void *, void *) { return 0; }
API cuEventSynchronize(void *) { return 0; }
API cuEventDestroy_v2(void *e) { free(e); return 0; }
API cuDeviceGetDefaultMemPool(void **p, int) { *p = (void *)2; return 0; }
API cuMemPoolSetAttribute(void *, int, void *) { return 0; }
API cuMemPoolGetAttribute(void *, int, void *v) { *(unsigned long long *)v = peak; return 0; }
API cuMemAllocAsync(ptr *p, size_t n, void *) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    void *at = aligned_alloc(256, (n + 511) / 256 * 256);
    if (!at) return 2;
    memset(at, 0xff, n); // NaN in every type
    *p = (ptr)at;
    sizes[*p] = n;
    used += n;
    peak = used > peak ? used : peak;
    return 0;
}
API cuMemFreeAsync(ptr p, void *) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (!sizes.count(p)) { fprintf(stderr, "emulator: free of what was not allocated\n"); abort(); }
    used -= sizes[p];
    memset((void *)p, 0xff, sizes[p]);
    sizes.erase(p);
    free((void *)p);
    return 0;
}
// Copies outside of what was allocated end the program.
static void inside(ptr p, size_t n) {
    auto at = sizes.upper_bound(p);
    if (n && (at == sizes.begin() || (--at, p + n > at->first + at->second))) {
        fprintf(stderr, "emulator: a copy of %zu bytes leaves its buffer\n", n);
        abort();
    }
}
API cuMemcpyHtoDAsync_v2(ptr d, const void *s, size_t n, void *) { inside(d, n); memcpy((void *)d, s, n); return 0; }
API cuMemcpyDtoHAsync_v2(void *d, ptr s, size_t n, void *) { inside(s, n); memcpy(d, (void *)s, n); return 0; }
API cuMemcpyDtoDAsync_v2(ptr d, ptr s, size_t n, void *) { inside(d, n); inside(s, n); memmove((void *)d, (void *)s, n); return 0; }
API cuMemsetD8Async(ptr d, unsigned char v, size_t n, void *) { inside(d, n); memset((void *)d, v, n); return 0; }
API cuMemHostAlloc(void **p, size_t n, unsigned) { *p = malloc(n ? n : 1); return 0; }
API cuMemFreeHost(void *p) { free(p); return 0; }
API cuModuleLoadData(void **m, const void *) { *m = (void *)3; return 0; }
API cuModuleUnload(void *) { return 0; }
API cuModuleGetFunction(void **f, void *, const char *name) {
    auto found = kernels().find(name);
    if (found == kernels().end()) { fprintf(stderr, "emulator: no kernel %s\n", name); return 500; }
    *f = (void *)found->second;
    return 0;
}
API cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *,
                   void **args, void **) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (!gx || !gy || !gz || bx * by * bz > 1024 || gy > 65535 || gz > 65535) return 1;
    if (!stacks) stacks = (char *)mmap(0, 1024 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    launched = (Launch)f;
    launch_args = args;
    gridDim_ = dim3(gx, gy, gz);
    blockDim_ = dim3(bx, by, bz);
    for (unsigned z = 0; z < gz; z++)
        for (unsigned y = 0; y < gy; y++)
            for (unsigned x = 0; x < gx; x++) {
                blockIdx_ = {x, y, z};
                run_block(bx * by * bz);
            }
    return 0;
}
API cuGetErrorName(int, const char **s) { *s = "EMULATED"; return 0; }
API cuGetErrorString(int, const char **s) { *s = "emulated error"; return 0; }

// ---- numbers of two types ----
static float get(const void *p, int type, size_t i) {
    if (type == 0) return ((const float *)p)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}
static void put(void *p, int type, size_t i, float v) {
    if (type == 0) ((float *)p)[i] = v;
    else ((__nv_bfloat16 *)p)[i] = __float2bfloat16(v);
}

// ---- cuBLAS, column-major ----
API cublasCreate_v2(void **h) { *h = (void *)4; return 0; }
API cublasDestroy_v2(void *) { return 0; }
API cublasSetStream_v2(void *, void *) { return 0; }
API cublasSetMathMode(void *, int) { return 0; }
API cublasGetMathMode(void *, int *m) { *m = 0; return 0; }
API_STR cublasGetStatusString(int) { return "emulated"; }
API cublasGemmStridedBatchedEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                               long long sa, const void *b, int bt, int ldb, long long sb, const void *beta, void *c, int ct,
                               int ldc, long long sc, int batch, int, int) {
    auto type = [](int t) { return t == 0 ? 0 : t == 14 ? 1 : -1; };
    if (type(at) < 0 || type(bt) < 0 || type(ct) < 0) return 15;
    float scale = *(const float *)alpha, keep = *(const float *)beta;
    for (int i = 0; i < batch; i++)
        for (int col = 0; col < n; col++)
            for (int row = 0; row < m; row++) {
                double sum = 0;
                for (int d = 0; d < k; d++)
                    sum += (double)get(a, type(at), i * sa + (ta ? (size_t)row * lda + d : (size_t)d * lda + row)) *
                           get(b, type(bt), i * sb + (tb ? (size_t)d * ldb + col : (size_t)col * ldb + d));
                size_t to = i * sc + (size_t)col * ldc + row;
                put(c, type(ct), to, scale * (float)sum + (keep ? keep * get(c, type(ct), to) : 0));
            }
    return 0;
}

// ---- cuRAND: only opened ----
API curandCreateGenerator(void **g, int) { *g = (void *)5; return 0; }
API curandSetStream(void *, void *) { return 0; }
API curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }
API curandDestroyGenerator(void *) { return 0; }

// ---- cuDNN ----
struct Descriptor {
    int type, dims[5], strides[5], pads[3], math;
};
extern "C" __attribute__((visibility("default"))) size_t cudnnGetVersion() { return 91900; }
API_STR cudnnGetErrorString(int) { return "emulated"; }
API cudnnCreate(void **h) { *h = (void *)6; return 0; }
API cudnnDestroy(void *) { return 0; }
API cudnnSetStream(void *, void *) { return 0; }
API cudnnCreateTensorDescriptor(Descriptor **d) { *d = new Descriptor(); return 0; }
API cudnnCreateFilterDescriptor(Descriptor **d) { *d = new Descriptor(); return 0; }
API cudnnCreateConvolutionDescriptor(Descriptor **d) { *d = new Descriptor(); return 0; }
API cudnnSetTensorNdDescriptor(Descriptor *d, int type, int n, const int *dims, const int *strides) {
    if (n != 5) return 2000;
    d->type = type == 9;
    memcpy(d->dims, dims, 20);
    memcpy(d->strides, strides, 20);
    return 0;
}
API cudnnSetFilterNdDescriptor(Descriptor *d, int type, int format, int n, const int *dims) {
    if (n != 5 || format != 1) return 2000; // NHWC: [k, d, h, w, c] in memory
    d->type = type == 9;
    memcpy(d->dims, dims, 20);
    int c = dims[1], z = dims[2], y = dims[3], x = dims[4];
    int strides[5] = {z * y * x * c, 1, y * x * c, x * c, c};
    memcpy(d->strides, strides, 20);
    return 0;
}
API cudnnSetConvolutionNdDescriptor(Descriptor *d, int n, const int *pads, const int *strides, const int *dilations, int mode, int type) {
    for (int i = 0; i < 3; i++)
        if (n != 3 || strides[i] < 1 || dilations[i] != 1) return 2000;
    if (mode != 1 || type != 0) return 2000; // cross-correlation, f32 sums
    memcpy(d->pads, pads, 12);
    memcpy(d->strides, strides, 12);
    return 0;
}
API cudnnSetConvolutionMathType(Descriptor *d, int math) { d->math = math; return 0; }

struct Perf {
    int algo, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};
static const int ALGORITHM = 1;
static const size_t WORKSPACE = 96;
// The fastest is not deterministic and must be passed over. A kernel of 5 x 1 x 1 has no algorithm.
static int algorithms(const Descriptor *w, int *count, Perf *perf) {
    Perf fast = {0, 0, 1.f, 0, 0, 1, {0}}, slow = {ALGORITHM, 0, 2.f, WORKSPACE, 1, 1, {0}};
    perf[0] = fast;
    perf[1] = slow;
    *count = w->dims[2] == 5 ? 0 : 2;
    return 0;
}
API cudnnGetConvolutionForwardAlgorithm_v7(void *, Descriptor *, Descriptor *w, Descriptor *, Descriptor *, int, int *n, Perf *p) { return algorithms(w, n, p); }
API cudnnGetConvolutionBackwardDataAlgorithm_v7(void *, Descriptor *w, Descriptor *, Descriptor *, Descriptor *, int, int *n, Perf *p) { return algorithms(w, n, p); }
API cudnnGetConvolutionBackwardFilterAlgorithm_v7(void *, Descriptor *, Descriptor *, Descriptor *, Descriptor *w, int, int *n, Perf *p) { return algorithms(w, n, p); }
#define WORKSPACE_OF(name)                                                                                                  \
    API name(void *, Descriptor *, Descriptor *, Descriptor *, Descriptor *, int algo, size_t *n) {                         \
        *n = WORKSPACE;                                                                                                     \
        return algo == ALGORITHM ? 0 : 2000;                                                                                \
    }
WORKSPACE_OF(cudnnGetConvolutionForwardWorkspaceSize)
WORKSPACE_OF(cudnnGetConvolutionBackwardDataWorkspaceSize)
WORKSPACE_OF(cudnnGetConvolutionBackwardFilterWorkspaceSize)

// mode 0: y from x, w; 1: x from y, w; 2: w from x, y. Dimensions are n, c, d, h, w.
static int convolve(int mode, const Descriptor *X, void *x, const Descriptor *W, void *w, const Descriptor *C, const Descriptor *Y, void *y,
                    int algo, size_t bytes, const void *alpha, const void *beta) {
    if (algo != ALGORITHM || bytes < WORKSPACE || *(const float *)alpha != 1 || *(const float *)beta != 0) return 2000;
    if (X->type == 0 && C->math != 3) return 2000; // f32 must not become TF32
    int co = W->dims[0], ci = W->dims[1];
    if (X->dims[1] != ci || Y->dims[1] != co || X->dims[0] != Y->dims[0]) return 2000;
    for (int i = 0; i < 3; i++)
        if (Y->dims[2 + i] != (X->dims[2 + i] + 2 * C->pads[i] - W->dims[2 + i]) / C->strides[i] + 1) return 2000;
    int taps = W->dims[2] * W->dims[3] * W->dims[4], type = X->type;
    // w as [tap, ci, co] in f32.
    std::vector<float> weights(taps * ci * co);
    auto at = [](const Descriptor *d, int n, int c, int z, int y, int x) {
        return (size_t)n * d->strides[0] + (size_t)c * d->strides[1] + (size_t)z * d->strides[2] + (size_t)y * d->strides[3] + (size_t)x * d->strides[4];
    };
    auto place = [&](int tap, int i, int o) { return at(W, o, i, tap / W->dims[4] / W->dims[3], tap / W->dims[4] % W->dims[3], tap % W->dims[4]); };
    if (mode < 2)
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < ci; i++)
                for (int o = 0; o < co; o++) weights[(t * ci + i) * co + o] = get(w, type, place(t, i, o));
    std::vector<float> in(ci), out(co);
    std::vector<float> dx;
    if (mode == 1) dx.assign((size_t)X->dims[0] * X->dims[2] * X->dims[3] * X->dims[4] * ci, 0);
    for (int n = 0; n < Y->dims[0]; n++)
        for (int z = 0; z < Y->dims[2]; z++)
            for (int v = 0; v < Y->dims[3]; v++)
                for (int u = 0; u < Y->dims[4]; u++) {
                    for (int o = 0; o < co; o++) out[o] = mode == 0 ? 0 : get(y, type, at(Y, n, o, z, v, u));
                    for (int t = 0; t < taps; t++) {
                        int qz = z * C->strides[0] + t / W->dims[4] / W->dims[3] - C->pads[0];
                        int qy = v * C->strides[1] + t / W->dims[4] % W->dims[3] - C->pads[1], qx = u * C->strides[2] + t % W->dims[4] - C->pads[2];
                        if (qz < 0 || qz >= X->dims[2] || qy < 0 || qy >= X->dims[3] || qx < 0 || qx >= X->dims[4]) continue;
                        float *k = &weights[(size_t)t * ci * co];
                        size_t voxel = (((size_t)n * X->dims[2] + qz) * X->dims[3] + qy) * X->dims[4] + qx;
                        for (int i = 0; i < ci; i++, k += co) {
                            float value = mode == 1 ? 0 : get(x, type, at(X, n, i, qz, qy, qx)), sum = 0;
                            if (mode == 0) for (int o = 0; o < co; o++) out[o] += value * k[o];
                            else if (mode == 1) { for (int o = 0; o < co; o++) sum += out[o] * k[o]; dx[voxel * ci + i] += sum; }
                            else for (int o = 0; o < co; o++) k[o] += value * out[o];
                        }
                    }
                    if (mode == 0) for (int o = 0; o < co; o++) put(y, type, at(Y, n, o, z, v, u), out[o]);
                }
    if (mode == 1)
        for (size_t voxel = 0; voxel < dx.size() / ci; voxel++)
            for (int i = 0; i < ci; i++) {
                int u = voxel % X->dims[4], v = voxel / X->dims[4] % X->dims[3], z = voxel / X->dims[4] / X->dims[3] % X->dims[2], n = voxel / X->dims[4] / X->dims[3] / X->dims[2];
                put(x, type, at(X, n, i, z, v, u), dx[voxel * ci + i]);
            }
    if (mode == 2)
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < ci; i++)
                for (int o = 0; o < co; o++) put(w, type, place(t, i, o), weights[(t * ci + i) * co + o]);
    return 0;
}
API cudnnConvolutionForward(void *, const void *a, Descriptor *X, void *x, Descriptor *W, void *w, Descriptor *C, int algo, void *, size_t n, const void *b, Descriptor *Y, void *y) {
    return convolve(0, X, x, W, w, C, Y, y, algo, n, a, b);
}
API cudnnConvolutionBackwardData(void *, const void *a, Descriptor *W, void *w, Descriptor *Y, void *y, Descriptor *C, int algo, void *, size_t n, const void *b, Descriptor *X, void *x) {
    return convolve(1, X, x, W, w, C, Y, y, algo, n, a, b);
}
API cudnnConvolutionBackwardFilter(void *, const void *a, Descriptor *X, void *x, Descriptor *Y, void *y, Descriptor *C, int algo, void *, size_t n, const void *b, Descriptor *W, void *w) {
    return convolve(2, X, x, W, w, C, Y, y, algo, n, a, b);
}

// ---- NCCL, for one device ----
struct UniqueId { char internal[128]; };
API ncclGetUniqueId(UniqueId *id) { memset(id, 7, sizeof *id); return 0; }
API ncclCommInitRank(void **comm, int size, UniqueId id, int rank) {
    if (size != 1 || rank != 0 || id.internal[127] != 7) return 4; // ncclInvalidArgument
    *comm = (void *)8;
    return 0;
}
API ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *) {
    if (type != 7 || op != 4 || comm != (void *)8) return 4; // f32, mean
    memmove(to, from, count * 4);
    return 0;
}
API ncclCommAbort(void *) { return 0; }
