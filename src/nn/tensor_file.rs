//! Named tensors in a safetensors file, written whole or not at all.
//!
//! The header is written here rather than by the crate that reads it, because that one keeps
//! metadata in a hash map: the same content must give the same bytes.

use crate::store::{self, Target};
use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What can go wrong between tensors and their file.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The file could not be read or written.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("`{}` is no safetensors file that can be read; is it a checkpoint of this program?", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// The file does not belong to this set of tensors.
    #[error("tensors do not fit the network: {}; was the checkpoint written by another network?", problems.join("; "))]
    Mismatch {
        /// Every missing, unexpected and mis-shaped tensor by name.
        problems: Vec<String>,
    },
    /// A tensor could not be converted or copied.
    #[error("could not convert tensor `{name}`")]
    Tensor {
        /// The tensor.
        name: String,
        /// Candle's reason.
        #[source]
        source: candle_core::Error,
    },
}

/// Named tensors in the order of the file, and its metadata.
pub type TensorFile = (Vec<(String, Tensor)>, HashMap<String, String>);

/// Writes `tensors` in their order to `path`, through a temporary file beside it.
///
/// The same tensors and metadata give the same bytes.
///
/// **Errors** name the file, or the tensor that could not be read from its device.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &HashMap<String, String>,
) -> Result<(), TensorFileError> {
    let mut header = serde_json::Map::new();
    let sorted: BTreeMap<&String, &String> = metadata.iter().collect();
    header.insert("__metadata__".into(), serde_json::json!(sorted));
    let mut data: Vec<u8> = vec![];
    for (name, tensor) in tensors {
        let start = data.len();
        data.extend_from_slice(&safetensors::tensor::View::data(tensor));
        let info = serde_json::json!({
            "dtype": Dtype::from(tensor.dtype()),
            "shape": tensor.dims(),
            "data_offsets": [start, data.len()],
        });
        header.insert(name.clone(), info);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // The data begins at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');

    let failed = |action| {
        move |source| TensorFileError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let target = Target::of(path).map_err(failed("look up"))?;
    let mut file = tempfile::NamedTempFile::new_in(target.folder())
        .map_err(failed("create a temporary file beside"))?;
    [&(header.len() as u64).to_le_bytes()[..], &header, &data]
        .into_iter()
        .try_for_each(|part| file.write_all(part))
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed("write"))?;
    (target.publish(file)).map_err(failed("put the finished file in the place of"))
}

/// Reads the tensors of `path`, a file or an object, onto `device`.
///
/// **Errors** name the file and what is wrong with it.
pub fn read_tensors(path: &Path, device: &Device) -> Result<TensorFile, TensorFileError> {
    let bytes = store::read(path).map_err(|source| TensorFileError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let broken = |source| TensorFileError::Format {
        path: path.to_owned(),
        source,
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
    let mut tensors = vec![];
    for name in header.offset_keys() {
        let view = file.tensor(&name).map_err(broken)?;
        match view.load(device) {
            Ok(tensor) => tensors.push((name, tensor)),
            Err(source) => return Err(TensorFileError::Tensor { name, source }),
        }
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{normals, values};

    #[test]
    fn what_is_written_is_read_and_bytes_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let (path, again) = (
            folder.path().join("a.safetensors"),
            folder.path().join("b.safetensors"),
        );
        let tensors = vec![
            (
                "z.w".to_owned(),
                Tensor::from_vec(normals("w", 6), (2, 3), &Device::Cpu).unwrap(),
            ),
            (
                "a.step".to_owned(),
                Tensor::new(&[7i64], &Device::Cpu).unwrap(),
            ),
        ];
        let metadata: HashMap<String, String> = (0..9)
            .map(|i| (format!("key{i}"), format!("value {i}")))
            .collect();
        write_tensors(&path, &tensors, &metadata).unwrap();
        write_tensors(&again, &tensors, &metadata.clone().into_iter().collect()).unwrap();
        assert_eq!(
            std::fs::read(&path).unwrap(),
            std::fs::read(&again).unwrap()
        );
        let (read, read_metadata) = read_tensors(&path, &Device::Cpu).unwrap();
        assert_eq!(read_metadata, metadata);
        assert_eq!(
            read.iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>(),
            ["z.w", "a.step"]
        );
        assert_eq!(values(&read[0].1), values(&tensors[0].1));
        assert_eq!(read[1].1.to_vec1::<i64>().unwrap(), [7]);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            2,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.safetensors");
        assert!(
            read_tensors(&path, &Device::Cpu)
                .unwrap_err()
                .to_string()
                .contains("could not read")
        );
        std::fs::write(&path, b"not tensors at all").unwrap();
        assert!(
            read_tensors(&path, &Device::Cpu)
                .unwrap_err()
                .to_string()
                .contains("broken.safetensors")
        );
    }
}
