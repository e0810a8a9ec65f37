//! Rows and columns of a slice change places, some lines at a time.

use bytemuck::Pod;

/// Elements along an edge of a block: two blocks of 8-byte elements fit the first-level cache.
const TILE: usize = 32;

/// Writes row `r`, column `c` of `from` to `to[place(c) + r]`.
///
/// **Shape** `from` `[rows, columns]`, packed.
/// **Panics** when a row of `to` does not hold `rows` elements from `place(c)` on.
pub fn transpose<T: Pod>(
    from: &[T],
    [rows, columns]: [usize; 2],
    to: &mut [T],
    place: impl Fn(usize) -> usize,
) {
    let [whole_rows, whole_columns] = blocks(from, [rows, columns], to, &place);
    scalar(
        from,
        columns,
        (0..whole_rows, whole_columns..columns),
        to,
        &place,
    );
    scalar(from, columns, (whole_rows..rows, 0..columns), to, &place);
}

/// One element after the other, tile by tile.
fn scalar<T: Copy>(
    from: &[T],
    stride: usize,
    (rows, columns): (std::ops::Range<usize>, std::ops::Range<usize>),
    to: &mut [T],
    place: impl Fn(usize) -> usize,
) {
    for first in columns.clone().step_by(TILE) {
        for row in rows.clone().step_by(TILE) {
            let height = TILE.min(rows.end - row);
            for column in first..(first + TILE).min(columns.end) {
                let from = from[row * stride + column..].iter().step_by(stride);
                let to = &mut to[place(column) + row..][..height];
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// Processes the blocks that fill a SIMD vector; returns how many rows and columns were processed.
#[cfg(not(target_arch = "x86_64"))]
fn blocks<T: Pod>(_: &[T], _: [usize; 2], _: &mut [T], _: impl Fn(usize) -> usize) -> [usize; 2] {
    [0, 0]
}

/// Processes the blocks that fill a SIMD vector; returns how many rows and columns were processed.
///
/// A block has as many rows as a vector of 16 bytes has elements. Interleaving row `i` with row
/// `i + half` for all `i` is a perfect shuffle; as many of them as the edge has bits transpose it.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads and stores take addresses")]
fn blocks<T: Pod>(
    from: &[T],
    [rows, columns]: [usize; 2],
    to: &mut [T],
    place: impl Fn(usize) -> usize,
) -> [usize; 2] {
    use std::arch::x86_64::{
        __m128i, _mm_loadu_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpackhi_epi16,
        _mm_unpackhi_epi32, _mm_unpacklo_epi8, _mm_unpacklo_epi16, _mm_unpacklo_epi32,
    };
    macro_rules! blocks {
        ($edge:literal, $low:ident, $high:ident) => {{
            const EDGE: usize = $edge;
            let whole = [rows / EDGE * EDGE, columns / EDGE * EDGE];
            for column in (0..whole[1]).step_by(EDGE) {
                for row in (0..whole[0]).step_by(EDGE) {
                    // SAFETY: SSE2 belongs to every x86-64; vectors are read from and written to
                    // slices of EDGE elements, which are 16 bytes of plain data.
                    unsafe {
                        let mut lines: [__m128i; EDGE] = std::mem::zeroed();
                        for (i, line) in lines.iter_mut().enumerate() {
                            let source = &from[(row + i) * columns + column..][..EDGE];
                            *line = _mm_loadu_si128(source.as_ptr().cast());
                        }
                        for _ in 0..EDGE.trailing_zeros() {
                            let before = lines;
                            for i in 0..EDGE / 2 {
                                let (a, b) = (before[i], before[i + EDGE / 2]);
                                lines[2 * i] = $low(a, b);
                                lines[2 * i + 1] = $high(a, b);
                            }
                        }
                        for (i, line) in lines.into_iter().enumerate() {
                            let target = &mut to[place(column + i) + row..][..EDGE];
                            _mm_storeu_si128(target.as_mut_ptr().cast(), line);
                        }
                    }
                }
            }
            whole
        }};
    }
    match size_of::<T>() {
        1 => blocks!(16, _mm_unpacklo_epi8, _mm_unpackhi_epi8),
        2 => blocks!(8, _mm_unpacklo_epi16, _mm_unpackhi_epi16),
        4 => blocks!(4, _mm_unpacklo_epi32, _mm_unpackhi_epi32),
        _ => [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Pod + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> T) {
        for [rows, columns] in [[1, 1], [3, 50], [16, 16], [37, 35], [128, 19], [5, 64]] {
            let from: Vec<T> = (0..rows * columns).map(&value).collect();
            // Columns backwards, two elements apart.
            let place = |column: usize| (columns - 1 - column) * (rows + 2);
            let mut to = vec![value(1 << 20); columns * (rows + 2)];
            let mut expected = to.clone();
            for row in 0..rows {
                for column in 0..columns {
                    expected[place(column) + row] = from[row * columns + column];
                }
            }
            transpose(&from, [rows, columns], &mut to, place);
            assert_eq!(to, expected, "{rows} x {columns}");
        }
    }

    #[test]
    fn every_element_finds_its_place() {
        check(|i| (i * 37 % 251) as u8);
        check(|i| i as u16);
        check(|i| i as f32);
        check(|i| i as u64);
    }
}
