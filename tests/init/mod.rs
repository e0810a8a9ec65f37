//! From a folder to a pipeline that passes `check --data` and runs.

mod endings;
mod layouts;
mod left_out;
mod masks;
mod names;
mod proposals;
mod refusals;
mod stores;

use std::path::{Path, PathBuf};
use voxstream::cli::InitArgs;
use voxstream::cli::init::init;
use voxstream::init::Template;
use voxstream::volume::{Grid, Volume, nifti};

/// A ball of class 1 in a larger one of class 2, in an image whose values follow the classes.
struct Shape {
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    /// Values of background, class 1 and class 2.
    values: [f32; 3],
    /// Stored values of the classes.
    stored: [i16; 3],
}

const SHAPE: Shape = Shape {
    shape: [20, 24, 16],
    spacing_mm: [1.0, 1.0, 1.5],
    values: [10.0, 60.0, 110.0],
    stored: [0, 1, 2],
};

impl Shape {
    fn grid(&self) -> Grid {
        Grid::with_spacing(self.shape, self.spacing_mm).unwrap()
    }

    fn class(&self, i: usize) -> usize {
        let [nx, ny, nz] = self.shape;
        let at = [i % nx, i / nx % ny, i / (nx * ny)];
        let from_centre = |axis: usize, n: usize| {
            let half = n as f64 / 2.0;
            ((at[axis] as f64 + 0.5 - half) / half).powi(2)
        };
        let r = from_centre(0, nx) + from_centre(1, ny) + from_centre(2, nz);
        [(0.15, 1), (0.5, 2)]
            .into_iter()
            .find(|(most, _)| r < *most)
            .map_or(0, |(_, c)| c)
    }

    fn image(&self, path: &Path) {
        self.of(path, |class, i| {
            self.values[class] + ((i * 7919) % 13) as f32
        });
    }

    /// An image whose values depend on the class of a voxel and its position in memory.
    fn of(&self, path: &Path, value: impl Fn(usize, usize) -> f32) {
        let voxels = 0..self.grid().voxel_count();
        let values: Vec<f32> = voxels.map(|i| value(self.class(i), i)).collect();
        write(path, &Volume::from_vec(values, self.grid()).unwrap());
    }

    fn label(&self, path: &Path) {
        let voxels = self.grid().voxel_count();
        let value = |i: usize| self.stored[self.class(i)];
        write(
            path,
            &Volume::from_vec::<i16>((0..voxels).map(value).collect(), self.grid()).unwrap(),
        );
    }
}

fn write(path: &Path, volume: &Volume) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    nifti::write(path, volume, None).unwrap();
}

fn args(data: PathBuf, output: Option<PathBuf>, template: Option<Template>) -> InitArgs {
    InitArgs {
        data,
        template,
        output,
        memory: bytesize::ByteSize::gib(1),
        sample: 8,
        fingerprint: None,
        force: false,
    }
}

/// The pipeline for a folder, written beside it, and what `check --data` said of it.
fn written(root: &Path, data: &str, template: Option<Template>) -> (String, String) {
    let name = template.map_or("chosen".to_owned(), Template::name);
    let path = root.join(format!("{name}.yaml"));
    let mut out = Vec::new();
    let code = init(
        &args(root.join(data), Some(path.clone()), template),
        &mut out,
    );
    let said = String::from_utf8(out).unwrap();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(code.unwrap_or_else(|e| panic!("{e}")), 0, "{said}{text}");
    assert!(said.contains("0 subjects unusable"), "{said}");
    (text, said)
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

fn refused(data: PathBuf, template: Option<Template>) -> String {
    let error = init(&args(data, None, template), &mut Vec::new()).unwrap_err();
    error.to_string()
}

/// nnU-Net's raw layout: `count` cases with a CT and an MR channel.
fn nnunet(root: &Path, count: usize, shape: &Shape, channels: &[&str]) {
    for i in 0..count {
        for (channel, _) in channels.iter().enumerate() {
            shape.image(&root.join(format!("imagesTr/case_{i:03}_{channel:04}.nii.gz")));
        }
        shape.label(&root.join(format!("labelsTr/case_{i:03}.nii.gz")));
    }
    let names: Vec<String> = channels
        .iter()
        .enumerate()
        .map(|(i, name)| format!("\"{i}\": \"{name}\""))
        .collect();
    let json = format!(
        "{{ \"channel_names\": {{ {} }}, \"labels\": {{ \"background\": 0, \"core\": 1, \"shell\": 2, \"ignore\": 9 }}, \"numTraining\": {count}, \"file_ending\": \".nii.gz\" }}",
        names.join(", ")
    );
    std::fs::write(root.join("dataset.json"), json).unwrap();
}
