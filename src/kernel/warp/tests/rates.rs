//! How fast rows are read.

use super::*;

/// Milliseconds this thread has run; other work on the machine does not count.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Run with `--ignored --nocapture` to see times.
#[test]
#[ignore = "a measurement, not a check"]
fn warp_rates() {
    let shape = [128; 3];
    let count = 128 * 128 * 128;
    let source = field(shape);
    let labels: Vec<u8> = source.iter().map(|v| v.abs() as u8).collect();
    let middle = DAffine3::from_translation(DVec3::splat(63.5));
    let turn = middle
        * DAffine3::from_rotation_z(0.3)
        * DAffine3::from_rotation_x(0.2)
        * DAffine3::from_scale(DVec3::splat(0.85))
        * middle.inverse();
    let control = DAffine3::from_scale(DVec3::splat(1.0 / 24.0))
        * DAffine3::from_translation(DVec3::splat(24.0));
    let bend = bend([8; 3], 6.0, 1, control);
    let affine = Step::Affine(turn);
    for (name, steps) in [
        ("bend", vec![bend.clone()]),
        ("bend, affine", vec![bend.clone(), affine.clone()]),
        ("affine, bend", vec![affine.clone(), bend]),
        ("affine", vec![affine]),
    ] {
        let route = Route::new(steps);
        let best = |run: &mut dyn FnMut()| {
            (0..9)
                .map(|_| {
                    let start = cpu_ms();
                    run();
                    cpu_ms() - start
                })
                .fold(f64::INFINITY, f64::min)
        };
        let (mut values, mut classes) = (vec![0.0; count], vec![0u8; count]);
        let both = best(&mut || {
            gather(
                &mut [
                    Box::new(Linear::new(&source, 0.0, &mut values)),
                    Box::new(Nearest::new(&labels, 0, &mut classes, Ties::UP)),
                ],
                shape,
                &route,
                shape,
            );
        });
        let linear_ms = best(&mut || drop(linear(&source, shape, &route, shape, 0.0)));
        let nearest_ms = best(&mut || drop(nearest(&labels, shape, &route, shape, 0)));
        let voted_ms = best(&mut || drop(voted(&labels, shape, &route, shape, 0)));
        let cubic_ms = best(&mut || drop(cubic(&source, shape, &route, shape, 0.0)));
        let mut walk = Walk::new(&route, shape, shape);
        let walk = best(&mut || {
            for row in 0..128 * 128 {
                std::hint::black_box(walk.row(row % 128, row / 128));
            }
        });
        eprintln!(
            "{name}: image and label {both:.1} ms; linear {linear_ms:.1}, nearest {nearest_ms:.1}, voted {voted_ms:.1}, cubic {cubic_ms:.1}, positions {walk:.1}"
        );
    }
}
