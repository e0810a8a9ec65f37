//! What a folder of prepared subjects promises.

mod damage;

use super::*;
use crate::volume::{Channel, Dtype, Grid, Volume};
use serde_json::json;

fn grid() -> Grid {
    Grid::with_spacing([7, 5, 3], [1.0, 2.0, 0.5]).unwrap()
}

fn row(seed: f32) -> Row {
    let image = (0..105).map(|i| (i as f32 * 0.37 + seed).sin()).collect();
    let label: Vec<u8> = (0..105).map(|i| (i % 4) as u8).collect();
    let channel = |name: &str, volume| Channel {
        name: name.to_owned(),
        volume,
    };
    Row {
        subject: "s01".to_owned(),
        images: vec![
            channel("ct", Some(Volume::from_vec::<f32>(image, grid()).unwrap())),
            channel("mr", None),
        ],
        labels: vec![channel("", Some(Volume::from_vec(label, grid()).unwrap()))],
        history: vec!["stages[0].orient".to_owned()],
        ..Row::default()
    }
    .with_sites()
}

fn store(folder: &Path, limit: u64, precision: Precision) -> Store {
    Store::open(folder, limit, precision, &json!([{"orient": {}}])).unwrap()
}

#[test]
fn a_row_comes_back_bit_for_bit_with_its_sites() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 20, Precision::Exact);
    assert!(store.get("a").unwrap().is_none());
    let before = row(0.1);
    let kept = store.put("a", &before).unwrap().unwrap();
    let again = store.get("a").unwrap().unwrap();
    for row in [kept.row, again.row] {
        let volumes = |row: &Row| -> Vec<Vec<u8>> {
            row.volumes().map(|(_, v)| v.buffer().to_vec()).collect()
        };
        assert_eq!(volumes(&row), volumes(&before));
        assert_eq!(row.sites, before.sites);
        assert_eq!(row.history, before.history);
        assert!(row.images[1].volume.is_none());
        let ct = row.images[0].volume.as_ref().unwrap();
        assert_eq!(*ct.grid(), grid());
        let bits = before.images[0].volume.as_ref().unwrap().lowest_bits();
        assert_eq!(ct.lowest_bits(), bits);
    }
}

#[test]
fn rows_without_labels_have_no_sites() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 20, Precision::Exact);
    let mut before = row(0.1);
    before.labels[0].volume = None;
    before.sites = None;
    assert_eq!(store.put("a", &before).unwrap().unwrap().row.sites, None);
}

#[test]
fn half_precision_halves_images_and_leaves_labels() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 20, Precision::Half);
    let before = row(0.1);
    let kept = store.put("a", &before).unwrap().unwrap().row;
    let (old, new) = (
        before.images[0].volume.as_ref().unwrap(),
        kept.images[0].volume.as_ref().unwrap(),
    );
    assert_eq!((new.dtype(), new.bytes()), (Dtype::F16, old.bytes() / 2));
    for (a, b) in old.to_f32().iter().zip(new.to_f32().iter()) {
        assert!((a - b).abs() <= a.abs() * 4.9e-4, "{a} {b}");
    }
    assert_eq!(kept.labels[0].volume.as_ref().unwrap().dtype(), Dtype::U8);
}

#[test]
fn another_step_source_or_precision_misses() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path(), 1 << 20, Precision::Exact);
    first.put("a", &row(0.1)).unwrap().unwrap();
    assert!(first.get("b").unwrap().is_none());
    let half = store(folder.path(), 1 << 20, Precision::Half);
    assert!(half.get("a").unwrap().is_none());
    let steps = json!([{"orient": {}}, {"zscore": {}}]);
    let other = Store::open(folder.path(), 1 << 20, Precision::Exact, &steps).unwrap();
    assert!(other.get("a").unwrap().is_none());
    assert!(
        store(folder.path(), 1, Precision::Exact)
            .get("a")
            .unwrap()
            .is_some()
    );
}

#[test]
fn the_oldest_make_room_but_not_those_of_this_run() {
    let folder = tempfile::tempdir().unwrap();
    let one = store(folder.path(), 1 << 20, Precision::Exact);
    one.put("a", &row(0.1)).unwrap().unwrap();
    let size = one.bytes().unwrap();
    let old = SystemTime::now() - Duration::from_secs(100);
    let file = File::options().append(true).open(one.path("a")).unwrap();
    file.set_modified(old).unwrap();
    let next = store(folder.path(), 2 * size, Precision::Exact);
    next.put("b", &row(0.2)).unwrap().unwrap();
    next.put("c", &row(0.3)).unwrap().unwrap();
    assert!(next.get("a").unwrap().is_none(), "the oldest made room");
    assert!(
        next.put("d", &row(0.4)).unwrap().is_none(),
        "b and c are in use"
    );
    assert!(next.get("b").unwrap().is_some() && next.get("c").unwrap().is_some());
}

#[test]
fn a_mapped_entry_survives_its_removal() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 20, Precision::Exact);
    let before = row(0.1);
    let kept = store.put("a", &before).unwrap().unwrap().row;
    std::fs::remove_file(store.path("a")).unwrap();
    let ct = |row: &Row| row.images[0].volume.as_ref().unwrap().to_f32().into_owned();
    assert_eq!(ct(&kept), ct(&before));
}

#[test]
fn half_written_files_are_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 20, Precision::Exact);
    store.put("a", &row(0.1)).unwrap().unwrap();
    let whole = std::fs::read(store.path("a")).unwrap();
    std::fs::write(folder.path().join(".under-way-x"), &whole[..50]).unwrap();
    assert_eq!(store.bytes().unwrap(), whole.len() as u64);
}

#[test]
fn a_file_is_read_again_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.nii");
    std::fs::write(&file, b"one").unwrap();
    let digest = || content_digest(&file, folder.path()).unwrap();
    let one = digest();
    assert_eq!(one, blake3::hash(b"one").to_hex().as_str());
    assert_eq!(digest(), one);
    std::fs::write(&file, b"three").unwrap();
    assert_eq!(digest(), blake3::hash(b"three").to_hex().as_str());
    std::fs::remove_file(&file).unwrap();
    let error = content_digest(&file, folder.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("a.nii"), "{error}");
}
