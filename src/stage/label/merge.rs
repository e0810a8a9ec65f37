//! Makes one class of several.

use super::{Table, map_labels};
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes one class of several: left and right kidney become kidney. Other classes stay.
///
/// All groups are formed at once, from the numbers that arrive. Maps stay u8 or u16 as they
/// arrive; a u8 map becomes u16 where a new number is above 255. In `stages` the truth that
/// predictions are scored against is changed alike.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Groups of classes, each with the number it gets.
    pub groups: Vec<Group>,
}

/// Classes that become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Class numbers that arrive, 0 to 65535.
    pub classes: Vec<u16>,
    /// Class number that leaves.
    pub into: u16,
}

impl Merge {
    fn class_of(&self, class: u16) -> Option<u16> {
        let group = self.groups.iter().find(|g| g.classes.contains(&class));
        group.map(|g| g.into)
    }

    fn table(&self) -> Table {
        Table::new(|class| Some(self.class_of(class).unwrap_or(class)))
    }
}

impl Stage for Merge {
    const NAME: &'static str = "merge";
    const EXAMPLE: &'static str = "{ groups: [{ classes: [1, 2], into: 1 }] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if self.groups.is_empty() || self.groups.iter().any(|g| g.classes.is_empty()) {
            return Err(
                "`groups` or its `classes` are empty; write `groups: [{ classes: [3, 4], into: 3 }]`"
                    .into(),
            );
        }
        let mut seen: Vec<u16> = Vec::new();
        for class in self.groups.iter().flat_map(|g| &g.classes) {
            if seen.contains(class) {
                return Err(format!(
                    "class {class} is in `groups` twice; name it in one group only"
                ));
            }
            seen.push(*class);
        }
        self.table().check(input)
    }

    fn relabels(&self) -> bool {
        true
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let table = self.table();
        map_labels(row, |labels| table.apply(&labels))
    }
}
