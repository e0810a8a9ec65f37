//! A small phantom-like subject: two modalities that show the same body, and its label map.

use arrow::buffer::Buffer;
use voxstream::draw::DrawKey;
use voxstream::stage::{ChannelSchema, EdgeSchema, SubjectFacts};
use voxstream::volume::{Channel, Dtype, Grid, Role, Row, Scaling, Split, Volume};

const SHAPE_XYZ: [usize; 3] = [12, 10, 8];

/// CT as i16 with scaling, MR as u16, labels as u8; every subject another body on one grid.
pub(crate) fn subject(name: &str) -> Row {
    let grid = Grid::with_spacing(SHAPE_XYZ, [1.5, 1.25, 2.0]).unwrap();
    let mut rng = DrawKey {
        seed: 11,
        epoch: 0,
        subject: name,
        sample: 0,
    }
    .rng("phantom");
    let centre = [5.5, 4.5, 3.5].map(|c| c + rng.uniform(-0.5, 0.5));
    let (mut ct, mut mr, mut label) = (vec![], vec![], vec![]);
    for voxel in 0..grid.voxel_count() {
        let at = [voxel % 12, voxel / 12 % 10, voxel / 120].map(|i| i as f64);
        let square = |i: usize, radius: f64| ((at[i] - centre[i]) / radius).powi(2);
        let body = square(0, 5.0) + square(1, 4.0) + square(2, 3.5);
        let class = u8::from(body < 1.0) + u8::from(body < 0.3);
        // Stored CT numbers carry an intercept of -1024; MR air is exactly 0.
        let (hounsfield, signal) = [(-1000.0, 0.0), (30.0, 400.0), (110.0, 650.0)][class as usize];
        ct.push((hounsfield + 1024.0 + rng.uniform(-15.0, 15.0)) as i16);
        let noise = if class == 0 {
            0.0
        } else {
            rng.uniform(-40.0, 40.0)
        };
        mr.push((signal + noise) as u16);
        label.push(class);
    }
    let scaling = Scaling {
        slope: 1.0,
        intercept: -1024.0,
    };
    let ct = Volume::try_new(Buffer::from_vec(ct), Dtype::I16, scaling, grid).unwrap();
    let channel = |name: &str, volume| Channel {
        name: name.to_owned(),
        volume: Some(volume),
    };
    Row {
        subject: name.to_owned(),
        cohort: "phantoms".to_owned(),
        split: Split::Train,
        epoch: 0,
        sample: 0,
        view: String::new(),
        images: vec![
            channel("ct", ct),
            channel("mr", Volume::from_vec(mr, grid).unwrap()),
        ],
        labels: vec![channel("", Volume::from_vec(label, grid).unwrap())],
        draws: vec![],
        history: vec![],
        ..Row::default()
    }
}

/// What steps that order subjects see of one.
pub(super) fn facts() -> SubjectFacts {
    let row = subject("a");
    SubjectFacts {
        id: row.subject,
        cohort: row.cohort,
        split: row.split,
        labelled: true,
        modalities: row.images.into_iter().map(|c| c.name).collect(),
    }
}

/// A subject whose MR is missing.
pub(crate) fn subject_without_mr(name: &str) -> Row {
    let mut row = subject(name);
    row.images[1].volume = None;
    row
}

/// What a plan knows of these subjects.
pub(crate) fn edge() -> EdgeSchema {
    let row = subject("any");
    let images = row.images.iter().map(|c| (Role::Image, c));
    let channels = images.chain(row.labels.iter().map(|c| (Role::Label, c)));
    EdgeSchema {
        channels: channels
            .map(|(role, channel)| {
                let volume = channel.volume.as_ref().unwrap();
                ChannelSchema {
                    name: channel.name.clone(),
                    role,
                    dtype: Some(volume.dtype()),
                    shape_xyz: Some(volume.grid().shape_xyz()),
                    spacing_mm: Some(volume.grid().spacing_mm()),
                    orientation: Some(volume.grid().orientation()),
                }
            })
            .collect(),
        rows_per_subject: Some(1),
    }
}

/// Rows that may be refused, but must not bring a run down.
pub(crate) fn odd_rows() -> Vec<(&'static str, Row)> {
    let filled = |value: f32, shape_xyz: [usize; 3]| {
        let grid = Grid::with_spacing(shape_xyz, [1.0; 3]).unwrap();
        let mut row = subject("odd");
        for image in &mut row.images {
            let voxels = vec![value; grid.voxel_count()];
            image.volume = Some(Volume::from_vec(voxels, grid).unwrap());
        }
        let voxels = vec![0u8; grid.voxel_count()];
        row.labels[0].volume = Some(Volume::from_vec(voxels, grid).unwrap());
        row
    };
    let mut no_channels = subject("odd");
    no_channels.images.clear();
    no_channels.labels.clear();
    let mut all_missing = subject("odd");
    for channel in all_missing.images.iter_mut().chain(&mut all_missing.labels) {
        channel.volume = None;
    }
    let mut label_alone = subject("odd");
    label_alone.images.clear();
    let mut unlabelled = subject("odd");
    unlabelled.labels[0].volume = None;
    vec![
        ("no channels", no_channels),
        ("every volume missing", all_missing),
        ("a label and no image", label_alone),
        ("no label", unlabelled),
        ("one voxel", filled(3.0, [1, 1, 1])),
        ("a constant image", filled(7.0, SHAPE_XYZ)),
        ("no number at all", filled(f32::NAN, SHAPE_XYZ)),
        ("infinite voxels", filled(f32::INFINITY, SHAPE_XYZ)),
    ]
}
