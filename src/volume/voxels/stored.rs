//! Voxels in memory or in a mapped file, with the type and scaling that say what their bytes mean.

use super::super::dtype::{Dtype, Scaling, Voxel};
use super::super::error::VolumeError;
use super::super::grid::Grid;
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A file behind voxels that checks its bytes when they are first read.
///
/// **Law** no voxel is read before `check` was called for its bytes; `Stored` sees to it.
pub trait Backing: std::fmt::Debug + Send + Sync {
    /// Checks a part of the file's bytes, unless it was checked before.
    ///
    /// Damage is not returned here: voxels are plain numbers, so a damaged one can be computed with
    /// like any other. The file remembers it, and whoever took the volume out of the file asks
    /// before the result is used.
    fn check(&self, bytes: &[u8]);
}

/// A box of voxels: the first one and the number along x, y, z.
pub(in crate::volume) type Part = ([usize; 3], [usize; 3]);

/// Voxels in memory, with the type and scaling that say what their bytes mean.
#[derive(Debug)]
pub(in crate::volume) struct Stored {
    buffer: Buffer,
    pub(super) dtype: Dtype,
    pub(super) scaling: Scaling,
    /// Bytes of the voxel with the smallest value, found when it is first asked for.
    pub(super) lowest: OnceLock<[u8; 8]>,
    backed: Option<Backed>,
}

/// Voxels that lie in a file.
#[derive(Debug)]
struct Backed {
    file: Arc<dyn Backing>,
    /// Set once all of them were checked.
    checked: AtomicBool,
}

impl Stored {
    /// Bytes in native order, `dtype` each.
    ///
    /// **Errors** if the number of bytes is not voxels times their size.
    pub(super) fn try_new(
        buffer: Buffer,
        dtype: Dtype,
        scaling: Scaling,
        grid: &Grid,
    ) -> Result<Self, VolumeError> {
        let stored = Self::untyped(buffer, dtype, scaling);
        stored.fits(grid)?;
        // Foreign buffers (a slice of an IPC message, say) may start anywhere; typed views may not.
        let buffer = if stored.buffer.as_ptr().align_offset(dtype.bytes()) == 0 {
            stored.buffer
        } else {
            Buffer::from(stored.buffer.as_slice())
        };
        Ok(Self { buffer, ..stored })
    }

    /// **Errors** if the number of bytes is not that of `grid`'s voxels.
    pub(super) fn fits(&self, grid: &Grid) -> Result<(), VolumeError> {
        let expected = grid.voxel_count() * self.dtype.bytes();
        match self.buffer.len() == expected {
            true => Ok(()),
            false => Err(VolumeError::Size {
                shape_zyx: grid.shape_zyx(),
                dtype: self.dtype,
                expected,
                found: self.buffer.len(),
            }),
        }
    }

    /// Takes over a vector without copying; the type is the vector's.
    pub(in crate::volume) fn of<T: Voxel + ArrowNativeType>(
        voxels: Vec<T>,
        scaling: Scaling,
    ) -> Self {
        Self::untyped(Buffer::from_vec(voxels), T::DTYPE, scaling)
    }

    /// Bytes that a kernel wrote as `dtype`, from an allocation aligned for every type.
    pub(in crate::volume) fn untyped(buffer: Buffer, dtype: Dtype, scaling: Scaling) -> Self {
        Self {
            buffer,
            dtype,
            scaling,
            lowest: OnceLock::new(),
            backed: None,
        }
    }

    /// **Panics** if the number of bytes is not that of `grid`'s voxels.
    pub(super) fn assert_fits(&self, grid: &Grid) {
        assert_eq!(
            self.buffer.len(),
            grid.voxel_count() * self.dtype.bytes(),
            "bytes of a volume of shape {:?} (z, y, x) as {}",
            grid.shape_zyx(),
            self.dtype
        );
    }

    /// The same voxels with the bytes of the smallest stored number known.
    pub(in crate::volume) fn with_lowest(self, lowest: [u8; 8]) -> Self {
        Self {
            lowest: OnceLock::from(lowest),
            ..self
        }
    }

    /// The same voxels, as bytes of `file`: they are checked before they are read.
    pub(super) fn backed_by(self, file: Arc<dyn Backing>) -> Self {
        let backed = Backed {
            file,
            checked: AtomicBool::new(false),
        };
        Self {
            backed: Some(backed),
            ..self
        }
    }

    /// The same voxels for another owner; what is known of them is shared, not found anew.
    pub(super) fn shared(&self) -> Self {
        let backed = self.backed.as_ref().map(|backed| Backed {
            file: Arc::clone(&backed.file),
            checked: AtomicBool::new(backed.checked.load(Ordering::Acquire)),
        });
        Self {
            buffer: self.buffer.clone(),
            dtype: self.dtype,
            scaling: self.scaling,
            lowest: self.lowest.clone(),
            backed,
        }
    }

    /// Address of the first byte; the bytes may not be checked.
    pub(super) fn address(&self) -> usize {
        self.buffer.as_ptr() as usize
    }

    /// The bytes, all of them checked.
    pub(super) fn buffer(&self) -> &Buffer {
        if let Some(backed) = self.unchecked() {
            backed.file.check(&self.buffer);
            backed.checked.store(true, Ordering::Release);
        }
        &self.buffer
    }

    /// The bytes, of which only those of a box are read: the others may not be checked.
    ///
    /// **Shape** voxels `[z, y, x]` of `shape_xyz`.
    pub(super) fn buffer_in(&self, shape_xyz: [usize; 3], part: impl FnOnce() -> Part) -> &Buffer {
        let Some(backed) = self.unchecked() else {
            return &self.buffer;
        };
        let (first, count) = part();
        if count.contains(&0) {
            return &self.buffer;
        }
        let [nx, ny, _] = shape_xyz;
        let at = |[x, y, z]: [usize; 3]| ((z * ny + y) * nx + x) * self.dtype.bytes();
        let last = [0, 1, 2].map(|a| first[a] + count[a] - 1);
        for z in first[2]..=last[2] {
            // Lines of one slice are closer to each other than a group of pages is long.
            let from = at([first[0], first[1], z]);
            let to = at([last[0], last[1], z]) + self.dtype.bytes();
            backed.file.check(&self.buffer[from..to]);
        }
        &self.buffer
    }

    /// The file, where some of its bytes may not be checked yet.
    fn unchecked(&self) -> Option<&Backed> {
        let backed = self.backed.as_ref()?;
        (!backed.checked.load(Ordering::Acquire)).then_some(backed)
    }

    /// The bytes by themselves, all of them checked.
    pub(super) fn into_buffer(self) -> Buffer {
        self.buffer();
        self.buffer
    }
}

/// The value of a stored number.
#[inline(always)]
pub(super) fn value_of<T: Voxel>(stored: T, scaling: Scaling) -> f32 {
    if scaling == Scaling::NONE {
        stored.to_f32()
    } else if T::DTYPE.bytes() <= 2 {
        stored.to_f32() * scaling.slope as f32 + scaling.intercept as f32
    } else {
        // 32-bit integers do not fit an f32: scale first, round once.
        (stored.to_f64() * scaling.slope + scaling.intercept) as f32
    }
}

/// The bytes of one stored number, as [`Stored`] remembers its smallest.
pub(in crate::volume) fn stored_bytes<T: Voxel>(number: T) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&number));
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::super::{Interpolation, LabelInterpolation, Role, Warp};
    use super::super::Volume;
    use super::*;
    use crate::kernel::warp::{Bend, random_vectors};
    use glam::DAffine3;
    use proptest::prelude::*;
    use std::sync::Mutex;

    const SHAPE: [usize; 3] = [11, 9, 10];

    /// Remembers which bytes it was asked to check.
    #[derive(Debug)]
    struct Asked {
        start: usize,
        bytes: Mutex<Vec<bool>>,
    }

    impl Backing for Asked {
        fn check(&self, bytes: &[u8]) {
            let from = bytes.as_ptr() as usize - self.start;
            self.bytes.lock().unwrap()[from..from + bytes.len()].fill(true);
        }
    }

    /// A volume of these values in a file.
    fn backed(values: Vec<u16>) -> (Volume, Arc<Asked>) {
        let grid = Grid::with_spacing(SHAPE, [1.0, 1.5, 0.8]).unwrap();
        let mut volume = Volume::from_vec(values, grid).unwrap();
        volume.know_lowest(u64::from(u16::from_le_bytes([1, 0])));
        let asked = Arc::new(Asked {
            start: volume.buffer().as_ptr() as usize,
            bytes: Mutex::new(vec![false; volume.bytes()]),
        });
        volume.back_by(Arc::clone(&asked) as Arc<dyn Backing>);
        (volume, asked)
    }

    #[derive(Debug, Clone)]
    enum Move {
        Window([i64; 3], [usize; 3]),
        Turn(f64),
        Bend(u64),
        Float,
    }

    fn step() -> impl Strategy<Value = Move> {
        prop_oneof![
            (
                prop::array::uniform3(-3..9i64),
                prop::array::uniform3(1..9usize)
            )
                .prop_map(|(offset, shape)| Move::Window(offset, shape)),
            (-0.6..0.6f64).prop_map(Move::Turn),
            any::<u64>().prop_map(Move::Bend),
            Just(Move::Float),
        ]
    }

    fn moved(volume: &Volume, role: Role, labels: LabelInterpolation, steps: &[Move]) -> Vec<u8> {
        let reading = Interpolation {
            labels,
            ..Interpolation::default()
        };
        let mut volume = volume.clone();
        for step in steps {
            volume = match step {
                Move::Window(offset, shape) => volume.windowed(role, *offset, *shape).unwrap(),
                Move::Turn(angle) => {
                    let warp = Warp::Affine(DAffine3::from_rotation_z(*angle));
                    volume.warped(role, &warp, reading)
                }
                Move::Bend(seed) => {
                    let vectors = random_vectors(64, *seed);
                    let warp = Warp::Elastic(Bend {
                        control_from_input: DAffine3::from_scale(glam::DVec3::splat(0.3)),
                        shape_xyz: [4; 3],
                        displacement: vectors.iter().map(|v| v.map(|c| c * 1.5)).collect(),
                    });
                    volume.warped(role, &warp, reading)
                }
                Move::Float if role == Role::Image => volume.into_f32(),
                Move::Float => volume,
            };
        }
        volume.buffer().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn bytes_are_checked_before_they_are_read(
            steps in prop::collection::vec(step(), 1..5),
            is_label in any::<bool>(),
            smooth in any::<bool>(),
        ) {
            let role = if is_label { Role::Label } else { Role::Image };
            let labels = if smooth { LabelInterpolation::Linear } else { LabelInterpolation::Nearest };
            let values: Vec<u16> = (0..990).map(|i| 1 + i * 7 % 991).collect();
            let (volume, asked) = backed(values.clone());
            let expected = moved(&volume, role, labels, &steps);
            // Other numbers wherever nothing was checked: if they are read, the result differs.
            let asked = asked.bytes.lock().unwrap().clone();
            let other: Vec<u16> = (values.iter().zip(asked.chunks(2)))
                .map(|(value, asked)| if asked[0] { *value } else { 1 + value * 13 % 991 })
                .collect();
            let (other, _) = backed(other);
            prop_assert_eq!(moved(&other, role, labels, &steps), expected);
        }
    }

    #[test]
    fn a_patch_asks_for_less_than_the_volume() {
        let (volume, asked) = backed(vec![1; 990]);
        let patch = volume.windowed(Role::Image, [2, 2, 3], [4, 4, 2]).unwrap();
        assert_eq!(patch.bytes(), patch.buffer().len());
        let count = |asked: &Asked| asked.bytes.lock().unwrap().iter().filter(|b| **b).count();
        // Two slices, from the first line's first voxel to the last line's last one.
        assert_eq!(count(&asked), 2 * 2 * (3 * SHAPE[0] + 4));
        volume.buffer();
        assert_eq!(count(&asked), volume.bytes());
    }
}
