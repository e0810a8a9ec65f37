"""Reference values of the kernels of intensity stages, from SciPy and NumPy.

Run from the repository root: `python tests/reference/intensity.py`. It rewrites intensity.json,
which the tests in `src/kernel/` compare with. Arrays are [z, y, x] here; shapes and sigmas in the
file are x, y, z.
"""

import json
import pathlib

import numpy as np
from scipy import ndimage


def field(shape_xyz):
    """Integers below 101, so that both sides build the same volume from the formula alone."""
    z, y, x = np.meshgrid(*map(np.arange, shape_xyz[::-1]), indexing="ij")
    return ((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101).astype(float)


def digest(array, count=32):
    flat = np.asarray(array, dtype=float).ravel()
    index = np.unique(np.linspace(0, flat.size - 1, count).astype(int))
    return {"index": index.tolist(), "values": [round(float(flat[i]), 7) for i in index]}


def gaussian():
    out = []
    for shape, sigma, cut in [
        ((11, 9, 7), (0.5, 1.0, 0.8), 3.0),
        ((11, 9, 7), (1.7, 0.0, 2.2), 4.0),
        ((4, 6, 3), (3.0, 2.5, 4.0), 4.0),
        ((20, 1, 5), (0.6, 2.0, 0.9), 6.0),
    ]:
        smooth = ndimage.gaussian_filter(field(shape), sigma[::-1], mode="reflect", truncate=cut)
        out.append({"shape": shape, "sigma": sigma, "cut": cut, **digest(smooth)})
    return out


def median():
    out = []
    for shape, size in [((11, 9, 7), 3), ((5, 1, 4), 3), ((9, 8, 7), 5), ((2, 3, 6), 5)]:
        out.append({"shape": shape, "size": size, **digest(ndimage.median_filter(field(shape), size, mode="reflect"))})
    return out


def percentile():
    values = (field((11, 9, 7)) - 50) * 0.37
    percents = [0, 0.5, 1, 10, 33.3, 50, 75, 99, 99.5, 100]
    return {"percents": percents, "values": np.percentile(values.astype(np.float32).astype(float), percents).tolist()}


if __name__ == "__main__":
    reference = {"gaussian": gaussian(), "median": median(), "percentile": percentile()}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
