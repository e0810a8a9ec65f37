//! Slices of subjects: image, truth and prediction, to leaf through.

use super::answers::{App, Problem, Reply, parameter};
use super::kept::Kept;
use crate::cli::open;
use crate::cli::view::predicted::{self, HeadCase};
use crate::run::chain::causes;
use crate::run::counters::Counters;
use crate::run::prepare::Preparer;
use crate::sink::file_stem;
use crate::view::overlay::{PREDICTION, TRUTH};
use crate::view::panel::{letters, slice as draw};
use crate::view::plane::{PLANES, Plane, Section, Values};
use crate::view::window::Window;
use crate::volume::Grid;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Pixels of the longer side.
const SIDE: f64 = 640.0;
/// Bytes that a subject may take.
const MEMORY: u64 = 4 << 30;

/// Subjects of a run that have a prediction.
pub(super) fn cases(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let run = app.run(asked)?;
    // A run that keeps no predictions has no subject to show.
    let Ok(kept) = predicted::kept(&run.path) else {
        return Ok(Reply::json(&json!([])));
    };
    let (_, cohort) = opened(&run.path)?;
    let ids = cohort.subjects().iter().map(|s| s.id.as_str());
    let ids: Vec<&str> = ids.filter(|id| kept.contains_key(&file_stem(id))).collect();
    Ok(Reply::json(&json!(ids)))
}

type Opened = (crate::plan::Plan, Box<dyn crate::source::Cohort>);

fn opened(run: &std::path::Path) -> Result<Opened, Problem> {
    let file = predicted::pipeline_of(run, &[]).map_err(|e| Problem::of(&e))?;
    open(&file).map_err(|e| Problem::of(&e))
}

/// Heads of a subject, with the number of slices and the one to begin with in every plane.
pub(super) fn case(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let heads = loaded(app, asked)?;
    let heads = heads.iter().map(|case| {
        let grid = case.prediction.grid();
        let focus = crate::view::focus::Focus::in_class(&case.prediction, None);
        let planes = PLANES.map(|section| {
            let axis = axis_of(grid, section);
            let slices = grid.shape_xyz()[axis];
            let start = focus.map_or(slices / 2, |f| f.voxel(grid)[axis]);
            json!({ "plane": section.name(), "slices": slices, "start": start })
        });
        json!({ "head": case.head, "planes": planes, "truth": case.truth.is_some() })
    });
    Ok(Reply::json(&heads.collect::<Vec<_>>().into()))
}

/// A slice as PNG.
pub(super) fn slice(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let heads = loaded(app, asked)?;
    let head = parameter(asked, "head")?;
    let case = heads.iter().find(|c| c.head == head);
    let case = case.ok_or_else(|| Problem::not_found(format!("there is no head `{head}`")))?;
    let name = parameter(asked, "plane")?;
    let section = PLANES.into_iter().find(|s| s.name() == name);
    let section = section.ok_or_else(|| {
        Problem::wrong(format!(
            "found plane `{name}`, expected axial, coronal or sagittal"
        ))
    })?;
    let grid = *case.prediction.grid();
    let axis = axis_of(&grid, section);
    let index = parameter(asked, "index")?;
    let index = index.parse().ok().filter(|i| *i < grid.shape_xyz()[axis]);
    let index = index.ok_or_else(|| Problem::wrong("there is no such slice"))?;
    let mut through = [0; 3];
    through[axis] = index;
    let plane = Plane::new(&grid, &grid.axes(), section, through);
    let image = case.image.as_ref().unwrap_or(&case.prediction);
    let image = Values::of(image);
    let (truth, prediction) = (
        case.truth.as_ref().map(Values::of),
        Values::of(&case.prediction),
    );
    let extent = plane.extent_mm();
    let scale = SIDE / extent[0].max(extent[1]);
    let mut labels: Vec<_> = truth.iter().map(|truth| (truth, Some(TRUTH))).collect();
    labels.push((&prediction, Some(PREDICTION)));
    let mut canvas = draw(&plane, scale, (&image, &Window::of(&image.values)), &labels).canvas;
    let size = [canvas.width(), canvas.height()];
    letters(&mut canvas, &plane, [0, 0], size);
    let mut png = Vec::new();
    canvas.write_png(&mut png).map_err(|e| Problem::of(&e))?;
    Ok(Reply {
        kind: "image/png",
        body: png,
    })
}

fn axis_of(grid: &Grid, section: Section) -> usize {
    let world = section.across_world();
    grid.axes()
        .iter()
        .position(|(w, _)| *w == world)
        .unwrap_or(world)
}

/// The subject that a request names; it stays in memory until another one is asked for.
fn loaded(app: &App, asked: &BTreeMap<String, String>) -> Result<Arc<Vec<HeadCase>>, Problem> {
    let run = app.run(asked)?;
    let subject = parameter(asked, "subject")?;
    let mut kept = app.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept
        .as_ref()
        .filter(|k| k.run == run.name && k.subject == subject)
    {
        return Ok(Arc::clone(&known.cases));
    }
    let files = predicted::kept(&run.path).map_err(|e| Problem::not_found(causes(&e)))?;
    let file = files.get(&file_stem(subject));
    let file =
        file.ok_or_else(|| Problem::not_found(format!("there is no prediction of `{subject}`")))?;
    let (plan, cohort) = opened(&run.path)?;
    let plan = Arc::new(plan.unoptimized());
    let preparer = Preparer::new(&plan, Arc::from(cohort), MEMORY, &Counters::default());
    let preparer = preparer.map_err(|e| Problem::of(&e))?;
    let cases = predicted::cases(file, &preparer, subject).map_err(|e| Problem::of(&e))?;
    let cases = Arc::new(cases);
    *kept = Some(Kept {
        run: run.name,
        subject: subject.to_owned(),
        cases: Arc::clone(&cases),
    });
    Ok(cases)
}
