//! CMC's three tasks: each gallery file runs on a phantom dressed in the data set's published layout.

use std::path::Path;
use voxstream::cli::{open, read};
use voxstream::run::driver::{RunOptions, run};
use voxstream::source::{Cohort, SourceSpec};
use voxstream::spec::node::Document;
use voxstream::volume::nifti::write;
use voxstream::volume::{Channel, Volume};

/// A phantom cohort of 8 subjects with these modalities and three organs.
fn phantoms(modalities: &str) -> Box<dyn Cohort> {
    let yaml = format!(
        "phantom: {{ subjects: 8, size: [24, 24, 24], modalities: {modalities}, classes: 3 }}"
    );
    let source: SourceSpec = Document::parse(&yaml).unwrap().root().read().unwrap();
    source.open(Path::new("."), 3).unwrap()
}

/// Writes one image and its label map, whose classes 1, 2, 3 get the data set's numbers.
fn save(
    folder: &Path,
    image: &str,
    label: &str,
    channel: &Channel,
    truth: &Volume,
    codes: [u16; 3],
) {
    let volume = channel.volume.as_ref().unwrap();
    write(&folder.join(image), volume, None).unwrap();
    let code = |class: &u8| {
        if *class == 0 {
            0
        } else {
            codes[usize::from(*class) - 1]
        }
    };
    let codes: Vec<u16> = truth.as_slice::<u8>().unwrap().iter().map(code).collect();
    let label_map = Volume::from_vec(codes, *truth.grid()).unwrap();
    write(&folder.join(label), &label_map, None).unwrap();
}

/// CMC's list: four sections of entries with a key for each modality.
fn cmc_list(folder: &Path, names: [&str; 2], cohort: &dyn Cohort, codes: [u16; 3]) {
    let mut sections = serde_json::Map::new();
    for (i, subject) in cohort.subjects().iter().enumerate() {
        let row = cohort.load(subject).unwrap();
        let mut entry = serde_json::Map::new();
        for (name, channel) in names.iter().zip(&row.images) {
            let (image, label) = (
                format!("{name}_{i}.nii.gz"),
                format!("{name}_{i}_gt.nii.gz"),
            );
            let truth = row.labels[0].volume.as_ref().unwrap();
            save(folder, &image, &label, channel, truth, codes);
            entry.insert(format!("img_{name}"), image.into());
            entry.insert(format!("mask_{name}"), label.into());
        }
        let section = [
            "training",
            "training",
            "unlabeled_training",
            "unlabeled_training",
            "validation",
            "testing",
        ];
        let section = section.get(i).unwrap_or(&"unlabeled_training");
        let entries = sections
            .entry(*section)
            .or_insert_with(|| serde_json::json!([]));
        entries.as_array_mut().unwrap().push(entry.into());
    }
    let text = serde_json::to_string_pretty(&sections).unwrap();
    std::fs::write(folder.join("list.json"), text).unwrap();
}

/// Runs a gallery file at a tiny size; gives the scored (subject, modality) pairs.
fn runs(file: &str, set: &[String]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let tiny = [
        "train.steps=2",
        "train.validate.every=2",
        "train.network.cmc={width: 4, depth: 2, fusion_groups: 4}",
        "train.objective.pseudo_label.start=0.0",
        "score.splits=[test]",
    ];
    let all: Vec<String> = tiny
        .iter()
        .map(|s| (*s).to_owned())
        .chain(set.iter().cloned())
        .collect();
    let (plan, cohort) = open(&read(Path::new(file), &all).unwrap()).unwrap();
    let options = RunOptions {
        out: Some(folder.path().join("run")),
        workers: Some(1),
        ..RunOptions::default()
    };
    let outcome = run(plan, cohort, &options).unwrap();
    assert_eq!(outcome.failures, []);
    let mut scored: Vec<(String, String)> = outcome
        .scores
        .iter()
        .map(|s| (s.subject_id.clone(), s.modality.clone()))
        .collect();
    scored.sort();
    scored.dedup();
    scored
}

#[test]
fn abdomens_in_the_layout_of_amos22_and_the_list_of_cmc() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = phantoms("[ct, mr]");
    // Spleen, right kidney and liver are numbers 1, 2 and 6 there.
    cmc_list(folder.path(), ["CT", "MRI"], cohort.as_ref(), [1, 2, 6]);
    let path = format!(
        "source.manifest.path={}",
        folder.path().join("list.json").display()
    );
    let patch = "views.shared[1].patch.size=[16,16,16]".to_owned();
    let scored = runs(
        "pipelines/10-cmc-amos22.yaml",
        &[path.clone(), patch.clone()],
    );
    let pair = |id: &str, modality: &str| (id.to_owned(), modality.to_owned());
    // The CT and the MR of a pair are two people.
    assert_eq!(scored, [pair("CT_5_ct", "ct"), pair("CT_5_mri", "mri")]);
    // 13 and 15 organs: the numbers of the data set as they are.
    for organs in [13, 15] {
        let map: &str = if organs == 13 {
            "{14: 0, 15: 0}"
        } else {
            "{1: 1}"
        };
        let names: Vec<String> = (1..=organs).map(|i| format!("organ_{i}")).collect();
        let set = [
            path.clone(),
            patch.clone(),
            format!("stages[2].remap={{map: {map}}}"),
            format!("train.classes=[background, {}]", names.join(", ")),
        ];
        assert_eq!(
            runs("pipelines/10-cmc-amos22.yaml", &set).len(),
            2,
            "{organs}"
        );
    }
}

#[test]
fn hearts_in_the_layout_of_mscmrseg() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = phantoms("[bssfp, lge, t2]");
    for (i, subject) in cohort.subjects().iter().enumerate() {
        let row = cohort.load(subject).unwrap();
        let truth = row.labels[0].volume.as_ref().unwrap();
        for (name, channel) in ["C0", "LGE", "T2"].iter().zip(&row.images) {
            let image = format!("patient{}_{name}.nii.gz", i + 1);
            let label = format!("patient{}_{name}_manual.nii.gz", i + 1);
            save(
                folder.path(),
                &image,
                &label,
                channel,
                truth,
                [500, 600, 200],
            );
        }
    }
    let scored = runs(
        "pipelines/11-cmc-mscmrseg.yaml",
        &[
            format!("source.folders.path={}", folder.path().display()),
            "source.folders.split={seed: 1, validation: 1, test: 1, labelled: 2}".to_owned(),
            "views.shared[1].patch.size=[16,16,8]".to_owned(),
        ],
    );
    let modalities: Vec<&str> = scored.iter().map(|(_, m)| m.as_str()).collect();
    assert_eq!(modalities, ["bssfp", "lge", "t2"]);
}

#[test]
fn orbits_in_the_list_of_cmc() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = phantoms("[t1, t1c]");
    // One class: a lesion.
    cmc_list(folder.path(), ["T1", "T1c"], cohort.as_ref(), [1, 0, 0]);
    let scored = runs(
        "pipelines/12-cmc-orbit.yaml",
        &[
            format!(
                "source.manifest.path={}",
                folder.path().join("list.json").display()
            ),
            "source.manifest.split={labelled: 2}".to_owned(),
            "views.shared[1].patch.size=[16,16,8]".to_owned(),
        ],
    );
    let modalities: Vec<&str> = scored.iter().map(|(_, m)| m.as_str()).collect();
    assert_eq!(modalities, ["t1", "t1c"]);
}
