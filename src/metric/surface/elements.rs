//! Surface elements: what of a mask's surface passes between eight neighbouring voxels.
//!
//! A cell has the centres of 2 x 2 x 2 voxels as its corners and is at the voxel corner they
//! share. Which of its corners are inside says how the surface passes through it, and how large
//! it is there.
//!
//! **Source** marching cubes (Lorensen and Cline, SIGGRAPH 1987); areas are those of
//! surface-distance 0.1 (Nikolov et al. 2018, arXiv:1809.04430), whose table of 256 cases this
//! rule returns: the side with fewer corners is cut off along the midpoints of the cell's
//! edges, corners that touch over a face's diagonal apart from each other, and each outline is
//! filled with the triangles whose area between cubic voxels is the largest.

use std::sync::LazyLock;

/// Corners inside, one bit a corner: 1 for x, 2 for y, 4 for z of the higher neighbour.
///
/// Bit `4 * x + 2 * z + y`, so that the four voxels of one x are neighbouring bits.
type Case = u8;

/// Corner x, y, z of a bit.
fn corner(bit: usize) -> [usize; 3] {
    [bit >> 2, bit & 1, bit >> 1 & 1]
}

/// Areas in mm² of the surface in each case, for a voxel size in mm along x, y, z.
pub(super) fn areas_mm2(spacing_mm: [f64; 3]) -> Vec<f64> {
    let [x, y, z] = spacing_mm;
    let scale = [y * z, x * z, x * y];
    let area = |normal: &[f64; 3]| {
        let squares = (0..3).map(|a| (normal[a] * scale[a]).powi(2));
        squares.sum::<f64>().sqrt()
    };
    TRIANGLES
        .iter()
        .map(|normals| normals.iter().map(area).sum())
        .collect()
}

/// Triangles of each case, each as its normal; the length is the area between voxels of 1 mm.
static TRIANGLES: LazyLock<Vec<Vec<[f64; 3]>>> = LazyLock::new(|| {
    (0..=Case::MAX)
        .map(|case| {
            // The smaller side is cut off; either side of four.
            let case = if case.count_ones() > 4 { !case } else { case };
            outlines(case).iter().flat_map(|o| filled(o)).collect()
        })
        .collect()
});

/// Midpoint of a cell edge, between corners of two bits; coordinates are doubled.
type Midpoint = [usize; 3];

fn midpoint(a: usize, b: usize) -> Midpoint {
    let (a, b) = (corner(a), corner(b));
    [0, 1, 2].map(|i| a[i] + b[i])
}

/// Closed outlines in which the surface crosses the cell's faces.
fn outlines(case: Case) -> Vec<Vec<Midpoint>> {
    let is_inside = |bit: usize| case >> bit & 1 == 1;
    let mut links: Vec<[Midpoint; 2]> = Vec::new();
    for face in faces() {
        // A corner inside whose neighbours on the face are not is cut off by itself; two
        // neighbours are cut off together, and of three the fourth is.
        let inside: Vec<usize> = (0..4).filter(|&i| is_inside(face[i])).collect();
        let at = |i: usize| face[i % 4];
        let cut = |i: usize| [midpoint(at(i), at(i + 1)), midpoint(at(i), at(i + 3))];
        match inside[..] {
            [one] => links.push(cut(one)),
            [a, b] if b == a + 2 => links.extend([cut(a), cut(b)]),
            [a, b] => {
                let (first, second) = if b == a + 1 { (a, b) } else { (b, a) };
                links.push([
                    midpoint(at(first), at(first + 3)),
                    midpoint(at(second), at(second + 1)),
                ]);
            }
            [_, _, _] => links.extend((0..4).find(|&i| !is_inside(face[i])).map(cut)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    while let Some([first, mut end]) = links.pop() {
        let mut outline = vec![first];
        while end != first {
            outline.push(end);
            let next = links.iter().position(|link| link.contains(&end));
            let [a, b] = links.swap_remove(next.expect("outlines on a closed cell are closed"));
            end = if a == end { b } else { a };
        }
        found.push(outline);
    }
    found
}

/// Bits of the four corners of each face, going round it.
fn faces() -> impl Iterator<Item = [usize; 4]> {
    (0..3).flat_map(|axis| {
        let others = [(axis + 1) % 3, (axis + 2) % 3];
        (0..2).map(move |side| {
            [[0, 0], [0, 1], [1, 1], [1, 0]].map(|place| {
                let wanted = |a: usize| match others.iter().position(|o| *o == a) {
                    Some(i) => place[i],
                    None => side,
                };
                let wanted = [0, 1, 2].map(wanted);
                (0..8)
                    .find(|bit| corner(*bit) == wanted)
                    .unwrap_or_default()
            })
        })
    })
}

/// Normals of the triangles that fill an outline, those of largest area for cubic voxels.
fn filled(outline: &[Midpoint]) -> Vec<[f64; 3]> {
    let point = |i: usize| outline[i].map(|v| v as f64 / 2.0);
    let normal = |[i, j, k]: [usize; 3]| {
        let (p, q, r) = (point(i), point(j), point(k));
        let (a, b) = (
            [0, 1, 2].map(|n| q[n] - p[n]),
            [0, 1, 2].map(|n| r[n] - p[n]),
        );
        [0, 1, 2].map(|n| {
            let (m, l) = ((n + 1) % 3, (n + 2) % 3);
            (a[m] * b[l] - a[l] * b[m]) / 2.0
        })
    };
    let length = |n: &[f64; 3]| n.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut best: (f64, Vec<[f64; 3]>) = (f64::NEG_INFINITY, Vec::new());
    for triangles in triangulations(0, outline.len() - 1) {
        let normals: Vec<[f64; 3]> = triangles.into_iter().map(normal).collect();
        let area = normals.iter().map(length).sum::<f64>();
        // Ways of one area differ in the last bit only, or not at all: the first one is taken.
        if area > best.0 + 1e-9 {
            best = (area, normals);
        }
    }
    best.1
}

/// Every way to cut the outline's corners `first..=last` into triangles.
fn triangulations(first: usize, last: usize) -> Vec<Vec<[usize; 3]>> {
    if last < first + 2 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for middle in first + 1..last {
        for left in triangulations(first, middle) {
            for right in triangulations(middle, last) {
                let mut one = vec![[first, middle, last]];
                one.extend(&left);
                one.extend(&right);
                all.push(one);
            }
        }
    }
    all
}

/// Cases of all cells of a mask of 0 and 1, one more along each axis than voxels: outside of the
/// mask nothing is inside.
pub(super) fn cases(mask: &[u8], shape_xyz: [usize; 3]) -> Vec<Case> {
    let [nx, ny, nz] = shape_xyz;
    let mut out = vec![0; (nx + 1) * (ny + 1) * (nz + 1)];
    let nothing = vec![0; nx];
    let row = |y: usize, z: usize| {
        // Shifted by one: row 0 is before the mask.
        if (1..=ny).contains(&y) && (1..=nz).contains(&z) {
            let start = ((z - 1) * ny + y - 1) * nx;
            &mask[start..start + nx]
        } else {
            &nothing[..]
        }
    };
    // The four voxels of each x, with an empty column at both ends.
    let mut columns = vec![0u8; nx + 2];
    for (i, cells) in out.chunks_exact_mut(nx + 1).enumerate() {
        let (y, z) = (i % (ny + 1), i / (ny + 1));
        let rows = [row(y, z), row(y + 1, z), row(y, z + 1), row(y + 1, z + 1)];
        let [a, b, c, d] = rows;
        for ((((to, a), b), c), d) in columns[1..=nx].iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *to = a | b << 1 | c << 2 | d << 3;
        }
        for (cell, pair) in cells.iter_mut().zip(columns.windows(2)) {
            *cell = pair[0] | pair[1] << 4;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_the_planes_they_come_from() {
        let areas = areas_mm2([0.5, 2.0, 3.0]);
        assert_eq!((areas[0], areas[255]), (0.0, 0.0));
        for case in 0..=255usize {
            assert_eq!(areas[case], areas[255 - case], "{case}");
        }
        // Halves of a cell: the face between them.
        for (case, area) in [(0b0000_1111, 6.0), (0b0101_0101, 1.5), (0b0011_0011, 1.0)] {
            assert!((areas[case] - area).abs() < 1e-12, "{case} {}", areas[case]);
        }
        // A corner: a triangle between the midpoints of three edges.
        let corner = 0.125 * (6.0f64.powi(2) + 1.5f64.powi(2) + 1.0).sqrt();
        assert!((areas[1] - corner).abs() < 1e-12);
        // Two that touch over a diagonal stay apart.
        assert!((areas[0b0000_1001] - 2.0 * corner).abs() < 1e-12);
    }

    #[test]
    fn cells_see_their_eight_voxels() {
        let shape = [3, 2, 2];
        let mask = [0u8, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1];
        let cells = cases(&mask, shape);
        assert_eq!(cells.len(), 4 * 3 * 3);
        for (i, case) in cells.into_iter().enumerate() {
            let cell = [i % 4, i / 4 % 3, i / 12];
            for bit in 0..8 {
                let high = corner(bit);
                let at = [0, 1, 2].map(|a| (cell[a] + high[a]) as isize - 1);
                let inside = (0..3).all(|a| (0..shape[a] as isize).contains(&at[a]));
                let expected = inside && mask[((at[2] * 2 + at[1]) * 3 + at[0]) as usize] == 1;
                assert_eq!(case >> bit & 1 == 1, expected, "{cell:?} {bit}");
            }
        }
    }
}
