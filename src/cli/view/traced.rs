//! The page of a subject on its way through a pipeline.

use super::subject::legend;
use crate::error::Error;
use crate::plan::Plan;
use crate::run::trace::{Stop, Trace};
use crate::source::SubjectRecord;
use crate::view::focus::Focus;
use crate::view::plane::Orientation;
use crate::view::text::options;
use crate::view::window::Window;
use crate::view::{Band, Canvas, Page, Panel};
use crate::volume::{Channel, Row, Split};
use std::collections::{BTreeMap, BTreeSet};

/// Pixels of a panel where many steps are shown, and where one is.
const SMALL: usize = 400;
const LARGE: usize = 560;

/// How rows are looked at: what changes from one step to the next only for a reason.
#[derive(Clone, Default)]
struct Look {
    focus: Option<Focus>,
    orientations: BTreeMap<String, Orientation>,
    windows: BTreeMap<String, Window>,
    /// Whether a step has drawn: from there on arrays lie as they did before it.
    drew: bool,
    width: usize,
    classes: BTreeSet<u16>,
}

impl Look {
    /// Looks at a row; behind a random step in the range of values of the picture before, so that
    /// a change shows.
    fn at(&mut self, row: &Row, random: bool) -> Vec<Canvas> {
        self.drew |= random;
        let focus = match self.focus {
            Some(focus) => focus.kept(row),
            None => Focus::of(row),
        };
        let Some(focus) = focus else {
            return Vec::new();
        };
        self.focus = Some(focus);
        let images = row.images.iter();
        images
            .map(|channel| {
                let name = &channel.name;
                let own = channel.volume.as_ref().map(|v| v.grid().axes());
                let known = self.orientations.get(name).copied().filter(|_| self.drew);
                let orientation = known.or(own).unwrap_or([(0, true), (1, true), (2, true)]);
                let before = self.windows.get(name).filter(|_| random);
                let panel = Panel {
                    name,
                    image: channel.volume.as_ref(),
                    label: row.label_of(name),
                    orientation,
                    focus,
                    window: before.map(|w| w.as_before()),
                    width: self.width,
                };
                let drawn = panel.draw();
                self.classes.extend(&drawn.classes);
                if let Some(window) = drawn.window {
                    self.windows.insert(name.clone(), window);
                    self.orientations.insert(name.clone(), orientation);
                }
                drawn.canvas
            })
            .collect()
    }

    /// A step; without pictures where it leaves every volume as it is.
    fn band(&mut self, stop: &Stop, before: &Row) -> Band {
        let mut lines = lines(stop);
        let changed = changes(before, &stop.row);
        if !changed && (stop.drawn.is_some() || !stop.random) {
            lines.push("leaves every volume as it is".to_owned());
        }
        Band {
            title: stop.path.clone(),
            lines,
            warnings: warnings(stop),
            pictures: match changed {
                true => self.at(&stop.row, stop.random),
                false => Vec::new(),
            },
        }
    }
}

/// Returns `true` if a volume of the second row differs from that of the first one.
fn changes(before: &Row, after: &Row) -> bool {
    let differs = |a: &Channel, b: &Channel| match (&a.volume, &b.volume) {
        (Some(a), Some(b)) => {
            a.grid() != b.grid()
                || (a.dtype(), a.scaling()) != (b.dtype(), b.scaling())
                || a.buffer() != b.buffer()
        }
        (a, b) => a.is_some() != b.is_some(),
    };
    let images = before.images.iter().zip(&after.images);
    images
        .chain(before.labels.iter().zip(&after.labels))
        .any(|(a, b)| differs(a, b))
}

/// Parameters and draws of a step.
fn lines(stop: &Stop) -> Vec<String> {
    let parameters = options(&stop.options);
    let mut lines = Vec::new();
    if !parameters.is_empty() {
        lines.push(format!("parameters  {parameters}"));
    }
    match &stop.drawn {
        Some(drawn) => lines.push(format!("drawn       {}", options(drawn))),
        None if stop.random => {
            lines.push("drawn       nothing this time: the row passes unchanged".to_owned());
        }
        None => {}
    }
    if stop.rows > 1 {
        lines.push(format!("rows        {}; this is the first", stop.rows));
    }
    lines
}

fn warnings(stop: &Stop) -> Vec<String> {
    let text = |w: &crate::volume::Warning| match &w.modality {
        Some(modality) => format!("warning: {modality}: {}", w.message),
        None => format!("warning: {}", w.message),
    };
    stop.warnings.iter().map(text).collect()
}

fn head(plan: &Plan, subject: &SubjectRecord, trace: &Trace) -> Page {
    let labelled = match (subject.split, subject.labelled) {
        (Split::Train, true) => ", labelled",
        (Split::Train, false) => ", unlabelled",
        _ => "",
    };
    let (seed, epoch) = (plan.pipeline.seed, trace.source.epoch);
    Page {
        title: format!("{}: {}", plan.pipeline.name, subject.id),
        lines: vec![format!(
            "{}{labelled}; seed {seed}, epoch {epoch}; {}",
            subject.split.name(),
            plan.file.name
        )],
        legend: Vec::new(),
        bands: Vec::new(),
    }
}

fn note(title: &str, warning: String) -> Band {
    Band {
        title: title.to_owned(),
        lines: Vec::new(),
        warnings: vec![warning],
        pictures: Vec::new(),
    }
}

/// The page of every step, and of the views side by side.
pub(super) fn page(plan: &Plan, subject: &SubjectRecord, trace: &Trace) -> Page {
    let mut page = head(plan, subject, trace);
    let mut look = Look {
        width: SMALL,
        ..Look::default()
    };
    page.bands.push(Band {
        title: "source".to_owned(),
        lines: Vec::new(),
        warnings: Vec::new(),
        pictures: look.at(&trace.source, false),
    });
    let mut before = &trace.source;
    for stop in trace.stages.iter().chain(&trace.shared) {
        page.bands.push(look.band(stop, before));
        before = &stop.row;
    }
    // Both views leave from the shared chain.
    let patch = look.clone();
    let mut ends = Vec::new();
    for view in &trace.views {
        let mut own = Look {
            classes: BTreeSet::new(),
            ..patch.clone()
        };
        let mut before = trace.patch();
        for stop in &view.stops {
            page.bands.push(own.band(stop, before));
            before = &stop.row;
        }
        look.classes.extend(&own.classes);
        ends.push((view.name.as_str(), trace.view(view), own));
    }
    if ends.len() > 1 && trace.failure.is_none() {
        page.bands.extend(side_by_side(&ends));
    }
    if let Some(path) = &trace.left_out {
        page.bands
            .push(note(path, "leaves this subject out".to_owned()));
    }
    if let Some(failure) = &trace.failure {
        page.bands
            .push(note(&failure.stage, format!("error: {}", failure.cause)));
    }
    legend(&mut page, plan, &look.classes);
    page
}

/// Every view of a subject as the network sees it, side by side: one band a modality; none where the
/// pipeline has no views or the subject ended before.
pub(in crate::cli) fn view_bands(trace: &Trace) -> Vec<Band> {
    let mut look = Look {
        width: SMALL,
        ..Look::default()
    };
    // Views are looked at as their prepared volume lies.
    look.at(trace.prepared(), false);
    (look.drew, look.windows) = (true, BTreeMap::new());
    let mut ends = Vec::new();
    for view in &trace.views {
        let mut own = look.clone();
        own.at(trace.view(view), false);
        ends.push((view.name.as_str(), trace.view(view), own));
    }
    side_by_side(&ends)
}

/// One band a modality: every view as the network sees it, in the weak view's range of values.
fn side_by_side(ends: &[(&str, &Row, Look)]) -> Vec<Band> {
    let Some((_, weak, first)) = ends.first() else {
        return Vec::new();
    };
    let modalities = weak.images.iter().map(|c| &c.name);
    modalities
        .map(|name| {
            let pictures = ends.iter().filter_map(|(view, row, look)| {
                let channel = row.images.iter().find(|c| c.name == *name)?;
                let panel = Panel {
                    name: view,
                    image: channel.volume.as_ref(),
                    label: row.label_of(name),
                    orientation: *look.orientations.get(name)?,
                    focus: first.focus?,
                    window: first.windows.get(name).copied(),
                    width: SMALL,
                };
                Some(panel.draw().canvas)
            });
            Band {
                title: format!("views of {name}, side by side"),
                lines: vec!["all of them in the range of values of the weak view".to_owned()],
                warnings: Vec::new(),
                pictures: pictures.collect(),
            }
        })
        .collect()
}

/// The page of one row: a panel a modality, and what was drawn for it.
pub(in crate::cli) fn row_page(plan: &Plan, title: String, row: &Row) -> Page {
    let mut look = Look {
        width: LARGE,
        ..Look::default()
    };
    let pictures = look.at(row, false);
    let draws = row.draws.iter();
    let mut page = Page {
        title,
        lines: vec![plan.file.name.clone()],
        legend: Vec::new(),
        bands: vec![Band {
            title: "voxels".to_owned(),
            lines: draws
                .map(|record| format!("{}  {}", record.stage, options(&record.draw)))
                .collect(),
            warnings: Vec::new(),
            pictures,
        }],
    };
    legend(&mut page, plan, &look.classes);
    page
}

/// The page of one step: before and after it.
///
/// **Errors** if the subject did not reach the step.
pub(super) fn stage_page(
    plan: &Plan,
    subject: &SubjectRecord,
    trace: &Trace,
    path: &str,
) -> Result<Page, Error> {
    let mut page = head(plan, subject, trace);
    let stops = trace.stops();
    let Some((stop, before)) = stops.iter().find(|(stop, _)| stop.path == path) else {
        let why = match (&trace.left_out, &trace.failure) {
            (Some(step), _) => format!("`{step}` leaves it out"),
            (_, Some(failure)) => format!("it fails in `{}`: {}", failure.stage, failure.cause),
            _ => "it ends before".to_owned(),
        };
        let problem = format!("{} does not reach `{path}`: {why}", subject.id);
        return Err(Error::run(problem));
    };
    let mut look = Look {
        width: LARGE,
        // Views are looked at as their prepared volume lies.
        drew: path.starts_with("views."),
        ..Look::default()
    };
    if look.drew {
        look.at(trace.prepared(), false);
        look.windows.clear();
    }
    page.bands.push(Band {
        title: format!("before {path}"),
        lines: Vec::new(),
        warnings: Vec::new(),
        pictures: look.at(before, false),
    });
    let after = look.band(stop, before);
    page.bands.push(Band {
        title: format!("after {path}"),
        ..after
    });
    let classes = look.classes;
    legend(&mut page, plan, &classes);
    Ok(page)
}
