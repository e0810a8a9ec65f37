use super::*;
use glam::DAffine3;

/// Values x + 10 y + 100 z on 2 x 3 x 4 voxels of 1, 2 and 3 mm.
fn volume(world_from_voxel: [[f64; 4]; 3]) -> Volume {
    let grid = Grid::from_rows([2, 3, 4], world_from_voxel).unwrap();
    let values = (0..24).map(|i| (i % 2 + 10 * (i / 2 % 3) + 100 * (i / 6)) as f32);
    Volume::from_vec(values.collect(), grid).unwrap()
}

const RAS: [[f64; 4]; 3] = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 2.0, 0.0, 0.0],
    [0.0, 0.0, 3.0, 0.0],
];

fn plane(volume: &Volume, section: Section) -> (Plane, Vec<f32>) {
    let plane = Plane::new(volume.grid(), &volume.grid().axes(), section, [1, 2, 3]);
    let values = plane.read(&Values::of(volume));
    (plane, values)
}

#[test]
fn the_patient_lies_as_radiologists_read() {
    let volume = volume(RAS);
    let (axial, values) = plane(&volume, Section::Axial);
    assert_eq!(values, [321., 320., 311., 310., 301., 300.]);
    assert_eq!((axial.size, axial.spacing_mm), ([2, 3], [1.0, 2.0]));
    assert_eq!((axial.letters, axial.slice), (['R', 'L', 'A', 'P'], [3, 4]));

    let (coronal, values) = plane(&volume, Section::Coronal);
    assert_eq!(values, [321., 320., 221., 220., 121., 120., 21., 20.]);
    assert_eq!(
        (coronal.letters, coronal.slice),
        (['R', 'L', 'S', 'I'], [2, 3])
    );
    assert_eq!(coronal.extent_mm(), [2.0, 12.0]);

    let (sagittal, values) = plane(&volume, Section::Sagittal);
    assert_eq!(values[..6], [321., 311., 301., 221., 211., 201.]);
    assert_eq!(
        (sagittal.letters, sagittal.slice),
        (['A', 'P', 'S', 'I'], [1, 2])
    );
    assert_eq!(sagittal.section.name(), "sagittal");
}

#[test]
fn stored_order_does_not_change_the_picture() {
    // Stored from left to right, and from front to back.
    let lps = [[-1.0, 0.0, 0.0, 1.0], [0.0, -2.0, 0.0, 4.0], RAS[2]];
    let volume = volume(lps);
    let (axial, values) = plane(&volume, Section::Axial);
    assert_eq!(values, [300., 301., 310., 311., 320., 321.]);
    assert_eq!(axial.letters, ['R', 'L', 'A', 'P']);
}

#[test]
fn a_mirrored_array_looks_mirrored_under_its_earlier_orientation() {
    let before = volume(RAS);
    let mirrored = [[-1.0, 0.0, 0.0, 1.0], RAS[1], RAS[2]];
    let after = Volume::from_vec(before.to_f32().to_vec(), {
        Grid::from_rows([2, 3, 4], mirrored).unwrap()
    })
    .unwrap();
    let shown = Plane::new(
        after.grid(),
        &before.grid().axes(),
        Section::Axial,
        [1, 2, 3],
    );
    assert_eq!(shown.letters, ['L', 'R', 'A', 'P']);
    assert_eq!(
        shown.read(&Values::of(&after)),
        [321., 320., 311., 310., 301., 300.]
    );
}

#[test]
fn another_grid_is_read_at_the_same_places() {
    let image = volume(RAS);
    // One voxel further to the right and at the front: half of the slice is outside.
    let shifted = DAffine3::from_translation([1.0, 2.0, 0.0].into());
    let grid = Grid::try_new([2, 3, 4], shifted * image.grid().world_from_voxel()).unwrap();
    let other = Volume::from_vec(image.to_f32().to_vec(), grid).unwrap();
    let plane = Plane::new(
        image.grid(),
        &image.grid().axes(),
        Section::Axial,
        [0, 0, 1],
    );
    let values = plane.read(&Values::of(&other));
    assert_eq!(values[..1], [110.0]);
    assert!(values[1].is_nan() && values[5].is_nan());
    assert_eq!(values[2], 100.0);
}

#[test]
fn voxels_are_drawn_in_their_size() {
    let volume = volume(RAS);
    let (coronal, values) = plane(&volume, Section::Coronal);
    let raster = Raster::new(&coronal, 2.0);
    // 1 mm wide and 3 mm high voxels: 2 x 6 pixels each.
    assert_eq!(raster.size(), [4, 24]);
    let pixels = raster.means(&values);
    assert_eq!(pixels[..4], [321., 321., 320., 320.]);
    assert_eq!(pixels[5 * 4..6 * 4], [321., 321., 320., 320.]);
    assert_eq!(pixels[6 * 4], 221.0);

    let small = Raster::new(&coronal, 0.5);
    assert_eq!(small.size(), [1, 6]);
    let coarse = Raster::new(&coronal, 1.0 / 6.0);
    assert_eq!(coarse.size(), [1, 2]);
    assert_eq!(coarse.means(&values), [270.5, 70.5]);
    let labels = [0., 0., 0., 2., 0., 0., f32::NAN, 0.];
    assert_eq!(coarse.classes(&labels), [2, 0]);
    assert_eq!(raster.classes(&labels)[6 * 4..7 * 4], [0, 0, 2, 2]);
}
