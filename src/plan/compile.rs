//! Checks a pipeline as a whole: every chain against the schema that reaches it, and the sections
//! against each other.

use super::checks::sections;
use super::edges::Edges;
use super::entry::StageEntry;
use super::expectations;
use super::pipeline::{Chain, Pipeline};
use super::reader::Reader;
use super::region_checks;
use super::rules::{Optimized, Pass};
use super::scored_regions;
use super::step::Step;
use crate::metric::ClassUnion;
use crate::spec::diagnostic::diagnostics;
use crate::spec::node::Document;
use crate::spec::{Diagnostic, Node, SourceFile, SpecError};
use crate::stage::cache::Cache;
use crate::stage::flow::balance::Balance;
use crate::stage::quality::Quality;
use crate::stage::shuffle::Shuffle;
use crate::stage::{ChannelSchema, EdgeSchema, Order as _, Stage as _};
use crate::volume::{LabelRegion, Role};

/// A checked pipeline.
pub struct Plan {
    /// What was written.
    pub pipeline: Pipeline,
    /// How it is carried out.
    pub optimized: Optimized,
    /// A schema for every edge.
    pub edges: Edges,
    /// The file, as it was read (overrides included).
    pub file: SourceFile,
}

impl Plan {
    /// The plan carried out step by step, as it was written: slow, to compare with.
    #[must_use]
    pub fn unoptimized(self) -> Self {
        Self {
            optimized: Optimized::none(&self.pipeline),
            ..self
        }
    }

    /// The passes of a chain.
    pub fn passes(&self, chain: Chain) -> &[Pass] {
        match chain {
            Chain::Stages => &self.optimized.stages,
            Chain::Shared => &self.optimized.shared,
            Chain::Weak => &self.optimized.weak,
            Chain::Strong(i) => &self.optimized.strong[i],
        }
    }

    /// The schemas behind the steps of a chain.
    pub fn edges(&self, chain: Chain) -> &[EdgeSchema] {
        self.edges.of(chain)
    }

    /// The regions of `score.regions` by the numbers of a network's classes, without those it was trained on.
    ///
    /// **Errors** every name that does not fit the network, at its place in the file.
    pub fn scored_regions(
        &self,
        classes: &[String],
        trained: &[LabelRegion],
    ) -> Result<Vec<ClassUnion>, Vec<Diagnostic>> {
        let score = self.pipeline.score.as_ref();
        let section = score.and_then(|(score, _)| score.regions.as_ref());
        scored_regions::scored(&self.file, section, classes, trained)
    }

    /// The preparation as JSON.
    pub fn stages_json(&self) -> serde_json::Value {
        let steps = self.pipeline.stages.iter();
        steps
            .map(|s| serde_json::json!({ s.stage.name(): s.stage.to_json() }))
            .collect()
    }
}

/// Returns `true` if two preparations give the same voxels, as [`Plan::stages_json`] lists them: prediction must
/// prepare as training did.
pub fn prepare_alike(stages: &serde_json::Value, others: &serde_json::Value) -> bool {
    let changing = |stages: &serde_json::Value| -> Vec<serde_json::Value> {
        let all = stages.as_array().cloned().unwrap_or_default();
        all.into_iter()
            .filter(|step| {
                let mut names = step.as_object().into_iter().flat_map(|step| step.keys());
                !names.all(|name| name == Quality::NAME || orders_or_keeps(name))
            })
            .collect()
    };
    changing(stages) == changing(others)
}

/// Returns `true` if a step only decides in which order subjects are read, or where they are kept.
pub fn orders_or_keeps(name: &str) -> bool {
    [Shuffle::NAME, Balance::NAME, Cache::NAME].contains(&name)
}

/// Reads and checks a pipeline; `source` is what headers say of the cohort, where it was opened.
///
/// **Errors** every mistake in the file, in the order of their places.
pub fn compile(
    file: &SourceFile,
    registry: &[StageEntry],
    source: Option<EdgeSchema>,
) -> Result<Plan, Vec<Diagnostic>> {
    let document = Document::parse(&file.text).map_err(|e| diagnostics(file, vec![e]))?;
    let mut reader = Reader {
        registry,
        errors: Vec::new(),
    };
    let pipeline = reader.pipeline(document.root());
    let mut errors = reader.errors;
    let Some(pipeline) = pipeline else {
        return Err(diagnostics(file, errors));
    };

    // Of a source without modalities every step behind it would complain.
    if pipeline.source.modalities().is_empty() && !pipeline.source.option_problems().is_empty() {
        return Err(diagnostics(file, errors));
    }
    let (root, source) = (
        document.root(),
        source.unwrap_or_else(|| declared(&pipeline)),
    );
    let edges = Edges {
        stages: chain(&pipeline.stages, &source, &mut errors),
        source,
        shared: Vec::new(),
        weak: Vec::new(),
        strong: Vec::new(),
    };
    let shared = chain(&pipeline.views.shared, edges.prepared(), &mut errors);
    let edges = Edges { shared, ..edges };
    let weak = chain(&pipeline.views.weak, edges.patch(), &mut errors);
    let strong = pipeline.views.strong.iter();
    let strong = strong
        .map(|view| chain(&view.steps, edges.patch(), &mut errors))
        .collect();
    let edges = Edges {
        weak,
        strong,
        ..edges
    };
    at_parameters(root, &mut errors);
    sections(&pipeline, &edges, root, &mut errors);
    if let Some((train, _)) = &pipeline.train {
        let pseudo_label = pipeline.pseudo_label.as_ref();
        region_checks::check(train, pseudo_label, root, &mut errors);
    }
    if let Some(regions) = pipeline
        .score
        .as_ref()
        .and_then(|(s, _)| s.regions.as_ref())
    {
        let train = pipeline.train.as_ref();
        let train = train.map(|(train, _)| (&train.classes[..], train.regions.as_ref()));
        scored_regions::check(regions, train, root, &mut errors);
    }
    expectations::check(&pipeline, &edges, root, &mut errors);
    if errors.is_empty() {
        Ok(Plan {
            optimized: Optimized::new(&pipeline),
            pipeline,
            edges,
            file: file.clone(),
        })
    } else {
        Err(diagnostics(file, errors))
    }
}

/// What the source's section alone says: the columns' names.
fn declared(pipeline: &Pipeline) -> EdgeSchema {
    let channel = |role| {
        move |name: String| ChannelSchema {
            name,
            role,
            dtype: None,
            shape_xyz: None,
            spacing_mm: None,
            orientation: None,
        }
    };
    let images = pipeline
        .source
        .modalities()
        .into_iter()
        .map(channel(Role::Image));
    let labels = pipeline
        .source
        .label_names()
        .into_iter()
        .map(channel(Role::Label));
    EdgeSchema {
        channels: images.chain(labels).collect(),
        rows_per_subject: Some(1),
    }
}

/// Places what is wrong with a step at the parameter that it names, as in "`window`: `range` is [1, 1]".
fn at_parameters(root: Node<'_>, errors: &mut [SpecError]) {
    for error in errors {
        let step = error.at.and_then(|at| root.behind_key(at));
        let problem = error.message.split_once("`: ").map(|(_, problem)| problem);
        if let (Some(step), Some(problem)) = (step, problem)
            && let Some(parameter) = step.named(problem)
        {
            error.at = Some(parameter.at());
        }
    }
}

/// Checks a chain; after a mistake the steps behind it see what reached the faulty one.
pub(super) fn chain(
    steps: &[Step],
    input: &EdgeSchema,
    errors: &mut Vec<SpecError>,
) -> Vec<EdgeSchema> {
    let mut edges: Vec<EdgeSchema> = Vec::with_capacity(steps.len());
    for step in steps {
        let input = edges.last().unwrap_or(input);
        let output = step.stage.check(input).unwrap_or_else(|problem| {
            errors.push(SpecError::new(
                step.at,
                format!("`{}`: {problem}", step.stage.name()),
            ));
            input.clone()
        });
        edges.push(output);
    }
    edges
}
