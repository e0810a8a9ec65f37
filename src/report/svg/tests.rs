use super::*;

#[test]
fn ticks_are_round() {
    assert_eq!(ticks(0.0, 1.0, 5).len(), 6);
    assert_eq!(ticks(0.0, 4000.0, 6), [0.0, 1000.0, 2000.0, 3000.0, 4000.0]);
    assert_eq!(framed(0.0, 1.23, 5), (0.0, 1.5));
    assert_eq!(framed(0.0, 1.0, 5), (0.0, 1.0));
    assert_eq!(number(0.6000000000000001, 0.2), "0.6");
    assert_eq!(number(0.0005, 0.0005), "5e-4");
    assert_eq!(number(20_000.0, 5_000.0), "20k");
    assert_eq!(significant(0.81264), "0.8126");
    assert_eq!(significant(1500.0), "1500");
    assert_eq!(significant(f64::NAN), "NaN");
}

#[test]
fn a_chart_holds_its_series_and_breaks_at_nan() {
    let chart = Chart {
        x_name: "step",
        y_name: "loss <total>".into(),
        series: vec![
            Series {
                name: "a & b".into(),
                points: vec![
                    (0.0, 1.0),
                    (1.0, 0.5),
                    (2.0, f64::NAN),
                    (3.0, 0.4),
                    (4.0, 0.3),
                ],
            },
            Series {
                name: "flat".into(),
                points: vec![(0.0, 0.5), (4.0, 0.5)],
            },
        ],
        y_limits: None,
    };
    let svg = chart.render();
    assert_eq!(svg.matches("<polyline").count(), 3);
    assert_eq!(svg.matches("<circle").count(), 6);
    assert!(svg.contains("a &amp; b") && svg.contains("loss &lt;total&gt;"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    let empty = Chart {
        series: vec![],
        ..chart
    };
    assert_eq!(empty.render(), "");
}

#[test]
fn long_series_are_averaged() {
    let points: Vec<_> = (0..10_000).map(|i| (f64::from(i), 2.0)).collect();
    let thinned = thin(&points);
    assert!(thinned.len() <= MOST_POINTS);
    assert!(thinned.iter().all(|p| p.1 == 2.0));
}
