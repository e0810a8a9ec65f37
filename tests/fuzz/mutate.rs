//! A seeded generator of damage.

/// Draws from a seed, by counter.
struct Draws {
    seed: u64,
    next: u64,
}

impl Draws {
    fn number(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
        self.next = self.next.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.next ^ self.seed.wrapping_mul(0xD129_0E4D_1B2C_9D55);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// A place in `length` bytes; every other one is near the beginning or the end, where formats keep what
    /// they say of themselves.
    fn place(&mut self, length: usize) -> usize {
        let near = self.below(length.clamp(1, 512));
        match self.below(4) {
            0 => near,
            1 => length - 1 - near,
            _ => self.below(length),
        }
    }
}

/// Numbers that formats compare with.
const LIMITS: [u64; 8] = [0, 1, 0x7F, 0x80, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];

/// One of the seeds with one to four changes; the same number makes the same bytes.
pub(super) fn changed(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut draws = Draws {
        seed: number,
        next: 0,
    };
    let mut bytes = seeds[draws.below(seeds.len())].clone();
    let other = &seeds[draws.below(seeds.len())];
    for _ in 0..=draws.below(4) {
        if bytes.is_empty() {
            break;
        }
        change(&mut bytes, other, &mut draws);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], draws: &mut Draws) {
    let at = draws.place(bytes.len());
    let length = 1 + draws.below(16.min(bytes.len() - at).max(1));
    let end = (at + length).min(bytes.len());
    match draws.below(9) {
        0 => bytes[at] ^= 1 << draws.below(8),
        1 => bytes[at] = draws.number() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        5 => bytes[at..end].fill(draws.number() as u8),
        6 | 7 => {
            let limit = LIMITS[draws.below(LIMITS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][draws.below(4)].min(bytes.len() - at);
            let mut value = limit[..width].to_vec();
            if draws.below(2) == 0 {
                value.reverse();
            }
            bytes[at..at + width].copy_from_slice(&value);
        }
        _ => {
            let from = draws.place(other.len());
            let to = (from + 64).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
    }
}
