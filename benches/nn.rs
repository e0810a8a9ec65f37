//! How fast is a convolution, beside the matrix product of the same sizes?
//!
//! `cargo bench --bench nn`; one thread. The throughput column counts floating-point operations, so
//! `Gelem/s` reads GFLOP per second of CPU time (on Linux; elsewhere wall time). Operations are those
//! of the definition: minimal filtering does a quarter of them, so it may exceed the product.

use candle_core::{Device, Result, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use voxstream::nn::conv3d::conv3d;

/// Time that the calling thread has computed: on a shared machine the wall clock says little.
fn thread_time(start: Instant) -> Duration {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|line| line.split(' ').next().and_then(|nanos| nanos.parse().ok()))
        .map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn measure(
    pool: &rayon::ThreadPool,
    runs: u64,
    mut work: impl FnMut() -> Result<()> + Send,
) -> Duration {
    pool.install(|| {
        let start = Instant::now();
        let before = thread_time(start);
        for _ in 0..runs {
            work().expect("the shapes of this benchmark fit");
        }
        thread_time(start) - before
    })
}

fn convolutions(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("one thread can be started");
    for (size, ci, co) in [
        (32, 12, 12),
        (32, 16, 16),
        (16, 64, 64),
        (48, 1, 16),
        (64, 32, 32),
        (8, 256, 256),
        (12, 256, 256),
        (24, 384, 128),
        (48, 192, 64),
    ] {
        let (m, k) = (size * size * size, 27 * ci);
        let flop = 2 * (m * k * co) as u64;
        let wave = |count: usize| {
            (0..count)
                .map(|i| (i as f32 * 0.37).sin())
                .collect::<Vec<f32>>()
        };
        let x = Var::from_vec(wave(m * ci), (1, size, size, size, ci), &Device::Cpu)
            .expect("shape fits");
        let w = Var::from_vec(wave(k * co), (co, 3, 3, 3, ci), &Device::Cpu).expect("shape fits");
        // The image itself needs no gradient.
        let input = if ci == 1 {
            x.as_detached_tensor()
        } else {
            x.as_tensor().clone()
        };
        let products = if ci == 1 { 2 } else { 3 };

        let mut group = c.benchmark_group(format!("{size}^3 {ci}->{co}"));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(flop));
        // Enough rows for the product's best; all columns of a large volume would not fit memory.
        let m = m.min(8192);
        group.throughput(Throughput::Elements(2 * (m * k * co) as u64));
        let (a, b) = (wave(m * k), wave(k * co));
        group.bench_function("gemm", |bench| {
            let mut y = vec![0f32; m * co];
            bench.iter_custom(|runs| {
                measure(&pool, runs, || {
                    // SAFETY: row-major matrices of m x k, k x co and m x co values.
                    #[expect(unsafe_code, reason = "gemm takes pointers")]
                    unsafe {
                        gemm::gemm(
                            m,
                            co,
                            k,
                            y.as_mut_ptr(),
                            1,
                            co as isize,
                            false,
                            a.as_ptr(),
                            1,
                            k as isize,
                            b.as_ptr(),
                            1,
                            co as isize,
                            1.0,
                            1.0,
                            false,
                            false,
                            false,
                            gemm::Parallelism::None,
                        );
                    }
                    black_box(&y);
                    Ok(())
                })
            });
        });
        group.throughput(Throughput::Elements(flop));
        group.bench_function("forward", |bench| {
            let (input, w) = (input.detach(), w.as_detached_tensor());
            bench.iter_custom(|runs| {
                measure(&pool, runs, || black_box(conv3d(&input, &w)).map(drop))
            });
        });
        group.throughput(Throughput::Elements(products * flop));
        group.bench_function("forward and backward", |bench| {
            bench.iter_custom(|runs| {
                measure(&pool, runs, || {
                    // A gradient of ones for every output: nothing but the operator and candle's sums.
                    black_box(conv3d(&input, w.as_tensor())?.backward()).map(drop)
                })
            });
        });
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
