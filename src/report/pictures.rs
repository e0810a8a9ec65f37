//! Pictures of a page; whoever has the data draws them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::Value;
use serde::Serialize;

/// Pictures for the page of a run.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// Weak and strong views.
    pub views: Vec<Picture>,
    /// Predictions of subjects, where nobody has scores.
    pub predictions: Vec<Picture>,
    /// Truth and prediction by class, in the order of class numbers.
    pub classes: Vec<ClassPictures>,
    /// Why pictures are missing.
    pub notes: Vec<String>,
}

/// A picture with its caption.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Heading.
    pub title: String,
    /// Lines below the heading.
    pub lines: Vec<String>,
    /// The picture as PNG.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub size: [usize; 2],
}

/// Pictures of one class: worst, median and best.
#[derive(Debug, Clone)]
pub struct ClassPictures {
    /// Class name.
    pub class: String,
    /// The pictures.
    pub pictures: Vec<Picture>,
}

/// Pictures as the page's template takes them.
#[derive(Serialize)]
pub(super) struct Shown {
    views: Vec<Figure>,
    predictions: Vec<Figure>,
    classes: Vec<ClassFigures>,
    notes: Vec<String>,
    truth: String,
    prediction: String,
}

#[derive(Serialize)]
struct ClassFigures {
    class: String,
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct Figure {
    title: String,
    lines: Vec<String>,
    image: Value,
}

impl Shown {
    pub(super) fn of(pictures: &Pictures) -> Self {
        let figures = |all: &[Picture]| all.iter().map(Figure::of).collect();
        let colour = |[r, g, b]: crate::view::Rgb| format!("#{r:02x}{g:02x}{b:02x}");
        Self {
            views: figures(&pictures.views),
            predictions: figures(&pictures.predictions),
            classes: (pictures.classes.iter())
                .map(|c| ClassFigures {
                    class: c.class.clone(),
                    figures: figures(&c.pictures),
                })
                .collect(),
            notes: pictures.notes.clone(),
            truth: colour(crate::view::overlay::TRUTH),
            prediction: colour(crate::view::overlay::PREDICTION),
        }
    }
}

impl Figure {
    fn of(picture: &Picture) -> Self {
        let [width, height] = picture.size;
        let data = STANDARD.encode(&picture.png);
        // Only letters of base64 and numbers: nothing in it can end the attribute.
        let image = format!(
            r#"<img width="{width}" height="{height}" alt="" src="data:image/png;base64,{data}">"#
        );
        Self {
            title: picture.title.clone(),
            lines: picture.lines.clone(),
            image: Value::from_safe_string(image),
        }
    }
}
