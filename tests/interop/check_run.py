#!/usr/bin/env python3
"""Do other tools read a run's tables as voxstream does?

    python tests/interop/check_run.py RUN target/debug/voxstream

Opens every table of the run folder with pyarrow and DuckDB, asks DuckDB and `voxstream query`
the same aggregates, and decodes every stored volume with NumPy and verifies its checksum.
Prints one line a check and exits 1 on any difference. Needs pyarrow, duckdb, numpy, blake3.
"""

import csv
import io
import math
import pathlib
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import read_volume  # noqa: E402

FOLDERS = ("predictions", "pseudo_labels")
failures = []


def report(good: bool, what: str) -> None:
    print(("ok   " if good else "FAIL ") + what)
    if not good:
        failures.append(what)


def files_of(run: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Table name -> its files; hidden files are tables in the making."""
    tables = {p.stem: [p] for p in sorted(run.glob("*.parquet")) if not p.name.startswith(".")}
    for name in FOLDERS:
        found = sorted(p for p in (run / name).rglob("*.parquet") if not p.name.startswith("."))
        if found:
            tables[name] = found
    # Files of parts count if a commit record names them. `merged.parquet` holds those of parts that share files, and
    # takes the place of records of their own.
    records = [p for p in (run / "parts").glob("*.parquet") if not p.name.startswith(".")]
    records.sort(key=lambda p: (p.name != "merged.parquet", p.name))
    known = set()
    for record in records:
        rows = [row for row in pq.read_table(record).to_pylist() if row["part"] not in known]
        known.update(row["part"] for row in rows)
        if rows:
            tables.setdefault("parts", []).append(record)
        for named in [file for row in rows for file in row["files"]]:
            path = named.split(" ", 2)[2]
            found = tables.setdefault(path.split("/")[0], [])
            if path.endswith(".parquet") and run / path not in found:
                found.append(run / path)
    return tables


def is_volume(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {"voxels", "codec", "blake3"} <= {f.name for f in kind}


def check_metadata(name: str, path: pathlib.Path) -> pa.Schema:
    schema = pq.read_schema(path)
    metadata = schema.metadata or {}
    report(metadata.get(b"voxstream.schema") == name.encode() and b"voxstream.schema_version" in metadata,
           f"{name}: pyarrow finds schema name and version")
    if name != "prepared":
        bare = [f.name for f in schema if not (f.metadata or {}).get(b"voxstream.doc")]
        report(not bare, f"{name}: every column is documented {bare or ''}")
    return schema


def aggregates(name: str, schema: pa.Schema) -> str:
    """One row of numbers a table: counts, sums, extremes, distinct values."""
    parts = ["count(*)"]
    for field in schema:
        column = f'"{field.name}"'
        if pa.types.is_integer(field.type):
            parts += [f"sum({column})", f"min({column})", f"max({column})", f"count({column})"]
        elif pa.types.is_floating(field.type):
            parts += [f"avg({column})", f"min({column})", f"max({column})", f"count({column})"]
        elif pa.types.is_string(field.type):
            parts += [f"count(distinct {column})", f"count({column})"]
        elif is_volume(field.type):
            parts += [f"count({column})"]
    return f"select {', '.join(f'{part} as a{i}' for i, part in enumerate(parts))} from {name}"


GROUPED = {
    "metrics": "select name, split, count(*) as n, avg(value) as mean from metrics group by name, split order by name, split",
    "scores": "select split, modality, class, count(dice) as n, avg(dice) as mean, stddev(dice) as sd from scores "
              "group by split, modality, class order by split, modality, class",
    "edges": "select node, busy_seconds + starved_seconds + blocked_seconds as total from edges order by node",
    "subjects": "select split, labelled, count(*) as n, avg(spacing_x_mm) as x from subjects group by split, labelled order by split, labelled",
    "failures": "select stage, count(*) as n from failures group by stage order by stage",
}


def ask_voxstream(binary: str, run: pathlib.Path, sql: str) -> list[list[str]]:
    done = subprocess.run([binary, "query", str(run), sql, "--format", "csv"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return list(csv.reader(io.StringIO(done.stdout)))[1:]


def same(ours: str, theirs: object) -> bool:
    if theirs is None:
        return ours == ""
    if isinstance(theirs, bool):
        return ours == str(theirs).lower()
    if isinstance(theirs, str):
        return ours == theirs
    if math.isnan(theirs):
        return ours.lower() == "nan"
    return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=1e-12)


def compare(binary: str, run: pathlib.Path, connection: duckdb.DuckDBPyConnection, sql: str, what: str) -> None:
    try:
        theirs = connection.execute(sql).fetchall()
        ours = ask_voxstream(binary, run, sql)
    except (RuntimeError, duckdb.Error) as error:
        report(False, f"{what}: the query failed: {error}")
        return
    good = len(ours) == len(theirs) and all(
        len(a) == len(b) and all(map(same, a, b)) for a, b in zip(ours, theirs))
    report(good, f"{what}: {len(theirs)} rows agree" if good else f"{what}: voxstream {ours}, DuckDB {theirs}")


def check_volumes(name: str, files: list[pathlib.Path], schema: pa.Schema) -> None:
    columns = [f.name for f in schema if is_volume(f.type)]
    if not columns:
        return
    decoded = 0
    for path in files:
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=1, columns=columns):
                for volume in (batch.to_pylist()[0][column] for column in columns):
                    if volume is not None:
                        read_volume.verify(volume)
                        decoded += 1
        except (ValueError, OSError, pa.ArrowException) as error:
            report(False, f"{path}: {error}")
    report(decoded > 0, f"{name}: {decoded} volumes decoded by NumPy with the right checksum")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, binary = pathlib.Path(sys.argv[1]), sys.argv[2]
    tables = files_of(run)
    if not tables:
        sys.exit(f"{run} holds no table")
    connection = duckdb.connect()
    for name, files in tables.items():
        schema = check_metadata(name, files[0])
        paths = ", ".join("'" + str(p).replace("'", "''") + "'" for p in files)
        connection.execute(f"create view {name} as select * from read_parquet([{paths}], hive_partitioning = false, union_by_name = true)")
        rows = sum(pq.ParquetFile(p).metadata.num_rows for p in files)
        counted = connection.execute(f"select count(*) from {name}").fetchone()[0]
        report(rows == counted, f"{name}: {rows} rows in {len(files)} files by pyarrow, {counted} by DuckDB")
        compare(binary, run, connection, aggregates(name, schema), f"{name}: aggregates of every column")
        if name in GROUPED:
            compare(binary, run, connection, GROUPED[name], f"{name}: groups")
        check_volumes(name, files, schema)
    print(f"{len(failures)} differences" if failures else "no difference")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
