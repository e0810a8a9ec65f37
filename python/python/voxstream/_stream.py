"""Batches of a pipeline, for a training loop."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping

from . import _voxstream
from ._run import PathLike, assignments, size

if TYPE_CHECKING:
    import numpy
    import pyarrow


@dataclass(frozen=True)
class Tensors:
    """One view of a batch of n samples as tensors of PyTorch, or arrays of NumPy."""

    image: Any
    """Intensities, float32 [n, c, z, y, x]; channels in the order of `modalities`."""
    label: Any
    """Class numbers [n, l, z, y, x], uint8, or int64 where some are stored larger; None if no row has any. One
    label map for all modalities is l = 1."""
    present: Any
    """Which modalities are there, bool [n, c]."""
    ids: list[str]
    """Ids of the subjects."""
    modalities: list[str]
    """Names of the channels."""


class Batch:
    """Samples of a stream, each in one or several views.

    A training sample has a `weak` view and at least one strong one (`strong`, or `strong.NAME`); a prepared
    subject has one view, without a name. Views stand on the same grid: what is where in one is there in all.
    """

    __slots__ = ("_batch",)

    def __init__(self, batch: Any):
        self._batch = batch

    def __len__(self) -> int:
        return len(self._batch)

    @property
    def views(self) -> list[str]:
        """Names of the views."""
        return self._batch.views

    @property
    def ids(self) -> list[str]:
        """Ids of the subjects."""
        return [row["subject"] for row in self.rows()]

    @property
    def modalities(self) -> list[str]:
        """Names of the image channels, present or not."""
        return self._batch.channels()[0]

    @property
    def label_names(self) -> list[str]:
        """Names of the label channels: modalities, or one empty name for one label map for all."""
        return self._batch.channels()[1]

    @property
    def position(self) -> tuple[int, int]:
        """Where the stream stood behind this batch: `stream(..., start=position)` goes on from here."""
        return self._batch.position

    def rows(self, view: str | None = None) -> list[dict[str, Any]]:
        """What is known of each row of a view: dicts of `subject`, `split`, `epoch`, `sample`, `draws` and `affines`.

        `draws` lists what was drawn, dicts of `stage` (its path in the file) and `draw`. `affines` has 16 numbers
        for each volume (`image.ct`, `label`), row by row: world x, y, z in mm (RAS+) from voxel x, y, z.
        """
        return self._batch.rows(self._view(view))

    def draws(self, view: str | None = None) -> list[list[dict[str, Any]]]:
        """What was drawn for each row of a view."""
        return [row["draws"] for row in self.rows(view)]

    def to_torch(self, view: str | None = None, *, missing: float | None = None, ignore: int | None = None) -> Tensors:
        """A view (default: the first) as tensors of PyTorch on the CPU.

        One row of one modality is not copied: the tensor is the memory that the library computed it into, by
        DLPack. Several are laid side by side once, without the GIL. Tensors may be written to; views that no step
        of their own has changed share memory, so write to a clone where you use both.

        missing: value of the voxels of modalities that a row lacks; without it a missing one is a ValueError.
        ignore: the same for label maps where other rows have one, such as 255.
        """
        import torch

        return self._tensors(view, missing, ignore, torch.from_dlpack, lambda p: torch.tensor(p, dtype=torch.bool))

    def to_numpy(self, view: str | None = None, *, missing: float | None = None, ignore: int | None = None) -> Tensors:
        """A view as arrays of NumPy; as `to_torch`. Before NumPy 2.1 they are read-only."""
        import numpy as np

        return self._tensors(view, missing, ignore, np.from_dlpack, lambda p: np.array(p, dtype=bool))

    def to_arrow(self) -> pyarrow.Table:
        """Every view of every row as a pyarrow.Table, one chunk a row; voxels are not copied.

        Columns are those of rows: `subject_id`, `split`, `epoch`, `sample`, `view`, `draws` (JSON), … and a struct for
        each volume (`image.ct`, `label`) of voxels, dtype, shape (z, y, x), affine, slope and intercept.
        `voxstream.volume` reads such a struct.
        """
        import pyarrow as pa

        return pa.table(self)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._batch.__arrow_c_stream__(requested_schema)

    def _view(self, view: str | None) -> str:
        return self.views[0] if view is None else view

    def _tensors(
        self,
        view: str | None,
        missing: float | None,
        ignore: int | None,
        of: Callable[[Any], Any],
        flags: Callable[[list[list[bool]]], Any],
    ) -> Tensors:
        image, present, label = self._batch.tensors(self._view(view), missing, ignore)
        return Tensors(
            image=of(image),
            label=None if label is None else of(label),
            present=flags(present),
            ids=self.ids,
            modalities=self.modalities,
        )

    def __repr__(self) -> str:
        return f"<voxstream.Batch of {len(self)}: {', '.join(self.ids)}>"


class Stream:
    """An iterator over batches. Threads of the library make them ahead, within the stream's budget.

    Closing it, or leaving its `with` block, ends the threads behind the subjects they are at.
    """

    def __init__(self, stream: Any, start: tuple[int, int]):
        self._stream = stream
        self._position = start

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Batch:
        batch = Batch(next(self._stream))
        self._position = batch.position
        return batch

    @property
    def position(self) -> tuple[int, int]:
        """Where the next batch comes from: keep it in your checkpoint and pass it as `start` to go on."""
        return self._position

    @property
    def failures(self) -> list[dict[str, str]]:
        """Subjects that failed so far: dicts of `subject`, `stage` and `cause`."""
        return self._stream.failures

    def close(self) -> None:
        """Ends the stream."""
        self._stream.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def stream(
    path: PathLike,
    *,
    epochs: int | None = 1,
    workers: int | None = None,
    batch: int = 1,
    set: Mapping[str, Any] | None = None,
    split: str = "train",
    labelled: bool | None = True,
    drop_last: bool = False,
    memory: int | str | None = None,
    limit: int | None = None,
    start: tuple[int, int] = (0, 0),
) -> Stream:
    """Opens a pipeline and streams its samples.

    Training subjects come in the views of the file, the very voxels that `run` would train on; subjects of
    `split="validation"` and `"test"`, and all of a pipeline without `views` or `train`, come whole, as they leave `stages`. The
    order and every draw follow from the file's seed, whatever the number of workers and wherever the stream begins.

    epochs: passes over the subjects, each with draws of its own, counted from the first wherever `start` is; None streams
        without end.
    workers: threads that make samples; default one a core.
    batch: rows of a batch; the last batch may have fewer unless `drop_last`.
    set: values to change, by their path: `{"seed": 7}`.
    labelled: True for the training subjects with labels, False for those without, None for both.
    memory: budget for volumes in flight and kept, in bytes or as "8GiB"; default the file's, else half of the
        machine's memory.
    limit: at most so many subjects.
    start: where to begin, as `Stream.position` told it.

    A subject that fails is logged, left out and listed in `failures`. Raises PipelineError for mistakes in the file,
    and Error if there is no subject, or none of a whole epoch can be used. Not for worker processes of a DataLoader:
    the stream has threads, and a process forked from this one would not have them.
    """
    opened = _voxstream.stream(
        os.fspath(path),
        assignments(set),
        split,
        labelled,
        epochs,
        batch,
        drop_last,
        workers,
        size(memory),
        limit,
        start,
    )
    return Stream(opened, start)
