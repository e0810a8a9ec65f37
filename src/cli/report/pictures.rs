//! Pictures for the page of a run: views of three subjects, and of every class the worst, the median
//! and the best subject.

use crate::cli::open;
use crate::cli::view::predicted::{self, HeadCase};
use crate::cli::view::traced;
use crate::error::Error;
use crate::plan::Plan;
use crate::report::{ClassPictures, Picture, Pictures};
use crate::run::counters::Counters;
use crate::run::prepare::Preparer;
use crate::run::trace::trace;
use crate::sink::{ScoreRow, file_stem, read_run_table};
use crate::view::Canvas;
use crate::view::canvas::CARD;
use crate::view::overlay::Overlay;
use crate::view::unscored::Unscored;
use crate::volume::Split;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Subjects whose views are shown.
const SUBJECTS: usize = 3;
/// Pixels between views.
const GAP: usize = 6;
/// Pixels of one plane of an overlay.
const SIDE: usize = 200;
/// Most bytes of all pictures; the page, in which they grow by a third, stays below 10 MB.
const MOST_BYTES: usize = 6_500_000;
/// Bytes that a subject may take while it is drawn.
const MEMORY: u64 = 8 << 30;

/// Draws what the run's data and predictions allow.
///
/// **Errors** if the pipeline or its cohort cannot be opened any more.
pub(super) fn draw(run: &Path) -> Result<Pictures, Error> {
    let (plan, cohort) = open(&predicted::pipeline_of(run, &[])?)?;
    let plan = Arc::new(plan.unoptimized());
    let memory = plan.pipeline.memory.unwrap_or(MEMORY);
    let preparer = Preparer::new(&plan, Arc::from(cohort), memory, &Counters::default())?;
    let mut drawn = Drawn {
        pictures: Pictures::default(),
        bytes: 0,
        left_out: 0,
    };
    let preparer = Arc::new(preparer);
    drawn.views(&plan, &preparer);
    drawn.classes(run, &preparer, plan.pipeline.predict.is_some())?;
    if drawn.left_out > 0 {
        drawn.pictures.notes.push(format!(
            "{} pictures are left out to keep this page below 10 MB; `voxstream view` draws them.",
            drawn.left_out
        ));
    }
    Ok(drawn.pictures)
}

/// Pictures so far.
struct Drawn {
    pictures: Pictures,
    bytes: usize,
    left_out: usize,
}

/// Which subject of a class.
struct Chosen {
    /// Place among the pictures of the class.
    place: usize,
    rank: &'static str,
    class: (i32, String),
    score: ScoreRow,
}

impl Drawn {
    /// A picture as PNG; `None` if the page would grow too large.
    fn encoded(
        &mut self,
        title: String,
        lines: Vec<String>,
        mut canvas: Canvas,
    ) -> Option<Picture> {
        canvas.quantise();
        let mut png = Vec::new();
        let whole = canvas.write_png(&mut png).is_ok();
        if !whole || self.bytes + png.len() > MOST_BYTES {
            self.left_out += 1;
            return None;
        }
        self.bytes += png.len();
        Some(Picture {
            title,
            lines,
            png,
            size: [canvas.width(), canvas.height()],
        })
    }

    /// Weak and strong views of the first labelled and unlabelled training subjects.
    fn views(&mut self, plan: &Arc<Plan>, preparer: &Arc<Preparer>) {
        if plan.pipeline.train.is_none() {
            return;
        }
        let subjects = preparer.cohort().subjects();
        let of = |labelled: bool| {
            let all = subjects.iter().enumerate();
            let fitting =
                all.filter(move |(_, s)| s.split == Split::Train && s.labelled == labelled);
            fitting.map(|(index, _)| index)
        };
        // Both kinds where there are both.
        let mut chosen: Vec<usize> = of(true).take(2).chain(of(false).take(1)).collect();
        chosen.extend(
            of(true)
                .skip(2)
                .chain(of(false).skip(1))
                .take(SUBJECTS - chosen.len().min(SUBJECTS)),
        );
        for index in chosen {
            let record = preparer.subject(index);
            let traced = match trace(plan, preparer, index, 0) {
                Ok(traced) if traced.failure.is_none() => traced,
                // It is among the failures of the page.
                _ => continue,
            };
            for band in traced::view_bands(&traced) {
                let kind = if record.labelled {
                    "labelled"
                } else {
                    "unlabelled"
                };
                let title = format!("{} ({kind}): {}", record.id, band.title);
                if let Some(picture) = side_by_side(&band.pictures) {
                    let drawn = self.encoded(title, band.lines, picture);
                    self.pictures.views.extend(drawn);
                }
            }
        }
    }

    /// The worst, the median and the best subject of every class that have a prediction.
    fn classes(
        &mut self,
        run: &Path,
        preparer: &Preparer,
        is_prediction: bool,
    ) -> Result<(), Error> {
        let scores: Vec<ScoreRow> = read_run_table(run)?;
        // A training without `score` keeps what it says of itself short.
        if scores.is_empty() && !is_prediction {
            return Ok(());
        }
        let kept = match predicted::kept(run) {
            Ok(kept) => kept,
            Err(e) => {
                self.pictures.notes.push(format!("No overlays: {e}"));
                return Ok(());
            }
        };
        if scores.is_empty() {
            self.predictions(&kept, preparer);
            return Ok(());
        }
        let chosen = chosen(&scores, &kept);
        let mut drawn: BTreeMap<(i32, String), Vec<(usize, Picture)>> = BTreeMap::new();
        // Each subject is read once.
        let mut by_subject: BTreeMap<&str, Vec<&Chosen>> = BTreeMap::new();
        for one in &chosen {
            by_subject
                .entry(&one.score.subject_id)
                .or_default()
                .push(one);
        }
        for (subject, wanted) in by_subject {
            let file = &kept[&file_stem(subject)];
            let cases = match predicted::cases(file, preparer, subject) {
                Ok(cases) => cases,
                Err(e) => {
                    self.pictures
                        .notes
                        .push(format!("No overlay of {subject}: {e}"));
                    continue;
                }
            };
            for one in wanted {
                let case = cases.iter().find(|c| c.head == one.score.modality);
                let Some(canvas) = case.and_then(|case| overlay(case, one.class.0)) else {
                    continue;
                };
                let score = &one.score;
                let dice = score
                    .dice
                    .map_or("undefined".to_owned(), |d| format!("{d:.3}"));
                let title = format!("{}: {subject}", one.rank);
                let lines = vec![format!(
                    "{}, Dice {dice}, truth {:.1} ml, predicted {:.1} ml",
                    score.modality, score.truth_ml, score.predicted_ml
                )];
                if let Some(picture) = self.encoded(title, lines, canvas) {
                    let of_class = drawn.entry(one.class.clone()).or_default();
                    of_class.push((one.place, picture));
                }
            }
        }
        for ((_, class), mut pictures) in drawn {
            pictures.sort_by_key(|(place, _)| *place);
            self.pictures.classes.push(ClassPictures {
                class,
                pictures: pictures.into_iter().map(|(_, p)| p).collect(),
            });
        }
        Ok(())
    }

    /// The largest predicted slice of the first subjects.
    fn predictions(&mut self, kept: &BTreeMap<String, PathBuf>, preparer: &Preparer) {
        let subjects = preparer.cohort().subjects().iter();
        let found = subjects.filter_map(|s| Some((s.id.clone(), kept.get(&file_stem(&s.id))?)));
        let found: Vec<(String, &PathBuf)> = found.take(SUBJECTS).collect();
        for (subject, file) in found {
            let cases = match predicted::cases(file, preparer, &subject) {
                Ok(cases) => cases,
                Err(e) => {
                    let note = format!("No prediction of {subject}: {e}");
                    self.pictures.notes.push(note);
                    continue;
                }
            };
            for case in cases {
                let Some(image) = &case.image else { continue };
                let drawn = Unscored {
                    image,
                    prediction: &case.prediction,
                };
                let Some((slice, voxels)) = drawn.slices().into_iter().next() else {
                    continue;
                };
                let canvas = drawn.draw(slice, SIDE).canvas;
                let title = format!("{subject}, head {}", case.head);
                let line = format!("axial slice {}, prediction {voxels} voxels", slice + 1);
                let picture = self.encoded(title, vec![line], canvas);
                self.pictures.predictions.extend(picture);
            }
        }
    }
}

/// One picture of several from left to right; `None` of none.
fn side_by_side(pictures: &[Canvas]) -> Option<Canvas> {
    let height = pictures.iter().map(Canvas::height).max()?;
    let width = pictures.iter().map(|p| p.width() + GAP).sum::<usize>() - GAP;
    let mut whole = Canvas::new(width, height, CARD);
    let mut x = 0;
    for picture in pictures {
        whole.paste(picture, [x, 0]);
        x += picture.width() + GAP;
    }
    Some(whole)
}

fn overlay(case: &HeadCase, class: i32) -> Option<Canvas> {
    let overlay = Overlay {
        image: case.image.as_ref()?,
        truth: case.truth.as_ref()?,
        prediction: &case.prediction,
        class: u16::try_from(class).ok()?,
    };
    overlay.draw(SIDE)
}

/// Of every class three scores of the split that is best to look at: the lowest, the middle and the
/// highest Dice.
fn chosen(scores: &[ScoreRow], kept: &BTreeMap<String, PathBuf>) -> Vec<Chosen> {
    let split = crate::report::shown_split(scores);
    let checkpoint = crate::report::shown_checkpoint(scores, &split).to_owned();
    let mut classes: BTreeMap<(i32, String), Vec<&ScoreRow>> = BTreeMap::new();
    for score in scores {
        let is_shown = score.class_id > 0 && score.split == split && score.checkpoint == checkpoint;
        if is_shown && score.dice.is_some() && kept.contains_key(&file_stem(&score.subject_id)) {
            let class = (score.class_id, score.class.clone());
            classes.entry(class).or_default().push(score);
        }
    }
    let mut all = Vec::new();
    for (class, mut rows) in classes {
        let key = |s: &ScoreRow| (s.subject_id.clone(), s.modality.clone());
        rows.sort_by(|a, b| {
            let (x, y) = (a.dice.unwrap_or(0.0), b.dice.unwrap_or(0.0));
            x.total_cmp(&y).then_with(|| key(a).cmp(&key(b)))
        });
        let last = rows.len() - 1;
        let mut places = vec![("worst", 0), ("median", last / 2), ("best", last)];
        places.dedup_by_key(|(_, at)| *at);
        for (place, (rank, at)) in places.into_iter().enumerate() {
            all.push(Chosen {
                place,
                rank,
                class: class.clone(),
                score: rows[at].clone(),
            });
        }
    }
    all
}
