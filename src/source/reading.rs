//! What a source says of grids that differ.

use super::VolumeHeader;
use crate::volume::alignment::{are_apart, overlap};
use crate::volume::row::column_name;
use crate::volume::{Grid, Role, VolumeError, WarningKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to a subject whose volumes do not fit each other, by their headers.
///
/// Each image is compared with the first one that the subject has, a label map with its modality's
/// image, else with the first one. Two findings are a mismatch: a label map with the image's shape, but
/// another affine; and a volume that covers less of the image's field of view than `min_overlap`.
/// Both are mistakes of a header far more often than a wish. A volume on another grid that covers
/// enough is no mismatch: `resample` brings it on the image's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrationSpec {
    /// What happens at a mismatch.
    pub on_mismatch: OnMismatch,
    /// Smallest share of the image's field of view that a volume covers, 0 to 1.
    pub min_overlap: f64,
    /// Largest distance of corresponding corners of one and the same grid, mm.
    pub tolerance_mm: f64,
}

/// What happens at a mismatch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMismatch {
    /// The subject fails before a voxel is read.
    #[default]
    Fail,
    /// The subject is used, and a warning names it.
    Warn,
    /// The subject is used: its grids differ on purpose.
    Resample,
}

impl Default for RegistrationSpec {
    fn default() -> Self {
        Self {
            on_mismatch: OnMismatch::Fail,
            min_overlap: 0.5,
            tolerance_mm: crate::volume::grid::SAME_GRID_TOLERANCE_MM,
        }
    }
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// The subject is used, but somebody should look at it.
    Warning,
    /// The subject cannot be used.
    Failure,
}

/// What headers say about a volume of a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The column: `image.ct`, `label`.
    pub column: String,
    /// Kind of the warning.
    pub kind: WarningKind,
    /// How serious it is.
    pub severity: Severity,
    /// What was found, what was expected, what to do.
    pub problem: String,
}

impl RegistrationSpec {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(0.0..=1.0).contains(&self.min_overlap) {
            problems.push(format!(
                "`registration.min_overlap` is {}; expected a share of the image's field of view from 0 to 1",
                self.min_overlap
            ));
        }
        if !(self.tolerance_mm >= 0.0 && self.tolerance_mm.is_finite()) {
            problems.push(format!(
                "`registration.tolerance_mm` is {}; expected a distance in mm of at least 0",
                self.tolerance_mm
            ));
        }
        problems
    }

    /// Compares the headers of one subject's volumes.
    pub fn findings(&self, headers: &[VolumeHeader]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let images = || headers.iter().filter(|h| h.role == Role::Image);
        for header in headers {
            let column = column_name(header.role, &header.name);
            findings.extend(header.remarks.iter().map(|remark| Finding {
                column: column.clone(),
                kind: WarningKind::Header,
                severity: Severity::Warning,
                problem: remark.clone(),
            }));
            let own = images().find(|h| header.role == Role::Label && h.name == header.name);
            let Some(image) = own.or_else(|| images().next()) else {
                continue;
            };
            if let Some((severity, problem)) = self.compared(image, header) {
                findings.push(Finding {
                    column,
                    kind: WarningKind::Geometry,
                    severity,
                    problem,
                });
            }
        }
        findings
    }

    fn compared(&self, image: &VolumeHeader, other: &VolumeHeader) -> Option<(Severity, String)> {
        let (first, second) = (&image.grid, &other.grid);
        let name = column_name(Role::Image, &image.name);
        if first.is_same(second, self.tolerance_mm) {
            return None;
        }
        let (ours, theirs) = (first.along_world(), second.along_world());
        let corners_mm = ours.corner_distance_mm(&theirs);
        if ours.is_same(&theirs, self.tolerance_mm) {
            let problem = format!(
                "stores the voxels of {name} in another order of axes ({} and {}); `orient` brings both in one",
                second.orientation(),
                first.orientation()
            );
            return Some((Severity::Note, problem));
        }
        if are_apart(first, second) {
            let apart = VolumeError::Apart { corners_mm };
            return Some((Severity::Failure, apart.to_string()));
        }
        let covered = overlap(first, second);
        let like_shaped = other.role == Role::Label && ours.shape_xyz() == theirs.shape_xyz();
        let what = match (like_shaped, covered < self.min_overlap) {
            (true, _) => format!("has the shape of {name}, but another affine"),
            (false, true) => format!("covers little of the field of view of {name}"),
            (false, false) => {
                let problem = format!(
                    "is on another grid than {name} ({}); `resample` brings both on one",
                    difference(first, second, corners_mm, covered)
                );
                return Some((Severity::Note, problem));
            }
        };
        let severity = match self.on_mismatch {
            OnMismatch::Fail => Severity::Failure,
            OnMismatch::Warn => Severity::Warning,
            OnMismatch::Resample => Severity::Note,
        };
        let problem = format!(
            "{what}: {}; copy the affine of the image into its file if the header is wrong; if the grids differ on purpose, write `registration: {{ on_mismatch: resample }}` in `source`",
            difference(first, second, corners_mm, covered)
        );
        Some((severity, problem))
    }
}

/// Spacings, orientations, corners and the shared field of view of an image's grid and another.
fn difference(image: &Grid, other: &Grid, corners_mm: f64, covered: f64) -> String {
    let spacing = |grid: &Grid| {
        let sizes = grid
            .spacing_mm()
            .map(|s| format!("{}", (s * 1e4).round() / 1e4));
        format!("{} mm {}", sizes.join(" x "), grid.orientation())
    };
    format!(
        "{} against {}, corners up to {corners_mm:.2} mm apart, {:.0} % of the image's field of view covered",
        spacing(other),
        spacing(image),
        100.0 * covered
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Dtype;

    fn header(role: Role, name: &str, grid: Grid) -> VolumeHeader {
        VolumeHeader {
            role,
            name: name.to_owned(),
            grid,
            dtype: Dtype::U8,
            remarks: Vec::new(),
        }
    }

    fn found(spec: &RegistrationSpec, image: Grid, role: Role, other: Grid) -> Vec<Finding> {
        spec.findings(&[
            header(Role::Image, "ct", image),
            header(role, if role == Role::Image { "mr" } else { "" }, other),
        ])
    }

    #[test]
    fn a_label_of_the_images_shape_with_another_affine_is_a_mismatch() {
        let shape = [20, 18, 16];
        let image = Grid::with_spacing(shape, [1.0, 1.0, 2.0]).unwrap();
        let label = Grid::with_spacing(shape, [0.5, 0.5, 1.0]).unwrap();
        let mut spec = RegistrationSpec::default();
        let [finding] = &found(&spec, image, Role::Label, label)[..] else {
            panic!("one finding")
        };
        assert_eq!(finding.severity, Severity::Failure);
        assert!(
            finding.problem.starts_with("has the shape of image.ct, but another affine: 0.5 x 0.5 x 1 mm RAS against 1 x 1 x 2 mm RAS, corners up to 19.69 mm apart, 12 % of the image's field of view covered;"),
            "{}",
            finding.problem
        );
        spec.on_mismatch = OnMismatch::Warn;
        assert_eq!(
            found(&spec, image, Role::Label, label)[0].severity,
            Severity::Warning
        );
        spec.on_mismatch = OnMismatch::Resample;
        assert_eq!(
            found(&spec, image, Role::Label, label)[0].severity,
            Severity::Note
        );
        // A twelfth of a voxel is another affine, a hundredth of a millimetre is rounding.
        let spec = RegistrationSpec::default();
        for (shift, expected) in [(0.08, 1), (0.008, 0)] {
            let mut map = image.world_from_voxel();
            map.translation.x += shift;
            let label = Grid::try_new(shape, map).unwrap();
            assert_eq!(found(&spec, image, Role::Label, label).len(), expected);
        }
    }

    #[test]
    fn other_grids_of_one_field_of_view_are_no_mismatch() {
        let spec = RegistrationSpec::default();
        let image = Grid::with_spacing([20, 18, 16], [1.0, 1.0, 2.0]).unwrap();
        let fine = Grid::with_spacing([40, 36, 32], [0.5, 0.5, 1.0]).unwrap();
        let slab = image.window([0, 0, 4], [20, 18, 4]).unwrap();
        let beside = image.window([20, 0, 0], [20, 18, 16]).unwrap();
        for role in [Role::Image, Role::Label] {
            let severity = |grid| found(&spec, image, role, grid)[0].severity;
            assert_eq!(severity(fine), Severity::Note);
            assert_eq!(severity(slab), Severity::Failure);
            assert_eq!(severity(beside), Severity::Failure);
        }
        // Images of one shape may come from two acquisitions.
        let half = image.window([5, 0, 0], [20, 18, 16]).unwrap();
        assert_eq!(
            found(&spec, image, Role::Image, half)[0].severity,
            Severity::Note
        );
    }

    #[test]
    fn an_order_of_axes_is_no_distance() {
        let spec = RegistrationSpec::default();
        let image = Grid::with_spacing([20, 18, 16], [1.0, 1.5, 2.0]).unwrap();
        // The same voxels as LSP: x backwards, then z, then y backwards.
        let rows = [
            [-1.0, 0.0, 0.0, 19.0],
            [0.0, 0.0, -1.5, 25.5],
            [0.0, 2.0, 0.0, 0.0],
        ];
        let other = Grid::from_rows([20, 16, 18], rows).unwrap();
        for role in [Role::Image, Role::Label] {
            let findings = found(&spec, image, role, other);
            assert_eq!(findings[0].severity, Severity::Note);
            assert_eq!(
                findings[0].problem,
                "stores the voxels of image.ct in another order of axes (LSP and RAS); `orient` brings both in one"
            );
        }
    }
}
