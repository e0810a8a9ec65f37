#!/usr/bin/env python3
"""Do TensorBoard and MLflow read what a training reported as its table `metrics` holds it?

    python tests/interop/check_trackers.py RUN MLRUNS target/debug/voxstream

RUN was trained with `sinks: { tensorboard: true, mlflow: { path: MLRUNS } }`. Prints one line a check
and exits 1 on any difference. Needs tensorboard and mlflow (mlflow-skinny will do).
"""

import collections
import csv
import io
import math
import os
import pathlib
import subprocess
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

SQL = "select step, split, name, modality, class, subject_id, value from metrics order by step"


def expected(program: str, run: str) -> dict:
    """Steps and values by the name of the figure."""
    command = [program, "query", run, "--format", "csv", SQL]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = collections.defaultdict(list)
    for row in csv.DictReader(io.StringIO(text)):
        parts = [row[part] for part in ("split", "name", "modality", "class", "subject_id")]
        found["/".join(filter(None, parts))].append((int(row["step"]), float(row["value"])))
    return found


def differences(expected: dict, found: dict, digits: float) -> list:
    near = lambda a, b: a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= digits * abs(a)
    same = lambda a, b: len(a) == len(b) and all(x[0] == y[0] and near(x[1], y[1]) for x, y in zip(a, b))
    return [name for name in expected.keys() | found.keys() if not same(expected.get(name, []), found.get(name, []))]


def main() -> None:
    run, store, program = sys.argv[1:4]
    rows = expected(program, run)
    events = EventAccumulator(run, size_guidance={"scalars": 0})
    events.Reload()
    board = {name: [(s.step, s.value) for s in events.Scalars(name)] for name in events.Tags()["scalars"]}
    client = mlflow.MlflowClient(pathlib.Path(store).resolve().as_uri())
    folder = str(pathlib.Path(run))
    tracked = [
        one
        for experiment in client.search_experiments()
        for one in client.search_runs([experiment.experiment_id])
        if one.data.tags.get("voxstream.folder") == folder
    ]
    names = tracked[0].data.metrics if tracked else {}
    history = lambda name: [(m.step, m.value) for m in client.get_metric_history(tracked[0].info.run_id, name)]
    kept = {name: history(name) for name in names}
    # Events hold 32 bits, MLflow the whole number.
    checks = [
        (f"TensorBoard: {len(board)} figures", differences(rows, board, 1e-6)),
        (f"MLflow: {len(kept)} figures, {len(tracked)} run", differences(rows, kept, 1e-12) if tracked else ["no run"]),
    ]
    for what, wrong in checks:
        print(("FAIL " if wrong else "ok   ") + what + (": " + ", ".join(sorted(wrong)[:5]) if wrong else ""))
    sys.exit(any(wrong for _, wrong in checks))


main()
