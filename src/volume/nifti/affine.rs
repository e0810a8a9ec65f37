//! The affines of a NIfTI header, as rows of 3x4 matrices in the header's spatial unit.

use glam::{DMat3, DQuat, DVec3};

/// Rows of a 3x4 affine.
pub(super) type Rows = [[f64; 4]; 3];

/// Below this, w² of a unit quaternion stored as three f32 is noise: 3 x f32 epsilon.
const NOISE: f64 = 3.0 * f32::EPSILON as f64;

/// Unit columns whose cosine is above this are sheared; f32 rounding of an orthogonal affine
/// stays two orders below.
const SHEAR: f64 = 1e-5;

/// Voxel sizes along x, y, z: signs are dropped and 0 counts as 1, as nibabel does.
pub(super) fn sizes(pixdim: &[f64; 8]) -> [f64; 3] {
    [1, 2, 3].map(|i| {
        if pixdim[i] == 0.0 {
            1.0
        } else {
            pixdim[i].abs()
        }
    })
}

/// The qform: a rotation as quaternion (b, c, d), voxel sizes and an offset.
///
/// **Formula** NIfTI-1 method 2: `R(a, b, c, d) · diag(sx, sy, q·sz)`, a = sqrt(1 - b² - c² - d²),
/// q = -1 when `pixdim[0]` is -1, else +1 (0 is common and means +1).
pub(super) fn from_quaternion(bcd: [f64; 3], offset: [f64; 3], pixdim: &[f64; 8]) -> Rows {
    let [b, c, d] = bcd;
    let square = 1.0 - (b * b + c * c + d * d);
    // Rounding of b, c, d leaves a² slightly off zero, or negative, at half turns.
    let a = if square < NOISE { 0.0 } else { square.sqrt() };
    let rotation = DMat3::from_quat(DQuat::from_xyzw(b, c, d, a).normalize());
    let [sx, sy, sz] = sizes(pixdim);
    let q = if pixdim[0] == -1.0 { -1.0 } else { 1.0 };
    let m = rotation * DMat3::from_diagonal(DVec3::new(sx, sy, q * sz));
    [0, 1, 2].map(|i| [m.x_axis[i], m.y_axis[i], m.z_axis[i], offset[i]])
}

/// The affine of a file without sform and qform: voxel sizes, x flipped, origin at the centre.
///
/// **Source** ANALYZE 7.5 as nibabel reads it (`shape_zoom_affine`); axes above `axes` have size 1.
pub(super) fn from_sizes(shape_xyz: [usize; 3], axes: usize, pixdim: &[f64; 8]) -> Rows {
    let sizes = sizes(pixdim);
    let mut rows = [[0.0; 4]; 3];
    for i in 0..3 {
        let size = if i < axes { sizes[i] } else { 1.0 };
        let size = if i == 0 { -size } else { size };
        rows[i][i] = size;
        rows[i][3] = -(shape_xyz[i] as f64 - 1.0) / 2.0 * size;
    }
    rows
}

/// What a qform stores of an affine: b, c, d and q.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quaternion {
    /// `quatern_b`, `quatern_c`, `quatern_d`.
    pub(super) bcd: [f64; 3],
    /// `pixdim[0]`: -1 for a left-handed grid.
    pub(super) q: f64,
}

/// The rotation of an affine, or `None` when its axes are not orthogonal: a qform knows no shear.
pub(super) fn quaternion(matrix: DMat3) -> Option<Quaternion> {
    let (x, y, z) = (
        matrix.x_axis.normalize(),
        matrix.y_axis.normalize(),
        matrix.z_axis.normalize(),
    );
    if x.dot(y).abs().max(x.dot(z).abs()).max(y.dot(z).abs()) > SHEAR {
        return None;
    }
    let q = if matrix.determinant() < 0.0 {
        -1.0
    } else {
        1.0
    };
    let turn = DQuat::from_mat3(&DMat3::from_cols(x, y, z * q)).normalize();
    // a is not stored; readers take the root, which is never negative.
    let turn = if turn.w < 0.0 { -turn } else { turn };
    Some(Quaternion {
        bcd: [turn.x, turn.y, turn.z],
        q,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_codes_means_centre_and_flipped_x() {
        let pixdim = [0.0, 3.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(
            from_sizes([3, 5, 7], 3, &pixdim),
            [
                [-3.0, 0.0, 0.0, 3.0],
                [0.0, 2.0, 0.0, -4.0],
                [0.0, 0.0, 1.0, -3.0]
            ]
        );
        // A 2-D file's pixdim[3] is not believed.
        let pixdim = [1.0, 3.0, 2.0, 9.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(from_sizes([3, 5, 1], 2, &pixdim)[2], [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn half_turns_survive_rounding() {
        let pixdim = [-1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        // Half a turn about z and q = -1: x and y are flipped, z twice.
        for b in [1.0, 1.0 + 1e-7, 1.0 - 1e-7] {
            let rows = from_quaternion([0.0, 0.0, b], [5.0, 6.0, 7.0], &pixdim);
            let expected = [
                [-1.0, 0.0, 0.0, 5.0],
                [0.0, -1.0, 0.0, 6.0],
                [0.0, 0.0, -2.0, 7.0],
            ];
            for (found, wanted) in rows.iter().flatten().zip(expected.iter().flatten()) {
                assert!((found - wanted).abs() < 1e-12, "{rows:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn quaternion_gives_the_matrix_back(a in -3.0..3.0f64, b in -1.5..1.5f64, c in -3.0..3.0f64,
            s in prop::array::uniform3(0.3..5.0f64), left in any::<bool>()) {
            let turn = DMat3::from_rotation_z(a) * DMat3::from_rotation_y(b) * DMat3::from_rotation_x(c);
            let sign = if left { -1.0 } else { 1.0 };
            let matrix = turn * DMat3::from_diagonal(DVec3::new(s[0], s[1], s[2] * sign));
            let found = quaternion(matrix).unwrap();
            prop_assert_eq!(found.q, sign);
            let pixdim = [found.q, s[0], s[1], s[2], 0.0, 0.0, 0.0, 0.0];
            let rows = from_quaternion(found.bcd, [0.0; 3], &pixdim);
            for (i, row) in rows.iter().enumerate() {
                let wanted = [matrix.x_axis[i], matrix.y_axis[i], matrix.z_axis[i]];
                for (f, w) in row.iter().zip(wanted) {
                    // Near half turns a² is below the noise of f32 storage and is dropped.
                    prop_assert!((f - w).abs() < 7e-3, "{} {}", f, w);
                }
            }
        }

        #[test]
        fn shear_has_no_quaternion(k in 1e-3..0.9f64) {
            let matrix = DMat3::from_cols(DVec3::X, DVec3::new(k, 1.0, 0.0), DVec3::Z);
            prop_assert_eq!(quaternion(matrix), None);
        }
    }
}
