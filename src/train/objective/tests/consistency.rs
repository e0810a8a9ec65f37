//! CSC and CAC against their formulas.

use candle_core::{Device, Tensor, Var};

use super::super::cac::{cac, cac_all};
use super::super::csc::{Similarity, csc, csc_all, similarity_all};
use super::super::supervised::supervised;
use crate::nn::dice_ce::{DiceCe, IGNORE};
use crate::nn::testing::{noise, values};

fn number(x: &Tensor) -> f64 {
    f64::from(x.to_scalar::<f32>().unwrap())
}

/// NT-Xent over channels as it is written on paper, in f64 loops.
fn slow_csc(u: &[f64], v: &[f64], (n, voxels, c): (usize, usize, usize), t: f64) -> f64 {
    let mut loss = 0.0;
    for b in 0..n {
        let row = |i: usize| -> Vec<f64> {
            let (source, channel) = if i < c { (u, i) } else { (v, i - c) };
            let at = |voxel: usize| source[(b * voxels + voxel) * c + channel];
            (0..voxels).map(at).collect()
        };
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let rows: Vec<Vec<f64>> = (0..2 * c).map(row).collect();
        let score = |i: usize, j: usize| {
            let (a, b) = (&rows[i], &rows[j]);
            (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() / t).exp()
        };
        for i in 0..2 * c {
            let others: f64 = (0..2 * c).filter(|&j| j != i).map(|j| score(i, j)).sum();
            loss -= (score(i, (i + c) % (2 * c)) / others).ln();
        }
    }
    loss / (n * 2 * c) as f64
}

#[test]
fn csc_equals_the_written_formula_and_so_does_its_gradient() {
    let shape = [2, 2, 3, 4, 6];
    let (u, v) = (noise(&shape, 1), noise(&shape, 2));
    let wide = |x: &Tensor| -> Vec<f64> { values(x).into_iter().map(f64::from).collect() };
    for temperature in [0.5, 0.07] {
        let var = Var::from_tensor(&u).unwrap();
        let loss = csc(&var, &v, temperature).unwrap();
        let slow = |u: &[f64]| slow_csc(u, &wide(&v), (2, 24, 6), temperature);
        let error = (number(&loss) - slow(&wide(&u))).abs();
        println!("csc, temperature {temperature}: difference {error:e}");
        assert!(error < 1e-5, "{error}");
        let grads = loss.backward().unwrap();
        let gradient = values(grads.get(&var).unwrap());
        for entry in [0, 17, 100, 287] {
            let mut moved = wide(&u);
            moved[entry] += 1e-5;
            let up = slow(&moved);
            moved[entry] -= 2e-5;
            let expected = (up - slow(&moved)) / 2e-5;
            let error = (f64::from(gradient[entry]) - expected).abs();
            assert!(error < 1e-5, "entry {entry}: {error}");
        }
    }
}

#[test]
fn similarity_is_the_mean_cosine_of_the_channels_that_csc_compares() {
    let (u, v) = (noise(&[2, 2, 3, 4, 3], 1), noise(&[2, 2, 3, 4, 3], 2));
    let (a, b) = (values(&u), values(&v));
    let rows = |volume: usize| -> Vec<Vec<f64>> {
        let row = |x: &[f32], c: usize| {
            (0..24)
                .map(|i| f64::from(x[(volume * 24 + i) * 3 + c]))
                .collect()
        };
        (0..6)
            .map(|i| row(if i < 3 { &a } else { &b }, i % 3))
            .collect()
    };
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for rows in [rows(0), rows(1)] {
        for (i, j) in (0..6)
            .flat_map(|i| (0..6).map(move |j| (i, j)))
            .filter(|(i, j)| i != j)
        {
            let (x, y) = (&rows[i], &rows[j]);
            let cosine = dot(x, y) / (dot(x, x) * dot(y, y)).sqrt();
            if i % 3 == j % 3 {
                &mut same
            } else {
                &mut other
            }
            .push(cosine);
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let found = similarity_all(&[Some(u.clone()), None, Some(v)])
        .unwrap()
        .unwrap();
    assert!(
        (found.same - mean(&same)).abs() < 1e-5,
        "{found:?} {}",
        mean(&same)
    );
    assert!(
        (found.other - mean(&other)).abs() < 1e-5,
        "{found:?} {}",
        mean(&other)
    );
    let itself = similarity_all(&[Some(u.clone()), Some(u.clone())])
        .unwrap()
        .unwrap();
    assert!((itself.same - 1.0).abs() < 1e-5);
    assert_eq!(similarity_all(&[Some(u)]).unwrap(), None);
    assert_eq!(Similarity::mean(&[]), None);
}

#[test]
fn csc_compares_channels_and_is_least_where_they_correspond() {
    let (u, v) = (noise(&[1, 4, 4, 4, 5], 1), noise(&[1, 4, 4, 4, 5], 2));
    let v = ((&u * 0.8).unwrap() + (v * 0.2).unwrap()).unwrap();
    let order = Tensor::new(&[3u32, 0, 4, 2, 1], &Device::Cpu).unwrap();
    let permuted = |x: &Tensor| x.index_select(&order, 4).unwrap();
    let loss = |u: &Tensor, v: &Tensor| number(&csc(u, v, 0.5).unwrap());
    let matched = loss(&u, &v);
    assert!((loss(&permuted(&u), &permuted(&v)) - matched).abs() < 1e-6);
    assert!(loss(&u, &permuted(&v)) > matched + 0.5);
    assert!(loss(&u, &u) < matched);
    // Voxels are not compared with voxels: moving both maps alike changes nothing.
    let flipped = Tensor::new(&[3u32, 2, 1, 0], &Device::Cpu).unwrap();
    let flip = |x: &Tensor| x.index_select(&flipped, 1).unwrap();
    assert!((loss(&flip(&u), &flip(&v)) - matched).abs() < 1e-6);
}

#[test]
fn csc_of_a_dead_channel_is_finite() {
    let u = Var::from_tensor(&noise(&[1, 2, 2, 2, 3], 1).relu().unwrap()).unwrap();
    let dead = Tensor::new(&[1f32, 0.0, 1.0], &Device::Cpu).unwrap();
    let loss = csc(&u.broadcast_mul(&dead).unwrap(), &u, 0.5).unwrap();
    let grads = loss.backward().unwrap();
    assert!(number(&loss).is_finite());
    let gradient = values(grads.get(&u).unwrap());
    assert!(gradient.iter().all(|g| g.is_finite()));
}

#[test]
fn several_modalities_are_compared_in_pairs() {
    let x: Vec<Tensor> = (0..3).map(|m| noise(&[1, 2, 2, 2, 4], m)).collect();
    let pairs = [(0, 1), (0, 2), (1, 2)];
    let present: Vec<Option<Tensor>> = x.iter().cloned().map(Some).collect();
    let mean = |f: &dyn Fn(&Tensor, &Tensor) -> f64| {
        pairs.iter().map(|&(i, j)| f(&x[i], &x[j])).sum::<f64>() / 3.0
    };
    let all = number(&csc_all(&present, 0.5).unwrap().unwrap());
    let expected = mean(&|u, v| number(&csc(u, v, 0.5).unwrap()));
    assert!((all - expected).abs() < 1e-6);
    let all = number(&cac_all(&present).unwrap().unwrap());
    let expected = mean(&|a, b| number(&cac(a, b).unwrap()));
    assert!((all - expected).abs() < 1e-6);
    let alone = [None, present[0].clone(), None];
    assert!(csc_all(&alone, 0.5).unwrap().is_none());
    assert!(cac_all(&alone).unwrap().is_none());
}

/// Logits of a two-class map that is foreground in the planes `from..to` with probability `p`, and
/// background elsewhere with the same probability.
fn slab(from: usize, to: usize, p: f64) -> Tensor {
    let logit = (p / (1.0 - p)).ln() as f32;
    let mut logits = Vec::new();
    for z in 0..8 {
        let foreground = (from..to).contains(&z);
        for _ in 0..64 {
            logits.extend([0.0, if foreground { logit } else { -logit }]);
        }
    }
    Tensor::from_vec(logits, (1, 8, 8, 8, 2), &Device::Cpu).unwrap()
}

#[test]
fn cac_is_zero_for_equal_and_one_for_disjoint_predictions() {
    let sure = 1.0 - 1e-9;
    let loss = |a: &Tensor, b: &Tensor| number(&cac(a, b).unwrap());
    let equal = loss(&slab(0, 4, sure), &slab(0, 4, sure));
    let disjoint = loss(&slab(0, 4, sure), &slab(4, 8, sure));
    let empty = loss(&slab(0, 0, sure), &slab(0, 0, 1.0 - 1e-6));
    println!(
        "cac: equal {equal:e}, disjoint 1 - {:e}, empty {empty:e}",
        1.0 - disjoint
    );
    assert!(equal.abs() < 1e-6, "{equal}");
    assert!((disjoint - 1.0).abs() < 1e-5, "{disjoint}");
    assert!(empty.abs() < 1e-5, "{empty}");
    assert!((loss(&slab(0, 4, sure), &slab(2, 6, sure)) - 0.5).abs() < 1e-5);
    let shifts: Vec<f64> = (0..=4)
        .map(|shift| loss(&slab(0, 4, sure), &slab(shift, 4 + shift, sure)))
        .collect();
    assert!(shifts.is_sorted_by(|a, b| a < b), "{shifts:?}");
    // From the disjoint map to the equal one through the probabilities between.
    let path: Vec<f64> = (0..=10)
        .map(|step| {
            let t = f64::from(step) / 10.0;
            let [from, to] = [0.001, 0.999];
            let here = slab(0, 4, from + t * (to - from)).narrow(1, 0, 4).unwrap();
            let there = slab(0, 0, from + t * (to - from)).narrow(1, 4, 4).unwrap();
            loss(&slab(0, 4, sure), &Tensor::cat(&[here, there], 1).unwrap())
        })
        .collect();
    assert!(path.is_sorted_by(|a, b| a > b), "{path:?}");
}

#[test]
fn cac_pulls_both_heads_together() {
    let a = Var::from_tensor(&noise(&[1, 4, 4, 4, 3], 1)).unwrap();
    let b = Var::from_tensor(&noise(&[1, 4, 4, 4, 3], 2)).unwrap();
    let loss = cac(&a, &b).unwrap();
    let grads = loss.backward().unwrap();
    for (one, other) in [(&a, &b), (&b, &a)] {
        let step = (grads.get(one).unwrap() * 10.0).unwrap();
        let closer = cac(&(one.as_tensor() - step).unwrap(), other).unwrap();
        assert!(number(&closer) < number(&loss));
    }
}

#[test]
fn supervised_is_the_mean_over_heads_with_a_label() {
    let heads: Vec<Option<Tensor>> = (0..3).map(|m| Some(noise(&[1, 2, 2, 2, 3], m))).collect();
    let label = Some(
        Tensor::from_vec(
            vec![0u8, 1, 2, IGNORE, 0, 1, 2, 0],
            (1, 2, 2, 2),
            &Device::Cpu,
        )
        .unwrap(),
    );
    let loss = DiceCe::default();
    let one = |m: usize| {
        let head = heads[m].as_ref().unwrap();
        number(&loss.loss(head, label.as_ref().unwrap()).unwrap())
    };
    let targets = [label.clone(), None, label.clone()];
    let mean = number(&supervised(&heads, &targets, &loss).unwrap().unwrap());
    assert!((mean - (one(0) + one(2)) / 2.0).abs() < 1e-6);
    assert!(
        supervised(&heads, &[None, None, None], &loss)
            .unwrap()
            .is_none()
    );
    let message = supervised(&heads, &[None], &loss).unwrap_err().to_string();
    assert!(message.contains("3 heads but 1 labels"), "{message}");
}
