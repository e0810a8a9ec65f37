//! Names of columns from texts in paths, and the words that name label maps.

/// A text as the name of a column: lower case, `_` for what a name cannot hold.
pub(super) fn tidy(text: &str) -> String {
    let plain = |c: char| match c.is_alphanumeric() || c == '-' {
        true => c,
        false => '_',
    };
    let text: String = text.trim().to_lowercase().chars().map(plain).collect();
    match text.trim_matches('_') {
        "" => "image".to_owned(),
        text => text.to_owned(),
    }
}

/// Column names for texts in paths, no two alike.
pub(super) fn named(texts: &[String]) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = Vec::new();
    for text in texts {
        let name = tidy(text);
        let known = |name: &String| names.iter().any(|(n, _)| n == name);
        let numbered = (2..).map(|i| format!("{name}_{i}"));
        let name = std::iter::once(name.clone())
            .chain(numbered)
            .find(|n| !known(n));
        names.push((name.unwrap_or_default(), text.clone()));
    }
    names
}

/// Words by which people name label maps.
const LABEL_WORDS: [&str; 22] = [
    "label",
    "labels",
    "labelstr",
    "seg",
    "segm",
    "segmentation",
    "segmentations",
    "mask",
    "masks",
    "gt",
    "groundtruth",
    "truth",
    "annotation",
    "annotations",
    "lesion",
    "lesions",
    "dseg",
    "roi",
    "consensus",
    "parcellation",
    "parc",
    "aseg",
];

/// Returns `true` if a file or folder of that name holds label maps, by the words in it.
pub(super) fn is_label(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    words.any(|word| {
        LABEL_WORDS.contains(&word) || word.ends_with("mask") || word.starts_with("label")
    })
}

/// Structures that label maps are called after, where a file is named as an image and one of these.
const STRUCTURES: [&str; 26] = [
    "liver",
    "spleen",
    "pancreas",
    "kidney",
    "kidneys",
    "prostate",
    "heart",
    "myocardium",
    "lung",
    "lungs",
    "hippocampus",
    "organ",
    "organs",
    "tissue",
    "tissues",
    "vessel",
    "vessels",
    "aorta",
    "tumor",
    "tumour",
    "tumors",
    "tumours",
    "nodule",
    "nodules",
    "wmh",
    "infarct",
];

/// Returns `true` if a text is one of the structures that are segmented.
pub(super) fn is_structure(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    words.any(|word| STRUCTURES.contains(&word))
}

/// Returns `true` for a mask of the whole brain or body, which is rarely what is to be learnt.
pub(super) fn is_brain(text: &str) -> bool {
    let lower = text.to_lowercase();
    lower.contains("brain") || lower.trim_start_matches(['_', '-', '.']) == "mask"
}
