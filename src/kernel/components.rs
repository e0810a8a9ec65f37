//! Connected components of label maps, by runs: voxels are looked at once, the rest costs per run.
//!
//! **Law** two voxels belong together when they hold the same value and a path of neighbours of
//! that value joins them. A label map's classes are therefore distinguished in one pass.
//! **Source** run-based two-pass labelling with union-find (He, Chao and Suzuki, IEEE Trans. Image
//! Process. 17, 2008), in three dimensions.

use super::region::runs;
use std::cmp::Ordering;

/// Which voxels are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Voxels that share a face: 6.
    Faces,
    /// Voxels that share a face or an edge: 18.
    Edges,
    /// Voxels that share a face, an edge or a corner: 26.
    Corners,
}

impl Connectivity {
    /// The connectivity of so many neighbours; `None` unless 6, 18 or 26.
    pub fn from_neighbours(count: u32) -> Option<Self> {
        match count {
            6 => Some(Self::Faces),
            18 => Some(Self::Edges),
            26 => Some(Self::Corners),
            _ => None,
        }
    }

    /// Rows before a row in memory that hold neighbours: steps along y and z, and how far apart
    /// along x two voxels may lie.
    fn rows_before(self) -> &'static [([isize; 2], u32)] {
        match self {
            Self::Faces => &[([-1, 0], 0), ([0, -1], 0)],
            Self::Edges => &[([-1, 0], 1), ([-1, -1], 0), ([0, -1], 1), ([1, -1], 0)],
            Self::Corners => &[([-1, 0], 1), ([-1, -1], 1), ([0, -1], 1), ([1, -1], 1)],
        }
    }
}

/// A stretch of one component along x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Buffer index of the first voxel.
    pub start: usize,
    /// Voxels, at least one.
    pub length: u32,
    /// The component, from 0.
    pub component: u32,
}

/// One component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component<T> {
    /// The value its voxels hold.
    pub value: T,
    /// How many voxels it has.
    pub voxels: usize,
}

/// The components of a volume, numbered by their first voxel in memory order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components<T> {
    /// Every component.
    pub list: Vec<Component<T>>,
    /// Stretches that make them up, in memory order.
    pub runs: Vec<Run>,
}

impl<T: Copy> Components<T> {
    /// Component numbers from 1, `[z, y, x]`; 0 outside of all of them.
    pub fn paint(&self, voxels: usize) -> Vec<u32> {
        let mut out = vec![0; voxels];
        for run in &self.runs {
            out[run.start..run.start + run.length as usize].fill(run.component + 1);
        }
        out
    }
}

/// Finds the components of the voxels for which `is_foreground` holds.
///
/// **Shape** `values` `[z, y, x]` of `shape_xyz`.
pub fn components<T: Copy + PartialEq>(
    values: &[T],
    shape_xyz: [usize; 3],
    connectivity: Connectivity,
    is_foreground: impl Fn(T) -> bool,
) -> Components<T> {
    let [nx, ny, nz] = shape_xyz;
    if shape_xyz.contains(&0) {
        return Components {
            list: Vec::new(),
            runs: Vec::new(),
        };
    }
    let (mut found, first_of_row) = foreground_runs(values, nx, is_foreground);
    let mut sets = Sets::new(found.len());
    for z in 0..nz as isize {
        for y in 0..ny as isize {
            let row = z as usize * ny + y as usize;
            let own = first_of_row[row]..first_of_row[row + 1];
            if own.is_empty() {
                continue;
            }
            for &([dy, dz], reach) in connectivity.rows_before() {
                let (y, z) = (y + dy, z + dz);
                if y < 0 || y >= ny as isize || z < 0 {
                    continue;
                }
                let other = z as usize * ny + y as usize;
                let others = first_of_row[other]..first_of_row[other + 1];
                join(&found, own.clone(), others, reach, &mut sets);
            }
        }
    }
    let mut list: Vec<Component<T>> = Vec::new();
    let mut runs = Vec::with_capacity(found.len());
    for (i, run) in found.drain(..).enumerate() {
        let root = sets.root(i as u32);
        // A root is the first run of its set, so its number is known before it is asked for.
        let component = if root == i as u32 {
            list.push(Component {
                value: run.value,
                voxels: 0,
            });
            list.len() as u32 - 1
        } else {
            let root: &Run = &runs[root as usize];
            root.component
        };
        list[component as usize].voxels += (run.end - run.begin) as usize;
        runs.push(Run {
            start: run.row * nx + run.begin as usize,
            length: run.end - run.begin,
            component,
        });
    }
    Components { list, runs }
}

/// A stretch of one value within a row of voxels.
struct Stretch<T> {
    row: usize,
    begin: u32,
    end: u32,
    value: T,
}

/// Foreground stretches in memory order, and for every row the number of its first one.
fn foreground_runs<T: Copy + PartialEq>(
    values: &[T],
    nx: usize,
    is_foreground: impl Fn(T) -> bool,
) -> (Vec<Stretch<T>>, Vec<usize>) {
    let mut found = Vec::new();
    let mut first_of_row = Vec::with_capacity(values.len() / nx + 1);
    for (row, voxels) in values.chunks_exact(nx).enumerate() {
        first_of_row.push(found.len());
        let mut begin = 0;
        for (value, length) in runs(voxels) {
            let end = begin + length as u32;
            if is_foreground(value) {
                found.push(Stretch {
                    row,
                    begin,
                    end,
                    value,
                });
            }
            begin = end;
        }
    }
    first_of_row.push(found.len());
    (found, first_of_row)
}

/// Joins the runs of a row with those of a row beside it that they touch.
fn join<T: Copy + PartialEq>(
    found: &[Stretch<T>],
    own: std::ops::Range<usize>,
    others: std::ops::Range<usize>,
    reach: u32,
    sets: &mut Sets,
) {
    let mut touch = |i: usize, j: usize| {
        let (a, b) = (&found[i], &found[j]);
        if a.begin < b.end + reach && b.begin < a.end + reach && a.value == b.value {
            sets.join(i as u32, j as u32);
        }
    };
    let (mut i, mut j) = (own.start, others.start);
    while i < own.end && j < others.end {
        touch(i, j);
        // The run that ends first touches nothing further on. At equal ends each may still touch
        // the other's successor, over a corner.
        match found[i].end.cmp(&found[j].end) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                if j + 1 < others.end {
                    touch(i, j + 1);
                }
                if i + 1 < own.end {
                    touch(i + 1, j);
                }
                (i, j) = (i + 1, j + 1);
            }
        }
    }
}

/// Disjoint sets of runs; the root of a set is its first run.
struct Sets(Vec<u32>);

impl Sets {
    fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    fn root(&mut self, mut i: u32) -> u32 {
        while self.0[i as usize] != i {
            let next = self.0[self.0[i as usize] as usize];
            self.0[i as usize] = next;
            i = next;
        }
        i
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests;
