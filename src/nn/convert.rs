//! Weights of public PyTorch models under the names and in the layout of this crate.
//!
//! Two sources are known: the released CMC model (med-air/CMC, `Semi_SM_model_MIA`), which becomes
//! a whole [`CmcSpec`] network with `variant: released`, and the U-Net of CLIP-Driven Universal
//! Model, whose encoder and decoder become those of such a network.
//!
//! A convolution's bias in front of a batch norm is left out: a norm with the statistics of the
//! batch at hand subtracts it again. Running statistics are left out for the same reason: the
//! released model never reads them.

#[cfg(test)]
mod tests;

use super::cmc::{CmcSpec, Sharing, Variant};
use super::network::NetworkSpec;
use super::params::Params;
use candle_core::{DType, Device, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Keys under which a file may nest its weights, in the order they are tried.
const NESTED: [&str; 5] = ["state_dict", "net", "model", "model_state_dict", "network"];

/// Levels of the released models.
const DEPTH: usize = 4;

/// Why weights could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file could not be read as a PyTorch pickle.
    #[error(
        "`{path}` could not be read as a PyTorch file ({problem}); expected what `torch.save(model.state_dict(), ...)` writes"
    )]
    Read {
        /// The file.
        path: String,
        /// The reader's reason.
        problem: String,
    },
    /// No tensor has a name that is known.
    #[error(
        "none of {count} tensors belongs to a known model (the first: {first}); \
         expected the released CMC model (`image_encoder.down_tr64...`) or CLIP-Driven Universal Model's U-Net (`backbone.down_tr64...`)"
    )]
    Unknown {
        /// Tensors found.
        count: usize,
        /// Some of their names.
        first: String,
    },
    /// Tensors do not fit together.
    #[error("weights do not make a network: {}", problems.join("; "))]
    Mismatch {
        /// Every problem.
        problems: Vec<String>,
    },
    /// A tensor could not be turned.
    #[error("could not convert `{name}`: {source}")]
    Tensor {
        /// Its name in the source.
        name: String,
        /// Candle's reason.
        source: candle_core::Error,
    },
}

/// Converted weights.
#[derive(Debug)]
pub struct Converted {
    /// Names and values as [`Params`] holds them, in its order.
    pub tensors: Vec<(String, Tensor)>,
    /// The network they belong to, for two modalities.
    pub network: CmcSpec,
    /// Classes of the last layer; `None` where the source has none.
    pub classes: Option<usize>,
    /// Parameters of the network that the source does not have; empty for a whole model.
    pub missing: Vec<String>,
    /// Names that were left out because nothing depends on them.
    pub dropped: Vec<String>,
    /// Names that belong to no part of the network.
    pub ignored: Vec<String>,
}

/// What becomes of a tensor.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It gets this name.
    Named(String),
    /// Nothing depends on it.
    Dropped,
    /// It is no part of the network.
    Ignored,
}

/// The level that a block's name refers to.
fn level(block: &str) -> Option<usize> {
    match block
        .strip_prefix("down_tr")
        .or(block.strip_prefix("up_tr"))?
    {
        "64" => Some(0),
        "128" => Some(1),
        "256" => Some(2),
        "512" => Some(3),
        _ => None,
    }
}

/// A convolution with its norm, `conv1` or `bn1`, as number `index` (from 1) of `scope`.
fn layer(scope: &str, index: usize, part: &str, what: &str) -> Fate {
    match (part, what) {
        ("conv1", "weight") => Fate::Named(format!("{scope}.conv{index}.weight")),
        ("conv1", "bias") => Fate::Dropped,
        ("bn1", "weight" | "bias") => Fate::Named(format!("{scope}.norm{index}.{what}")),
        ("bn1", "running_mean" | "running_var" | "num_batches_tracked") => Fate::Dropped,
        _ => Fate::Ignored,
    }
}

/// Our name of a source's tensor.
fn fate(name: &str) -> Fate {
    let parts: Vec<&str> = name
        .split('.')
        .skip_while(|part| {
            ["module", "backbone", "model", "image_encoder", "decoder"].contains(part)
        })
        .collect();
    let one = "decoder.shared";
    match *parts.as_slice() {
        [block, "ops", index @ ("0" | "1"), part, what] => {
            let Some(level) = level(block) else {
                return Fate::Ignored;
            };
            let half = if block.starts_with("down") {
                "encoder"
            } else {
                "decoder"
            };
            let index = if index == "0" { 1 } else { 2 };
            layer(&format!("{half}.shared.level{level}"), index, part, what)
        }
        [block, "up_conv", what @ ("weight" | "bias")] => match level(block) {
            Some(level) => Fate::Named(format!("{one}.level{level}.up.{what}")),
            None => Fate::Ignored,
        },
        ["out_tr", "conv", "conv", what @ ("weight" | "bias")] => {
            Fate::Named(format!("{one}.head.{what}"))
        }
        ["MIA_module", "gamma"] => Fate::Named("mia.shared.gamma".to_owned()),
        ["fusion_layer", "layer1", part, what] => layer("fusion", 1, part, what),
        ["fusion_layer", "layer2", part, what] => layer("fusion", 2, part, what),
        ["conv3d_convert", "0", what @ ("weight" | "bias")] => {
            Fate::Named(format!("{one}.convert.norm.{what}"))
        }
        ["conv3d_convert", "2", what @ ("weight" | "bias")] => {
            Fate::Named(format!("{one}.convert.conv.{what}"))
        }
        _ => Fate::Ignored,
    }
}

/// Channels last: `[co, ci, kd, kh, kw]` to `[co, kd, kh, kw, ci]`; a transposed convolution has its
/// inputs first.
fn turned(name: &str, tensor: &Tensor) -> candle_core::Result<Tensor> {
    let tensor = tensor.to_dtype(DType::F32)?;
    match tensor.rank() {
        5 if name.ends_with(".up.weight") => tensor.permute((1, 2, 3, 4, 0))?.contiguous(),
        5 => tensor.permute((0, 2, 3, 4, 1))?.contiguous(),
        _ => tensor.contiguous(),
    }
}

/// Reads the tensors of a `.pth` file; `key` names the entry that holds them, else the usual ones
/// are tried.
///
/// **Errors** where the file is no PyTorch file or holds no tensors.
pub fn read_pth(path: &Path, key: Option<&str>) -> Result<Vec<(String, Tensor)>, ConvertError> {
    let failed = |problem: String| ConvertError::Read {
        path: path.display().to_string(),
        problem,
    };
    let keys: Vec<Option<&str>> = match key {
        Some(key) => vec![Some(key)],
        None => std::iter::once(None).chain(NESTED.map(Some)).collect(),
    };
    let mut reason = "it holds no tensors".to_owned();
    for key in keys {
        // The reader panics at some damaged files.
        let read = AssertUnwindSafe(|| candle_core::pickle::read_all_with_key(path, key));
        let Ok(read) = catch_unwind(read) else {
            return Err(failed("it is damaged".to_owned()));
        };
        match read {
            Ok(mut tensors) if !tensors.is_empty() => {
                // They come out of a hash map.
                tensors.sort_by(|a, b| a.0.cmp(&b.0));
                return Ok(tensors);
            }
            Ok(_) => {}
            Err(error) if key.is_none() => return Err(failed(first_line(&error))),
            Err(error) => reason = format!("{reason}; {}", first_line(&error)),
        }
    }
    Err(failed(reason))
}

fn first_line(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Gives tensors our names and layout and checks them against the network they make.
///
/// **Errors** where no name is known, two tensors claim one parameter, or shapes do not make a
/// network of one width; the message names every such tensor.
pub fn convert(source: &[(String, Tensor)]) -> Result<Converted, ConvertError> {
    let (mut found, mut dropped, mut ignored) = (vec![], vec![], vec![]);
    let mut problems: Vec<String> = vec![];
    for (name, tensor) in source {
        match fate(name) {
            Fate::Named(ours) => {
                if found.iter().any(|(known, _)| *known == ours) {
                    problems.push(format!("`{name}` and another tensor both become `{ours}`"));
                }
                let turned = turned(&ours, tensor).map_err(|source| ConvertError::Tensor {
                    name: name.clone(),
                    source,
                })?;
                found.push((ours, turned));
            }
            Fate::Dropped => dropped.push(name.clone()),
            Fate::Ignored => ignored.push(name.clone()),
        }
    }
    let dimension = |name: &str| {
        let tensor = found.iter().find(|(known, _)| known == name);
        tensor.and_then(|(_, t)| t.dims().first().copied())
    };
    let first = "encoder.shared.level0.conv1.weight";
    let Some(width) = dimension(first).filter(|_| !found.is_empty()) else {
        let names = source.iter().take(3).map(|(name, _)| format!("`{name}`"));
        return Err(ConvertError::Unknown {
            count: source.len(),
            first: names.collect::<Vec<_>>().join(", "),
        });
    };
    let classes = dimension("decoder.shared.head.weight");
    let network = CmcSpec {
        width,
        depth: DEPTH,
        encoders: Sharing::Shared,
        decoders: Sharing::Shared,
        variant: Variant::Released,
        ..CmcSpec::default()
    };
    let mut params = Params::new(0, &Device::Cpu);
    NetworkSpec::Cmc(network.clone())
        .build(2, classes.unwrap_or(2), &mut params)
        .map_err(|error| ConvertError::Mismatch {
            problems: vec![first_line(&error)],
        })?;
    let (mut tensors, mut missing) = (vec![], vec![]);
    for (name, var) in params.named() {
        match found.iter().find(|(known, _)| known == name) {
            None => missing.push(name.clone()),
            Some((_, tensor)) if tensor.dims() != var.dims() => problems.push(format!(
                "`{name}` is {:?}, expected {:?} at width {width}",
                tensor.dims(),
                var.dims()
            )),
            Some((_, tensor)) => tensors.push((name.clone(), tensor.clone())),
        }
    }
    // A whole model has a gate; one that lacks only some of its parts is broken.
    let whole = found.iter().any(|(name, _)| name.starts_with("fusion."));
    if whole {
        problems.extend(missing.iter().map(|name| format!("`{name}` is missing")));
    }
    if !problems.is_empty() {
        return Err(ConvertError::Mismatch { problems });
    }
    Ok(Converted {
        tensors,
        network,
        classes,
        missing,
        dropped,
        ignored,
    })
}
