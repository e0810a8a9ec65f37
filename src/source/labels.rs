//! Which classes the values of label files stand for.

use crate::volume::nifti::{IGNORED, LabelValues};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// How label maps are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LabelsSpec {
    /// Class number of stored values that are no class numbers of this pipeline, such as those of
    /// FreeSurfer: `{ 205: 1, 420: 2 }`. Values are looked up once, after the file's slope and before
    /// `ignore`. A value that is not named keeps its number; one that another value is turned into fails
    /// its subject unless it is named, too: `{ 3: 2, 2: 2 }` joins 2 and 3, `{ 3: 2 }` refuses a stored 2.
    pub map: LabelMap,
    /// Values of voxels that nobody annotated, a number or a list: no loss, no statistic and no score
    /// counts them. They are read as 255. Negative values are refused unless they are named here or in
    /// `map`.
    pub ignore: Ignored,
}

impl LabelsSpec {
    /// The rules that label files are read by.
    pub fn values(&self) -> LabelValues {
        LabelValues {
            map: self.map.0.clone(),
            ignore: self.ignore.values().to_vec(),
        }
    }

    /// Entries of `map` whose value is neither a class number nor ignored, with what is wrong.
    pub(crate) fn map_problems(&self) -> Vec<(i64, String)> {
        let ignored = |to: &i64| self.ignore.values().contains(to);
        let wrong = self.map.0.iter();
        let wrong = wrong.filter(|(_, to)| u16::try_from(**to).is_err() && !ignored(to));
        wrong
            .map(|(from, to)| {
                let problem = format!(
                    "`labels.map` turns {from} into {to}, which is no class number; write one from 0 to {}, or {IGNORED} for voxels that nobody annotated",
                    u16::MAX
                );
                (*from, problem)
            })
            .collect()
    }

    /// Entries of `map` whose value is none of so many classes, with what is wrong.
    pub(crate) fn undeclared(&self, classes: &[String]) -> Vec<(i64, String)> {
        let is_class = |to: &i64| usize::try_from(*to).is_ok_and(|to| to < classes.len());
        let ignored = |to: &i64| *to == i64::from(IGNORED) || self.ignore.values().contains(to);
        let known = self.map_problems();
        let wrong = (self.map.0.iter()).filter(|(from, to)| {
            !is_class(to) && !ignored(to) && known.iter().all(|(key, _)| key != *from)
        });
        wrong
            .map(|(from, to)| {
                let problem = format!(
                    "`labels.map` turns {from} into {to}, but `train.classes` has {} classes, 0 to {}; add a class, or write the number of one",
                    classes.len(),
                    classes.len().saturating_sub(1)
                );
                (*from, problem)
            })
            .collect()
    }
}

/// Values of voxels that nobody annotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a whole number or a list of them: `ignore: 255`"
)]
pub enum Ignored {
    /// One value.
    One(i64),
    /// Several.
    Many(Vec<i64>),
}

impl Default for Ignored {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Ignored {
    /// The values.
    pub fn values(&self) -> &[i64] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Class number of each stored value that is not its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LabelMap(pub BTreeMap<i64, i64>);

impl<'de> Deserialize<'de> for LabelMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = LabelMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from stored value to class number: `map: { 205: 1, 420: 2 }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelMap, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(Stored(from)) = map.next_key()? {
            let to: i64 = map.next_value()?;
            if let Some(first) = values.insert(from, to) {
                return Err(Error::custom(format!(
                    "the value {from} is mapped twice, to {first} and to {to}; keep one"
                )));
            }
        }
        Ok(LabelMap(values))
    }
}

/// A key: a number in YAML, text in JSON.
struct Stored(i64);

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Key)
    }
}

struct Key;

impl Visitor<'_> for Key {
    type Value = Stored;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, as the label files hold it")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Stored, E> {
        Ok(Stored(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Stored, E> {
        let wrong = |_| E::invalid_value(Unexpected::Unsigned(value), &self);
        i64::try_from(value).map(Stored).map_err(wrong)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Stored, E> {
        let wrong = |_| E::invalid_value(Unexpected::Str(value), &self);
        value.parse().map(Stored).map_err(wrong)
    }
}

impl JsonSchema for LabelMap {
    fn schema_name() -> Cow<'static, str> {
        "LabelMap".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Class number of each stored value that is not its own.",
            "type": "object",
            "propertyNames": { "pattern": "^-?[0-9]+$" },
            "additionalProperties": { "type": "integer" },
        })
    }
}
