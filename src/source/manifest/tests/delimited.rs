//! Tables as text.

use super::super::delimited::{self, Asked};
use super::{folder_with, ids, open, yaml};
use arrow::array::Array as _;

/// Opens a table of three subjects with these bytes.
fn of_bytes(table: &str, bytes: &[u8], more: &str) -> Result<Vec<String>, String> {
    let folder = folder_with("unused.csv", "");
    std::fs::write(folder.path().join(table), bytes).unwrap();
    let columns = format!(", columns: {{ subject: id, images: {{ ct: ct }} }}{more}");
    let cohort = open(&yaml(folder.path(), table, &columns)).map_err(|e| e.to_string())?;
    let cohort = cohort.as_ref();
    cohort
        .subjects()
        .iter()
        .for_each(|s| drop(cohort.load(s).unwrap()));
    Ok(ids(cohort).into_iter().map(str::to_owned).collect())
}

#[test]
fn every_delimiter_is_recognised_by_the_header() {
    let table = "id,note,ct\n007,\"a, b; c|d\t\",vol/a.nii\n\"8\",\"say \"\"x\"\"\",vol/b.nii\n";
    for delimiter in [",", ";", "\t", "|"] {
        // Only the delimiters between cells, which stand beside a quote or outside the note.
        let text = table
            .replace("id,note,ct", &["id", "note", "ct"].join(delimiter))
            .replace("007,", &format!("007{delimiter}"))
            .replace("\"8\",", &format!("\"8\"{delimiter}"))
            .replace(",vol", &format!("{delimiter}vol"));
        for text in [
            text.clone(),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}"),
        ] {
            assert_eq!(
                of_bytes("t.csv", text.as_bytes(), "").unwrap(),
                ["007", "8"],
                "{text}"
            );
        }
    }
    // A header that another delimiter splits more often: the columns' names decide.
    let odd = "id;a,b,c;ct\n1;x;vol/a.nii\n";
    assert_eq!(of_bytes("t.csv", odd.as_bytes(), "").unwrap(), ["1"]);
    let set = "id|ct\n1|vol/a.nii\n";
    assert_eq!(
        of_bytes("t.csv", set.as_bytes(), ", delimiter: '|'").unwrap(),
        ["1"]
    );
    let error = of_bytes("t.csv", set.as_bytes(), ", delimiter: tab").unwrap_err();
    assert!(
        error.ends_with("there is no column `id`; expected one of `id|ct` (columns are separated by tab; if that is wrong, set `delimiter`)"),
        "{error}"
    );
}

#[test]
fn a_tsv_of_bids_is_read() {
    let text = "id\tct\tage\tsite\nsub-01\tvol/a.nii\t41\t01\nsub-02\tvol/b.nii\tn/a\t02\n";
    let all = of_bytes("participants.tsv", text.as_bytes(), "").unwrap();
    assert_eq!(all, ["sub-01", "sub-02"]);
    let select = |condition: &str| {
        let more = format!(", where: \"{condition}\"");
        of_bytes("participants.tsv", text.as_bytes(), &more).unwrap()
    };
    // `n/a` leaves the ages numbers; sites keep their zeros.
    assert_eq!(select("age > 40"), ["sub-01"]);
    assert_eq!(select("age IS NULL AND site = '02'"), ["sub-02"]);
}

#[test]
fn faults_of_a_text_are_named_with_their_line() {
    let fault = |text: &[u8]| of_bytes("t.csv", text, "").unwrap_err();
    for (text, expected) in [
        (
            &b""[..],
            "the file is empty; expected a line of column names such as `id,ct`",
        ),
        (b"\xef\xbb\xbf\n\n", "the file is empty"),
        (b"\nid,ct\n\n", "the table ends behind its header (line 2)"),
        (
            b"id,ct,ct\n1,a,b\n",
            "line 1 names the column `ct` twice, as columns 2 and 3",
        ),
        (
            b"id,ct\n1,vol/a.nii\n\n2,vol/b.nii,x\n",
            "line 4 has 3 cells, but the header has 2 columns (separated by `,`)",
        ),
        (b"id,ct\n1,\"vol/a\n.nii\"\n2\n", "line 4 has 1 cell"),
        (
            b"id,ct\n1,\"vol/a.nii\n2,vol/b.nii\n",
            "a quote opens at line 2 and does not end",
        ),
        (
            b"id,ct\n1,vol/a.nii\n\xe9,vol/b.nii\n",
            "line 3 holds the byte 0xE9, which is not UTF-8",
        ),
        (b"\xff\xfei\0d\0", "the text is UTF-16"),
        (
            b"id,ct\n\n1,vol/a.nii\n\n,vol/b.nii\n",
            "line 5 has no `id`",
        ),
    ] {
        let error = fault(text);
        assert!(
            error.contains(expected) && error.contains("t.csv: "),
            "{error}"
        );
    }
    // What is no fault: blank lines, rows of empty cells, a column without a name.
    let text = b",id,ct\n0,1,vol/a.nii\n\n,,\n 1 , 2 , vol/b.nii \n\n";
    assert_eq!(of_bytes("t.csv", text, "").unwrap(), ["1", "2"]);
}

#[test]
fn columns_that_nothing_asks_for_are_left_out() {
    let text = b"id\tct\tage\tsite\tok\n007\ta.nii\t41\t01\tTrue\n8\tn/a\tn/a\t02\tfalse\n";
    let asked = Asked {
        texts: vec!["id", "ct"],
        is_tsv: true,
        ..Asked::default()
    };
    let kinds = |asked: &Asked<'_>| {
        let table = delimited::read(text, asked).unwrap();
        assert_eq!(table.names, ["id", "ct", "age", "site", "ok"]);
        assert_eq!(table.batch.num_rows(), 2);
        assert_eq!(table.batch.column(1).null_count(), 1);
        let schema = table.batch.schema();
        let fields = schema.fields().iter();
        fields
            .map(|f| format!("{}: {}", f.name(), f.data_type()))
            .collect::<Vec<_>>()
    };
    let all = [
        "id: Utf8",
        "ct: Utf8",
        "age: Int64",
        "site: Utf8",
        "ok: Boolean",
    ];
    assert_eq!(kinds(&asked), all);
    let used = Some(vec!["id", "ct", "ok", "absent"]);
    let asked = Asked { used, ..asked };
    assert_eq!(kinds(&asked), ["id: Utf8", "ct: Utf8", "ok: Utf8"]);
}

#[test]
fn a_condition_changes_no_cell() {
    let text = "id,ct,ok,part,age\n1,vol/a.nii,TRUE,train,3\n2,vol/b.nii,0,train,4\n3,vol/c.nii,no,test,5\n";
    let folder = folder_with("t.csv", text);
    let columns =
        ", columns: { subject: id, images: { ct: ct }, label: ct, split: part, labelled: ok }";
    let places = |more: &str| {
        let cohort = open(&yaml(folder.path(), "t.csv", &format!("{columns}{more}"))).unwrap();
        let subjects = cohort.subjects().iter();
        subjects
            .map(|s| (s.id.clone(), s.split, s.labelled))
            .collect::<Vec<_>>()
    };
    let all = places("");
    assert_eq!(all.iter().filter(|(_, _, labelled)| *labelled).count(), 1);
    assert_eq!(all, places(", where: \"age > 2\""));
}
