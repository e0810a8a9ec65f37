use super::super::model::ModelSpec;
use super::*;
use crate::nn::network::NetworkSpec;
use crate::nn::unet3d::Unet3dSpec;
use crate::volume::row::Channel;
use candle_core::Device;

#[test]
fn windows_cover_the_axis_and_overlap_enough() {
    for (axis, window, overlap) in [
        (64, 32, 0.5),
        (65, 32, 0.5),
        (33, 32, 0.0),
        (100, 32, 0.25),
        (32, 32, 0.5),
    ] {
        let offsets = offsets(axis, window, overlap);
        assert_eq!(
            (offsets[0], *offsets.last().unwrap()),
            (0, (axis - window) as i64)
        );
        let most = (window as f64 * (1.0 - overlap)).floor() as i64;
        assert!(
            offsets
                .windows(2)
                .all(|w| w[1] > w[0] && w[1] - w[0] <= most.max(1) + 1),
            "{axis} {window}: {offsets:?}"
        );
    }
    assert_eq!(offsets(20, 32, 0.5), [-6]);
}

#[test]
fn what_is_mirrored_predicts_what_is_mirrored() {
    let spec = ModelSpec {
        network: NetworkSpec::Unet3d(Unet3dSpec {
            width: 2,
            depth: 2,
            ..Unet3dSpec::default()
        }),
        classes: vec!["background".to_owned(), "organ".to_owned()],
        modalities: vec!["mr".to_owned()],
        regions: Vec::new(),
    };
    let model = Model::new(&spec, 1, &Device::Cpu).unwrap();
    let values: Vec<f32> = (0..512).map(|i| (i as f32 * 0.7).sin()).collect();
    // Along x each run of 8 backwards.
    let mirrored: Vec<f32> = (values.chunks(8))
        .flat_map(|run| run.iter().rev().copied())
        .collect();
    let grid = Grid::with_spacing([8; 3], [1.0; 3]).unwrap();
    let organ = |values: &[f32], flips| -> Vec<f32> {
        let row = Row {
            images: vec![Channel {
                name: "mr".to_owned(),
                volume: Some(Volume::from_vec(values.to_vec(), grid).unwrap()),
            }],
            ..Row::default()
        };
        let window = Window {
            size_xyz: [8; 3],
            overlap: 0.5,
            flips,
        };
        let found = predict(std::slice::from_ref(&model), &row, window)
            .unwrap()
            .remove(0)
            .unwrap();
        found.values.chunks(2).map(|p| p[1]).collect()
    };
    let largest = |flips| {
        let (one, other) = (organ(&values, flips), organ(&mirrored, flips));
        let back = other.chunks(8).flat_map(|run| run.iter().rev());
        (one.iter().zip(back))
            .map(|(a, b)| (a - b).abs())
            .fold(0f32, f32::max)
    };
    assert!(largest([true, false, false]) < 1e-6);
    assert!(largest([false, true, true]) > 1e-3);
}

#[test]
fn mirrors_are_every_choice_of_axes() {
    assert_eq!(mirrors([false; 3]), [Vec::<usize>::new()]);
    assert_eq!(
        mirrors([true, false, true]),
        [vec![], vec![3], vec![1], vec![3, 1]]
    );
}

#[test]
fn a_window_beyond_the_volume_is_background() {
    let values: Vec<f32> = (0..8).map(|v| v as f32).collect();
    let window = cut(&values, [2, 2, 2], [-1, 0, 1], [3, 2, 2], -9.0);
    assert_eq!(
        window,
        [
            -9.0, 4.0, 5.0, -9.0, 6.0, 7.0, -9.0, -9.0, -9.0, -9.0, -9.0, -9.0
        ]
    );
}

#[test]
fn an_ensemble_predicts_the_mean_of_its_members() {
    let spec = ModelSpec {
        network: NetworkSpec::Unet3d(Unet3dSpec {
            width: 2,
            depth: 2,
            ..Unet3dSpec::default()
        }),
        classes: vec!["background".to_owned(), "organ".to_owned()],
        modalities: vec!["mr".to_owned()],
        regions: Vec::new(),
    };
    let model = |seed| Model::new(&spec, seed, &Device::Cpu).unwrap();
    let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.7).sin()).collect();
    let grid = Grid::with_spacing([10; 3], [1.0; 3]).unwrap();
    let row = Row {
        images: vec![Channel {
            name: "mr".to_owned(),
            volume: Some(Volume::from_vec(values, grid).unwrap()),
        }],
        ..Row::default()
    };
    let window = Window {
        size_xyz: [8; 3],
        overlap: 0.5,
        flips: [true, false, false],
    };
    let of = |models: &[Model]| predict(models, &row, window).unwrap().remove(0).unwrap();
    let members = [model(1), model(2), model(3)];
    let single: Vec<Probabilities> = members.chunks(1).map(of).collect();
    let together = of(&members);
    let apart = |i: usize| single.iter().map(|p| p.values[i]).sum::<f32>() / 3.0;
    for (i, p) in together.values.iter().enumerate() {
        assert!((p - apart(i)).abs() < 1e-5, "{i}: {p} {}", apart(i));
    }
    let differs = |p: &Probabilities| {
        let mut pairs = p.values.iter().zip(&together.values);
        pairs.any(|(a, b)| (a - b).abs() > 1e-3)
    };
    assert!(single.iter().all(differs), "the members are one network");
}

#[test]
fn regions_are_painted_in_their_order() {
    let grid = Grid::with_spacing([4, 1, 1], [1.0; 3]).unwrap();
    let painted = |values: Vec<f32>| {
        let probabilities = Probabilities {
            values,
            grid,
            outputs: 3,
            regions: crate::volume::region::tests::nested(),
        };
        probabilities.on_grid(&grid).0
    };
    // None, whole, whole and core, all; exactly a half is outside.
    let nested = [
        [0.5, 0.4, 0.3],
        [0.6, 0.5, 0.1],
        [0.9, 0.6, 0.2],
        [0.8, 0.7, 0.9],
    ];
    assert_eq!(painted(nested.concat()), [0, 1, 2, 3]);
    // An inner region is painted also where an outer one was not found.
    let odd = [
        [0.1, 0.9, 0.1],
        [0.9, 0.1, 0.9],
        [0.1, 0.1, 0.6],
        [0.0, 0.0, 0.0],
    ];
    assert_eq!(painted(odd.concat()), [2, 3, 3, 0]);
}

#[test]
fn an_output_is_a_probability_by_itself() {
    let spec = ModelSpec {
        network: NetworkSpec::Unet3d(Unet3dSpec {
            width: 2,
            depth: 2,
            ..Unet3dSpec::default()
        }),
        classes: ["background", "a", "b", "c"].map(str::to_owned).into(),
        modalities: vec!["mr".to_owned()],
        regions: crate::volume::region::tests::nested(),
    };
    let model = Model::new(&spec, 1, &Device::Cpu).unwrap();
    let logits = Tensor::from_slice(&[0f32, 1e4, -1e4], (1, 1, 1, 1, 3), &Device::Cpu).unwrap();
    let found = model.probabilities(&logits).unwrap().flatten_all().unwrap();
    assert_eq!(found.to_vec1::<f32>().unwrap(), [0.5, 1.0, 0.0]);
    let image = Tensor::zeros((1, 8, 8, 8, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    let logits = model.infer(&[Some(image)]).unwrap().remove(0).unwrap();
    assert_eq!(logits.dims(), [1, 8, 8, 8, 3]);
}
