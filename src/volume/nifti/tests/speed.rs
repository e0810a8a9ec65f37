use crate::volume::nifti::{read, read_header, write};
use std::path::PathBuf;
use std::time::Instant;

fn best_ms<T>(mut work: impl FnMut() -> T) -> f64 {
    (0..7)
        .map(|_| {
            let begin = Instant::now();
            std::hint::black_box(work());
            begin.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
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
    println!("header {:.3} ms", best_ms(|| read_header(&path)));
    let ms = best_ms(|| read(&path, None));
    println!("read   {ms:.1} ms, {:.0} MB/s", mb / ms * 1e3);
    let folder = tempfile::tempdir().unwrap();
    for name in ["w.nii", "w.nii.gz"] {
        let out = folder.path().join(name);
        let ms = best_ms(|| write(&out, &volume, Some(&header)));
        let size = std::fs::metadata(&out).unwrap().len() as f64 / 1e6;
        println!(
            "write  {name}: {ms:.1} ms, {:.0} MB/s, {size:.1} MB",
            mb / ms * 1e3
        );
    }
    let plain = folder.path().join("w.nii");
    let ms = best_ms(|| read(&plain, None));
    println!("read   w.nii: {ms:.1} ms, {:.0} MB/s", mb / ms * 1e3);
}
