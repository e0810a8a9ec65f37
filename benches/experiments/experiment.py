"""What the experiments share: trainings that are kept, one question to all of them, means and intervals."""

import collections
import csv
import io
import math
import pathlib
import random
import statistics
import subprocess
import sys

DRAWS = 4000
"""Resamples of a bootstrap interval."""


def program(text):
    """The path of the program, from wherever it is started."""
    return str(pathlib.Path(text).resolve())


def train(program, pipeline, folder, changes, options=()):
    """Runs a pipeline with changes, as values for --set; what is finished is kept, what was killed goes on."""
    if list(folder.glob("**/report.html")):
        return
    command = [program, "run", pipeline, "--out", folder, *options]
    for change in changes:
        command += ["--set", change]
    if list(folder.glob("**/status.json")):
        command.append("--resume")
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{folder}: exit code {ended.returncode}\n{ended.stderr}")
    print(folder.name, file=sys.stderr, flush=True)


def ask(program, folder, sql, form="csv"):
    """Asks all runs below a folder; rows as dictionaries, or the text of another format."""
    command = [program, "query", folder, "--format", form, sql]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(csv.DictReader(io.StringIO(text))) if form == "csv" else text


def number(text):
    """A figure of a table, not-a-number where there is none."""
    return float(text) if text else math.nan


def over_runs(cases):
    """Mean and standard deviation over runs of the mean over subjects; `cases`: (run, subject) to figure."""
    by_run = collections.defaultdict(list)
    for (run, _), value in cases.items():
        if not math.isnan(value):
            by_run[run].append(value)
    means = [statistics.fmean(values) for values in by_run.values()]
    if not means:
        return math.nan, math.nan
    return statistics.fmean(means), statistics.stdev(means) if len(means) > 1 else math.nan


def shown(cases, digits):
    """Mean and spread over runs as text; the mean alone of one run, nothing where there is no figure."""
    mean, sd = over_runs(cases)
    if math.isnan(mean):
        return ""
    return f"{mean:.{digits}f}" if math.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def difference(a, b):
    """Mean of b - a over the subjects of both, with a 95 % bootstrap interval over subjects; `None` without any."""
    by_subject = collections.defaultdict(list)
    for case in a.keys() & b.keys():
        if not math.isnan(a[case]) and not math.isnan(b[case]):
            by_subject[case[1]].append(b[case] - a[case])
    values = [statistics.fmean(v) for _, v in sorted(by_subject.items())]
    if not values:
        return None
    draw = random.Random(0)
    drawn = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return statistics.fmean(values), drawn[int(0.025 * DRAWS)], drawn[int(0.975 * DRAWS)]


def gain(a, b):
    """A difference as text."""
    found = difference(a, b)
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*found) if found else ""
