//! The last blend of a row, along x: eight outputs at a time out of sixteen values.

use super::tap::Tap;

/// Outputs that are blended together.
const BLOCK: usize = 8;

/// Values that the outputs of a block are picked from.
const WINDOW: usize = 2 * BLOCK;

/// Taps of the outputs of a row.
#[derive(Default)]
pub(super) struct AlongX {
    /// First source voxel that is read.
    pub(super) origin: usize,
    /// Source voxels that are read.
    pub(super) length: usize,
    taps: Vec<Tap>,
    blocks: Vec<Block>,
    #[cfg(target_arch = "x86_64")]
    simd: Option<pulp::x86::V3>,
}

/// Eight outputs: where each reads.
struct Block {
    /// First value of the window.
    base: usize,
    /// The lower voxel of each output, from `base`.
    low: [i32; BLOCK],
    weight: [f32; BLOCK],
    /// Whether every voxel is in the window.
    fits: bool,
}

impl AlongX {
    /// Takes the taps of a row; of a source row of `count` voxels those from `origin` on are read.
    pub(super) fn set(&mut self, taps: &[Tap], count: usize) {
        let (lowest, highest) = match (taps.first(), taps.last()) {
            (Some(first), Some(last)) => (first.low.min(last.low), first.low.max(last.low)),
            _ => (0, 0),
        };
        // One voxel more, so that every tap has a neighbour.
        (self.origin, self.length) = (lowest, (highest + 2).min(count) - lowest);
        let relative = |t: &Tap| Tap {
            low: t.low - lowest,
            ..*t
        };
        self.taps.clear();
        self.taps.extend(taps.iter().map(relative));
        self.blocks.clear();
        self.blocks.extend(self.taps.chunks(BLOCK).map(Block::new));
        #[cfg(target_arch = "x86_64")]
        {
            self.simd = pulp::x86::V3::try_new();
        }
    }

    /// Values a row needs behind its `length`, so that every window is whole.
    pub(super) fn padded(&self) -> usize {
        self.length + WINDOW
    }

    /// Blends a row along x; `values` are [`AlongX::padded`], of which the last ones do not count.
    #[inline(always)]
    pub(super) fn read(&self, values: &[f32], out: &mut [f32]) {
        let outputs = out.chunks_mut(BLOCK).zip(self.taps.chunks(BLOCK));
        for ((out, taps), block) in outputs.zip(&self.blocks) {
            #[cfg(target_arch = "x86_64")]
            if let (Some(simd), true) = (self.simd, block.fits) {
                let window = values[block.base..]
                    .first_chunk()
                    .expect("values are padded");
                let blended = block.blend(simd, window);
                match out.as_mut_array() {
                    Some(out) => *out = blended,
                    None => out.copy_from_slice(&blended[..out.len()]),
                }
                continue;
            }
            for (out, tap) in out.iter_mut().zip(taps) {
                *out = tap.between(values);
            }
        }
    }
}

impl Tap {
    /// The value between two neighbours.
    #[inline(always)]
    fn between(&self, values: &[f32]) -> f32 {
        let pair = &values[self.low..self.low + 2];
        // Without a weight the neighbour must not count, not even as 0 · infinity.
        match self.weight == 0.0 {
            true => pair[0],
            false => pair[0] * (1.0 - self.weight) + pair[1] * self.weight,
        }
    }
}

impl Block {
    fn new(taps: &[Tap]) -> Self {
        let lows = || taps.iter().map(|t| t.low);
        let (base, highest) = (lows().min().unwrap_or(0), lows().max().unwrap_or(0));
        let mut block = Self {
            base,
            low: [0; BLOCK],
            weight: [0.0; BLOCK],
            fits: highest + 1 - base < WINDOW,
        };
        for ((low, weight), tap) in block.low.iter_mut().zip(&mut block.weight).zip(taps) {
            (*low, *weight) = ((tap.low - base) as i32, tap.weight);
        }
        block
    }

    /// [`Tap::between`] of eight outputs.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn blend(&self, simd: pulp::x86::V3, window: &[f32; WINDOW]) -> [f32; BLOCK] {
        use std::arch::x86_64::{__m256, __m256i};
        let (avx, avx2) = (simd.avx, simd.avx2);
        let [near, far]: [__m256; 2] = pulp::cast(*window);
        let pick = |index: __m256i| {
            let [near, far] = [near, far].map(|half| avx2._mm256_permutevar8x32_ps(half, index));
            // The bit that counts eights becomes the sign, which chooses.
            let eights = avx._mm256_castsi256_ps(avx2._mm256_slli_epi32::<28>(index));
            avx._mm256_blendv_ps(near, far, eights)
        };
        let low: __m256i = pulp::cast(self.low);
        let high = avx2._mm256_add_epi32(low, avx._mm256_set1_epi32(1));
        let (low, high) = (pick(low), pick(high));
        let weight: __m256 = pulp::cast(self.weight);
        let rest = avx._mm256_sub_ps(avx._mm256_set1_ps(1.0), weight);
        let blended = avx._mm256_add_ps(
            avx._mm256_mul_ps(low, rest),
            avx._mm256_mul_ps(high, weight),
        );
        let alone = avx._mm256_cmp_ps::<0>(weight, avx._mm256_set1_ps(0.0));
        pulp::cast(avx._mm256_blendv_ps(blended, low, alone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_at_a_time_are_what_each_is_alone(
            step in prop_oneof![0.01..3.0f64, -3.0..-0.01f64],
            count in 1..40usize,
            odd in 0..60usize,
        ) {
            let span = step.abs() * (count - 1) as f64;
            let start = if step < 0.0 { span } else { 0.0 };
            let taps: Vec<Tap> = (0..count)
                .map(|i| {
                    let at = start + step * i as f64;
                    // Every third falls on a voxel.
                    let weight = if i % 3 == 0 { 0.0 } else { at.fract() as f32 };
                    Tap { low: at as usize, weight }
                })
                .collect();
            let length = span as usize + 2;
            let mut along = AlongX::default();
            along.set(&taps, length);
            let mut values: Vec<f32> = (0..along.padded()).map(|i| (i * 37 % 101) as f32).collect();
            if let Some(value) = values.get_mut(odd) {
                *value = f32::INFINITY;
            }
            let mut found = vec![0.0; count];
            along.read(&values, &mut found);
            let alone = along.taps.iter().map(|tap| tap.between(&values).to_bits());
            let found: Vec<u32> = found.iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(found, alone.collect::<Vec<_>>());
        }
    }
}
