use super::*;

fn paths(arguments: &[&str]) -> Vec<PathBuf> {
    arguments.iter().map(PathBuf::from).collect()
}

#[test]
fn the_statement_is_the_last_argument_that_is_no_folder() {
    let (folders, sql) = (
        paths(&["src", "tests", "select 1"]),
        paths(&["src", "tests"]),
    );
    assert_eq!(split(&folders).unwrap(), (&folders[..2], Some("select 1")));
    assert_eq!(split(&sql).unwrap(), (&sql[..], None));
    let empty = paths(&["src", ""]);
    assert_eq!(split(&empty).unwrap(), (&empty[..1], Some("")));
    for wrong in [
        &["src", "tsts"][..],
        &["select 1"],
        &["nowhere", "select 1"],
    ] {
        let error = split(&paths(wrong)).unwrap_err().to_string();
        assert!(error.contains("there is no such folder"), "{error}");
    }
}

#[test]
fn an_answer_becomes_a_file_by_its_ending() {
    use crate::query::Session;
    let folder = tempfile::tempdir().unwrap();
    crate::sink::write_table::<crate::sink::EdgeRow>(&folder.path().join("edges.parquet"), &[])
        .unwrap();
    let session = Session::open(folder.path()).unwrap();
    let batches = session.sql("select 1 as a, 'x|y' as b").unwrap();
    let written = |name: &str| {
        let path = folder.path().join(name);
        export::export(&batches, &path).map(|()| std::fs::read(path).unwrap())
    };
    assert_eq!(written("a.csv").unwrap(), b"a,b\n1,x|y\n");
    assert_eq!(
        written("a.md").unwrap(),
        b"| a | b |\n| --: | --- |\n| 1 | x\\|y |\n"
    );
    assert_eq!(written("a.json").unwrap(), b"{\"a\":1,\"b\":\"x|y\"}\n");
    assert_eq!(&written("a.parquet").unwrap()[..4], b"PAR1");
    assert!(
        written("a.doc")
            .unwrap_err()
            .to_string()
            .contains("found the ending `doc`")
    );
    assert!(
        written("a.png")
            .unwrap_err()
            .to_string()
            .contains("not one picture")
    );
}
