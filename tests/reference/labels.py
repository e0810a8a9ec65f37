"""Reference values of connected components and distances, from SciPy.

Run from the repository root: `python tests/reference/labels.py`. It rewrites labels.json, which
`src/kernel/components/tests.rs` and `src/kernel/distance/tests.rs` compare with. Arrays are
indexed [z, y, x], as the kernels' slices are.
"""

import json
import pathlib

import numpy as np
from scipy import ndimage

SHAPE_XYZ = (23, 19, 17)


def speckle(shape_xyz, per_mille):
    """A mask that both sides build from the formula alone."""
    i = np.arange(np.prod(shape_xyz), dtype=np.uint64)
    h = i * 2654435761 % 2**32
    h ^= h >> 15
    h = h * 2246822519 % 2**32
    h ^= h >> 13
    return (h % 1000 < per_mille).reshape(shape_xyz[::-1])


def components():
    out = []
    for order, neighbours in [(1, 6), (2, 18), (3, 26)]:
        mask = speckle(SHAPE_XYZ, 430)
        structure = ndimage.generate_binary_structure(3, order)
        labels, _ = ndimage.label(mask, structure)
        out.append({"neighbours": neighbours, "sizes": np.bincount(labels.ravel())[1:].tolist()})
    return out


def distances():
    out = []
    for per_mille, spacing_xyz in [(2, (1.0, 1.0, 1.0)), (2, (0.7, 1.3, 3.0)), (60, (2.5, 0.4, 0.9))]:
        mask = speckle(SHAPE_XYZ, per_mille)
        found = ndimage.distance_transform_edt(~mask, sampling=spacing_xyz[::-1]).ravel()
        index = np.unique(np.linspace(0, found.size - 1, 60).astype(int))
        out.append({
            "per_mille": per_mille, "spacing_mm": list(spacing_xyz), "mean": float(found.mean()),
            "max": float(found.max()), "index": index.tolist(), "values": [round(float(found[i]), 9) for i in index],
        })
    return out


if __name__ == "__main__":
    reference = {"components": components(), "distances": distances()}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
