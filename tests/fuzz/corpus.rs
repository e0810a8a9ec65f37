//! Files of every kind that is read, and their readers.

use candle_core::Device;
use std::path::{Path, PathBuf};
use voxstream::cli::{open, planned};
use voxstream::nn::convert::{convert, read_pth};
use voxstream::nn::tensor_file::read_tensors;
use voxstream::sink::parts::{Attempt, verify};
use voxstream::sink::{Ledger, PartWriter, causes, encode_prepared, read_prepared};
use voxstream::spec::SourceFile;
use voxstream::volume::{Channel, Dtype, Grid, Row, Scaling, Volume, nifti};

/// Reads the changed file in a folder; the error is its text.
type Read = fn(&Path) -> Result<(), String>;

/// A kind of files.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The file that is changed, below the folder.
    pub(super) file: &'static str,
    /// What it is a change of.
    pub(super) seeds: Vec<Vec<u8>>,
    pub(super) read: Read,
}

/// The kind of a name; its seeds are made in a folder.
pub(super) fn kind(name: &str, folder: &Path) -> Kind {
    let (name, file, seeds, read): (_, _, _, Read) = match name {
        "nifti" => ("nifti", "v.nii", images(folder, "nii"), |at| {
            image(at, "v.nii")
        }),
        "nifti_gz" => ("nifti_gz", "v.nii.gz", images(folder, "nii.gz"), |at| {
            image(at, "v.nii.gz")
        }),
        "yaml" => ("yaml", "p.yaml", pipelines(), pipeline),
        "manifest" => ("manifest", "list.csv", manifests(folder), manifest),
        "safetensors" => ("safetensors", "w.safetensors", tensors(folder), |at| {
            let read = read_tensors(&at.join("w.safetensors"), &Device::Cpu);
            read.map(drop).map_err(|e| causes(&e))
        }),
        "pth" => (
            "pth",
            "w.pth",
            vec![bytes(Path::new("tests/reference/clip.pth"))],
            |at| {
                let read = read_pth(&at.join("w.pth"), None).map_err(|e| causes(&e))?;
                convert(&read).map(drop).map_err(|e| causes(&e))
            },
        ),
        "record" => ("record", "parts/part-a-1.parquet", records(folder), |at| {
            let ledger = Ledger::open(at).map_err(|e| causes(&e))?;
            ledger.whole_parts();
            ledger.files("subjects");
            verify(at).map(drop).map_err(|e| causes(&e))
        }),
        _ => ("prepared", "rows.parquet", prepared(folder), |at| {
            read_prepared(&at.join("rows.parquet"))
                .map(drop)
                .map_err(|e| causes(&e))
        }),
    };
    Kind {
        name,
        file,
        seeds,
        read,
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn grid() -> Grid {
    Grid::with_spacing([6, 5, 4], [1.0, 2.0, 0.5]).unwrap()
}

fn volumes() -> [Volume; 3] {
    let scaled = Scaling {
        slope: 0.5,
        intercept: -3.0,
    };
    let wide: Vec<i16> = (0..120).map(|i| i * 7 % 100).collect();
    let wide = Volume::from_vec(wide, grid()).unwrap();
    let floats: Vec<f32> = (0..120).map(|i| i as f32 / 7.0).collect();
    [
        Volume::try_new(wide.buffer().clone(), Dtype::I16, scaled, grid()).unwrap(),
        Volume::from_vec(floats, grid()).unwrap(),
        Volume::from_vec((0..120u8).map(|i| i % 4).collect(), grid()).unwrap(),
    ]
}

fn images(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let write = |(i, volume): (usize, &Volume)| {
        let path = folder.join(format!("seed{i}.{ending}"));
        nifti::write(&path, volume, None).unwrap();
        bytes(&path)
    };
    volumes().iter().enumerate().map(write).collect()
}

fn image(at: &Path, name: &str) -> Result<(), String> {
    let path = at.join(name);
    let header = nifti::read_header(&path).map(drop).map_err(|e| causes(&e));
    let read = nifti::read(&path, None).map_err(|e| causes(&e))?;
    read.to_f32();
    // What can be read has a header that can be.
    header
}

fn pipelines() -> Vec<Vec<u8>> {
    let folder = std::fs::read_dir("pipelines").unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files.iter().map(|path| bytes(path)).collect()
}

fn pipeline(at: &Path) -> Result<(), String> {
    let path = at.join("p.yaml");
    // A file that is no text is refused before it is looked at.
    let content = std::fs::read_to_string(&path).map_err(|e| causes(&e))?;
    let file = SourceFile {
        name: path.display().to_string(),
        text: content,
    };
    planned(&file).map(drop).map_err(|e| causes(&e))
}

fn manifests(folder: &Path) -> Vec<Vec<u8>> {
    nifti::write(&folder.join("a.nii"), &volumes()[0], None).unwrap();
    [
        "id,ct,sex\na,a.nii,f\nb,a.nii,\n\"c\"\"d\",a.nii,m\n",
        "id;ct;sex\r\na;a.nii;f\r\n",
    ]
    .map(|list| list.as_bytes().to_vec())
    .into()
}

fn manifest(at: &Path) -> Result<(), String> {
    let file = SourceFile {
        name: at.join("p.yaml").display().to_string(),
        text: "name: m\nsource: { manifest: { path: list.csv, columns: { subject: id, images: { ct: ct } } } }\nstages: [zscore: {}]\n".to_owned(),
    };
    open(&file).map(drop).map_err(|e| causes(&e))
}

fn tensors(folder: &Path) -> Vec<Vec<u8>> {
    let path = folder.join("seed.safetensors");
    let tensor = |values: Vec<f32>, shape: &[usize]| {
        candle_core::Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let named = [
        ("head.w".to_owned(), tensor(vec![0.5; 24], &[2, 3, 4])),
        ("head.b".to_owned(), tensor(vec![1.0; 2], &[2])),
    ];
    let metadata = [("voxstream".to_owned(), "1".to_owned())].into();
    voxstream::nn::tensor_file::write_tensors(&path, &named, &metadata).unwrap();
    vec![bytes(&path)]
}

fn records(folder: &Path) -> Vec<Vec<u8>> {
    let run = folder.join("seed");
    let attempt = Attempt {
        host: "here".to_owned(),
        number: 1,
    };
    let mut part = PartWriter::new(&run, "part-a-1", &"0".repeat(64), &attempt);
    for table in ["subjects", "quality"] {
        let below = PathBuf::from(format!("{table}/part-a-1.parquet"));
        std::fs::create_dir_all(run.join(table)).unwrap();
        std::fs::write(run.join(&below), b"none").unwrap();
        part.add_file(below);
    }
    part.commit(&mut Ledger::open(&run).unwrap()).unwrap();
    let seed = bytes(&run.join("parts/part-a-1.parquet"));
    std::fs::remove_dir_all(&run).unwrap();
    vec![seed]
}

fn prepared(folder: &Path) -> Vec<Vec<u8>> {
    let [ct, mr, label] = volumes();
    let channel = |name: &str, volume: Volume| Channel {
        name: name.to_owned(),
        volume: Some(volume),
    };
    let row = Row {
        subject: "a".to_owned(),
        images: vec![channel("ct", ct), channel("mr", mr)],
        labels: vec![channel("", label)],
        ..Row::default()
    };
    let batch = encode_prepared(&[row]).unwrap();
    let path = folder.join("seed.parquet");
    let mut writer = voxstream::sink::TableWriter::create(&path, batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    vec![bytes(&path)]
}
