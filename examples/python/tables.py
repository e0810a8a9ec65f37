"""How do I read the tables of a run with pandas and DuckDB, and a label map with NumPy?

    python tables.py [RUN]

Needs pandas and duckdb. Without a RUN a small phantom is trained for a few seconds into a temporary folder.
"""
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import voxstream


def train(folder):
    """A run of a few steps."""
    text = Path(__file__).with_name("phantom.yaml").read_text().replace("name: phantom", "name: tables")
    text += "train: { classes: [background, a, b], network: { unet3d: { width: 8, depth: 2 } }, steps: 20, batch: { labelled: 2 } }\n"
    path = Path(folder, "tables.yaml")
    path.write_text(text + "score: { splits: [validation, test] }\nsinks: { predictions: { parquet: true } }\n")
    return voxstream.run(path, out=Path(folder, "run"))


def show(run):
    scores = voxstream.read(run, "scores")
    print("units:", {f.name: f.metadata[b"voxstream.unit"].decode() for f in scores.schema if f.metadata and b"voxstream.unit" in f.metadata})
    # pandas
    frame = scores.to_pandas()
    print(frame.pivot_table(index="subject_id", columns="class", values="dice").round(3))
    # DuckDB finds a pyarrow table by the name of its variable, and reads the files of a run as they are.
    edges = voxstream.read(run, "edges")
    print(duckdb.sql("select node, rows, round(busy_seconds, 3) as busy from edges order by busy_seconds desc limit 5"))
    # NumPy: the prediction of the first subject.
    predictions = voxstream.read(run, "predictions")
    label = voxstream.volume(predictions.slice(0, 1), "label")
    classes, counts = np.unique(label.voxels, return_counts=True)
    ml = counts * np.prod(label.spacing) / 1000
    print(predictions["subject_id"][0], label.voxels.shape, {int(c): f"{v:.2f} ml" for c, v in zip(classes, ml)})


if len(sys.argv) > 1:
    show(sys.argv[1])
else:
    with tempfile.TemporaryDirectory() as folder:
        show(train(folder))
