//! The last blend of a row, along x: as many outputs at a time as a register holds, out of twice as many
//! values.

use super::tap::{Tap, between};

/// Values that the outputs of the largest block are picked from.
const LARGEST_WINDOW: usize = 32;

/// Taps of the outputs of a row.
#[derive(Default)]
pub(super) struct AlongX {
    /// First source voxel that is read.
    pub(super) origin: usize,
    /// Source voxels that are read.
    pub(super) length: usize,
    taps: Vec<Tap>,
    blocks: Blocks,
}

/// Outputs that this machine blends together.
#[derive(Default)]
enum Blocks {
    /// Each output alone: voxels are too far apart, or there are no such instructions.
    #[default]
    Alone,
    /// Eight, with AVX2.
    #[cfg(target_arch = "x86_64")]
    Eight(pulp::x86::V3, Vec<Block<8>>),
    /// Sixteen, with AVX-512.
    #[cfg(target_arch = "x86_64")]
    Sixteen(pulp::x86::V4, Vec<Block<16>>),
}

/// `N` outputs: where each reads, in a window of 2 `N` values.
#[cfg(target_arch = "x86_64")]
struct Block<const N: usize> {
    /// First value of the window.
    base: usize,
    /// The lower voxel of each output, from `base`.
    low: [i32; N],
    weight: [f32; N],
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
        self.blocks = Blocks::new(&self.taps);
    }

    /// Values a row needs behind its `length`, so that every window is whole.
    pub(super) fn padded(&self) -> usize {
        self.length + LARGEST_WINDOW
    }

    /// Blends a row along x; `values` are [`AlongX::padded`], of which the last ones do not count.
    #[inline(always)]
    pub(super) fn read(&self, values: &[f32], out: &mut [f32]) {
        match &self.blocks {
            Blocks::Alone => {
                for (out, tap) in out.iter_mut().zip(&self.taps) {
                    *out = tap.between(values);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Blocks::Eight(simd, blocks) => write(
                blocks,
                out,
                #[inline(always)]
                |block| block.blend(*simd, values),
            ),
            #[cfg(target_arch = "x86_64")]
            Blocks::Sixteen(simd, blocks) => write(
                blocks,
                out,
                #[inline(always)]
                |block| block.blend(*simd, values),
            ),
        }
    }
}

impl Blocks {
    fn new(taps: &[Tap]) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use pulp::x86::{V3, V4};
            if let (Some(simd), Some(blocks)) = (V4::try_new(), blocks(taps)) {
                return Self::Sixteen(simd, blocks);
            }
            if let (Some(simd), Some(blocks)) = (V3::try_new(), blocks(taps)) {
                return Self::Eight(simd, blocks);
            }
        }
        let _ = taps;
        Self::Alone
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
            false => between(pair[0], pair[1], self.weight),
        }
    }
}

/// The outputs of a row in blocks; `None` if one reads voxels that no window holds together.
#[cfg(target_arch = "x86_64")]
fn blocks<const N: usize>(taps: &[Tap]) -> Option<Vec<Block<N>>> {
    let block = |taps: &[Tap]| {
        let lows = || taps.iter().map(|t| t.low);
        let (base, highest) = (lows().min()?, lows().max()?);
        let mut block = Block {
            base,
            low: [0; N],
            weight: [0.0; N],
        };
        for ((low, weight), tap) in block.low.iter_mut().zip(&mut block.weight).zip(taps) {
            (*low, *weight) = ((tap.low - base) as i32, tap.weight);
        }
        (highest + 1 - base < 2 * N).then_some(block)
    };
    taps.chunks(N).map(block).collect()
}

/// Writes a row block by block; of the last one as much as there is room for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn write<const N: usize>(
    blocks: &[Block<N>],
    out: &mut [f32],
    blend: impl Fn(&Block<N>) -> [f32; N],
) {
    let (whole, rest) = out.as_chunks_mut();
    for (out, block) in whole.iter_mut().zip(blocks) {
        *out = blend(block);
    }
    if let (false, Some(block)) = (rest.is_empty(), blocks.last()) {
        rest.copy_from_slice(&blend(block)[..rest.len()]);
    }
}

#[cfg(target_arch = "x86_64")]
impl Block<8> {
    /// [`Tap::between`] of eight outputs.
    #[inline(always)]
    fn blend(&self, simd: pulp::x86::V3, values: &[f32]) -> [f32; 8] {
        use std::arch::x86_64::{__m256, __m256i};
        let (avx, avx2) = (simd.avx, simd.avx2);
        let window = values[self.base..].first_chunk::<16>();
        let [near, far]: [__m256; 2] = pulp::cast(*window.expect("values are padded"));
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
        let more = avx._mm256_mul_ps(avx._mm256_sub_ps(high, low), weight);
        let blended = avx._mm256_add_ps(low, more);
        let alone = avx._mm256_cmp_ps::<0>(weight, avx._mm256_set1_ps(0.0));
        pulp::cast(avx._mm256_blendv_ps(blended, low, alone))
    }
}

#[cfg(target_arch = "x86_64")]
impl Block<16> {
    /// [`Tap::between`] of sixteen outputs.
    #[inline(always)]
    fn blend(&self, simd: pulp::x86::V4, values: &[f32]) -> [f32; 16] {
        use std::arch::x86_64::{__m512, __m512i};
        let avx = simd.avx512f;
        let window = values[self.base..].first_chunk::<32>();
        let [near, far]: [__m512; 2] = pulp::cast(*window.expect("values are padded"));
        let low: __m512i = pulp::cast(self.low);
        let high = avx._mm512_add_epi32(low, avx._mm512_set1_epi32(1));
        let low = avx._mm512_permutex2var_ps(near, low, far);
        let high = avx._mm512_permutex2var_ps(near, high, far);
        let weight: __m512 = pulp::cast(self.weight);
        let more = avx._mm512_mul_ps(avx._mm512_sub_ps(high, low), weight);
        let blended = avx._mm512_add_ps(low, more);
        let alone = avx._mm512_cmp_ps_mask::<0>(weight, avx._mm512_set1_ps(0.0));
        pulp::cast(avx._mm512_mask_blend_ps(alone, blended, low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every way that this machine has to blend these taps.
    fn ways(taps: &[Tap]) -> Vec<Blocks> {
        let mut ways = vec![Blocks::Alone];
        #[cfg(target_arch = "x86_64")]
        {
            let eight = pulp::x86::V3::try_new().zip(blocks(taps));
            ways.extend(eight.map(|(simd, blocks)| Blocks::Eight(simd, blocks)));
            let sixteen = pulp::x86::V4::try_new().zip(blocks(taps));
            ways.extend(sixteen.map(|(simd, blocks)| Blocks::Sixteen(simd, blocks)));
        }
        ways
    }

    proptest! {
        #[test]
        fn outputs_blended_together_are_what_each_is_alone(
            step in prop_oneof![0.01..3.0f64, -3.0..-0.01f64],
            count in 1..70usize,
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
            let alone = along.taps.iter().map(|tap| tap.between(&values).to_bits());
            let alone: Vec<u32> = alone.collect();
            for way in ways(&along.taps) {
                along.blocks = way;
                let mut found = vec![0.0; count];
                along.read(&values, &mut found);
                let found: Vec<u32> = found.iter().map(|v| v.to_bits()).collect();
                prop_assert_eq!(&found, &alone);
            }
        }
    }
}
