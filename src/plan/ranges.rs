//! What subjects have on every edge, where they do not all have the same.

use super::compile::{Plan, chain};
use super::pipeline::Chain;
use crate::stage::EdgeSchema;
use std::collections::BTreeMap;

/// The schemas of single subjects on every edge of a plan.
#[derive(Debug, Default)]
pub struct Subjects {
    source: Edge,
    /// By path of chain: one edge behind each step.
    chains: BTreeMap<String, Vec<Edge>>,
}

/// One edge: the schema of each subject.
#[derive(Debug, Default, Clone)]
pub struct Edge(Vec<EdgeSchema>);

impl Subjects {
    /// Carries each subject's schema through every chain; `subjects` are what their headers say.
    ///
    /// A subject that a step refuses is left out: it fails when its turn comes.
    pub fn new(plan: &Plan, subjects: Vec<EdgeSchema>) -> Self {
        let pipeline = &plan.pipeline;
        let through = |which: Chain, input: &EdgeSchema| {
            let mut errors = Vec::new();
            let edges = chain(pipeline.steps(which), input, &mut errors);
            errors.is_empty().then_some(edges)
        };
        let mut all = Self::default();
        'subject: for source in subjects {
            let mut made = Vec::new();
            let (mut prepared, mut patch) = (source.clone(), source.clone());
            for which in pipeline.chains() {
                let input = match which {
                    Chain::Stages => &source,
                    Chain::Shared => &prepared,
                    Chain::Weak | Chain::Strong(_) => &patch,
                };
                let Some(edges) = through(which, input) else {
                    continue 'subject;
                };
                let last = edges.last().unwrap_or(input).clone();
                match which {
                    Chain::Stages => (prepared, patch) = (last.clone(), last),
                    Chain::Shared => patch = last,
                    Chain::Weak | Chain::Strong(_) => {}
                }
                made.push((pipeline.path(which), edges));
            }
            for (path, edges) in made {
                let kept = all.chains.entry(path.to_owned()).or_default();
                kept.resize(edges.len(), Edge::default());
                for (kept, edge) in kept.iter_mut().zip(edges) {
                    kept.0.push(edge);
                }
            }
            all.source.0.push(source);
        }
        all
    }

    /// Behind the source.
    pub fn source(&self) -> &Edge {
        &self.source
    }

    /// Behind each step of the chain at `path`; none where no subject is known.
    pub fn behind(&self, path: &str) -> &[Edge] {
        self.chains.get(path).map_or(&[], Vec::as_slice)
    }
}

impl Edge {
    /// Fewest and most voxels of a column along x, y, z; `None` where a subject's are not known.
    pub fn shapes(&self, column: &str) -> Option<[[usize; 3]; 2]> {
        let mut range = None;
        for schema in &self.0 {
            // A modality that a subject lacks takes no room.
            let Some(found) = schema.channels.iter().find(|c| c.column() == column) else {
                continue;
            };
            let shape = found.shape_xyz?;
            let [low, high] = range.get_or_insert([shape; 2]);
            for axis in 0..3 {
                low[axis] = low[axis].min(shape[axis]);
                high[axis] = high[axis].max(shape[axis]);
            }
        }
        range
    }

    /// Fewest and most bytes of a row; `None` where a subject's are not known.
    pub fn bytes(&self) -> Option<[usize; 2]> {
        range(self.0.iter().map(EdgeSchema::bytes))
    }

    /// Fewest and most bytes of a row here and of the same subject's on another edge together.
    pub fn bytes_with(&self, other: &Self) -> Option<[usize; 2]> {
        let pairs = self.0.iter().zip(&other.0);
        range(pairs.map(|(a, b)| Some(a.bytes()? + b.bytes()?)))
    }
}

fn range(values: impl Iterator<Item = Option<usize>>) -> Option<[usize; 2]> {
    let values: Vec<usize> = values.collect::<Option<_>>()?;
    Some([*values.iter().min()?, *values.iter().max()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::compile;
    use crate::plan::explain::{Form, explain};
    use crate::registry::STAGES;
    use crate::spec::SourceFile;
    use crate::stage::ChannelSchema;
    use crate::volume::{Dtype, Role};

    const FILE: &str = "\
name: ranges
source: { phantom: { subjects: 2, modalities: [ct] } }
stages:
  - orient: { to: RAS }
  - resample: { spacing_mm: [2.0, 2.0, 2.0] }
sinks: { prepared: {} }
";

    fn subject(shape_xyz: Option<[usize; 3]>) -> EdgeSchema {
        let channel = |role, name: &str, dtype| ChannelSchema {
            name: name.to_owned(),
            role,
            dtype: Some(dtype),
            shape_xyz,
            spacing_mm: Some([1.0; 3]),
            orientation: Some("RAS".to_owned()),
        };
        EdgeSchema {
            channels: vec![
                channel(Role::Image, "ct", Dtype::I16),
                channel(Role::Label, "", Dtype::U8),
            ],
            rows_per_subject: Some(1),
        }
    }

    fn plan() -> Plan {
        let file = SourceFile {
            name: "ranges.yaml".to_owned(),
            text: FILE.to_owned(),
        };
        compile(&file, STAGES, None).unwrap()
    }

    #[test]
    fn every_edge_tells_the_smallest_and_the_largest_subject() {
        let plan = plan();
        let both = [[10, 20, 30], [12, 16, 40]].map(|shape| subject(Some(shape)));
        let subjects = Subjects::new(&plan, both.to_vec());
        assert_eq!(
            subjects.source().shapes("image.ct"),
            Some([[10, 16, 30], [12, 20, 40]])
        );
        // Three bytes a voxel: 6000 and 7680 of them.
        assert_eq!(subjects.source().bytes(), Some([18_000, 23_040]));
        let behind = subjects.behind("stages");
        assert_eq!(behind.len(), 2);
        assert_eq!(behind[1].shapes("label"), Some([[6, 8, 16], [6, 10, 20]]));
        let text = explain(&plan, Form::Text, &subjects);
        assert!(text.contains("6x8..10x16..20"), "{text}");
    }

    #[test]
    fn what_one_subject_does_not_tell_is_not_told_of_all() {
        let plan = plan();
        let subjects = Subjects::new(&plan, vec![subject(Some([4; 3])), subject(None)]);
        assert_eq!(subjects.source().shapes("image.ct"), None);
        assert_eq!(subjects.source().bytes(), None);
    }
}
