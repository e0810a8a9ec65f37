use super::*;
use crate::nn::check::values;

const HE: Init = Init::HeNormal { fan_in: 50 };

#[test]
fn initial_values_depend_on_seed_name_and_shape_alone() {
    let mut first = Params::new(3, &Device::Cpu);
    let a = first.get("a", &[40, 50], HE).unwrap();
    let b = first.get("b", &[40, 50], HE).unwrap();
    let mut second = Params::new(3, &Device::Cpu);
    assert_eq!(values(&second.get("b", &[40, 50], HE).unwrap()), values(&b));
    assert_ne!(values(&a), values(&b));
    assert_ne!(
        values(
            &Params::new(4, &Device::Cpu)
                .get("a", &[40, 50], HE)
                .unwrap()
        ),
        values(&a)
    );
    let variance = values(&a)
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        / 2000.0;
    // Three standard errors of a variance from 2000 draws.
    assert!(
        (variance / 0.04 - 1.0).abs() < 3.0 * (2.0f64 / 2000.0).sqrt(),
        "{variance}"
    );
    assert_eq!(first.count(), 4000);
    assert_eq!(
        first
            .named()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        values(&first.get("a", &[40, 50], Init::Const(9.0)).unwrap()),
        values(&a)
    );
    assert!(
        first
            .get("a", &[50, 40], HE)
            .unwrap_err()
            .to_string()
            .contains("[40, 50]")
    );
}

#[test]
fn a_frozen_list_follows_changes_without_a_graph() {
    let mut params = Params::frozen(0, &Device::Cpu);
    let w = params.get("w", &[2], Init::Const(1.0)).unwrap();
    params
        .set(&[("w".into(), Tensor::new(&[5f32, 6.0], &Device::Cpu).unwrap())])
        .unwrap();
    assert_eq!(values(&w), [5.0, 6.0]);
    assert!(!(&w * 2.0).unwrap().track_op());
}

#[test]
fn files_bring_back_the_same_values_or_say_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.safetensors");
    let mut params = Params::new(1, &Device::Cpu);
    params.get("w", &[3, 4], HE).unwrap();
    params.get("b", &[4], Init::Const(0.5)).unwrap();
    let before = params.snapshot().unwrap();
    let metadata = HashMap::from([("step".to_owned(), "12".to_owned())]);
    params.save(&path, &metadata).unwrap();
    params.named()[0]
        .1
        .set(&Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap())
        .unwrap();
    assert_ne!(
        values(&before[0].1),
        values(&params.named()[0].1),
        "a snapshot is a copy"
    );
    assert_eq!(params.load(&path).unwrap(), metadata);
    for ((_, before), (_, now)) in before.iter().zip(params.named()) {
        assert_eq!(values(before), values(now));
    }

    let mut other = Params::new(1, &Device::Cpu);
    let w = other.get("w", &[4, 3], Init::Const(7.0)).unwrap();
    other.get("c", &[1], Init::Const(0.0)).unwrap();
    let message = other.load(&path).unwrap_err().to_string();
    for part in [
        "`w` is F32 [3, 4], expected F32 [4, 3]",
        "`b` is unexpected",
        "`c` is missing",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(values(&w).iter().all(|&v| v == 7.0));
}

#[test]
fn a_part_of_the_parameters_can_be_replaced() {
    let mut params = Params::new(1, &Device::Cpu);
    for name in [
        "encoder.conv.weight",
        "decoder.head.weight",
        "decoder.head.bias",
    ] {
        params.get(name, &[2], Init::Const(1.0)).unwrap();
    }
    let tensor = |v: f32| Tensor::new(&[v, v], &Device::Cpu).unwrap();
    let wide = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
    let file = [
        ("encoder.conv.weight".to_owned(), tensor(5.0)),
        ("decoder.head.weight".to_owned(), wide),
    ];
    let text = params.set_some(&file, &[]).unwrap_err().to_string();
    assert!(
        text.contains("`decoder.head.weight` is F32 [3], expected F32 [2]"),
        "{text}"
    );
    assert_eq!(
        values(params.named()[0].1.as_tensor()),
        [1.0, 1.0],
        "nothing was changed"
    );
    assert_eq!(params.set_some(&file, &["head".to_owned()]).unwrap(), 1);
    let now: Vec<Vec<f32>> = params
        .named()
        .iter()
        .map(|(_, v)| values(v.as_tensor()))
        .collect();
    assert_eq!(now, [[5.0, 5.0], [1.0, 1.0], [1.0, 1.0]]);
    let text = params
        .set_some(&file, &["haed".to_owned()])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("`haed` is to be skipped, but no tensor has it"),
        "{text}"
    );
}
