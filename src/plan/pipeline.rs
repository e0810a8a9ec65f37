//! A pipeline as its author wrote it: sections as plain data, steps with their place in the file.

use super::expectations::TestCase;
use super::reader::Reader;
use super::sections::{
    PredictSection, PseudoLabelSection, ScoreSection, SinksSection, TrainSection,
};
use super::step::Step;
use super::views::Views;
use crate::source::SourceSpec;
use crate::spec::{At, Node, SpecError};
use crate::store::is_url;
use crate::volume::Split;
use std::collections::BTreeSet;
use std::path::Path;

/// The chains of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// `stages`.
    Stages,
    /// `views.shared`.
    Shared,
    /// `views.weak`.
    Weak,
    /// `views.strong`, or the strong view at this position of those that are named there.
    Strong(usize),
}

/// Everything one file says.
pub struct Pipeline {
    /// Name of the pipeline and of its run folders.
    pub name: String,
    /// Seed of every draw.
    pub seed: u64,
    /// Budget in bytes for volumes in flight and cached; `None`: half of the machine's memory.
    pub memory: Option<u64>,
    /// How many subjects may fail before the run stops; `None`: any number.
    pub max_failures: Option<u64>,
    /// How often a subject is read again if the system failed for a reason that may pass; `None`: three times.
    pub retries: Option<u32>,
    /// Where subjects are read from.
    pub source: SourceSpec,
    /// Place of the source in the file.
    pub source_at: At,
    /// Preparation shared by training, validation and test.
    pub stages: Vec<Step>,
    /// Views made in training.
    pub views: Views,
    /// How pseudo-labels are drawn.
    pub pseudo_label: Option<(PseudoLabelSection, At)>,
    /// What is trained.
    pub train: Option<(TrainSection, At)>,
    /// What predicts.
    pub predict: Option<(PredictSection, At)>,
    /// What is scored.
    pub score: Option<(ScoreSection, At)>,
    /// What is kept.
    pub sinks: SinksSection,
    /// What the pipeline promises of its own steps.
    pub tests: Vec<TestCase>,
}

impl Pipeline {
    /// Returns `true` if views are made of the training subjects: for `train`, or where there are steps of
    /// views and no `train`, for a trainer outside this program ([`Samples`](crate::run::samples::Samples)).
    pub fn makes_views(&self) -> bool {
        self.train.is_some() || self.views.steps().next().is_some()
    }

    /// Every chain, in the order of the data.
    pub fn chains(&self) -> Vec<Chain> {
        let strong = (0..self.views.strong.len()).map(Chain::Strong);
        [Chain::Stages, Chain::Shared, Chain::Weak]
            .into_iter()
            .chain(strong)
            .collect()
    }

    /// Path of a chain in the file.
    pub fn path(&self, chain: Chain) -> &str {
        match chain {
            Chain::Stages => "stages",
            Chain::Shared => "views.shared",
            Chain::Weak => "views.weak",
            Chain::Strong(i) => &self.views.strong[i].path,
        }
    }

    /// The steps of a chain.
    pub fn steps(&self, chain: Chain) -> &[Step] {
        match chain {
            Chain::Stages => &self.stages,
            Chain::Shared => &self.views.shared,
            Chain::Weak => &self.views.weak,
            Chain::Strong(i) => &self.views.strong[i].steps,
        }
    }
}

/// Every top-level key, in the order of the documentation.
pub const SECTIONS: [&str; 14] = [
    "name",
    "seed",
    "memory",
    "max_failures",
    "retries",
    "source",
    "stages",
    "views",
    "pseudo_label",
    "train",
    "predict",
    "score",
    "sinks",
    "tests",
];

impl Reader<'_> {
    fn memory(&mut self, root: Node<'_>) -> Option<u64> {
        let (text, at) = self.section::<String>(root, "memory")?;
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) => Some(size.as_u64()),
            Err(_) => {
                self.errors.push(
                    SpecError::new(at, format!("`{text}` is no size"))
                        .with_help("write a number with a unit: `8GiB`"),
                );
                None
            }
        }
    }

    fn sinks(&mut self, root: Node<'_>) -> SinksSection {
        let Some((sinks, at)) = self.section::<SinksSection>(root, "sinks") else {
            return SinksSection::default();
        };
        if let Some(mlflow) = &sinks.mlflow
            && is_url(Path::new(&mlflow.path))
        {
            let path = root
                .given("sinks")
                .and_then(|s| s.get("mlflow")?.get("path"));
            let problem = format!("`{}` is in a store", mlflow.path);
            self.errors.push(
                SpecError::new(path.map_or(at, Node::at), problem)
                    .with_help("MLflow's file store is a local folder, such as `mlruns`"),
            );
        }
        if let Err(problem) = sinks.check() {
            let size = root.given("sinks").and_then(|sinks| sinks.get("part_size"));
            let at = size.map_or(at, Node::at);
            self.errors.push(SpecError::new(at, problem));
        }
        sinks
    }

    /// What is scored: in a cross-validation also those who validate, unless the file names the splits.
    fn score(&mut self, root: Node<'_>, in_folds: bool) -> Option<(ScoreSection, At)> {
        let node = root.given("score");
        let is_named = node.is_some_and(|score| score.get("splits").is_some());
        if !in_folds || is_named {
            return self.section(root, "score");
        }
        let (mut section, at) = match node {
            Some(_) => self.section::<ScoreSection>(root, "score")?,
            None => (ScoreSection::default(), root.at()),
        };
        section.splits = Some(vec![Split::Validation, Split::Test]);
        Some((section, at))
    }

    /// Refuses class names that are empty or equal: scores are listed by them.
    fn classes(&mut self, train: Option<Node<'_>>) {
        let names = train.and_then(|train| train.get("classes"));
        let mut seen = BTreeSet::new();
        for item in names.into_iter().flat_map(Node::items) {
            let problem = match item.text() {
                Some(name) if name.trim().is_empty() => "a class without a name".to_owned(),
                Some(name) if !seen.insert(name) => format!("class `{name}` is named twice"),
                _ => continue,
            };
            self.errors.push(
                SpecError::new(item.at(), problem)
                    .with_help("scores are listed by class; name each class differently"),
            );
        }
    }

    /// Places what is wrong with entries of `source.labels.map`.
    fn label_map(&mut self, source: Option<Node<'_>>, problems: Vec<(i64, String)>) {
        let labels = source.and_then(|source| source.get("labels"));
        let map = labels.and_then(|labels| labels.get("map"));
        for (key, problem) in problems {
            let mut entries = map.into_iter().flat_map(Node::entries);
            let entry = entries.find(|(k, _)| k.integer() == Some(key));
            let node = entry.map(|(_, value)| value).or(map);
            self.errors
                .push(SpecError::new(node.map(Node::at), problem));
        }
    }

    /// Reads every section; `None` when one that is needed has mistakes.
    pub(super) fn pipeline(&mut self, root: Node<'_>) -> Option<Pipeline> {
        if !root.is_map() {
            self.errors.push(SpecError::new(
                root.at(),
                "the file holds no map; expected `name:`, `source:`, …",
            ));
            return None;
        }
        for (key, _) in root.entries() {
            match key.text() {
                Some(name) if SECTIONS.contains(&name) => {}
                other => self.errors.push(SpecError::unknown(
                    key.at(),
                    "section",
                    other.unwrap_or_default(),
                    &SECTIONS,
                )),
            }
        }
        for needed in ["name", "source"] {
            if root.given(needed).is_none() {
                self.errors.push(
                    SpecError::new(None, format!("section `{needed}` is missing"))
                        .with_help(format!("add `{needed}: …`")),
                );
            }
        }
        let name = self.section::<String>(root, "name");
        if let Some((name, at)) = &name
            && (name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.'))
        {
            self.errors.push(
                SpecError::new(*at, format!("`{name}` cannot name a folder"))
                    .with_help("use letters, digits, `-` and `_`"),
            );
        }
        let seed = self.section(root, "seed").map_or(0, |(seed, _)| seed);
        let memory = self.memory(root);
        let max_failures = self.section(root, "max_failures").map(|(n, _)| n);
        let retries = self.section(root, "retries").map(|(n, _)| n);
        let source = self.section::<SourceSpec>(root, "source");
        if let Some((source, at)) = &source {
            for problem in source.option_problems() {
                let option = root.given("source").and_then(|s| s.named(&problem));
                let at = option.map_or(*at, Node::at);
                self.errors.push(SpecError::new(at, problem));
            }
            let split = source.split().and_then(|(place, _)| {
                let mut keys = place.split('.');
                keys.try_fold(root, |node, key| node.get(key))
            });
            let at = split.map_or(*at, Node::at);
            let problems = source.split_problems().into_iter();
            self.errors.extend(problems.map(|p| SpecError::new(at, p)));
            self.label_map(root.given("source"), source.labels.map_problems());
        }
        let stages = self.steps(root.given("stages"), "stages");
        let views = self.views(root);
        let pseudo_label = self.section(root, "pseudo_label");
        let train = self.section::<TrainSection>(root, "train");
        self.classes(root.given("train"));
        // A step may still turn what was read into a class.
        let relabels = stages.iter().any(|step| step.stage.relabels());
        if let (Some((source, _)), Some((train, _)), false) = (&source, &train, relabels) {
            let problems = source.labels.undeclared(&train.classes);
            self.label_map(root.given("source"), problems);
        }
        let predict = self.section(root, "predict");
        let folds = source.as_ref().and_then(|(source, _)| source.folds());
        let score = self.score(root, folds.is_some());
        let sinks = self.sinks(root);
        let tests = self.tests(root);
        let ((name, _), (source, source_at)) = (name?, source?);
        Some(Pipeline {
            name,
            seed,
            memory,
            max_failures,
            retries,
            source,
            source_at,
            stages,
            views,
            pseudo_label,
            train,
            predict,
            score,
            sinks,
            tests,
        })
    }
}
