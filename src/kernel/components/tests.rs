//! Against a flood fill, and against SciPy: `tests/reference/labels.py` says how the numbers were made.

use super::*;
use proptest::prelude::*;

const ALL: [Connectivity; 3] = [
    Connectivity::Faces,
    Connectivity::Edges,
    Connectivity::Corners,
];

/// Component numbers by flooding from every voxel, first voxel first.
fn flooded(values: &[u8], shape: [usize; 3], connectivity: Connectivity) -> Vec<u32> {
    let most = match connectivity {
        Connectivity::Faces => 1,
        Connectivity::Edges => 2,
        Connectivity::Corners => 3,
    };
    let at = |i: usize| {
        [
            i % shape[0],
            i / shape[0] % shape[1],
            i / (shape[0] * shape[1]),
        ]
    };
    let mut out = vec![0u32; values.len()];
    let mut count = 0;
    for start in 0..values.len() {
        if values[start] == 0 || out[start] > 0 {
            continue;
        }
        count += 1;
        out[start] = count;
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            for j in 0..values.len() {
                let (p, q) = (at(i), at(j));
                let steps = [0, 1, 2].map(|a| p[a].abs_diff(q[a]));
                let near = steps.iter().all(|s| *s <= 1) && steps.iter().sum::<usize>() <= most;
                if near && out[j] == 0 && values[j] == values[i] {
                    out[j] = count;
                    stack.push(j);
                }
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn runs_find_what_flooding_finds(
        shape in (1usize..8, 1usize..6, 1usize..5),
        classes in 2u8..4,
        seed in prop::collection::vec(0u8..6, 8 * 6 * 5),
    ) {
        let shape = [shape.0, shape.1, shape.2];
        let count = shape.iter().product();
        // Values below 6 folded onto the classes leave more background than foreground.
        let values: Vec<u8> = seed[..count].iter().map(|v| if *v < 3 { 0 } else { v % classes }).collect();
        for connectivity in ALL {
            let found = components(&values, shape, connectivity, |v| v > 0);
            let painted = found.paint(count);
            prop_assert_eq!(&painted, &flooded(&values, shape, connectivity));
            for (i, component) in found.list.iter().enumerate() {
                let own = painted.iter().zip(&values).filter(|(p, _)| **p == i as u32 + 1);
                let own: Vec<u8> = own.map(|(_, v)| *v).collect();
                prop_assert_eq!(own.len(), component.voxels);
                prop_assert!(own.iter().all(|v| *v == component.value));
            }
        }
    }
}

#[test]
fn components_agree_with_scipy() {
    let reference: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/reference/labels.json")).unwrap();
    let shape = [23, 19, 17];
    let mask = crate::kernel::distance::tests::speckle(shape, 430);
    for case in reference["components"].as_array().unwrap() {
        let neighbours = case["neighbours"].as_u64().unwrap() as u32;
        let connectivity = Connectivity::from_neighbours(neighbours).unwrap();
        let found = components(&mask, shape, connectivity, |v| v > 0);
        let sizes: Vec<usize> = found.list.iter().map(|c| c.voxels).collect();
        let expected: Vec<usize> = serde_json::from_value(case["sizes"].clone()).unwrap();
        assert_eq!(sizes, expected, "{neighbours}");
    }
    assert_eq!(Connectivity::from_neighbours(8), None);
}

#[test]
fn no_voxels_have_no_components() {
    for shape in [[0, 3, 3], [3, 0, 3], [3, 3, 0]] {
        assert!(
            components(&[0u8; 0], shape, Connectivity::Corners, |_| true)
                .list
                .is_empty()
        );
    }
}
