//! Gives classes other numbers.

use super::{NOT_ANNOTATED, Table, map_labels};
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Gives classes other numbers, all at once: `{ 1: 2, 2: 1 }` swaps two.
///
/// Maps stay u8 or u16 as they arrive; a u8 map becomes u16 where a new number is above 255.
/// Number 255, unannotated voxels, stays whatever `others` says, unless `map` names it.
/// In `stages` the truth that predictions are scored against is changed alike.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remap {
    /// New class number of each old one, 0 to 65535.
    #[serde(deserialize_with = "numbered")]
    pub map: BTreeMap<u16, u16>,
    /// What becomes of classes that `map` does not name.
    #[serde(default)]
    pub others: Others,
    #[serde(skip)]
    #[schemars(skip)]
    table: Once,
}

/// What becomes of classes that are not named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// They keep their numbers.
    #[default]
    Keep,
    /// They become 0, the background.
    Zero,
    /// The subject fails, and the failure names the class; 0 needs no entry.
    Fail,
}

/// A table made when it is first needed; not part of the parameters.
#[derive(Default)]
struct Once(OnceLock<Table>);

impl Clone for Once {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// Keys of a map are numbers in YAML and text in JSON.
fn numbered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, u16>, D::Error> {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Key(u16);

    struct Reader;

    impl serde::de::Visitor<'_> for Reader {
        type Value = Key;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a class number from 0 to 65535")
        }
        fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Key, E> {
            let unexpected = serde::de::Unexpected::Unsigned(v);
            u16::try_from(v)
                .map(Key)
                .map_err(|_| E::invalid_value(unexpected, &self))
        }
        fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Key, E> {
            let unexpected = serde::de::Unexpected::Signed(v);
            u16::try_from(v)
                .map(Key)
                .map_err(|_| E::invalid_value(unexpected, &self))
        }
        fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Key, E> {
            v.parse()
                .map(Key)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(v), &self))
        }
    }

    impl<'de> Deserialize<'de> for Key {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Reader)
        }
    }

    let map = BTreeMap::<Key, u16>::deserialize(deserializer)?;
    Ok(map.into_iter().map(|(Key(old), new)| (old, new)).collect())
}

impl Remap {
    /// The step with a map and a rule for the rest.
    pub fn new(map: BTreeMap<u16, u16>, others: Others) -> Self {
        Self {
            map,
            others,
            table: Once::default(),
        }
    }

    fn table(&self) -> &Table {
        self.table.0.get_or_init(|| {
            Table::new(|old| {
                let kept = old == 0 || old == NOT_ANNOTATED;
                self.map.get(&old).copied().or(match self.others {
                    Others::Keep => Some(old),
                    _ if kept => Some(old),
                    Others::Zero => Some(0),
                    Others::Fail => None,
                })
            })
        })
    }
}

impl Stage for Remap {
    const NAME: &'static str = "remap";
    const EXAMPLE: &'static str = "{ map: { 1: 2, 2: 1, 14: 0, 15: 0 }, others: fail }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if self.map.is_empty() && self.others != Others::Zero {
            return Err(
                "`map` is empty; write the new number of at least one class: `{ 14: 0 }`".into(),
            );
        }
        self.table().check(input)
    }

    fn relabels(&self) -> bool {
        true
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        map_labels(row, |labels| self.table().apply(&labels))
    }
}
