//! `find-lr`: a sweep over learning rates on the pipeline's own stream.

use super::{FindLrArgs, open, read, say};
use crate::error::Error;
use crate::run::driver::RunOptions;
use crate::run::find_lr::{Findings, Sweep, find_lr as find};
use std::fmt::Write as _;
use std::io::Write;

/// Columns of the drawn curve.
const WIDTH: usize = 40;

/// Sweeps and prints a table of learning rates and losses, and what they say.
///
/// **Errors** as [`find`].
pub(super) fn find_lr(args: &FindLrArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let options = RunOptions {
        device: args.device.into(),
        workers: args.workers,
        limit: args.limit,
        ..RunOptions::default()
    };
    let sweep = Sweep {
        from: args.from,
        to: args.to,
        steps: args.steps,
    };
    let (plan, cohort) = open(&read(&args.file, &args.set)?)?;
    let found = find(plan, cohort, &options, sweep, |lr, loss| {
        tracing::debug!(lr, loss, "tried");
    })?;
    let text = match args.json {
        true => {
            let json = serde_json::to_string_pretty(&found).expect("figures are plain data");
            format!("{json}\n")
        }
        false => table(&found),
    };
    say(out, &text)
}

fn table(found: &Findings) -> String {
    let smoothed = || found.tried.iter().map(|t| t.smoothed);
    let (least, most) = (
        smoothed().fold(f64::INFINITY, f64::min),
        smoothed().fold(f64::NEG_INFINITY, f64::max),
    );
    let mut text = String::new();
    let mut line = |t: String| writeln!(text, "{t}").expect("a string takes any text");
    line(format!("{:>10} {:>10} {:>10}", "lr", "loss", "smoothed"));
    for step in &found.tried {
        let share = (step.smoothed - least) / (most - least).max(1e-12);
        let bar = "█".repeat((share * WIDTH as f64).round() as usize);
        line(format!(
            "{:>10.2e} {:>10.4} {:>10.4} {bar}",
            step.lr, step.loss, step.smoothed
        ));
    }
    let rate = |lr: Option<f64>| lr.map_or("none".to_owned(), |lr| format!("{lr:.1e}"));
    line(format!(
        "\nfastest fall {}, least loss {}",
        rate(found.steepest),
        rate(found.lowest)
    ));
    line(match found.suggested {
        Some(lr) => format!("suggested: train.optimizer.lr: {lr:.1e}"),
        None => {
            "the loss never fell: widen the sweep with --from and --to, or give it more --steps"
                .to_owned()
        }
    });
    if !found.rose && found.suggested.is_some() {
        line("the loss did not rise up to the last rate: a higher --to may find more".to_owned());
    }
    text
}
