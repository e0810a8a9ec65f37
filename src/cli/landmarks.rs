//! `landmarks`: a step `histogram_standardize` learned from a cohort.

use super::{ForegroundArg, LandmarksArgs, open, read, say};
use crate::error::Error;
use crate::run::driver::RunOptions;
use crate::run::landmarks::{Learned, Scale, landmarks as learn};
use crate::stage::Stage as _;
use crate::stage::intensity::histogram_standardize::HistogramStandardize;
use crate::stage::intensity::zscore::Foreground;
use std::fmt::Write as _;
use std::io::Write;

/// Learns and prints the step as YAML; exit code 1 where subjects failed.
///
/// **Errors** as [`learn`].
pub(super) fn landmarks(args: &LandmarksArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let options = RunOptions {
        workers: args.workers,
        limit: args.limit,
        ..RunOptions::default()
    };
    let scale = Scale {
        percentiles: args
            .percentiles
            .clone()
            .unwrap_or_else(HistogramStandardize::deciles),
        foreground: args.foreground.into(),
        ends: args.scale,
    };
    let (plan, cohort) = open(&read(&args.file, &args.set)?)?;
    let learned = learn(plan, cohort, &options, &scale)?;
    say(out, &yaml(&learned))?;
    Ok(u8::from(learned.failed > 0))
}

/// A step to paste below `stages:`; landmarks to a ten-thousandth.
fn yaml(learned: &Learned) -> String {
    let mut text = format!("- {}:\n", HistogramStandardize::NAME);
    let mut line = |t: String| writeln!(text, "    {t}").expect("a string takes any text");
    let step = &learned.step;
    line(format!("percentiles: {:?}", step.percentiles));
    line(format!("foreground: {}", name(step.foreground)));
    line("landmarks:".to_owned());
    for (modality, values) in &step.landmarks {
        let rounded: Vec<f64> = values.iter().map(|v| (v * 1e4).round() / 1e4).collect();
        let images = learned.images[modality];
        line(format!("  {modality}: {rounded:?} # mean of {images}"));
    }
    text
}

fn name(foreground: Foreground) -> String {
    let json = serde_json::to_value(foreground).expect("a name is plain data");
    json.as_str().unwrap_or_default().to_owned()
}

impl From<ForegroundArg> for Foreground {
    fn from(foreground: ForegroundArg) -> Self {
        match foreground {
            ForegroundArg::AboveMin => Self::AboveMin,
            ForegroundArg::Nonzero => Self::Nonzero,
            ForegroundArg::All => Self::All,
        }
    }
}
