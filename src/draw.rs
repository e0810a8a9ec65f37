//! Keyed randomness: every draw depends on who draws, never on what was drawn before elsewhere.
//!
//! A generator's key is the digest of (seed, epoch, subject, sample, stage path). Workers, batch
//! sizes, restarts and machine counts therefore cannot change a draw.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a draw depends on, apart from the stage that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey<'a> {
    /// The pipeline's `seed`.
    pub seed: u64,
    /// Pass over the data, from 0.
    pub epoch: u64,
    /// The subject's id.
    pub subject: &'a str,
    /// Sample of that subject in that pass, from 0.
    pub sample: u32,
}

impl DrawKey<'_> {
    /// The generator of one stage for this key.
    pub fn rng(&self, stage_path: &str) -> SampleRng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"voxstream draw 1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&self.epoch.to_le_bytes());
        hasher.update(&self.sample.to_le_bytes());
        hasher.update(&(self.subject.len() as u64).to_le_bytes());
        hasher.update(self.subject.as_bytes());
        hasher.update(stage_path.as_bytes());
        SampleRng(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }
}

/// A generator that belongs to one stage, subject, sample and epoch.
///
/// **Source** ChaCha with 8 rounds, stable across versions and platforms.
#[derive(Debug, Clone)]
pub struct SampleRng(ChaCha8Rng);

impl SampleRng {
    /// Uniform in `[0, 1)` with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`; `low` where they are equal.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform over `0..count`. **Panics** when `count` is 0: there is nothing to draw.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "a draw needs at least one candidate");
        // Multiply-shift with rejection keeps every value equally likely (Lemire 2019).
        let n = count as u64;
        loop {
            let wide = u128::from(self.0.next_u64()) * u128::from(n);
            if (wide as u64) >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal, by the polar method's trigonometric form (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A seed for a generator of its own.
    pub fn next_seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A permutation of `0..count`, each equally likely (Fisher and Yates).
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

/// A parameter that may be drawn: a number is fixed, a pair is uniform between its ends, `choice` picks one, `around_one` and `one_over` draw factors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, a pair `[low, high]`, `{ choice: [..] }`, or for factors `{ around_one: [low, high] }` or `{ one_over: [low, high] }`"
)]
pub enum Range {
    /// Always this value.
    Fixed(f64),
    /// Uniform between the two ends.
    Uniform([f64; 2]),
    /// One of the listed values, each equally likely.
    Choice {
        /// The values to pick from.
        choice: Vec<f64>,
    },
    /// A factor: half the time uniform between the lower end and 1, half between 1 and the upper end.
    AroundOne {
        /// The ends, one at most 1 and one at least 1; uniform above 1 alone where the lower end is 1.
        around_one: [f64; 2],
    },
    /// A factor whose inverse is uniform.
    OneOver {
        /// The ends of the inverse, both above 0.
        one_over: [f64; 2],
    },
}

impl Range {
    /// Draws a value. An empty `choice` is refused by [`Range::check`] before anything is drawn.
    pub fn draw(&self, rng: &mut SampleRng) -> f64 {
        match self {
            Self::Fixed(value) => *value,
            Self::Uniform([low, high]) => rng.uniform(*low, *high),
            Self::Choice { choice } => choice[rng.below(choice.len())],
            Self::OneOver {
                one_over: [low, high],
            } => 1.0 / rng.uniform(*low, *high),
            Self::AroundOne {
                around_one: [low, high],
            } => {
                // Both are drawn, so that the ends change no other draw.
                let (below, place) = (rng.chance(0.5), rng.unit());
                if below && *low < 1.0 {
                    low + (1.0 - low) * place
                } else {
                    1.0 + (high - 1.0) * place
                }
            }
        }
    }

    /// Smallest and largest value that can be drawn.
    pub fn bounds(&self) -> [f64; 2] {
        match self {
            Self::Fixed(value) => [*value; 2],
            Self::Uniform(ends) | Self::AroundOne { around_one: ends } => *ends,
            Self::OneOver {
                one_over: [low, high],
            } => [1.0 / high, 1.0 / low],
            Self::Choice { choice } => [
                choice.iter().copied().fold(f64::INFINITY, f64::min),
                choice.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ],
        }
    }

    /// Refuses empty choices, reversed pairs, factors on one side of 1 and values outside `[low, high]`.
    ///
    /// **Errors** say what was found and what is allowed.
    pub fn check(&self, name: &str, low: f64, high: f64) -> Result<(), String> {
        if matches!(self, Self::Choice { choice } if choice.is_empty()) {
            return Err(format!(
                "`{name}` has an empty `choice`; list at least one value"
            ));
        }
        if let Self::Choice { choice } = self
            && let Some(value) = choice.iter().find(|v| !v.is_finite())
        {
            return Err(format!("`{name}` may be {value}; list finite numbers"));
        }
        let [least, most] = self.bounds();
        if least > most {
            return Err(format!(
                "`{name}` is a pair with its larger end first ({least}, {most}); write [{most}, {least}]"
            ));
        }
        if matches!(self, Self::AroundOne { .. }) && !(least <= 1.0 && most >= 1.0) {
            return Err(format!(
                "`{name}` is `around_one: [{least}, {most}]`, which does not hold 1; write the pair without `around_one`"
            ));
        }
        if let Self::OneOver { one_over: [low, _] } = self
            && (low.is_nan() || *low <= 0.0)
        {
            return Err(format!(
                "`{name}` is one over {low}; expected two numbers above 0"
            ));
        }
        if !(least >= low && most <= high) {
            return Err(format!(
                "`{name}` reaches from {least} to {most}; allowed is {low} to {high}"
            ));
        }
        Ok(())
    }
}

/// Refuses a probability outside 0 to 1.
///
/// **Errors** name the value.
pub fn check_probability(p: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&p) {
        Ok(())
    } else {
        Err(format!("`p` is a probability from 0 to 1, found {p}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(subject: &str, sample: u32) -> DrawKey<'_> {
        DrawKey {
            seed: 7,
            epoch: 1,
            subject,
            sample,
        }
    }

    #[test]
    fn a_draw_depends_on_its_key_alone() {
        let first = key("a", 0).rng("stages[0].noise").unit();
        let mut other = key("b", 0).rng("stages[0].noise");
        other.unit();
        assert_eq!(first, key("a", 0).rng("stages[0].noise").unit());
        assert_ne!(first, key("a", 1).rng("stages[0].noise").unit());
        assert_ne!(first, key("a", 0).rng("stages[1].noise").unit());
        assert_ne!(first, key("b", 0).rng("stages[0].noise").unit());
    }

    #[test]
    fn draws_have_their_distribution() {
        let mut rng = key("law", 0).rng("test");
        let n = 20_000;
        let normals: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(
            mean.abs() < 3.0 / (n as f64).sqrt() && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
        let mut counts = [0usize; 3];
        (0..n).for_each(|_| counts[rng.below(3)] += 1);
        assert!(
            counts
                .iter()
                .all(|&c| (c as f64 - n as f64 / 3.0).abs() < 3.0 * (n as f64 * 2.0 / 9.0).sqrt()),
            "{counts:?}"
        );
        let mut seen = rng.permutation(50);
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn ranges_say_what_is_wrong() {
        assert!(
            Range::Uniform([1.0, 0.0])
                .check("std", 0.0, 9.0)
                .unwrap_err()
                .contains("[0, 1]")
        );
        assert!(
            Range::Choice { choice: vec![] }
                .check("std", 0.0, 9.0)
                .is_err()
        );
        assert!(Range::Fixed(-1.0).check("std", 0.0, 9.0).is_err());
        assert!(Range::Uniform([0.0, 1.0]).check("std", 0.0, 9.0).is_ok());
        let around = |ends| Range::AroundOne { around_one: ends };
        assert!(around([0.5, 3.0]).check("gamma", 0.0, 9.0).is_ok());
        let wrong = around([1.5, 3.0]).check("gamma", 0.0, 9.0).unwrap_err();
        assert!(wrong.contains("does not hold 1"), "{wrong}");
    }

    #[test]
    fn factors_lie_on_either_side_of_one_equally_often() {
        let mut rng = key("law", 0).rng("around");
        let range = Range::AroundOne {
            around_one: [0.7, 1.5],
        };
        let n = 10_000;
        let drawn: Vec<f64> = (0..n).map(|_| range.draw(&mut rng)).collect();
        assert!(drawn.iter().all(|f| (0.7..1.5).contains(f)));
        let above: Vec<f64> = drawn.into_iter().filter(|f| *f >= 1.0).collect();
        let share = above.len() as f64 / f64::from(n);
        assert!(
            (share - 0.5).abs() < 3.0 * 0.5 / f64::from(n).sqrt(),
            "{share}"
        );
        let mean = above.iter().sum::<f64>() / above.len() as f64;
        let error = 0.5 / 12f64.sqrt() / (above.len() as f64).sqrt();
        assert!((mean - 1.25).abs() < 3.0 * error, "{mean}");
        let upper = Range::AroundOne {
            around_one: [1.0, 2.0],
        };
        assert!((0..1000).all(|_| upper.draw(&mut rng) > 1.0));
    }
}
