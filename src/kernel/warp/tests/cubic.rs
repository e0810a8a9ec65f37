//! Cubic convolution against its formula.

use super::*;

#[test]
fn cubic_follows_keys_formula() {
    let (source, shape) = (field(SOURCE), [25, 17, 15]);
    let kernel = |x: f64| match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    };
    let mut all = routes();
    all.push(("affine", vec![Step::Affine(turn(0.25))]));
    for (name, steps) in all {
        let route = Route::new(steps);
        let found = cubic(&source, SOURCE, &route, shape, -9.0);
        for (i, at) in each_voxel(shape) {
            let mut expected = -9.0;
            if corners(&route, SOURCE, at).is_some() {
                let p = route.point(at).to_array();
                let p = [0, 1, 2].map(|a| p[a].clamp(0.0, SOURCE[a] as f64 - 1.0));
                expected = 0.0;
                for tap in 0..64i64 {
                    let mut weight = 1.0;
                    let voxel = [0, 1, 2].map(|a| {
                        let v = p[a].floor() as i64 - 1 + (tap >> (2 * a) & 3);
                        weight *= kernel(p[a] - v as f64);
                        v.clamp(0, SOURCE[a] as i64 - 1) as usize
                    });
                    expected += weight * f64::from(source[offset(SOURCE, voxel)]);
                }
            }
            let error = (f64::from(found[i]) - expected).abs();
            assert!(error < 1e-4, "{name} at {at}: {} {expected}", found[i]);
        }
    }
}
