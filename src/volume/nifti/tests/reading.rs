//! How voxels are stored: types, byte orders, versions, pairs, offsets, scaling and packing.

use super::build::{Build, gzip, save};
use crate::volume::nifti::{ByteOrder, Layout, Version, read, read_header};
use crate::volume::{Dtype, Scaling, Volume};
use crate::with_voxel_type;
use std::path::Path;
use tempfile::tempdir;

/// Stored numbers as f64.
pub(super) fn stored(volume: &Volume) -> Vec<f64> {
    use crate::volume::Voxel as _;
    with_voxel_type!(volume.dtype(), T => {
        volume.as_slice::<T>().unwrap().iter().map(|v| v.to_f64()).collect()
    })
}

fn values(path: &Path) -> Vec<f64> {
    stored(&read(path, None).unwrap())
}

fn dtypes() -> impl Iterator<Item = Dtype> {
    Dtype::ALL.into_iter().filter(|&d| d != Dtype::F16)
}

#[test]
fn every_type_order_version_and_packing_is_read() {
    let folder = tempdir().unwrap();
    let mut read_files = 0;
    for dtype in dtypes() {
        for (version, big) in [(1, false), (1, true), (2, false), (2, true)] {
            for name in ["a.nii", "a.nii.gz"] {
                // The widest numbers of the type, so that a wrong order or width shows.
                let unsigned = matches!(dtype, Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64);
                let most = match dtype.bytes() {
                    1 => 100.0,
                    2 => 30_000.0,
                    _ => 16_000_000.0,
                };
                let sign = if unsigned { 1.0 } else { -1.0 };
                let build = Build {
                    version,
                    big,
                    values: (0..24).map(|i| sign * (most - f64::from(i))).collect(),
                    ..Build::new(dtype)
                };
                let path = build.save(folder.path(), name);
                let header = read_header(&path).unwrap();
                assert_eq!(header.dtype, dtype);
                assert_eq!(header.gzip, name.ends_with(".gz"));
                assert_eq!(
                    header.byte_order,
                    if big {
                        ByteOrder::Big
                    } else {
                        ByteOrder::Little
                    }
                );
                assert_eq!(
                    header.version,
                    if version == 1 {
                        Version::Nifti1
                    } else {
                        Version::Nifti2
                    }
                );
                assert_eq!(header.layout, Layout::Single);
                assert_eq!(header.descrip, "made by a test");
                let volume = read(&path, None).unwrap();
                assert_eq!(
                    stored(&volume),
                    build.values,
                    "{dtype} {version} {big} {name}"
                );
                assert_eq!(volume.grid().shape_zyx(), [4, 3, 2]);
                assert_eq!(volume.grid().rows(), build.srow);
                assert_eq!(volume.scaling(), Scaling::NONE);
                read_files += 1;
            }
        }
    }
    assert_eq!(read_files, 10 * 4 * 2);
}

#[test]
fn pairs_are_read_from_either_half_packed_or_not() {
    let folder = tempdir().unwrap();
    for (n, (header_name, image_name)) in [
        ("hdr", "img"),
        ("hdr.gz", "img.gz"),
        ("hdr", "img.gz"),
        ("hdr.gz", "img"),
    ]
    .into_iter()
    .enumerate()
    {
        for version in [1, 2] {
            for offset in [0usize, 32, 7] {
                let build = Build {
                    version,
                    pair: true,
                    vox_offset: Some(offset as f64),
                    ..Build::new(Dtype::I16)
                };
                let stem = format!("p{n}-{version}-{offset}");
                let pack = |name: &str, bytes: Vec<u8>| {
                    if name.ends_with(".gz") {
                        gzip(&bytes)
                    } else {
                        bytes
                    }
                };
                let image = [vec![0xEE; offset], build.voxels()].concat();
                let header = save(
                    folder.path(),
                    &format!("{stem}.{header_name}"),
                    &pack(header_name, build.header()),
                );
                let image = save(
                    folder.path(),
                    &format!("{stem}.{image_name}"),
                    &pack(image_name, image),
                );
                for path in [&header, &image] {
                    assert_eq!(values(path), build.values, "{path:?}");
                }
                let found = read_header(&header).unwrap();
                assert_eq!(
                    (found.layout, found.gzip),
                    (Layout::Pair, image_name.ends_with(".gz"))
                );
                assert_eq!(found.voxels_path, image);
            }
        }
    }
}

#[test]
fn extensions_and_padding_are_skipped_by_the_offset() {
    let folder = tempdir().unwrap();
    // An extension of 32 bytes; 64 bytes of padding with extender 0; an extension with padding
    // behind it; one that claims a size of 0.
    let mut extension = vec![1, 0, 0, 0, 32, 0, 0, 0, 6, 0, 0, 0];
    extension.extend([b'x'; 24]);
    let padding = vec![0; 4 + 64];
    let both = [extension.clone(), vec![0; 24]].concat();
    let empty = [vec![1, 0, 0, 0, 0, 0, 0, 0], vec![0xAB; 56]].concat();
    for gap in [extension, padding, both, empty] {
        for name in ["e.nii", "e.nii.gz"] {
            for version in [1, 2] {
                let build = Build {
                    version,
                    gap: gap.clone(),
                    ..Build::new(Dtype::F32)
                };
                assert_eq!(values(&build.save(folder.path(), name)), build.values);
            }
        }
    }
}

#[test]
fn an_offset_no_voxel_is_aligned_to_is_honoured() {
    let folder = tempdir().unwrap();
    let build = Build {
        gap: vec![0; 4 + 3],
        ..Build::new(Dtype::F64)
    };
    for name in ["o.nii", "o.nii.gz"] {
        assert_eq!(values(&build.save(folder.path(), name)), build.values);
    }
}

#[test]
fn scaling_is_kept_beside_integers() {
    let folder = tempdir().unwrap();
    let build = Build {
        slope: 0.5,
        inter: -3.0,
        ..Build::new(Dtype::I16)
    };
    let volume = read(&build.save(folder.path(), "s.nii"), None).unwrap();
    assert_eq!(volume.dtype(), Dtype::I16);
    assert_eq!(
        volume.scaling(),
        Scaling {
            slope: 0.5,
            intercept: -3.0
        }
    );
    assert_eq!(volume.to_f32()[..4], [-3.0, -2.5, -2.0, -1.5]);
    for (slope, inter) in [(0.0, 5.0), (f64::NAN, 5.0), (f64::INFINITY, f64::NAN)] {
        let build = Build {
            slope,
            inter,
            ..Build::new(Dtype::I16)
        };
        let volume = read(&build.save(folder.path(), "n.nii"), None).unwrap();
        assert_eq!(volume.scaling(), Scaling::NONE, "{slope} {inter}");
    }
}

#[test]
fn gzip_is_known_by_its_bytes_not_by_the_name() {
    let folder = tempdir().unwrap();
    let build = Build::new(Dtype::U16);
    let zipped = save(folder.path(), "zipped.nii", &gzip(&build.bytes()));
    let plain = save(folder.path(), "plain.nii.gz", &build.bytes());
    assert_eq!(values(&zipped), build.values);
    assert_eq!(values(&plain), build.values);
}

#[test]
fn gzip_members_are_joined_and_the_rest_ignored() {
    let folder = tempdir().unwrap();
    let build = Build::new(Dtype::F32);
    let bytes = build.bytes();
    let members = |cuts: &[usize]| -> Vec<u8> {
        let edges = [&[0], cuts, &[bytes.len()]].concat();
        edges
            .windows(2)
            .flat_map(|w| gzip(&bytes[w[0]..w[1]]))
            .collect()
    };
    let more = [bytes.clone(), vec![9; 100]].concat();
    for (name, file) in [
        ("cut inside the header", members(&[100])),
        ("cut inside the voxels", members(&[370, 371])),
        ("empty members between", members(&[352, 352, 352])),
        ("bytes behind the voxels", gzip(&more)),
        (
            "zeros behind the member",
            [gzip(&bytes), vec![0; 512]].concat(),
        ),
        (
            "rubbish behind the member",
            [gzip(&bytes), b"rubbish".to_vec()].concat(),
        ),
        (
            "rubbish behind two members",
            [members(&[400]), b"rubbish".to_vec()].concat(),
        ),
    ] {
        let path = save(folder.path(), "g.nii.gz", &file);
        assert_eq!(values(&path), build.values, "{name}");
    }
}
