mod delimited;
mod patients;

use crate::source::tests::{ids, open, refusal, write_nifti};
use crate::source::{Cohort, Location};
use crate::volume::Split;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use std::path::Path;
use std::sync::Arc;

const CSV: &str = "\
id,CT,mask,age,site,part,use_labels
007,vol/a.nii,vol/am.nii,41,A,train,yes
010,vol/b.nii,,67,B,train,yes
02,,,12,A,train,no
030,vol/d.nii,vol/dm.nii,50,B,test,no
";

fn folder_with(table: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        let at = |suffix: &str| folder.path().join(format!("vol/{name}{suffix}.nii"));
        write_nifti(&at(""), [3, 3, 3], 1, 2.0, 5);
        write_nifti(&at("m"), [3, 3, 3], 1, 2.0, 1);
    }
    write_nifti(&folder.path().join("vol/four.nii"), [2, 2, 2], 3, 1.0, 20);
    std::fs::write(folder.path().join(table), text).unwrap();
    folder
}

fn yaml(folder: &Path, table: &str, more: &str) -> String {
    format!(
        "manifest: {{ path: '{}'{more} }}",
        folder.join(table).display()
    )
}

const COLUMNS: &str = ", columns: { subject: id, images: { ct: CT }, label: mask, split: part, labelled: use_labels }";

fn places(cohort: &dyn Cohort) -> Vec<(&str, Split, bool)> {
    cohort
        .subjects()
        .iter()
        .map(|s| (s.id.as_str(), s.split, s.labelled))
        .collect()
}

#[test]
fn a_csv_keeps_ids_and_places() {
    let folder = folder_with("s.csv", CSV);
    let cohort = open(&yaml(folder.path(), "s.csv", COLUMNS)).unwrap();
    assert_eq!(
        places(cohort.as_ref()),
        [
            ("007", Split::Train, true),
            ("010", Split::Train, false),
            ("02", Split::Train, false),
            ("030", Split::Test, false)
        ]
    );
    let row = cohort.load(&cohort.subjects()[0]).unwrap();
    assert_eq!((row.cohort.as_str(), row.is_labelled()), ("s", true));
    assert_eq!(
        row.images[0].volume.as_ref().unwrap().grid().spacing_mm(),
        [2.0; 3]
    );
    let error = cohort.load(&cohort.subjects()[2]).unwrap_err().to_string();
    assert!(
        error.contains("subject `02` has no image of any modality"),
        "{error}"
    );
    let more = format!("{COLUMNS}, split: {{ validation: [\"007\"] }}");
    let cohort = open(&yaml(folder.path(), "s.csv", &more)).unwrap();
    assert_eq!(
        places(cohort.as_ref())[0],
        ("007", Split::Validation, false)
    );
}

#[test]
fn where_selects_rows_by_sql() {
    let folder = folder_with("s.csv", CSV);
    let select = |condition: &str| {
        yaml(
            folder.path(),
            "s.csv",
            &format!("{COLUMNS}, where: \"{condition}\""),
        )
    };
    let older = open(&select("age > 40 AND site = 'B' OR upper(id) = '007'")).unwrap();
    assert_eq!(ids(older.as_ref()), ["007", "010", "030"]);
    let cased = open(&select("CT IS NOT NULL -- the reason")).unwrap();
    assert_eq!(ids(cased.as_ref()), ["007", "010", "030"]);
    let typo = refusal(&select("aeg > 40"));
    assert!(
        typo.starts_with("`where: aeg > 40`: ") && typo.contains("aeg"),
        "{typo}"
    );
    let syntax = refusal(&select("age >"));
    assert!(
        syntax.starts_with("`where: age >` is no SQL condition"),
        "{syntax}"
    );
    let none = refusal(&select("age > 400"));
    assert!(none.contains("none of its 4 rows satisfies it"), "{none}");
}

#[tokio::test]
async fn where_runs_inside_a_runtime() {
    let folder = folder_with("s.csv", CSV);
    let more = format!("{COLUMNS}, where: \"site = 'A'\"");
    let cohort = open(&yaml(folder.path(), "s.csv", &more)).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["007", "02"]);
}

#[test]
fn mistakes_in_a_table_are_placed() {
    let twice = format!("{CSV}007,vol/c.nii,,1,A,train,no\n");
    let folder = folder_with("s.csv", &twice);
    let message = refusal(&yaml(folder.path(), "s.csv", COLUMNS));
    assert!(
        message.contains("subject `007` stands at line 2 and at line 6"),
        "{message}"
    );
    let selected = format!("{COLUMNS}, where: \"age <> 1\"");
    assert!(open(&yaml(folder.path(), "s.csv", &selected)).is_ok());
    let selected = format!("{COLUMNS}, where: \"site = 'A'\"");
    let message = refusal(&yaml(folder.path(), "s.csv", &selected));
    assert!(message.contains("line 2 and at line 6"), "{message}");

    let folder = folder_with("s.csv", CSV);
    let columns = COLUMNS.replace("ct: CT", "ct: TC");
    let message = refusal(&yaml(folder.path(), "s.csv", &columns));
    assert!(
        message.contains("there is no column `TC`; did you mean `CT`?"),
        "{message}"
    );
    let columns = COLUMNS.replace("split: part", "split: site");
    let message = refusal(&yaml(folder.path(), "s.csv", &columns));
    assert!(
        message.contains("line 2: `site` is `A`; expected train, validation or test"),
        "{message}"
    );
    std::fs::remove_dir_all(folder.path().join("vol")).unwrap();
    let message = refusal(&yaml(folder.path(), "s.csv", COLUMNS));
    assert!(
        message.contains("none of the 3 images") && message.contains("vol/a.nii"),
        "{message}"
    );
}

#[test]
fn a_parquet_table_and_four_d_files() {
    let folder = folder_with("unused", "");
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from(vec![3, 1]))),
        (
            "image",
            Arc::new(StringArray::from(vec!["vol/four.nii", "vol/absent.nii"])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(folder.path().join("s.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let columns = ", columns: { subject: id, images: { t2: { column: image, index: 2 }, t1: { column: image, index: 0 } } }";
    let cohort = open(&yaml(folder.path(), "s.parquet", columns)).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["1", "3"]);
    assert_eq!(cohort.modalities(), ["t2", "t1"]);
    let row = cohort.load(&cohort.subjects()[1]).unwrap();
    let first = |i: usize| row.images[i].volume.as_ref().unwrap().to_f32()[0];
    assert_eq!((first(0), first(1)), (22.0, 20.0));
    assert!(
        cohort.load(&cohort.subjects()[0]).is_err(),
        "an absent file is that subject's failure"
    );
}

#[test]
fn a_decathlon_list_needs_no_columns() {
    let list = r#"{ "name": "Demo", "modality": { "1": "T1-gd", "0": "FLAIR" }, "numTraining": 2,
        "training": [ { "image": "./vol/four.nii", "label": "./vol/am.nii" }, { "image": "vol/b.nii.gz", "label": "vol/bm.nii" } ],
        "test": [ "./vol/c.nii" ] }"#;
    let folder = folder_with("dataset.json", list);
    let cohort = open(&yaml(folder.path(), "dataset.json", "")).unwrap();
    assert_eq!(cohort.modalities(), ["flair", "t1-gd"]);
    assert_eq!(
        places(cohort.as_ref()),
        [
            ("b", Split::Train, true),
            ("c", Split::Test, false),
            ("four", Split::Train, true)
        ]
    );
    let row = cohort.load(&cohort.subjects()[2]).unwrap();
    assert_eq!(row.images[1].volume.as_ref().unwrap().to_f32()[0], 21.0);
    assert!(row.is_labelled());
    let more =
        ", where: \"section = 'training'\", split: { validation: 1 }, modalities: [one, two]";
    let cohort = open(&yaml(folder.path(), "dataset.json", more)).unwrap();
    assert_eq!(cohort.modalities(), ["one", "two"]);
    assert_eq!(
        places(cohort.as_ref())
            .iter()
            .filter(|p| p.1 == Split::Validation)
            .count(),
        1
    );
    let message = refusal(&yaml(folder.path(), "dataset.json", COLUMNS));
    assert!(message.contains("remove `columns`"), "{message}");
}

#[test]
fn a_list_with_a_key_for_each_modality() {
    let entry = |i: &str| {
        format!(
            r#"{{ "img_CT": "vol/{i}.nii", "mask_CT": "vol/{i}m.nii", "img_MRI": "vol/b.nii", "mask_MRI": "vol/bm.nii" }}"#
        )
    };
    let list = format!(
        r#"{{ "training": [{}], "unlabeled_training": [{}], "validation": [{}], "testing": [{}] }}"#,
        entry("a"),
        entry("b"),
        entry("c"),
        entry("d")
    );
    let folder = folder_with("cmc.json", &list);
    std::fs::write(folder.path().join("vol/bm.nii"), b"corrupt").unwrap();
    let cohort = open(&yaml(folder.path(), "cmc.json", "")).unwrap();
    assert_eq!(cohort.modalities(), ["ct", "mri"]);
    assert_eq!(cohort.label_names(), ["ct", "mri"]);
    assert_eq!(
        places(cohort.as_ref()),
        [
            ("a", Split::Train, true),
            ("b", Split::Train, false),
            ("c", Split::Validation, false),
            ("d", Split::Test, false)
        ]
    );
    let unlabelled = &cohort.subjects()[1];
    assert!(!cohort.load(unlabelled).unwrap().is_labelled());
    let Some(Location::File { path, .. }) = &cohort.subjects()[3].labels[0].location else {
        panic!("no truth")
    };
    assert!(path.ends_with("vol/dm.nii"));
}

#[test]
fn ids_of_a_list_are_whole_paths_where_names_repeat() {
    let list = r#"{ "training": [ { "image": "p1/ct.nii" }, { "image": "vol/a.nii", "subject": 9 }, { "image": "./p2/ct.nii" } ] }"#;
    let folder = folder_with("l.json", list);
    let cohort = open(&yaml(folder.path(), "l.json", "")).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["9", "p1-ct", "p2-ct"]);
    let twice = r#"{ "training": [ { "image": "vol/a.nii" } ], "test": [ "vol/a.nii" ] }"#;
    let folder = folder_with("l.json", twice);
    let message = refusal(&yaml(folder.path(), "l.json", ""));
    assert!(
        message.contains("stands at training[0] and at test[0]"),
        "{message}"
    );
    let rows = r#"[ { "id": "x", "CT": "vol/a.nii", "n": 2 }, { "id": "y", "CT": null } ]"#;
    let folder = folder_with("l.json", rows);
    let columns = ", columns: { subject: id, images: { ct: CT } }, where: \"n = 2 OR n IS NULL\"";
    assert_eq!(
        ids(open(&yaml(folder.path(), "l.json", columns))
            .unwrap()
            .as_ref()),
        ["x", "y"]
    );
    assert!(
        refusal(&yaml(folder.path(), "l.json", "")).contains("add `columns`"),
        "an array needs columns"
    );
}

#[test]
fn unpaired_modalities_are_subjects_of_their_own() {
    let list = r#"{ "training": [ { "img_CT": "vol/a.nii", "mask_CT": "vol/am.nii", "img_MRI": "vol/b.nii", "mask_MRI": "vol/bm.nii" } ],
        "unlabeled_training": [ { "img_CT": "vol/c.nii", "img_MRI": "vol/d.nii" } ] }"#;
    let folder = folder_with("l.json", list);
    let cohort = open(&yaml(folder.path(), "l.json", ", unpaired: true")).unwrap();
    assert_eq!(
        places(cohort.as_ref()),
        [
            ("a_ct", Split::Train, true),
            ("a_mri", Split::Train, true),
            ("c_ct", Split::Train, false),
            ("c_mri", Split::Train, false)
        ]
    );
    let row = cohort.load(&cohort.subjects()[1]).unwrap();
    let present = |channels: &[crate::volume::Channel]| -> Vec<bool> {
        channels.iter().map(|c| c.volume.is_some()).collect()
    };
    assert_eq!(present(&row.images), [false, true]);
    assert_eq!(present(&row.labels), [false, true]);
    let folder = folder_with("s.csv", CSV);
    let more = COLUMNS.to_owned() + ", unpaired: true";
    let message = refusal(&yaml(folder.path(), "s.csv", &more));
    assert!(message.contains("name one a modality"), "{message}");
}
