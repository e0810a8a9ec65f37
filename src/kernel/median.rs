//! Median filter over cubes of 3 or 5 voxels an edge.
//!
//! Sorting networks work on sixteen neighbouring voxels at once: the columns that share an x are
//! sorted once and used by every window that holds them, and only those comparisons are made on
//! which the median depends.

use super::simd::vectorised;

/// Voxels sorted side by side.
const LANES: usize = 16;
type Lanes = [i32; LANES];

/// Replaces every voxel by the median of the cube of `size` voxels an edge around it.
///
/// **Law** the middle one of the `size^3` voxels in rising order, borders mirrored with the edge
/// voxel repeated. **Source** SciPy `median_filter` with `mode="reflect"`. NaN counts as larger
/// than every number, so fewer than half of a window's voxels cannot make it NaN. `size` is 3
/// or 5; any other leaves the voxels as they are.
pub fn median(values: &mut [f32], shape_xyz: [usize; 3], size: usize) {
    if !matches!(size, 3 | 5) || values.is_empty() {
        return;
    }
    let networks = Networks::new(size);
    let source = values.to_vec();
    vectorised(
        #[inline(always)]
        || filter(&source, values, shape_xyz, &networks),
    );
}

/// Comparisons of two places: the smaller value goes to the first.
type Network = Vec<[u8; 2]>;

struct Networks {
    size: usize,
    /// Sorts the `size^2` voxels of a column.
    column: Network,
    /// Sorts equal ranks of neighbouring columns, then what can still be the median.
    window: Network,
    /// Position of the median after that.
    middle: usize,
}

impl Networks {
    /// Place of the `rank`-th voxel of column `x` is `rank * size + x`.
    ///
    /// With columns sorted by rank and ranks sorted by x, a place has `(rank + 1) (x + 1) - 1`
    /// places that are not above it and `(size^2 - rank) (size - x) - 1` that are not below: those
    /// with more than half of the voxels on one side are not the median.
    fn new(size: usize) -> Self {
        let area = size * size;
        let half = area * size / 2;
        let across: Vec<usize> = (0..size).collect();
        let mut window = Network::new();
        for rank in 0..area {
            let places: Vec<usize> = across.iter().map(|x| rank * size + x).collect();
            window.extend(sorting(&places));
        }
        let mut below = 0;
        let mut candidates = Vec::new();
        for place in 0..area * size {
            let (rank, x) = (place / size, place % size);
            let not_above = (rank + 1) * (x + 1) - 1;
            let not_below = (area - rank) * (size - x) - 1;
            if not_below > half {
                below += 1;
            } else if not_above <= half {
                candidates.push(place);
            }
        }
        window.extend(sorting(&candidates));
        let middle = candidates[half - below];
        Self {
            size,
            column: sorting(&(0..area).collect::<Vec<_>>()),
            window: needed_for(&window, middle),
            middle,
        }
    }
}

/// Batcher's odd-even merge exchange (Knuth, volume 3, algorithm 5.2.2 M) on the given places.
fn sorting(places: &[usize]) -> Network {
    let n = places.len();
    let mut network = Network::new();
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            for i in 0..n.saturating_sub(d) {
                if i & p == r {
                    network.push([places[i] as u8, places[i + d] as u8]);
                }
            }
            if q == p {
                break;
            }
            (d, q, r) = (q - p, q / 2, p);
        }
        p /= 2;
    }
    network
}

/// The comparisons on which one place depends.
fn needed_for(network: &[[u8; 2]], place: usize) -> Network {
    let mut is_needed = [false; 256];
    is_needed[place] = true;
    let mut kept = Network::new();
    for &[low, high] in network.iter().rev() {
        if is_needed[low as usize] || is_needed[high as usize] {
            is_needed[low as usize] = true;
            is_needed[high as usize] = true;
            kept.push([low, high]);
        }
    }
    kept.reverse();
    kept
}

/// A number's place in the order of `f32::total_cmp`; its own inverse.
#[inline(always)]
fn key(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// Index of a position that may lie outside `0..count`, mirrored with the edge repeated.
fn mirrored(position: isize, count: usize) -> usize {
    let within = position.rem_euclid(2 * count as isize) as usize;
    within.min(2 * count - 1 - within)
}

#[inline(always)]
fn filter(source: &[f32], out: &mut [f32], [nx, ny, nz]: [usize; 3], networks: &Networks) {
    let size = networks.size;
    let (area, reach) = (size * size, size / 2);
    // Sorted columns of one row, one rank after the other, mirrored beyond both ends.
    let width = nx + 2 * reach;
    let padded = width.next_multiple_of(LANES) + LANES;
    let mut columns = vec![0i32; area * padded];
    let mut lanes = vec![[0i32; LANES]; area * size];
    for z in 0..nz {
        for y in 0..ny {
            let rows: [&[f32]; 25] = std::array::from_fn(|i| {
                let i = i.min(area - 1);
                let dz = (i / size) as isize - reach as isize;
                let dy = (i % size) as isize - reach as isize;
                let z = mirrored(z as isize + dz, nz);
                let y = mirrored(y as isize + dy, ny);
                &source[(z * ny + y) * nx..][..nx]
            });
            for begin in (0..nx).step_by(LANES) {
                let count = LANES.min(nx - begin);
                for (lane, row) in lanes.iter_mut().zip(&rows[..area]) {
                    for (to, v) in lane.iter_mut().zip(&row[begin..begin + count]) {
                        *to = key(v.to_bits() as i32);
                    }
                }
                compare(&mut lanes, &networks.column);
                for (rank, lane) in lanes[..area].iter().enumerate() {
                    let to = rank * padded + reach + begin;
                    columns[to..to + count].copy_from_slice(&lane[..count]);
                }
            }
            for rank in columns.chunks_exact_mut(padded) {
                for i in 0..reach {
                    rank[i] = rank[reach + mirrored(i as isize - reach as isize, nx)];
                    rank[reach + nx + i] = rank[reach + mirrored((nx + i) as isize, nx)];
                }
            }
            let target = &mut out[(z * ny + y) * nx..][..nx];
            for (begin, target) in (0..nx).step_by(LANES).zip(target.chunks_mut(LANES)) {
                for (place, lane) in lanes.iter_mut().enumerate() {
                    let from = place / size * padded + place % size + begin;
                    lane.copy_from_slice(&columns[from..from + LANES]);
                }
                compare(&mut lanes, &networks.window);
                for (to, &middle) in target.iter_mut().zip(&lanes[networks.middle]) {
                    *to = f32::from_bits(key(middle) as u32);
                }
            }
        }
    }
}

#[inline(always)]
fn compare(lanes: &mut [Lanes], network: &[[u8; 2]]) {
    for &[low, high] in network {
        let Ok([a, b]) = lanes.get_disjoint_mut([low as usize, high as usize]) else {
            continue;
        };
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = (*a.min(b), *a.max(b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field([nx, ny, nz]: [usize; 3]) -> Vec<f32> {
        let at = |i: usize| (i % nx, i / nx % ny, i / nx / ny);
        let value = |(x, y, z)| (7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101;
        (0..nx * ny * nz).map(|i| value(at(i)) as f32).collect()
    }

    /// The formula, one voxel at a time.
    fn plainly(values: &[f32], [nx, ny, nz]: [usize; 3], size: isize) -> Vec<f32> {
        let around = |c: usize, n: usize| {
            let from = c as isize - size / 2;
            (from..from + size).map(move |i| mirrored(i, n))
        };
        let mut out = Vec::new();
        for i in 0..values.len() {
            let mut window = Vec::new();
            for z in around(i / nx / ny, nz) {
                for y in around(i / nx % ny, ny) {
                    window.extend(around(i % nx, nx).map(|x| values[(z * ny + y) * nx + x]));
                }
            }
            window.sort_by(f32::total_cmp);
            out.push(window[window.len() / 2]);
        }
        out
    }

    #[test]
    fn values_are_those_of_scipy() {
        let text = include_str!("../../tests/reference/intensity.json");
        let reference: serde_json::Value = serde_json::from_str(text).unwrap();
        for case in reference["median"].as_array().unwrap() {
            let shape = [0, 1, 2].map(|i| case["shape"][i].as_u64().unwrap() as usize);
            let mut values = field(shape);
            median(&mut values, shape, case["size"].as_u64().unwrap() as usize);
            let index = case["index"].as_array().unwrap();
            for (i, expected) in index.iter().zip(case["values"].as_array().unwrap()) {
                let found = f64::from(values[i.as_u64().unwrap() as usize]);
                assert_eq!(found, expected.as_f64().unwrap(), "{shape:?} voxel {i}");
            }
        }
    }

    #[test]
    fn networks_find_the_median_of_every_window() {
        for (shape, size) in [
            ([37, 6, 5], 3),
            ([16, 4, 3], 5),
            ([1, 2, 9], 5),
            ([3, 1, 1], 3),
        ] {
            let count = shape.iter().product::<usize>() as u32;
            let mut values: Vec<f32> = (0..count)
                .map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9)))
                .collect();
            values[0] = f32::NEG_INFINITY;
            let expected = plainly(&values, shape, size as isize);
            median(&mut values, shape, size);
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values), bits(&expected), "{shape:?} {size}");
        }
    }

    /// A network that sorts every row of zeros and ones sorts everything (Knuth, theorem Z).
    #[test]
    fn columns_are_sorted() {
        for n in [2usize, 3, 4, 5, 9, 13] {
            let network = sorting(&(0..n).collect::<Vec<_>>());
            for bits in 0..1u32 << n {
                let mut row: Vec<u32> = (0..n).map(|i| bits >> i & 1).collect();
                for &[a, b] in &network {
                    if row[a as usize] > row[b as usize] {
                        row.swap(a as usize, b as usize);
                    }
                }
                assert!(row.is_sorted(), "{n} {bits:b}");
            }
        }
    }
}
