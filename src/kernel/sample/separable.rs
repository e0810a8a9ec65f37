//! The nearest voxels where every source axis follows one output axis: indices come from tables.

use super::tap::{nearest, reach};
use glam::DAffine3;

/// Output voxels looked at together for one class.
const RUN: usize = 64;

/// Appends the volume to `out`. Stretches of one class are written whole, and slices read twice are copied.
#[inline(always)]
pub(super) fn nearest_separable<T: bytemuck::Pod>(
    (source, source_shape): (&[T], [usize; 3]),
    map: &DAffine3,
    shift: [f64; 3],
    (shape, fill): ([usize; 3], T),
    out: &mut Vec<T>,
) {
    let reach = reach(map);
    // Buffer offset that each output index adds, or none outside.
    let [nx, ny, _] = source_shape;
    let stride = [1, nx, nx * ny];
    let [x, y, z]: [Vec<Option<usize>>; 3] = [0, 1, 2].map(|axis| {
        let (step, start) = (map.matrix3.col(axis)[axis], map.translation[axis]);
        let last = source_shape[axis] as f64 - 1.0;
        (0..shape[axis])
            .map(|i| {
                let at = start + step * i as f64;
                nearest(at, last, reach[axis], shift[axis]).map(|index| index * stride[axis])
            })
            .collect()
    });
    let begin = x.iter().take_while(|o| o.is_none()).count();
    let along_x: Vec<usize> = x.iter().copied().skip(begin).map_while(|o| o).collect();
    let slice = shape[0] * shape[1];
    for (index, &at_z) in z.iter().enumerate() {
        if index > 0 && z[index - 1] == at_z {
            out.extend_from_within(out.len() - slice..);
            continue;
        }
        out.resize((index + 1) * slice, fill);
        let Some(at_z) = at_z else { continue };
        for (row, &at_y) in out[index * slice..].chunks_exact_mut(shape[0]).zip(&y) {
            let Some(at_y) = at_y else { continue };
            let line = &source[at_z + at_y..][..nx];
            let offsets = along_x.chunks(RUN);
            for (out, offsets) in row[begin..].chunks_mut(RUN).zip(offsets) {
                read_run(line, offsets, out);
            }
        }
    }
}

/// Reads the voxels of a row at monotone offsets.
#[inline(always)]
fn read_run<T: bytemuck::Pod>(line: &[T], offsets: &[usize], out: &mut [T]) {
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return;
    };
    let stretch = &line[first.min(last)..=first.max(last)];
    // Compared as bytes: -0.0 is not 0.0, and a NaN is itself.
    let class = bytemuck::bytes_of(&stretch[0]);
    let same = |same, voxel: &T| same & (bytemuck::bytes_of(voxel) == class);
    if stretch.iter().fold(true, same) {
        out[..offsets.len()].fill(stretch[0]);
    } else {
        for (voxel, &offset) in out.iter_mut().zip(offsets) {
            *voxel = line[offset];
        }
    }
}
