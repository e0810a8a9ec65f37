"""Reference values of surface figures, from surface-distance, MedPy and MONAI.

Run from the repository root with `pip install surface-distance medpy monai torch`:
`python tests/reference/surface.py`. It rewrites surface.json, which
`src/metric/surface/tests.rs` compares with. Arrays are indexed [z, y, x].
"""

import json
import pathlib

import numpy as np
import torch
from medpy.metric import binary
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

# surface-distance 0.1 was written for older NumPy and SciPy.
np.Inf = np.inf
if not hasattr(ndimage, "filters"):
    ndimage.filters = ndimage
if not hasattr(ndimage, "morphology"):
    ndimage.morphology = ndimage
import surface_distance  # noqa: E402
from surface_distance import lookup_tables  # noqa: E402

SHAPE_XYZ = (23, 19, 17)
TOLERANCES = [0.5, 1.0, 2.5]


def speckle(shape_xyz, per_mille, first):
    i = np.arange(np.prod(shape_xyz), dtype=np.uint64) + first
    h = i * 2654435761 % 2**32
    h ^= h >> 15
    h = h * 2246822519 % 2**32
    h ^= h >> 13
    return (h % 1000 < per_mille).reshape(shape_xyz[::-1])


def labels(shift, first):
    """Nested ellipsoids, and specks around them: whole numbers alone, the same on both sides."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in SHAPE_XYZ[::-1]], indexing="ij")
    dx, dy, dz = x - 11 - shift[0], y - 9 - shift[1], z - 8 - shift[2]
    d = 4 * dx * dx + 5 * dy * dy + 9 * dz * dz
    noise = speckle(SHAPE_XYZ, 60, first)
    out = np.where((d < 80) ^ (noise & (d < 120)), 2, np.where(d < 300, 1, 0))
    out[(d > 420) & noise] = 3
    return out


def areas():
    """Area of each case in the bit order of ours: bit 4 x + 2 z + y."""
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area((3.0, 1.3, 0.7))
    out = []
    for case in range(256):
        code = 0
        for bit in range(8):
            x, y, z = bit >> 2, bit & 1, bit >> 1 & 1
            if case >> bit & 1:
                code += int(lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL[z, y, x])
        out.append(round(float(theirs[code]), 9))
    return out


def figures(truth, prediction, spacing_xyz):
    spacing = spacing_xyz[::-1]
    found = surface_distance.compute_surface_distances(truth, prediction, spacing)
    one_hot = [torch.from_numpy(m[None, None].astype(np.float32)) for m in (prediction, truth)]
    monai = {"include_background": True, "spacing": list(spacing)}
    return {
        "hd95": surface_distance.compute_robust_hausdorff(found, 95),
        "means": list(surface_distance.compute_average_surface_distance(found)),
        "nsd": [surface_distance.compute_surface_dice_at_tolerance(found, t) for t in TOLERANCES],
        "medpy_hd95": binary.hd95(prediction, truth, spacing),
        "medpy_assd": binary.assd(prediction, truth, spacing),
        "monai_hd95": compute_hausdorff_distance(*one_hot, percentile=95, **monai).item(),
        "monai_assd": compute_average_surface_distance(*one_hot, symmetric=True, **monai).item(),
    }


if __name__ == "__main__":
    truth, prediction = labels((0, 0, 0), 0), labels((1, -1, 1), 7919)
    cases = []
    for spacing in [(1.0, 1.0, 1.0), (0.7, 1.3, 3.0)]:
        for label in (1, 2, 3):
            values = figures(truth == label, prediction == label, spacing)
            values = {k: [float(u) for u in v] if isinstance(v, list) else float(v) for k, v in values.items()}
            cases.append({"spacing_mm": list(spacing), "class": label, **values})
    voxels = {"truth": np.bincount(truth.ravel()).tolist(), "prediction": np.bincount(prediction.ravel()).tolist()}
    reference = {"tolerances_mm": TOLERANCES, "voxels": voxels, "areas_mm2": areas(), "cases": cases}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
