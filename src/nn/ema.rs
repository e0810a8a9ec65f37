//! The teacher of self-training: an exponential moving average of the student's weights.

use super::inplace::Blend;
use super::params::Params;
use candle_core::{Result, bail};

/// Moves `teacher` towards `student` after step `step`, counted from 1; returns the decay.
///
/// **Law** `teacher = a teacher + (1 - a) student` with `a = min(1 - 1 / (t + 1), max_decay)` at step
/// `t`: as long as the first term is the smaller one, the teacher is the plain mean of the initial
/// weights and of all students so far.
///
/// **Source** Tarvainen and Valpola 2017.
///
/// **Errors** where the two lists differ in names, order or shapes; nothing is changed then.
pub fn follow(teacher: &Params, student: &Params, step: u64, max_decay: f64) -> Result<f64> {
    let (ours, theirs) = (teacher.named(), student.named());
    if ours.len() != theirs.len() {
        bail!(
            "the teacher has {} parameters, the student {}",
            ours.len(),
            theirs.len()
        );
    }
    for ((name, var), (other, source)) in ours.iter().zip(theirs) {
        if name != other || var.dims() != source.dims() {
            bail!(
                "the teacher's `{name}` {:?} meets the student's `{other}` {:?}",
                var.dims(),
                source.dims()
            );
        }
    }
    let decay = (1.0 - 1.0 / (step as f64 + 1.0)).min(max_decay);
    let blend = Blend {
        keep: decay as f32,
        factor: (1.0 - decay) as f32,
    };
    for ((_, var), (_, source)) in ours.iter().zip(theirs) {
        var.as_tensor().inplace_op2(source.as_tensor(), &blend)?;
    }
    Ok(decay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::values;
    use crate::nn::params::Init;
    use candle_core::{Device, Tensor};

    fn list(value: f64) -> Params {
        let mut params = Params::new(0, &Device::Cpu);
        params.get("w", &[2], Init::Const(value)).unwrap();
        params
    }

    #[test]
    fn follows_its_closed_form() {
        let (teacher, student) = (list(100.0), list(0.0));
        let value = |step: u64| (step as f64 * 0.37).sin();
        for step in 0..40 {
            student.named()[0]
                .1
                .set(&Tensor::full(value(step) as f32, 2, &Device::Cpu).unwrap())
                .unwrap();
            let decay = follow(&teacher, &student, step, 0.9).unwrap();
            assert_eq!(
                decay,
                if step < 9 {
                    1.0 - 1.0 / (step as f64 + 1.0)
                } else {
                    0.9
                }
            );
        }
        // The mean of the first ten students, then a geometric series.
        let mean = (0..10).map(value).sum::<f64>() / 10.0;
        let expected = 0.9f64.powi(30) * mean
            + (10..40)
                .map(|i| 0.1 * 0.9f64.powi(39 - i as i32) * value(i))
                .sum::<f64>();
        let found = values(&teacher.named()[0].1);
        println!("ema: {} where {expected} is expected", found[0]);
        assert!((f64::from(found[0]) - expected).abs() < 1e-6 && found[0] == found[1]);
    }

    #[test]
    fn another_network_is_refused() {
        let mut other = Params::new(0, &Device::Cpu);
        other.get("v", &[2], Init::Const(1.0)).unwrap();
        let error = follow(&list(1.0), &other, 0, 0.9).unwrap_err().to_string();
        assert!(error.contains("`w`") && error.contains("`v`"), "{error}");
    }
}
