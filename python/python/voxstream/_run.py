"""Checking and running pipelines, and reading the tables of a run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence, Union

from . import _voxstream

if TYPE_CHECKING:
    import pyarrow

PathLike = Union[str, "os.PathLike[str]"]


def assignments(set: Mapping[str, Any] | None) -> list[str]:
    """Overrides as the command line writes them; a JSON value is a YAML value."""
    return [f"{path}={json.dumps(value, default=str)}" for path, value in (set or {}).items()]


def size(memory: int | str | None) -> str | None:
    """A size in bytes, or a text such as "8GiB", as text."""
    return None if memory is None else str(memory)


def check(path: PathLike, *, set: Mapping[str, Any] | None = None, data: bool = False) -> list[dict[str, Any]]:
    """Checks a pipeline file; returns everything there is to say, an empty list if it is right.

    Nothing is raised for mistakes of the file: each is a dict of `file`, `line`, `column`, `end_line`,
    `end_column` (from 1, columns in characters; None for the file as a whole), `level` ("error", "warning",
    "note"), `message` and `help` (what to do, or None).

    set: values to change, by their path: `{"train.steps": 100}`.
    data: also opens the cohort and looks at every header: files, grids, whether modalities are registered.
    """
    return _voxstream.check(os.fspath(path), assignments(set), data)


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    """The run folder."""
    failures: list[dict[str, str]] = field(repr=False)
    """Subjects that failed: dicts of `subject`, `stage` and `cause`."""

    def read(self, table: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """As `voxstream.read`."""
        return read(self, table, columns)

    def query(self, sql: str) -> pyarrow.Table:
        """As `voxstream.query`."""
        return query(self, sql)

    def __fspath__(self) -> str:
        return os.fspath(self.folder)


def run(
    path: PathLike,
    *,
    set: Mapping[str, Any] | None = None,
    out: PathLike | None = None,
    device: str = "auto",
    workers: int | None = None,
    memory: int | str | None = None,
    limit: int | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Run:
    """Runs a pipeline: prepares, trains, predicts, scores; returns when its folder is closed.

    set: values to change, by their path: `{"train.steps": 100}`.
    out: the run folder, which must be new unless `resume`; default `runs/NAME/STAMP`.
    device: "auto", "cpu" or "cuda".
    workers: threads; default one a core.
    memory: budget for volumes in flight and kept, in bytes or as "8GiB"; default the file's, else half of the
        machine's memory.
    limit: at most so many subjects of each part: a quick try.
    resume: go on with an earlier run.
    progress: draw progress bars on stderr.

    Raises PipelineError for mistakes in the file and Error for anything else; subjects that fail are in
    `failures` and the run goes on. Ctrl-C ends the run behind the step it is in, with what is complete kept for
    `resume`; a second Ctrl-C returns at once. One run at a time in a process.
    """
    out = None if out is None else os.fspath(out)
    folder, failures = _voxstream.run(
        os.fspath(path), assignments(set), out, device, workers, size(memory), limit, resume, progress
    )
    return Run(Path(folder), failures)


def query(run: Run | PathLike, sql: str) -> pyarrow.Table:
    """The answer to a SQL statement that reads; every table of the run folder is a table of that name.

    Raises Error with the reason and the tables there are.
    """
    import pyarrow as pa

    return pa.table(_voxstream.query(os.fspath(run), sql))


def read(run: Run | PathLike, table: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """A table of a run folder: `subjects`, `metrics`, `scores`, `edges`, `failures`, `warnings`, `predictions`, ….

    Units and meanings of the columns are in the metadata of the table's fields. Volumes are stored compressed:
    `voxstream.volume` decodes one; name `columns` to leave them unread.

    Raises Error if the run wrote no such table, with those there are.
    """
    found, known = _voxstream.tables(os.fspath(run))
    if table not in found:
        why = "this run did not write it" if table in known else "there is no such table"
        raise _voxstream.Error(f"{os.fspath(run)}: {table}: {why}; tables here: {', '.join(found)}")

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    chosen = "*" if columns is None else ", ".join(quoted(c) for c in columns)
    return query(run, f"select {chosen} from {'.'.join(quoted(part) for part in table.split('.'))}")
