"""Reference values of resampling through a filter, from SciPy and SimpleITK.

Run from the repository root: `python tests/reference/filtered.py`. It rewrites filtered.json, which
`src/kernel/sample/filtered/tests.rs` and `src/stage/spatial/tests/small_structures.rs` compare
with. The versions that made the numbers are written into the file. Arrays are indexed [x, y, z].

- `maps`: `scipy.ndimage.gaussian_filter` (mode reflect, truncate 4), then `map_coordinates` of
  order 1, or of order 1 within slices and the nearest slice along one axis (what nnU-Net v2.8
  `resample_data_or_seg` does with `do_separate_z` and `order_z=0`); labels one class at a time.
- `torchio`: the two SimpleITK filters that TorchIO 1.2.1 `Resample(antialias=True)` calls
  (`SmoothingRecursiveGaussian` with `_get_sigmas`, then `Resample`), without TorchIO around them.
  Its Gaussian is a recursive approximation, which the tolerance of the test allows for.

MONAI 1.6.1 has no antialiasing in `Spacing`; `Resize` smooths by (k - 1) / 2 voxels, another filter.
"""

import json
import pathlib

import numpy as np
import scipy
import SimpleITK as sitk
from scipy import ndimage

SHAPE = (17, 14, 12)


def field(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return ((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101).astype(float)


def labels(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return ((x // 3 + 2 * (y // 4) + z // 2) % 5).astype(np.uint8)


def sigmas(matrix):
    """Cardoso et al., MICCAI 2015, as TorchIO writes it."""
    k = np.linalg.norm(matrix[:, :3], axis=1)
    return np.where(k > 1.001, np.sqrt(np.maximum(k**2 - 1, 0)) / (2 * np.sqrt(2 * np.log(2))), 0)


def sampled(values, at, separate):
    if separate is not None:
        at = at.copy()
        at[separate] = np.floor(at[separate] + 0.5)
    return ndimage.map_coordinates(values, at, order=1, mode="nearest")


def smoothed(values, sigma):
    return ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=4.0)


def case(name, matrix, shape, separate=None):
    matrix = np.array(matrix, dtype=float)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    at = matrix[:, :3] @ index + matrix[:, 3:]
    assert (at >= -0.5).all() and (at <= np.array(SHAPE)[:, None] - 0.5).all(), name
    sigma = sigmas(matrix)
    if separate is not None:
        sigma[separate] = 0
    image = sampled(smoothed(field(SHAPE), sigma), at, separate)
    classes = labels(SHAPE)
    shares = np.stack(
        [sampled(smoothed((classes == c).astype(float), sigma), at, separate) for c in range(5)]
    )
    near = np.clip(np.floor(at + 0.5).astype(int), 0, np.array(SHAPE)[:, None] - 1)
    near = classes[tuple(near)]
    best = shares.max(axis=0)
    ties = shares[near, np.arange(near.size)] >= best - 1e-6
    voted = np.where(ties, near, (shares >= best - 1e-6).argmax(axis=0))
    # A share within rounding of a tie is decided by rounding: its voxel is not compared.
    second = np.sort(shares, axis=0)[-2]
    firm = (np.abs(best - second) > 1e-5) | (best - second < 1e-9)
    order = lambda a: a.reshape(shape).ravel(order="F")
    pick = np.unique(np.linspace(0, near.size - 1, 60).astype(int))
    return {
        "name": name,
        "matrix": matrix.tolist(),
        "shape": list(shape),
        "separate": separate,
        "sigma": [round(float(s), 9) for s in sigma],
        "index": pick.tolist(),
        "image": [round(float(v), 6) for v in order(image)[pick]],
        "labels": [int(v) for v in order(voted)[pick]],
        "firm": [bool(v) for v in order(firm)[pick]],
    }


def blob(shape, spacing):
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing)), indexing="ij")
    near = lambda a, b, c, r: np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * r**2))
    return 100 * near(15, 16, 17, 2.0) + 40 * near(22, 14, 12, 4.0) + x + 0.5 * z


def torchio():
    shape, old, new = (36, 33, 24), (1.0, 1.0, 1.5), (3.0, 1.0, 4.0)
    image = sitk.GetImageFromArray(blob(shape, old).transpose(2, 1, 0))
    image.SetSpacing(old)
    k = np.array(new) / np.array(old)
    with np.errstate(invalid="ignore"):
        sigma = np.array(old) * np.sqrt((k**2 - 1) * (2 * np.sqrt(2 * np.log(2))) ** (-2))
    sigma[(np.isnan(sigma)) | (sigma == 0)] = 1e-9
    gaussian = sitk.SmoothingRecursiveGaussianImageFilter()
    gaussian.SetSigma(sigma.tolist())
    size = [int(np.round((n - 1) * o / w + 1)) for n, o, w in zip(shape, old, new)]
    out = sitk.Resample(
        gaussian.Execute(image), size, sitk.Transform(), sitk.sitkLinear, (0, 0, 0), new
    )
    values = sitk.GetArrayFromImage(out).transpose(2, 1, 0)
    inner = [(3, 10, 2), (5, 16, 4), (4, 17, 4), (6, 15, 4), (7, 14, 3), (5, 20, 5), (6, 12, 3)]
    return {
        "shape": list(shape),
        "old_mm": old,
        "new_mm": new,
        "size": size,
        "voxels": inner,
        "values": [round(float(values[v]), 5) for v in inner],
    }


s, c = np.sin(0.3), np.cos(0.3)
CASES = [
    case("x and z coarser", [[3, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2.5, 0]], (6, 14, 5)),
    case("reversed, between voxels", [[-2.2, 0, 0, 15.7], [0, 0.6, 0, 1.3], [0, 0, 1.7, 0.25]], (7, 18, 7)),
    case("axes exchanged", [[0, 0, 2.1, 0.4], [3.3, 0, 0, 0.2], [0, 1.4, 0, 0.1]], (4, 8, 8)),
    case("coarser than the filter is long", [[7, 0, 0, 1], [0, 6, 0, 1], [0, 0, 5, 0.5]], (3, 3, 3)),
    case("nearest slice", [[2.2, 0, 0, 0.3], [0, 1.7, 0, 0.2], [0, 0, 0.37, 0.1]], (7, 8, 30), 2),
    case("turned", [[2 * c, -1.5 * s, 0, 3.4], [2 * s, 1.5 * c, 0, 0.2], [0, 0, 1.9, 0.3]], (6, 5, 6)),
]

if __name__ == "__main__":
    out = {
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "SimpleITK": sitk.__version__},
        "maps": CASES,
        "torchio": torchio(),
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
