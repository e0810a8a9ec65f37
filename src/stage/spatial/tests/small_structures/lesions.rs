//! How much of a lesion's volume is left on a coarser grid.

use super::*;
use crate::draw::DrawKey;

const MODES: [(ResampledLabels, &str); 3] = [
    (ResampledLabels::Nearest, "nearest"),
    (ResampledLabels::Linear, "linear"),
    (ResampledLabels::Volume, "volume"),
];

/// A ball of this volume around a point in mm, as the voxels whose centre it contains.
fn ball(grid: Grid, volume_mm3: f64, centre: DVec3) -> Volume {
    let radius = (volume_mm3 * 0.75 / std::f64::consts::PI).cbrt();
    let spacing = DVec3::from(grid.spacing_mm());
    filled(grid, |at| {
        let at = DVec3::from(at.map(|i| i as f64)) * spacing;
        u8::from(at.distance(centre) <= radius)
    })
}

fn volume_mm3(volume: &Volume) -> f64 {
    let voxels = volume.as_slice::<u8>().unwrap();
    let count = voxels.iter().filter(|v| **v == 1).count();
    count as f64 * volume.grid().voxel_volume_mm3()
}

/// Volume left over volume before, for lesions at random places that the first grid shows at all.
fn kept(
    grid: Grid,
    new_mm: [f64; 3],
    size_mm3: f64,
    labels: ResampledLabels,
    count: usize,
) -> Vec<f64> {
    let key = DrawKey {
        seed: 11,
        epoch: 0,
        subject: "lesion",
        sample: 0,
    };
    let mut rng = key.rng("kept");
    let stage = Resample {
        labels,
        ..to(new_mm)
    };
    let middle =
        DVec3::from(grid.spacing_mm()) * DVec3::from(grid.shape_xyz().map(|n| n as f64 / 2.0));
    let mut kept = Vec::with_capacity(count);
    while kept.len() < count {
        let off = DVec3::from([0; 3].map(|_| rng.uniform(-12.0, 12.0)));
        let lesion = ball(grid, size_mm3, middle + off);
        let before = volume_mm3(&lesion);
        if before > 0.0 {
            let out = resampled(&stage, row(vec![], vec![channel("", Some(lesion))]));
            kept.push(volume_mm3(label(&out)) / before);
        }
    }
    kept.sort_by(f64::total_cmp);
    kept
}

fn thin() -> Grid {
    Grid::with_spacing([48, 48, 48], [1.0; 3]).unwrap()
}

fn thick() -> Grid {
    Grid::with_spacing([96, 96, 7], [0.5, 0.5, 8.0]).unwrap()
}

#[test]
fn labels_by_volume_depend_less_on_position_and_shrink() {
    let spread = |labels| {
        let kept = kept(thin(), [3.0; 3], 300.0, labels, 40);
        (kept[39] - kept[0], kept.iter().sum::<f64>() / 40.0)
    };
    let (nearest, mean_nearest) = spread(ResampledLabels::Nearest);
    let (volume, mean_volume) = spread(ResampledLabels::Volume);
    assert!(volume < 0.9 * nearest, "{volume} {nearest}");
    assert!((mean_nearest - 1.0).abs() < 0.1, "{mean_nearest}");
    assert!(mean_volume > 0.5 && mean_volume < 0.9, "{mean_volume}");
}

/// Prints the table of `benches/lesions.md`:
/// `cargo test --lib lesion_table -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table"]
fn lesion_table() {
    let pairs = [(thin(), [3.0, 3.0, 3.0]), (thick(), [3.0, 3.0, 8.0])];
    let mut table = String::from("| grid, mm | lesion, mm³ |");
    MODES
        .iter()
        .for_each(|(_, name)| table += &format!(" {name}: median | least | most | lost |"));
    for (grid, new_mm) in pairs {
        for size_mm3 in [3.0, 10.0, 30.0, 100.0, 300.0] {
            table += &format!("\n| {:?} → {new_mm:?} | {size_mm3} |", grid.spacing_mm());
            for (labels, _) in MODES {
                let kept = kept(grid, new_mm, size_mm3, labels, 200);
                let lost = kept.iter().filter(|k| **k == 0.0).count();
                let (median, least, most) = (kept[100], kept[0], kept[199]);
                table += &format!(
                    " {median:.2} | {least:.2} | {most:.2} | {:.0} % |",
                    0.5 * lost as f64
                );
            }
        }
    }
    eprintln!("{table}");
}

/// Writes one lesion before and after each mode as PGM pictures into `$VOXSTREAM_PICTURES`.
#[test]
#[ignore = "writes pictures"]
fn lesion_pictures() {
    let folder = std::path::PathBuf::from(std::env::var("VOXSTREAM_PICTURES").unwrap());
    let lesion = ball(thin(), 60.0, DVec3::new(23.4, 24.9, 24.2));
    let draw = |name: &str, volume: &Volume| {
        let [nx, ny, nz] = volume.grid().shape_xyz();
        let voxels = volume.as_slice::<u8>().unwrap();
        let most = (0..nz).max_by_key(|z| {
            let slice = &voxels[z * nx * ny..(z + 1) * nx * ny];
            slice.iter().filter(|v| **v > 0).count()
        });
        let slice = &voxels[most.unwrap() * nx * ny..][..nx * ny];
        let side = 480 / nx;
        let pixel = |i: usize| slice[i / (nx * side) / side * nx + i % (nx * side) / side] * 255;
        let mut file = format!("P5 {} {} 255\n", nx * side, ny * side).into_bytes();
        file.extend((0..nx * side * ny * side).map(pixel));
        std::fs::write(folder.join(format!("{name}.pgm")), file).unwrap();
    };
    draw("before", &lesion);
    for (labels, name) in MODES {
        let stage = Resample {
            labels,
            ..to([3.0; 3])
        };
        let out = resampled(&stage, row(vec![], vec![channel("", Some(lesion.clone()))]));
        draw(name, label(&out));
        eprintln!(
            "{name}: {:.0} of {:.0} mm³",
            volume_mm3(label(&out)),
            volume_mm3(&lesion)
        );
    }
}
