use super::*;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod faulty;

use faulty::{Fault, store};

fn url(path: &Path) -> ObjectUrl {
    match Location::of(path).unwrap() {
        Location::Object(url) => url,
        Location::Local(path) => panic!("{} is local", path.display()),
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn locations_are_told_apart_and_show_no_credentials() {
    let local = |text: &str| Location::of(Path::new(text)).unwrap();
    for text in ["data/a.nii", "/data/a.nii", "C://a", "a b://c", "://a"] {
        assert_eq!(local(text), Location::Local(text.into()), "{text}");
    }
    assert_eq!(local("file:///a/b"), Location::Local("/a/b".into()));
    for (text, root, escaped) in [
        ("s3://b/a b/%c?d#e", "s3://b", "s3://b/a%20b/%25c%3Fd%23e"),
        (
            "https://h:80/a%20b/c",
            "https://h:80",
            "https://h:80/a%20b/c",
        ),
        ("az://c", "az://c", "az://c/"),
    ] {
        let url = url(Path::new(text));
        assert_eq!(
            (url.root().as_str(), url.escaped().as_str()),
            (root, escaped)
        );
        assert_eq!(url.to_path(), Path::new(text));
    }
    for (text, expected) in [
        ("s3://key:secret@bucket/a", "may hold no credentials"),
        (
            "https://h/a?X-Amz-Signature=secret",
            "may hold no credentials",
        ),
        ("s3:///a", "expected a URL such as s3://bucket/key"),
        ("s3://b/a//b", "s3://bucket/key"),
        ("hdfs://b/a", "the scheme `hdfs` is not known"),
        ("file://host/a", "names no other machine"),
    ] {
        let error = Location::of(Path::new(text)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let shown = error.to_string();
        assert!(shown.contains(expected), "{text}: {shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    let text = "https://me:secret@h/a?sig=secret";
    assert_eq!(redacted(text), "https://h/a");
    assert_eq!(redacted("a@b?c"), "a@b?c");
}

#[test]
fn paths_join_as_in_a_folder() {
    for (base, written, expected) in [
        ("s3://b/lists", "../images/./a.nii", "s3://b/images/a.nii"),
        ("s3://b", "../../a", "s3://b/a"),
        ("s3://b/lists", "gs://c/a", "gs://c/a"),
        ("s3://b/lists", "/data/a", "/data/a"),
        ("/data", "s3://b/a/", "s3://b/a"),
        ("/data", "../a", "/data/../a"),
        ("/data", "file:///a", "/a"),
    ] {
        let joined = join(Path::new(base), Path::new(written));
        assert_eq!(joined, Path::new(expected), "{base} {written}");
    }
    assert_eq!(parent(Path::new("s3://b/a/c")), Path::new("s3://b/a"));
    assert_eq!(parent(Path::new("s3://b/a")), Path::new("s3://b"));
    assert_eq!(parent(Path::new("a/c")), Path::new("a"));
}

#[test]
fn every_fault_that_passes_is_survived_byte_for_byte() {
    let bytes = content(11_000_000);
    let (store, path) = store("passing", &bytes);
    for fault in [Fault::Busy, Fault::Short, Fault::Broken] {
        // Each request fails once: the repetition is the next in turn.
        let faults = [fault, Fault::None].repeat(20);
        *store.faults.lock().unwrap() = faults.into();
        assert!(read(&path).unwrap() == bytes, "{fault:?}");
        let mut some = Vec::new();
        let object = Object::open(&url(&path)).unwrap();
        let mut reader = object.reader(5_000_000..9_999_999);
        reader.read_to_end(&mut some).unwrap();
        assert!(some == bytes[5_000_000..9_999_999], "{fault:?}");
        *store.faults.lock().unwrap() = [fault, Fault::None].into();
        assert_eq!(list(Path::new("memory://passing/folder")).unwrap().len(), 1);
    }
}

#[test]
fn a_fault_that_stays_is_an_error_and_the_next_request_does_not_wait() {
    let (store, path) = store("staying", b"content");
    *store.faults.lock().unwrap() = [Fault::Busy].into();
    let error = read(&path).unwrap_err();
    assert_eq!(error.to_string(), "the store failed (503)");
    assert_eq!(error.kind(), ErrorKind::Other);
    let before = store.asked.load(Ordering::Relaxed);
    assert!(before > 3, "{before} requests");
    read(&path).unwrap_err();
    // The read, and the look at whether the object is empty.
    assert!(store.asked.load(Ordering::Relaxed) - before <= 2);
    // It is back: everything is as before.
    store.faults.lock().unwrap().clear();
    assert_eq!(read(&path).unwrap(), b"content");
}

#[test]
fn refused_credentials_are_not_tried_again_and_the_variables_are_named() {
    let (store, path) = store("expired", b"content");
    *store.faults.lock().unwrap() = [Fault::Expired].into();
    let error = metadata(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(
        error.to_string().contains("(400 ExpiredToken: expired)"),
        "{error}"
    );
    assert_eq!(store.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_an_error() {
    let (_, path) = store("replaced", &content(9_000_000));
    let object = Object::open(&url(&path)).unwrap();
    write(&path, &content(9_000_000)).unwrap();
    let error = object.range(0..10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("has changed"), "{error}");
    let mut all = Vec::new();
    assert!(object.reader(0..9_000_000).read_to_end(&mut all).is_err());
}

#[test]
fn folders_and_absent_objects_answer_as_local_ones() {
    let (_, path) = store("listing", b"");
    assert_eq!(read(&path).unwrap(), b"");
    assert_eq!(metadata(&path).unwrap().bytes, 0);
    for name in [
        "folder/sub/b.nii",
        "folder/a.nii",
        "folder/.hidden",
        "other",
    ] {
        write(&PathBuf::from(format!("memory://listing/{name}")), b"1").unwrap();
    }
    let folder = Path::new("memory://listing/folder");
    let shown: Vec<(String, bool)> = (list(folder).unwrap().into_iter())
        .map(|e| (e.path.display().to_string(), e.is_folder))
        .collect();
    let expected = [
        (".hidden", false),
        ("a.nii", false),
        ("object", false),
        ("sub", true),
    ];
    let expected = expected.map(|(n, f)| (format!("memory://listing/folder/{n}"), f));
    assert_eq!(shown, expected);
    let below: Vec<String> = walk(folder).unwrap().into_iter().map(|(p, _)| p).collect();
    assert_eq!(below, [".hidden", "a.nii", "object", "sub/b.nii"]);
    assert!(is_dir(folder).unwrap() && exists(&path).unwrap());
    let absent = Path::new("memory://listing/absent");
    assert!(!is_dir(absent).unwrap() && !exists(absent).unwrap());
    assert_eq!(read(absent).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(list(absent).unwrap_err().kind(), ErrorKind::NotFound);
    let error = read(Path::new("memory://nobody/a")).unwrap_err();
    assert!(error.to_string().contains("registered"), "{error}");
}

#[test]
fn the_query_engine_reads_through_the_same_patience() {
    let bytes = content(1000);
    let (faulty, path) = store("engine", &bytes);
    *faulty.faults.lock().unwrap() = [Fault::Busy, Fault::Short, Fault::None].into();
    let store = patient(&url(&path)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let key = Key::from("folder/object");
    let read = runtime.block_on(store.get_range(&key, 10..990)).unwrap();
    assert_eq!(read, bytes[10..990]);
    assert_eq!(runtime.block_on(store.head(&key)).unwrap().size, 1000);
    let absent = runtime
        .block_on(store.head(&Key::from("absent")))
        .unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
    // A blocking read within an asynchronous one does not hang.
    assert_eq!(
        runtime.block_on(async { super::read(&path).unwrap() }),
        bytes
    );
}

#[test]
fn many_keeps_the_order() {
    let items: Vec<usize> = (0..500).collect();
    assert_eq!(
        many(&items, |i| i * 2),
        items.iter().map(|i| i * 2).collect::<Vec<_>>()
    );
    assert_eq!(many(&[] as &[usize], |i| *i), Vec::<usize>::new());
}

#[test]
fn objects_are_put_whole_created_once_and_replaced_at_their_version() {
    let (store, path) = store("writing", b"");
    let folder = tempfile::tempdir().unwrap();
    // Three requests, the last one short.
    let bytes = content(20_000_001);
    let file = folder.path().join("file");
    write(&file, &bytes).unwrap();
    upload(&file, &path).unwrap();
    assert!(read(&path).unwrap() == bytes);
    write(&path, &bytes[1..]).unwrap();
    assert!(read(&path).unwrap() == bytes[1..]);
    let record = path.with_file_name("record");
    let first = create(&record, b"first").unwrap();
    let error = create(&record, b"second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let second = replace(&record, &first, b"second").unwrap();
    let error = replace(&record, &first, b"third").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(read(&record).unwrap(), b"second");
    assert_eq!(metadata(&record).unwrap(), second);
    remove(&record).unwrap();
    remove(&record).unwrap();
    assert!(!exists(&record).unwrap());
    write(&path.with_file_name("sub").join("a"), b"1").unwrap();
    remove_folder(&parent(&path)).unwrap();
    assert!(walk(Path::new("memory://writing")).unwrap().is_empty());
    let absent = upload(&folder.path().join("absent"), &path).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    drop(store);
}
