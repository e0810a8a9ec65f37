//! Parameters of every registered step, drawn.

use super::case::Case;
use super::generate::{SPACINGS_MM, one_of};
use serde_json::{Value, json};
use voxstream::draw::SampleRng;
use voxstream::plan::entry::{Kind, StageEntry};
use voxstream::spec::node::Document;
use voxstream::volume::Role;

/// Parameters of a step on the volumes of a case; those without a rule here are the example's.
pub(super) fn parameters(rng: &mut SampleRng, entry: &StageEntry, case: &Case) -> Value {
    let names: Vec<&str> = (case.volumes.iter())
        .filter(|v| v.role == Role::Image)
        .map(|v| v.name.as_str())
        .collect();
    let mut drawn = match special(rng, entry.name, case, &names) {
        Some(drawn) => drawn,
        None => example(entry),
    };
    let fields = drawn.as_object_mut().unwrap();
    if fields.contains_key("p") || matches!(entry.kind, Kind::Augment | Kind::Mix) {
        let takes_p = example(entry).get("p").is_some();
        if takes_p {
            fields.insert(
                "p".to_owned(),
                one_of(rng, &[0.0, 0.5, 1.0, 1.0, 1.0]).into(),
            );
        }
    }
    if let Some(named) = fields.get_mut("modalities")
        && entry.name != "misalign"
    {
        *named = match rng.chance(0.5) {
            true => Value::Null,
            false => json!([one_of(rng, &names)]),
        };
    }
    drawn
}

/// The registered example, defaults included.
pub(super) fn example(entry: &StageEntry) -> Value {
    let document = Document::parse(entry.example).unwrap();
    (entry.parse)(document.root()).unwrap().to_json()
}

/// A range of a drawn factor: none, a fixed one, or a pair.
fn factor(rng: &mut SampleRng) -> Value {
    one_of(
        rng,
        &[json!(1.0), json!(0.5), json!([0.7, 1.4]), json!([1.0, 1.0])],
    )
}

fn small_size(rng: &mut SampleRng) -> [usize; 3] {
    [0; 3].map(|_| 1 + rng.below(12))
}

fn interpolation(rng: &mut SampleRng) -> [Value; 2] {
    [
        one_of(rng, &[json!("linear"), json!("linear"), json!("cubic")]),
        one_of(rng, &[json!("nearest"), json!("nearest"), json!("linear")]),
    ]
}

fn special(rng: &mut SampleRng, name: &str, case: &Case, names: &[&str]) -> Option<Value> {
    let spacing_mm = case.grids[0].spacing_mm;
    Some(match name {
        "orient" => json!({ "to": orientation(rng) }),
        "resample" => resample(rng, spacing_mm, names),
        "register_check" => json!({
            "like": one_of(rng, &[Value::Null, json!(names[0])]),
            "policy": one_of(rng, &["warn", "drop", "resample", "fail"]),
            "min_overlap": one_of(rng, &[0.0, 0.3, 0.75]),
            "shift_voxels": rng.below(3),
        }),
        "crop_foreground" => json!({
            "modalities": one_of(rng, &[Value::Null, json!([names[0]])]),
            "above": one_of(rng, &[json!("min"), json!(50.0), json!(-2000.0), json!(1e6)]),
            "margin_mm": one_of(rng, &[0.0, 0.0, 2.0, 100.0]),
        }),
        "crop" => match rng.below(3) {
            0 => {
                let size = [0; 3].map(|_| match rng.chance(0.3) {
                    true => Value::Null,
                    false => json!(1 + rng.below(10)),
                });
                json!({ "size": size })
            }
            1 => {
                let size_mm = [0; 3].map(|_| one_of(rng, &[4.0, 6.5, 9.0, 500.0]));
                json!({ "size_mm": size_mm })
            }
            _ => json!({ "size": [2, 3, 2], "offset": [rng.below(3), rng.below(3), rng.below(3)] }),
        },
        "pad" => {
            let drawn = match rng.below(3) {
                0 => json!({ "size": small_size(rng) }),
                1 => json!({ "multiple_of": one_of(rng, &[1, 2, 4, 8]) }),
                _ => json!({ "size": small_size(rng), "multiple_of": 2 }),
            };
            filled(rng, drawn, names)
        }
        "patch" => {
            let drawn = match rng.chance(0.25) {
                true => {
                    json!({ "size": [5, 4, 6], "grid": { "overlap": one_of(rng, &[0.0, 0.5]) } })
                }
                false => json!({
                    "size": small_size(rng),
                    "samples": 1 + rng.below(2),
                    "positive": one_of(rng, &[0.0, 0.5, 1.0]),
                }),
            };
            filled(rng, drawn, names)
        }
        "repeat" => json!({ "times": 1 + rng.below(2) }),
        "flip" => {
            json!({ "axes": one_of(rng, &[json!(["x"]), json!(["x", "y", "z"]), json!(["z"])]), "p": 0.5 })
        }
        "rotate90" => {
            json!({ "planes": one_of(rng, &[json!(["xy"]), json!(["xy", "xz", "yz"])]), "p": 1.0 })
        }
        "affine" => affine(rng),
        "elastic" => {
            let [images, labels] = interpolation(rng);
            json!({
                "control_spacing_mm": one_of(rng, &[4.0, 8.0, 32.0]),
                "displacement_mm": one_of(rng, &[json!(0.0), json!(1.5), json!([0.0, 1.0])]),
                "in_plane": one_of(rng, &["auto", "always", "never"]),
                "images": images, "labels": labels, "p": 1.0,
            })
        }
        "misalign" => json!({
            "modalities": [one_of(rng, names)],
            "shift_voxels": one_of(rng, &[json!(0.0), json!(1.0), json!([0.0, 2.0])]),
            "direction": one_of(rng, &["any", "axis"]),
            "rotation_deg": one_of(rng, &[json!(0.0), json!([0.0, 5.0])]),
            "elastic_mm": one_of(rng, &[json!(0.0), json!(0.0), json!(2.0)]),
            "control_spacing_mm": 8.0,
            "move_labels": rng.chance(0.5),
        }),
        "drop_modality" => json!({ "p": one_of(rng, &[0.0, 0.5, 1.0]), "keep": 1 }),
        "window" => json!({
            "range": one_of(rng, &[[-175.0, 250.0], [0.0, 100.0], [-1e4, 1e4]]),
            "to": one_of(rng, &[[0.0, 1.0], [-1.0, 1.0], [1.0, 0.0]]),
            "modalities": Value::Null,
        }),
        "zscore" => json!({
            "foreground": one_of(rng, &["above_min", "nonzero", "all"]),
            "background": one_of(rng, &["below", "zero", "scaled"]),
            "clip": one_of(rng, &[5.0, 1.0]),
            "modalities": Value::Null,
        }),
        "histogram_standardize" => json!({
            "landmarks": { names[0]: [0.0, 40.0, 60.0, 100.0] },
            "percentiles": [1.0, 25.0, 75.0, 99.0],
            "foreground": one_of(rng, &["above_min", "nonzero", "all"]),
        }),
        "clip_percentile" => json!({
            "lower": one_of(rng, &[0.0, 0.5]),
            "upper": one_of(rng, &[100.0, 99.5]),
            "foreground": one_of(rng, &["above_min", "nonzero", "all"]),
            "modalities": Value::Null,
        }),
        "scale_intensity" | "brightness" | "contrast" => {
            json!({ "factor": factor(rng), "p": 1.0, "modalities": Value::Null })
        }
        "shift_intensity" => {
            json!({ "offset": one_of(rng, &[json!(0.0), json!([-0.1, 0.1]), json!(5.0)]), "p": 1.0, "modalities": Value::Null })
        }
        "gamma" => {
            json!({ "gamma": factor(rng), "p": 1.0, "invert_p": 0.5, "keep_stats": rng.chance(0.5), "modalities": Value::Null })
        }
        "gaussian_noise" => {
            json!({ "std": one_of(rng, &[json!(0.0), json!([0.0, 0.1]), json!(1.0)]), "p": 1.0, "modalities": Value::Null })
        }
        "gaussian_blur" => {
            json!({ "sigma_voxels": one_of(rng, &[json!(0.0), json!([0.5, 1.0])]), "p": 1.0, "modalities": Value::Null })
        }
        "low_resolution" => {
            json!({ "factor": one_of(rng, &[json!(1.0), json!([0.5, 1.0])]), "p": 1.0, "modalities": Value::Null })
        }
        "remap" => json!({
            "map": one_of(rng, &[json!({ "1": 2, "2": 1 }), json!({ "1": 1 }), json!({ "2": 300 })]),
            "others": one_of(rng, &["keep", "zero", "fail"]),
        }),
        "keep_largest" => json!({
            "classes": one_of(rng, &[Value::Null, json!([1])]),
            "connectivity": one_of(rng, &[6, 18, 26]),
            "min_share": one_of(rng, &[Value::Null, json!(0.1)]),
        }),
        "filter" => json!({ "where": one_of(rng, &[
            "shape_x > 4", "class_1_voxels > 0", "spacing_z_mm <= 5", "modalities >= 1",
        ]) }),
        "copy_paste" => {
            json!({ "edge": one_of(rng, &[0.5, 1.0]), "inside": one_of(rng, &[0.0, 1.0]), "p": 1.0,
            "classes": one_of(rng, &[Value::Null, json!([1])]) })
        }
        "cutmix" => json!({ "edge": [0.25, 0.75], "p": 1.0 }),
        _ => return None,
    })
}

/// A step with a value outside the volume: left out, one for all modalities, or one for the first.
fn filled(rng: &mut SampleRng, mut drawn: Value, names: &[&str]) -> Value {
    let value = one_of(
        rng,
        &[json!("min"), json!(0.0), json!(-1024.5), json!(3000.0)],
    );
    match rng.below(4) {
        0 => drawn["fill"] = value,
        1 => drawn["fill"] = json!({ names[0]: value }),
        _ => {}
    }
    drawn
}

fn orientation(rng: &mut SampleRng) -> String {
    if rng.chance(0.4) {
        return "RAS".to_owned();
    }
    let letters = [["L", "R"], ["P", "A"], ["I", "S"]];
    let order = rng.permutation(3);
    order.iter().map(|&a| letters[a][rng.below(2)]).collect()
}

fn resample(rng: &mut SampleRng, spacing_mm: [f64; 3], names: &[&str]) -> Value {
    let wanted = match rng.below(6) {
        // The grid there is: asked for by its voxel size, or by nothing.
        0 => json!(spacing_mm),
        1 => json!([null, null, null]),
        2 => json!([0, 1, 2].map(|a| spacing_mm[a] / 2.0)),
        3 => json!([0, 1, 2].map(|a| spacing_mm[a] * one_of(rng, &[1.5, 2.0, 1.0]))),
        _ => json!([0; 3].map(|_| match rng.chance(0.3) {
            true => Value::Null,
            false => json!(one_of(rng, &SPACINGS_MM)),
        })),
    };
    let mut drawn = json!({ "spacing_mm": wanted });
    if rng.chance(0.3) {
        drawn["like"] = json!(one_of(rng, names));
    }
    if rng.chance(0.3) {
        drawn["spacing_mm"] = Value::Null;
        drawn["like"] = json!(one_of(rng, names));
    }
    if rng.chance(0.3) {
        let [images, _] = interpolation(rng);
        drawn["images"] = images;
        drawn["labels"] = json!(one_of(rng, &["nearest", "linear", "volume"]));
        drawn["antialias"] = json!(rng.chance(0.3));
        drawn["separate_z"] = json!(one_of(rng, &["never", "auto", "always"]));
    }
    drawn
}

fn affine(rng: &mut SampleRng) -> Value {
    let [images, labels] = interpolation(rng);
    json!({
        "rotation_deg": one_of(rng, &[json!(0.0), json!([-30.0, 30.0]), json!(90.0)]),
        "scale": factor(rng),
        "translation_mm": one_of(rng, &[json!(0.0), json!([-3.0, 3.0]), json!(1.0)]),
        "shear_deg": one_of(rng, &[json!(0.0), json!([-5.0, 5.0])]),
        "in_plane": one_of(rng, &["auto", "always", "never"]),
        "p_rotation": one_of(rng, &[0.0, 1.0]), "p_scale": one_of(rng, &[0.0, 1.0]),
        "p_shear": one_of(rng, &[0.0, 1.0]), "p_translation": one_of(rng, &[0.0, 1.0]),
        "images": images, "labels": labels,
        "p": one_of(rng, &[0.0, 1.0, 1.0]),
    })
}
