use crate::volume::nifti::{read, read_header, write};
use std::path::PathBuf;

/// Time of this thread on a core, so that other work on the machine does not count.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Mean over many runs: the clock moves in the scheduler's ticks, so that a best run is too good.
fn mean_ms<T>(runs: u32, mut work: impl FnMut() -> T) -> f64 {
    std::hint::black_box(work());
    let begin = cpu_ms();
    for _ in 0..runs {
        std::hint::black_box(work());
    }
    (cpu_ms() - begin) / f64::from(runs)
}

/// `VOXSTREAM_DATA=… cargo test --lib nifti::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a test"]
fn decode_and_encode_speed() {
    let data = std::env::var_os("VOXSTREAM_DATA")
        .map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let path = data.join("bench/chaos-ct-liver/chaos_ct.nii.gz");
    let header = read_header(&path).unwrap();
    let volume = read(&path, None).unwrap();
    let mb = volume.bytes() as f64 / 1e6;
    println!("{} {:?} {mb:.1} MB", header.dtype, header.grid.shape_xyz());
    println!("header {:.3} ms", mean_ms(20_000, || read_header(&path)));
    let ms = mean_ms(20, || read(&path, None));
    println!("read   {ms:.1} ms, {:.0} MB/s", mb / ms * 1e3);
    let folder = tempfile::tempdir().unwrap();
    for name in ["w.nii", "w.nii.gz"] {
        let out = folder.path().join(name);
        let ms = mean_ms(20, || write(&out, &volume, Some(&header)));
        let size = std::fs::metadata(&out).unwrap().len() as f64 / 1e6;
        println!(
            "write  {name}: {ms:.1} ms, {:.0} MB/s, {size:.1} MB",
            mb / ms * 1e3
        );
    }
    let plain = folder.path().join("w.nii");
    let ms = mean_ms(20, || read(&plain, None));
    println!("read   w.nii: {ms:.1} ms, {:.0} MB/s", mb / ms * 1e3);
}

/// What the writer's level was chosen by.
#[test]
#[ignore = "a measurement, not a test"]
fn gzip_levels() {
    use libdeflater::{CompressionLvl, Compressor};
    let data = std::env::var_os("VOXSTREAM_DATA")
        .map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    for name in ["chaos_ct.nii.gz", "chaos_ct_liver.nii.gz"] {
        let volume = read(&data.join("bench/chaos-ct-liver").join(name), None).unwrap();
        let plain = volume.buffer().as_slice();
        for level in [1, 2, 3, 4, 6] {
            let mut size = 0;
            let ms = mean_ms(8, || {
                let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
                let mut out = vec![0; compressor.gzip_compress_bound(plain.len())];
                size = compressor.gzip_compress(plain, &mut out).unwrap();
                out
            });
            println!(
                "{name} level {level}: {:.0} ms, {:.3} MB",
                ms,
                size as f64 / 1e6
            );
        }
    }
}
