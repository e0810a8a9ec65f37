use super::*;
use crate::cli::open;
use crate::sink::parts::verify;
use crate::sink::{SubjectRow, TableRow as _};
use crate::spec::SourceFile;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A store whose lists do not name tables and commit records for a while.
#[derive(Debug)]
struct Late {
    inner: InMemory,
    is_late: AtomicBool,
}

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("late")
    }
}

#[async_trait]
impl ObjectStore for Late {
    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(key, options).await
    }
    async fn put_opts(&self, key: &Key, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(key, payload, o).await
    }
    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }
    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(keys)
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        if self.is_late.load(Ordering::SeqCst) {
            listed
                .objects
                .retain(|object| object.location.extension() != Some("parquet"));
        }
        Ok(listed)
    }
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

const PIPELINE: &str = "name: late
source: { folders: { path: DATA, images: '{subject}/{modality}.nii', modalities: [ct] } }
stages: [zscore: {}]
sinks: { prepared: { parquet: true }, part_size: 512KiB }
";

/// Writes six subjects, the third of them damaged.
fn cohort(folder: &Path) {
    use crate::volume::{Grid, Volume, nifti};
    for subject in 0..6usize {
        let path = folder.join(format!("s{subject}/ct.nii"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let grid = Grid::with_spacing([6; 3], [1.0; 3]).unwrap();
        let voxels = (0..216).map(|i| (i * (subject + 3) % 251) as i16);
        nifti::write(
            &path,
            &Volume::from_vec(voxels.collect(), grid).unwrap(),
            None,
        )
        .unwrap();
    }
    std::fs::write(folder.join("s2/ct.nii"), b"no image").unwrap();
}

#[test]
fn a_list_that_lags_changes_neither_the_exit_code_nor_the_run() {
    let store = Arc::new(Late {
        inner: InMemory::new(),
        is_late: AtomicBool::new(true),
    });
    store::register("memory://driver-late", store.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    cohort(folder.path());
    let file = SourceFile {
        name: folder.path().join("late.yaml").display().to_string(),
        text: PIPELINE.replace("DATA", "."),
    };
    let out = PathBuf::from("memory://driver-late/run");
    let start = |resume| {
        let (plan, cohort) = open(&file).unwrap();
        let options = RunOptions {
            out: Some(out.clone()),
            workers: Some(2),
            resume,
            ..RunOptions::default()
        };
        run(plan, cohort, &options).unwrap()
    };
    let check = |outcome: &RunOutcome| {
        let failed: Vec<&str> = (outcome.failures.iter())
            .map(|f| f.subject.as_str())
            .collect();
        assert_eq!((outcome.exit_code(), &failed[..]), (1, &["s2"][..]));
    };
    check(&start(false));
    // Nothing is listed of what is there: all is made again, in its place.
    check(&start(true));
    store.is_late.store(false, Ordering::SeqCst);
    for resume in [false, true] {
        if resume {
            check(&start(true));
        }
        assert_eq!(verify(&out).unwrap().1, []);
        let rows: Vec<SubjectRow> = Ledger::open(&out).unwrap().read().unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row.subject_id.as_str()).collect();
        assert_eq!(ids, ["s0", "s1", "s2", "s3", "s4", "s5"]);
        assert!(
            !Ledger::open(&out)
                .unwrap()
                .files(SubjectRow::TABLE.name)
                .is_empty()
        );
    }
}
