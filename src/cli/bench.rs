//! `bench`: how fast a pipeline is, without keeping anything.

use super::{BenchArgs, open, read, say};
use crate::error::Error;
use crate::run::bench::{Cost, Measured, bench as measure};
use crate::run::driver::RunOptions;
use std::fmt::Write as _;
use std::io::Write;

/// Runs a pipeline into nothing and prints samples and bytes a second, and the time of every step.
///
/// **Errors** as [`measure`].
pub(super) fn bench(args: &BenchArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let options = RunOptions {
        workers: Some(args.workers),
        memory: args.memory.map(|m| m.as_u64()),
        limit: args.limit,
        ..RunOptions::default()
    };
    let (plan, cohort) = open(&read(&args.file, &args.set)?)?;
    let plan = match args.no_optimize {
        true => plan.unoptimized(),
        false => plan,
    };
    let measured = measure(plan, cohort, &options, args.samples)?;
    let text = match args.json {
        true => {
            let json = serde_json::to_string_pretty(&measured).expect("figures are plain data");
            format!("{json}\n")
        }
        false => table(&measured),
    };
    say(out, &text)
}

fn rate(name: &str, unit: &str, cost: &Cost) -> String {
    let per = |seconds: f64| cost.items as f64 / seconds.max(1e-9);
    let megabytes = cost.bytes as f64 / 1e6 / cost.wall_s.max(1e-9);
    // The clock of CPU time ticks every hundredth of a second: below a tenth there is nothing to divide by.
    let cpu = cost.cpu_s.filter(|cpu| *cpu >= 0.1);
    let cpu = cpu.map_or_else(String::new, |cpu| {
        format!(", {:.2} {unit}/CPU s ({cpu:.2} CPU s)", per(cpu))
    });
    format!(
        "{name:<12} {} {unit} in {:.2} s: {:.2} {unit}/s, {megabytes:.0} MB/s{cpu}\n",
        cost.items,
        cost.wall_s,
        per(cost.wall_s)
    )
}

fn table(measured: &Measured) -> String {
    let mut text = rate("preparation", "subjects", &measured.preparation);
    if let Some(views) = &measured.views {
        text += &rate("views", "samples", views);
    }
    let peak = measured.peak_resident.map_or_else(
        || "unknown".to_owned(),
        |bytes| bytesize::ByteSize(bytes).display().iec().to_string(),
    );
    let mut line = |t: String| writeln!(text, "{t}").expect("a string takes any text");
    line(format!(
        "workers      {}, most memory {peak}",
        measured.workers
    ));
    line(format!(
        "\n{:<40} {:>8} {:>10} {:>12}",
        "step", "rows", "busy s", "ms a row"
    ));
    for step in &measured.steps {
        let each = 1e3 * step.busy_s / step.rows as f64;
        line(format!(
            "{:<40} {:>8} {:>10.3} {each:>12.3}",
            step.node, step.rows, step.busy_s
        ));
    }
    text
}
