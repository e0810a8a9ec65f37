#!/usr/bin/env python3
"""How do I read a label map or a prepared image of a run into NumPy?

    python read_volume.py RUN/predictions/best/SUBJECT.parquet [COLUMN] [ROW]

prints subject, shape, spacing and the count of every class, such as

    subject-07 label: u8 (35, 51, 34) z, y, x; spacing 1.00 1.00 1.00 mm (x, y, z)
    class 0: 58210 voxels

Needs pyarrow and numpy. With the package `blake3` installed, the checksum is verified.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DTYPES = {"u8": "u1", "i8": "i1", "u16": "<u2", "i16": "<i2", "u32": "<u4", "i32": "<i4",
          "u64": "<u8", "i64": "<i8", "f16": "<f2", "f32": "<f4", "f64": "<f8"}


def decode(volume: dict) -> np.ndarray:
    """Voxels [z, y, x] as stored: codec `zstd1`, or `shuffleN+zstd1` with N byte planes."""
    dtype = np.dtype(DTYPES[volume["dtype"]])
    planes = pa.decompress(volume["voxels"], dtype.itemsize * int(np.prod(volume["shape"])), "zstd")
    return np.frombuffer(planes, "u1").reshape(dtype.itemsize, -1).T.copy().view(dtype).reshape(volume["shape"])


def values(volume: dict) -> np.ndarray:
    """Voxels [z, y, x] as real values."""
    return decode(volume) * volume["slope"] + volume["intercept"]


def affine(volume: dict) -> np.ndarray:
    """4x4 matrix: world x, y, z in mm (RAS+) from voxel x, y, z."""
    return np.vstack([np.reshape(volume["affine"], (3, 4)), [0, 0, 0, 1]])


def verify(volume: dict) -> None:
    """Raises ValueError where the decoded bytes are not those that were written."""
    import blake3

    found = blake3.blake3(decode(volume).tobytes()).hexdigest()
    if found != volume["blake3"]:
        raise ValueError(f"checksum {found}, expected {volume['blake3']}")


def main() -> None:
    path, column, row = (sys.argv[1:] + ["label", "0"][len(sys.argv) - 2:])[:3]
    table = pq.read_table(path, columns=["subject_id", column], partitioning=None).slice(int(row), 1).to_pylist()[0]
    volume = table[column]
    if volume is None:
        sys.exit(f"{column} of {table['subject_id']} is missing in this row")
    try:
        verify(volume)
    except ModuleNotFoundError:
        print("checksum not verified: the package blake3 is not installed", file=sys.stderr)
    voxels = decode(volume)
    spacing = np.linalg.norm(affine(volume)[:3, :3], axis=0)
    print(f"{table['subject_id']} {column}: {volume['dtype']} {voxels.shape} z, y, x; "
          f"spacing {' '.join(f'{s:.2f}' for s in spacing)} mm (x, y, z)")
    if voxels.dtype == np.uint8:
        for value, count in zip(*np.unique(voxels, return_counts=True)):
            print(f"class {value}: {count} voxels")
    else:
        real = values(volume)
        print(f"values {real.min():.4g} to {real.max():.4g}, mean {real.mean():.4g}")


if __name__ == "__main__":
    main()
