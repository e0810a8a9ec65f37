#!/usr/bin/env python3
"""Five questions over 100 runs and 1,000,000 metric rows, beside DuckDB on the same files.

    pip install duckdb
    cargo build --release
    benches/query/measure.py target/release/voxstream [FOLDER]

Makes the runs in FOLDER (default: a temporary one), asks each question of both programs in a process
of its own, three times, and prints the fastest time, the peak memory of that process, and whether the
answers agree. DuckDB runs with one thread and with all; voxstream answers on one, so that sums do not
depend on the machine. The times of DuckDB contain the start of Python (first line of the table).
"""

import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

if importlib.util.find_spec("duckdb") is None:
    sys.exit("skipped: the Python package `duckdb` is not installed (pip install duckdb)")

RUNS, STEPS = 100, 1000
# Per step: loss, two terms, lr, and kept_fraction of 6 classes; every 50 steps also validation Dice.
METRICS = """
copy (
  with steps as (select range as step from range(1, {steps} + 1)),
  figures as (
    select step, 'loss' as name, null as class, 'train' as split from steps
    union all select step, 'loss_supervised', null, 'train' from steps
    union all select step, 'loss_consistency', null, 'train' from steps
    union all select step, 'lr', null, 'train' from steps
    union all select step, 'kept_fraction', 'class_' || c, 'train' from steps, range(1, 6) t(c)
    union all select step, 'dice', 'class_' || c, 'validation' from steps, range(1, 21) t(c) where step % 20 = 0)
  select step::bigint as step, (step // 100)::bigint as epoch, split, null::varchar as subject_id,
         case when name = 'dice' then 'ct' end as modality, class, name,
         abs(hash(step, name, class, {run}) % 1000003) / 1000003.0 * (1 - step / 2000.0) as value, '1' as unit
  from figures order by step, name, class
) to '{folder}/metrics.parquet' (format parquet, compression zstd)
"""
SCORES = """
copy (
  select 'case_' || lpad(s::varchar, 3, '0') as subject_id, 'test' as split, 'best' as checkpoint, m as modality,
         c::int as class_id, 'class_' || c as class,
         0.6 + 0.3 * (abs(hash(s, c, m, {run}) % 1000003) / 1000003.0) as dice,
         10.0 + c as truth_ml, 10.5 + c as predicted_ml, 1000::bigint as truth_voxels, 1050::bigint as predicted_voxels,
         false as missed, abs(hash(s, c, {run}) % 1000003) / 100000.0 as hd95_mm
  from range(60) t(s), range(1, 6) u(c), (values ('ct'), ('mr')) v(m)
  order by subject_id, modality, class_id
) to '{folder}/scores.parquet' (format parquet, compression zstd)
"""
QUESTIONS = {
    "last losses": "select run, avg(value) as loss from {metrics} where name = 'loss' and step > 900 group by run order by run",
    "best Dice of a class": "select class, max(value) as best, count(*) as n from {metrics} where name = 'dice' group by class order by class",
    "curve over all runs": "select step, avg(value) as mean, min(value) as low, max(value) as high from {metrics} where name = 'loss' group by step order by step",
    "worst subjects": "select subject_id, avg(dice) as dice from {scores} group by subject_id order by dice, subject_id limit 10",
    "losses beside scores": "select m.run, m.loss, s.dice from (select run, avg(value) as loss from {metrics} where name = 'loss' group by run) m join (select run, avg(dice) as dice from {scores} where class_id > 0 group by run) s on m.run = s.run order by s.dice desc, m.run limit 5",
}
DUCK = """
import duckdb, sys
c = duckdb.connect()
threads = {threads}
if threads: c.execute(f'set threads = {{threads}}')
print('\\n'.join(','.join(map(str, row)) for row in c.execute({sql!r}).fetchall()))
"""


def make(folder):
    import duckdb

    for run in range(RUNS):
        path = f"{folder}/cmc/run_{run:03}"
        os.makedirs(path)
        duckdb.sql(METRICS.format(steps=STEPS, run=run, folder=path))
        duckdb.sql(SCORES.format(run=run, folder=path))
        with open(f"{path}/plan.json", "w") as file:
            json.dump({"name": "cmc", "seed": run}, file)
    rows = duckdb.sql(f"select count(*) from '{folder}/cmc/*/metrics.parquet'").fetchall()[0][0]
    print(f"{RUNS} runs, {rows:,} metric rows\n", flush=True)


def timed(command):
    """Output, seconds and peak MB of a process."""
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    text = child.stdout.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {command}")
    return text, time.monotonic() - start, usage.ru_maxrss / 1024


def best(command):
    return min((timed(command) for _ in range(3)), key=lambda r: r[1])


def numbers(text):
    rows = [line.split(",") for line in text.strip().splitlines()]
    def value(cell):
        try:
            return round(float(cell), 9)
        except ValueError:
            return cell
    return [[value(cell) for cell in row] for row in rows]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    if not os.path.isdir(f"{folder}/cmc"):
        # In a process of its own: Linux counts the memory of whoever starts a process as the process's own peak.
        maker = multiprocessing.Process(target=make, args=[folder])
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit(f"{folder}: the runs were not made")
    table = lambda name: f"(select *, string_split(filename, '/')[-2] as run from read_parquet('{folder}/cmc/*/{name}.parquet', filename = true))"
    print("| question | voxstream s | MB | DuckDB, 1 thread s | MB | DuckDB, all threads s | MB | agree |")
    print("| --- | --: | --: | --: | --: | --: | --: | --- |", flush=True)
    _, start, memory = best([sys.executable, "-c", "import duckdb; duckdb.connect()"])
    _, own, own_memory = best([program, "query", folder, "select 1 as one", "--format", "csv"])
    print(f"| (start of the program) | {own:.3f} | {own_memory:.0f} | {start:.3f} | {memory:.0f} | | | |", flush=True)
    for name, sql in QUESTIONS.items():
        ours = best([program, "query", folder, sql.format(metrics="metrics", scores="scores"), "--format", "csv"])
        asked = sql.format(metrics=table("metrics"), scores=table("scores"))
        one, every = (best([sys.executable, "-c", DUCK.format(threads=n, sql=asked)]) for n in (1, 0))
        found = numbers("\n".join(ours[0].splitlines()[1:]).replace("cmc/", ""))
        agree = "yes" if found == numbers(one[0]) else "NO"
        print(f"| {name} | {ours[1]:.3f} | {ours[2]:.0f} | {one[1]:.3f} | {one[2]:.0f} | {every[1]:.3f} | {every[2]:.0f} | {agree} |", flush=True)


if __name__ == "__main__":
    main()
