"""Streaming data pipelines for registered multimodal medical volumes.

One YAML file says where the subjects are, which stages they flow through and which views a network sees.
This package checks such a file, runs it, and streams what it makes into a training loop of yours:

    import voxstream

    voxstream.check("pipeline.yaml")                      # every mistake, with line and column
    for batch in voxstream.stream("pipeline.yaml", epochs=10, batch=2):
        t = batch.to_torch()                              # t.image [n, c, z, y, x], t.label [n, l, z, y, x]
    run = voxstream.run("pipeline.yaml", set={"train.steps": 100})
    scores = voxstream.read(run, "scores")                # a pyarrow.Table
    mask = voxstream.volume(voxstream.read(run, "predictions").slice(0, 1), "label")

Work is done by threads of the library, without the GIL: no worker processes, nothing is pickled, and the same
seed gives the same voxels for any number of workers. Ctrl-C stops every call. What happens on the way (a
subject that cannot be read, say) is logged to `logging.getLogger("voxstream")`.

Axes: tensors and arrays are [z, y, x], x fastest; affines lead from voxel x, y, z to world x, y, z in mm, RAS+,
as NIfTI has it. `volume.voxels.T` has nibabel's order.
"""

import os as _os

# Lets helper threads of the CPU trainer sleep soon after an operator instead of spinning; read at first use.
_os.environ.setdefault("CANDLE_BARRIER_POOL_SPIN_LIMIT", "1000")

from ._run import Run, check, query, read, run
from ._stream import Batch, Stream, Tensors, stream
from ._volume import Volume, volume
from ._voxstream import Error, InternalError, PipelineError, __version__

__all__ = [
    "Batch",
    "Error",
    "InternalError",
    "PipelineError",
    "Run",
    "Stream",
    "Tensors",
    "Volume",
    "__version__",
    "check",
    "query",
    "read",
    "run",
    "stream",
    "volume",
]
