use super::build::Build;
use crate::volume::nifti::{Header, Version, read, read_header, write};
use crate::volume::{Dtype, Grid, Scaling, Volume, VolumeError};
use arrow::buffer::Buffer;
use glam::{DAffine3, DMat3, DVec3};
use half::f16;
use nifti::{IntoNdArray as _, NiftiObject as _, ReaderOptions};
use std::path::Path;
use tempfile::tempdir;

/// A grid whose affine is exact in f32, as every grid read from NIfTI-1 is.
fn grid(shape_xyz: [usize; 3], matrix: DMat3, origin: DVec3) -> Grid {
    let exact = |v: DVec3| v.as_vec3().as_dvec3();
    let m = DMat3::from_cols(
        exact(matrix.x_axis),
        exact(matrix.y_axis),
        exact(matrix.z_axis),
    );
    Grid::try_new(
        shape_xyz,
        DAffine3 {
            matrix3: m,
            translation: exact(origin),
        },
    )
    .unwrap()
}

fn grids() -> Vec<(&'static str, Grid, bool)> {
    let shape = [5, 4, 3];
    let origin = DVec3::new(-90.3, 126.7, -72.1);
    let turn =
        DMat3::from_rotation_z(0.31) * DMat3::from_rotation_y(-0.2) * DMat3::from_rotation_x(1.1);
    let diag = |x, y, z| DMat3::from_diagonal(DVec3::new(x, y, z));
    let order = DMat3::from_cols(DVec3::Z, -DVec3::X, DVec3::Y);
    let shear = DMat3::from_cols(
        DVec3::X,
        DVec3::new(0.3, 1.0, 0.0),
        DVec3::new(0.0, 0.1, 2.0),
    );
    vec![
        ("straight", grid(shape, diag(0.7, 0.8, 5.0), origin), true),
        ("x flipped", grid(shape, diag(-0.7, 0.8, 5.0), origin), true),
        (
            "all flipped",
            grid(shape, diag(-1.0, -1.0, -3.0), origin),
            true,
        ),
        (
            "x and y flipped",
            grid(shape, diag(-0.9, -0.9, 2.5), origin),
            true,
        ),
        (
            "oblique",
            grid(shape, turn * diag(0.9, 1.1, 2.0), origin),
            true,
        ),
        (
            "oblique and flipped",
            grid(shape, turn * diag(0.9, -1.1, 2.0), origin),
            true,
        ),
        (
            "axes exchanged",
            grid(shape, order * diag(1.0, -2.0, 3.0), origin),
            true,
        ),
        ("sheared", grid(shape, shear, origin), false),
    ]
}

fn counted(dtype: Dtype, grid: Grid, scaling: Scaling) -> Volume {
    let bytes: Vec<u8> = (0..grid.voxel_count() * dtype.bytes())
        .map(|i| (i * 37 % 120) as u8)
        .collect();
    Volume::try_new(Buffer::from_vec(bytes), dtype, scaling, grid).unwrap()
}

/// Reads a file's own qform as if it had no sform.
fn qform_grid(header: &Header) -> Option<Grid> {
    header
        .qform
        .map(|rows| Grid::from_rows(header.grid.shape_xyz(), rows).unwrap())
}

#[test]
fn written_volumes_come_back_bit_for_bit() {
    let folder = tempdir().unwrap();
    for (name, grid, orthogonal) in grids() {
        for dtype in Dtype::ALL.into_iter().filter(|&d| d != Dtype::F16) {
            for (file, scaling) in [
                ("w.nii", Scaling::NONE),
                (
                    "w.nii.gz",
                    Scaling {
                        slope: 0.25,
                        intercept: -1024.0,
                    },
                ),
            ] {
                let path = folder.path().join(file);
                let volume = counted(dtype, grid, scaling);
                write(&path, &volume, None).unwrap();
                let back = read(&path, None).unwrap();
                assert_eq!(
                    back.buffer().as_slice(),
                    volume.buffer().as_slice(),
                    "{name} {dtype}"
                );
                assert_eq!((back.dtype(), back.scaling()), (dtype, scaling));
                assert_eq!(back.grid().rows(), grid.rows(), "{name}");
                let header = read_header(&path).unwrap();
                assert_eq!(
                    (header.sform_code, header.qform_code),
                    (2, if orthogonal { 2 } else { 0 }),
                    "{name}"
                );
                assert_eq!((header.xyzt_units, header.version), (2, Version::Nifti1));
                // f32 quaternions of these grids are good to a hundredth of the tolerance.
                let qform = qform_grid(&header);
                assert_eq!(qform.is_some(), orthogonal);
                assert!(
                    qform.is_none_or(|q| q.is_same(&grid, 1e-4)),
                    "{name}: {qform:?}"
                );
            }
        }
    }
}

#[test]
fn another_reader_sees_the_same() {
    let folder = tempdir().unwrap();
    for (name, grid, orthogonal) in grids() {
        for file in ["n.nii", "n.nii.gz"] {
            let path = folder.path().join(file);
            let volume = counted(
                Dtype::I16,
                grid,
                Scaling {
                    slope: 0.5,
                    intercept: 3.0,
                },
            );
            write(&path, &volume, None).unwrap();
            let object = ReaderOptions::new().read_file(&path).unwrap();
            let header = object.header();
            assert_eq!(header.dim[..5], [3, 5, 4, 3, 1]);
            assert_eq!(
                (header.scl_slope, header.scl_inter, header.vox_offset),
                (0.5, 3.0, 352.0)
            );
            for (srow, row) in [header.srow_x, header.srow_y, header.srow_z]
                .iter()
                .zip(grid.rows())
            {
                assert_eq!(srow.map(f64::from), row, "{name}");
            }
            let spacing = grid.spacing_mm().map(|s| s as f32);
            assert_eq!(header.pixdim[1..4], spacing, "{name}");
            assert_eq!(header.qform_code > 0, orthogonal);
            let seen = object.into_volume().into_ndarray::<f32>().unwrap();
            assert_eq!(seen.shape(), [5, 4, 3]);
            let ours = volume.to_f32();
            for ((x, y, z), i) in (0..60).map(|i| ((i % 5, i / 5 % 4, i / 20), i)) {
                assert_eq!(seen[[x, y, z]], ours[i], "{name}");
            }
        }
    }
}

#[test]
fn codes_and_time_unit_come_from_like() {
    let folder = tempdir().unwrap();
    let grid = grids()[4].1;
    let volume = counted(Dtype::U8, grid, Scaling::NONE);
    // Found codes (sform, qform) and the ones written; a code that is absent is lent by the other.
    for (found, expected) in [
        ((1, 1), (1, 1)),
        ((4, 1), (4, 1)),
        ((3, 0), (3, 3)),
        ((0, 1), (1, 1)),
        ((0, 0), (2, 2)),
    ] {
        let source = Build {
            sform_code: found.0,
            qform_code: found.1,
            units: 2 | 8,
            ..Build::new(Dtype::U8)
        };
        let like = read_header(&source.save(folder.path(), "like.nii")).unwrap();
        let path = folder.path().join("c.nii");
        write(&path, &volume, Some(&like)).unwrap();
        let header = read_header(&path).unwrap();
        assert_eq!((header.sform_code, header.qform_code), expected);
        assert_eq!(header.xyzt_units, 2 | 8);
    }
    // A file in metres lends its time unit, never its spatial one: our grids are in mm.
    let source = Build {
        units: 1 | 16,
        ..Build::new(Dtype::U8)
    };
    let like = read_header(&source.save(folder.path(), "like.nii")).unwrap();
    let path = folder.path().join("c.nii");
    write(&path, &volume, Some(&like)).unwrap();
    let header = read_header(&path).unwrap();
    assert_eq!(
        (header.xyzt_units, header.grid.rows()),
        (2 | 16, grid.rows())
    );
}

#[test]
fn long_axes_become_nifti2_and_half_floats_f32() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("long.nii.gz");
    // NIfTI-2 keeps f64 affines: a third is no f32.
    let grid = Grid::with_spacing([32_768, 2, 1], [1.0 / 3.0, 1.0, 1.0]).unwrap();
    let volume = counted(
        Dtype::U16,
        grid,
        Scaling {
            slope: 1.0 / 3.0,
            intercept: 0.1,
        },
    );
    write(&path, &volume, None).unwrap();
    assert_eq!(read_header(&path).unwrap().version, Version::Nifti2);
    let back = read(&path, None).unwrap();
    assert_eq!(
        (back.grid(), back.scaling()),
        (volume.grid(), volume.scaling())
    );
    assert_eq!(back.buffer(), volume.buffer());

    let path = folder.path().join("half.nii");
    let grid = Grid::with_spacing([2, 1, 1], [1.0; 3]).unwrap();
    let halves = Volume::from_vec(vec![f16::from_f32(0.1), f16::INFINITY], grid).unwrap();
    write(&path, &halves, None).unwrap();
    let back = read(&path, None).unwrap();
    assert_eq!(
        back.as_slice::<f32>().unwrap(),
        [f16::from_f32(0.1).to_f32(), f32::INFINITY]
    );
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_other() {
    let folder = tempdir().unwrap();
    let grid = Grid::with_spacing([2, 2, 2], [1.0; 3]).unwrap();
    let volume = counted(Dtype::U8, grid, Scaling::NONE);
    let path = folder.path().join("a.nii.gz");
    write(&path, &volume, None).unwrap();
    let first = std::fs::read(&path).unwrap();
    let far = volume
        .clone()
        .with_grid(Grid::with_spacing([2, 2, 2], [1e39, 1.0, 1.0]).unwrap())
        .unwrap();
    assert!(matches!(
        write(&path, &far, None),
        Err(VolumeError::Format { field: "srow", .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), first);
    // Written again: the same bytes, no time stamp inside.
    write(&path, &volume, None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    assert!(matches!(
        write(&folder.path().join("a.mha"), &volume, None),
        Err(VolumeError::Format { field: "name", .. })
    ));
    assert!(matches!(
        write(&folder.path().join("none/a.nii"), &volume, None),
        Err(VolumeError::Io { .. })
    ));
    // A folder in the file's place: the rename fails and the partial file goes.
    std::fs::create_dir(folder.path().join("b.nii")).unwrap();
    assert!(matches!(
        write(&folder.path().join("b.nii"), &volume, None),
        Err(VolumeError::Io { .. })
    ));
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a.nii.gz", "b.nii"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let plain = folder.path().join("plain");
        std::fs::write(&plain, []).unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(
            mode(&path),
            mode(&plain),
            "the umask decides, not the temporary file"
        );
    }
}
