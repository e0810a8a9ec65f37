#!/usr/bin/env python3
"""Reads what a run left: the last loss, whether two runs agree, how busy the GPU was.

    python3 read_run.py last RUN
    python3 read_run.py same RUN RUN
    python3 read_run.py busy SAMPLES.csv RUN

Needs pyarrow, which comes with most installations of PyTorch's users.
"""

import csv
import sys

import pyarrow.parquet as parquet


def losses(run):
    table = parquet.read_table(f"{run}/metrics.parquet").to_pylist()
    rows = [row for row in table if row["name"] == "loss" and row["split"] == "train"]
    return {row["step"]: row["value"] for row in rows}


def last(run):
    found = losses(run)
    step = max(found)
    print(f"{run}: loss {found[step]:.6f} at step {step}")


def same(whole, broken):
    a, b = losses(whole), losses(broken)
    if sorted(a) != sorted(b):
        raise SystemExit(f"steps differ: {len(a)} and {len(b)}")
    worst = max(abs(a[step] - b[step]) for step in a)
    print(f"resumed: {len(a)} losses, largest difference {worst:.3g}")
    if worst > 1e-5:
        raise SystemExit(1)


def busy(samples, run):
    with open(samples, newline="") as lines:
        shares = [int(row[0]) for row in csv.reader(lines) if row]
    # Training lasts from the first sample that is busy to the last one.
    first = next((i for i, share in enumerate(shares) if share > 50), 0)
    end = len(shares) - next((i for i, share in enumerate(reversed(shares)) if share > 50), 0)
    within = shares[first:end] or [0]
    print(f"GPU busy {sum(within) / len(within):.1f} % of {len(within) / 10:.0f} s of training and validation")
    for row in parquet.read_table(f"{run}/edges.parquet").to_pylist():
        print(row)


if __name__ == "__main__":
    {"last": last, "same": same, "busy": busy}[sys.argv[1]](*sys.argv[2:])
