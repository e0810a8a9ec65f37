//! `tap`: rows of a run that is under way, as they pass a node.

use super::run::stop_on_signals;
use super::view::predicted::pipeline_of;
use super::{planned, say, stdout};
use crate::error::Error;
use crate::plan::Plan;
use crate::query::{Run, Runs};
use crate::run::context::CANCELLED;
use crate::run::lease::is_running;
use crate::run::tap::{ANSWER, Answer, FOLDER, REQUEST, Request, RowSummary, ValueSummary};
use crate::sink::parquet::write_whole;
use crate::spec::{counted, suggest};
use crate::store;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Options of `tap`.
#[derive(Debug, Args)]
pub struct TapArgs {
    /// Run folder, or a folder that holds the one run that is under way.
    #[arg(default_value = "runs")]
    pub run: PathBuf,
    /// Node to look at: source, the path of a step such as `views.shared[0].patch` or its name, `stream.labelled`;
    /// default: what the trainer takes, else the last step of `stages`.
    #[arg(long, value_name = "PATH")]
    pub node: Option<String>,
    /// Rows to show.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Seconds to wait for the next row.
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
    /// Print a line of JSON for each row.
    #[arg(long)]
    pub json: bool,
}

/// Time between two looks at the answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// Nodes that count work and pass no rows on.
const WITHOUT_ROWS: [&str; 6] = [
    "train",
    "prepare",
    "predict",
    "validate",
    "score",
    "pseudo_label",
];

/// Asks a run for rows and prints them as they arrive. Returns 130 if a signal ended it before the last.
///
/// **Errors** if no run is under way, there is no such node, or no row passes in time.
pub fn tap(args: &TapArgs, out: &mut dyn Write) -> Result<u8, Error> {
    if store::is_url(&args.run) {
        return Err(Error::run(format!(
            "{}: `tap` looks at runs on this machine; `voxstream query` reads a store",
            store::redacted(&args.run.to_string_lossy())
        )));
    }
    let run = under_way(&args.run)?;
    let plan = planned(&pipeline_of(&run, &[])?)?;
    let node = node(&plan, args.node.as_deref())?;
    stop_on_signals();
    let asked = Asked::write(&run, &node, args.count)?;
    let (mut shown, mut last) = (0, Instant::now());
    loop {
        // Read before the answer: a request that is gone by then gets no further rows.
        let is_served = asked.is_open();
        let lives = is_running(&run);
        for answer in asked.answers(shown)? {
            let row = match answer {
                Answer::Row(row) => row,
                Answer::Refused(problem) => {
                    return Err(Error::run(format!("{}: {problem}", run.display())));
                }
            };
            (shown, last) = (shown + 1, Instant::now());
            say(out, &shown_as(&row, args.json))?;
            out.flush().map_err(stdout)?;
        }
        if shown as u64 == args.count {
            return Ok(0);
        }
        if CANCELLED.load(Ordering::Relaxed) {
            return Ok(130);
        }
        let rows = format!("{shown} of {} passed `{node}`", counted(args.count, "row"));
        if !lives || !is_served {
            return match shown {
                0 => Err(Error::run(format!(
                    "{}: the run ended, and {rows}",
                    run.display()
                ))),
                _ => {
                    tracing::info!("the run ended: {rows}");
                    Ok(0)
                }
            };
        }
        if last.elapsed() > Duration::from_secs(args.timeout) {
            return Err(Error::run(format!(
                "{}: {rows}, and none in the last {} s. Subjects that are prepared already pass no step of `stages` again; look at `voxstream top` for nodes that rows pass, or wait longer with `--timeout`",
                run.display(),
                args.timeout
            )));
        }
        std::thread::sleep(PATIENCE);
    }
}

/// The folder of the one run that is under way.
///
/// **Errors** if there is none, or several.
fn under_way(target: &Path) -> Result<PathBuf, Error> {
    let runs = Runs::find(std::slice::from_ref(&target.to_owned()))?.all;
    let live: Vec<&Run> = runs.iter().filter(|run| is_running(&run.path)).collect();
    match (live.as_slice(), runs.as_slice()) {
        ([one], _) => Ok(one.path.clone()),
        ([], [only]) => {
            let what = match only.progress.as_deref() {
                Some("started") => {
                    "was stopped before its end; go on with `voxstream run … --resume`"
                }
                _ => {
                    "is finished; `voxstream replay` and `voxstream view` look at what it recorded"
                }
            };
            Err(Error::run(format!(
                "{}: no process on this machine is running this run: it {what}",
                only.path.display()
            )))
        }
        ([], all) => Err(Error::run(format!(
            "{}: none of its {} runs is under way",
            target.display(),
            all.len()
        ))),
        (several, _) => {
            let names: Vec<String> = several
                .iter()
                .map(|r| r.path.display().to_string())
                .collect();
            Err(Error::run(format!(
                "{}: {} runs are under way; name one of {}",
                target.display(),
                names.len(),
                names.join(", ")
            )))
        }
    }
}

/// Names of the nodes that rows pass.
fn nodes(plan: &Plan) -> Vec<String> {
    let pipeline = &plan.pipeline;
    let chains = pipeline.chains().into_iter();
    let steps = chains.flat_map(|chain| pipeline.steps(chain));
    let mut names = vec!["source".to_owned()];
    names.extend(steps.map(|step| step.path.clone()));
    if let Some((train, _)) = &pipeline.train {
        names.push("stream.labelled".to_owned());
        if train.batch.unlabelled() > 0 {
            names.push("stream.unlabelled".to_owned());
        }
    }
    names
}

/// The node that is meant: a name, or the end of one path alone.
///
/// **Errors** if there is no such node, with the nearest name, or several are meant.
fn node(plan: &Plan, wanted: Option<&str>) -> Result<String, Error> {
    let names = nodes(plan);
    let Some(wanted) = wanted else {
        let last = plan.pipeline.stages.last();
        return Ok(match (&plan.pipeline.train, last) {
            (Some(_), _) => "stream.labelled".to_owned(),
            (None, Some(step)) => step.path.clone(),
            (None, None) => "source".to_owned(),
        });
    };
    if names.iter().any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    let end = |name: &&String| name.rsplit('.').next() == Some(wanted);
    let meant: Vec<&str> = names.iter().filter(end).map(String::as_str).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    match meant.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] if WITHOUT_ROWS.contains(&wanted) => Err(Error::run(format!(
            "`{wanted}` takes rows and passes none on; rows pass {}",
            all.join(", ")
        ))),
        [] => Err(Error::run(format!(
            "no node `{wanted}`; {}",
            suggest(wanted, &all)
        ))),
        several => Err(Error::run(format!(
            "`{wanted}` names {} nodes: {}; write the path of one",
            several.len(),
            several.join(", ")
        ))),
    }
}

/// A request in a run folder; dropping it removes the request and its answer.
struct Asked {
    folder: PathBuf,
    id: String,
}

impl Asked {
    fn write(run: &Path, node: &str, count: u64) -> Result<Self, Error> {
        let folder = run.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating the folder"))?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let asked = Self {
            folder,
            id: format!(
                "{}-{}",
                std::process::id(),
                since.unwrap_or_default().as_nanos()
            ),
        };
        let request = Request {
            node: node.to_owned(),
            count,
        };
        let text = serde_json::to_vec(&request).expect("a request is plain data");
        write_whole(&asked.file(REQUEST), &text)?;
        Ok(asked)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.id))
    }

    /// Returns `true` until the run has served the request.
    fn is_open(&self) -> bool {
        self.file(REQUEST).exists()
    }

    /// The answers behind the first so many; a line that is being written is left for the next time.
    fn answers(&self, first: usize) -> Result<Vec<Answer>, Error> {
        let path = self.file(ANSWER);
        let text = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(Error::io(&path, "reading the answer of the run"))?,
        };
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .skip(first)
            .map(|line| {
                serde_json::from_str(line).map_err(|e| {
                    Error::run(format!(
                        "{}: {e}; is the run of another version than {}?",
                        path.display(),
                        env!("CARGO_PKG_VERSION")
                    ))
                })
            })
            .collect()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        std::fs::remove_file(self.file(REQUEST)).ok();
        std::fs::remove_file(self.file(ANSWER)).ok();
        // Others may have requests in it.
        std::fs::remove_dir(&self.folder).ok();
    }
}

/// A row as it is printed.
fn shown_as(row: &RowSummary, json: bool) -> String {
    if json {
        let line = serde_json::to_string(row).expect("a summary is plain data");
        return line + "\n";
    }
    let RowSummary {
        node,
        subject,
        split,
        epoch,
        sample,
        view,
        ..
    } = row;
    let view = match view.is_empty() {
        true => String::new(),
        false => format!(", view {view}"),
    };
    let mut text = format!("{node}: {subject} ({split}), epoch {epoch}, sample {sample}{view}\n");
    for channel in &row.channels {
        let shown = match &channel.volume {
            None => "missing".to_owned(),
            Some(v) => {
                let [x, y, z] = v.shape;
                let [a, b, c] = v.spacing_mm.map(|s| (s * 1000.0).round() / 1000.0);
                let values = match (&v.values, &v.classes) {
                    (Some(values), _) => range(values),
                    (None, Some(classes)) => {
                        let classes: Vec<String> = classes.iter().map(i64::to_string).collect();
                        format!("classes {}", classes.join(" "))
                    }
                    (None, None) => "voxels are made by a later step of this pass".to_owned(),
                };
                format!(
                    "{} {x}x{y}x{z}, {a}x{b}x{c} mm {}; {values}",
                    v.dtype, v.orientation
                )
            }
        };
        text += &format!("  {:<12} {shown}\n", channel.column);
    }
    for record in &row.draws {
        text += &format!("  {}  {}\n", record.stage, record.draw);
    }
    text
}

fn range(values: &ValueSummary) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    format!(
        "min {} p1 {} p50 {} p99 {} max {}, mean {}, NaN {:.2} %",
        number(values.min),
        number(values.p1),
        number(values.p50),
        number(values.p99),
        number(values.max),
        number(values.mean),
        100.0 * values.nan_share
    )
}

#[cfg(test)]
mod tests;
