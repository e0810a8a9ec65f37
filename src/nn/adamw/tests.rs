use super::*;
use crate::nn::check::values;
use crate::nn::params::Init;

const CONFIG: AdamWConfig = AdamWConfig {
    lr: 0.1,
    beta1: 0.9,
    beta2: 0.99,
    eps: 1e-8,
    weight_decay: 0.05,
};

fn params() -> Params {
    let mut params = Params::new(5, &Device::Cpu);
    params
        .get("w", &[3, 4], Init::HeNormal { fan_in: 2 })
        .unwrap();
    params.get("b", &[4], Init::Const(0.7)).unwrap();
    params
}

/// One step towards `sum p^4 / 4`, whose gradient is `p^3`.
fn step(params: &Params, adamw: &mut AdamW, lr: f64) {
    let mut gradients = Gradients::zeros(params).unwrap();
    for (_, var) in params.named() {
        let loss = (var.sqr().unwrap().sqr().unwrap().sum_all().unwrap() / 4.0).unwrap();
        gradients.add(loss.backward().unwrap(), params).unwrap();
    }
    adamw.step(&gradients, lr).unwrap();
}

fn all(params: &Params) -> Vec<f32> {
    params
        .named()
        .iter()
        .flat_map(|(_, var)| values(var))
        .collect()
}

#[test]
fn follows_the_formula_with_decay_on_weights_only() {
    let params = params();
    let mut adamw = AdamW::new(&params, CONFIG);
    let mut expected: Vec<[f64; 3]> = all(&params)
        .iter()
        .map(|&p| [f64::from(p), 0.0, 0.0])
        .collect();
    for t in 1..=20 {
        let lr = 0.1 / f64::from(t);
        step(&params, &mut adamw, lr);
        for (i, [p, m, v]) in expected.iter_mut().enumerate() {
            let g = p.powi(3);
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.99 * *v + 0.01 * g * g;
            if i < 12 {
                *p -= lr * 0.05 * *p;
            }
            *p -=
                lr * (*m / (1.0 - 0.9f64.powi(t))) / ((*v / (1.0 - 0.99f64.powi(t))).sqrt() + 1e-8);
        }
    }
    let worst = all(&params)
        .iter()
        .zip(&expected)
        .map(|(p, e)| (f64::from(*p) - e[0]).abs())
        .fold(0.0, f64::max);
    println!("adamw: largest difference after 20 steps {worst:.1e}");
    assert!(worst < 5e-6, "{worst}");
}

#[test]
fn a_restart_goes_on_as_if_nothing_happened() {
    let (whole, parted) = (params(), params());
    let mut adamw = AdamW::new(&whole, CONFIG);
    (0..6).for_each(|_| step(&whole, &mut adamw, 0.05));
    let mut first = AdamW::new(&parted, CONFIG);
    (0..3).for_each(|_| step(&parted, &mut first, 0.05));
    let state = first.state().unwrap();
    let mut second = AdamW::new(&parted, CONFIG);
    second.load_state(&state).unwrap();
    assert_eq!(second.steps(), 3);
    (0..3).for_each(|_| step(&parted, &mut second, 0.05));
    assert_eq!(all(&whole), all(&parted));

    let mut broken = state.clone();
    broken.remove(1);
    broken.push((
        "adamw.mean.x".into(),
        Tensor::new(&[0f32], &Device::Cpu).unwrap(),
    ));
    let message = second.load_state(&broken).unwrap_err().to_string();
    assert!(
        message.contains("`adamw.mean.w` is missing")
            && message.contains("`adamw.mean.x` is unexpected"),
        "{message}"
    );
}
