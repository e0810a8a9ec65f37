"""Reference values of the spatial stages, from nibabel, SciPy and NumPy.

Run from the repository root: `python tests/reference/spatial.py`. It rewrites spatial.json, which
`src/stage/spatial/tests.rs` compares with. Arrays here are indexed [x, y, z], as nibabel does.

Shapes and origins of resampled grids follow MONAI 1.5 `monai.data.utils.compute_shape_offset`
with `scale_extent=False` (written out below), values `scipy.ndimage.map_coordinates`.
"""

import json
import pathlib

import nibabel as nib
import numpy as np
from nibabel import orientations as ori
from scipy import ndimage

SHAPE = (11, 9, 7)
SMALL = (8, 10, 6)


def field(shape):
    """Integers below 101, so that both sides build the same volume from the formula alone."""
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return (7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101


def labels(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return ((x // 3 + 2 * (y // 4) + z // 2) % 5).astype(np.uint8)


def rotation(a, b, c):
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    rz = np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
    ry = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    rx = np.array([[1, 0, 0], [0, cc, -sc], [0, sc, cc]])
    return rz @ ry @ rx


def affine(spacing, origin, turn=(0.0, 0.0, 0.0)):
    out = np.eye(4)
    out[:3, :3] = rotation(*turn) @ np.diag(spacing)
    out[:3, 3] = origin
    return out


def rows(a):
    return np.asarray(a)[:3].tolist()


def digest(array, count=48):
    """Shape, mean and some voxels of an array, in memory order with x fastest."""
    flat = np.asarray(array, dtype=float).ravel(order="F")
    index = np.unique(np.linspace(0, flat.size - 1, count).astype(int))
    return {
        "shape": list(array.shape),
        "mean": float(flat.mean()),
        "index": index.tolist(),
        "values": [round(float(flat[i]), 9) for i in index],
    }


def orient():
    out = []
    for turn, code in [((0.1, -0.2, 0.15), "RAS"), ((0.1, -0.2, 0.15), "PIR"), ((1.4, 0.1, 3.0), "LPS"), ((-1.5, 0.2, 0.1), "SAL")]:
        source = affine((1.2, -0.8, 2.5), (-20, 13.5, 7), turn)
        image = nib.Nifti1Image(field(SHAPE).astype(np.int16), source)
        transform = ori.ornt_transform(ori.io_orientation(source), ori.axcodes2ornt(code))
        turned = image.as_reoriented(transform)
        out.append({"to": code, "affine": rows(source), "expected_affine": rows(turned.affine),
                    "before": "".join(nib.aff2axcodes(source)), **digest(np.asarray(turned.dataobj))})
    return out


def respaced(shape, a, spacing):
    """MONAI's grid: direction and first voxel kept, round((n - 1) * old / new + 1) voxels."""
    old = np.linalg.norm(a[:3, :3], axis=0)
    new = a.copy()
    new[:3, :3] = a[:3, :3] * (np.asarray(spacing) / old)
    corners = np.array(np.meshgrid(*[(0.0, n - 1.0) for n in shape], indexing="ij")).reshape(3, -1)
    corners = np.concatenate((corners, np.ones_like(corners[:1])))
    there = (np.linalg.solve(new, a) @ corners)[:3]
    return tuple(np.round(np.ptp(there, axis=1) + 1.0).astype(int)), new


def sample(values, a, shape, target, order):
    """Edge value within half a voxel of the coarser grid, beyond it the minimum (labels: 0)."""
    back = np.linalg.inv(a) @ target
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    at = back[:3, :3] @ index + back[:3, 3:]
    if order == 1:
        out = ndimage.map_coordinates(values.astype(float), at, order=1, mode="nearest")
        fill = values.min()
    else:
        i = [np.clip(np.floor(p + 0.5 + 1e-6).astype(int), 0, n - 1) for p, n in zip(at, values.shape)]
        out, fill = values[tuple(i)], 0
    reach = 0.5 * np.maximum(1.0, np.linalg.norm(back[:3, :3], axis=1)) + 1e-6
    last = np.array(values.shape) - 1
    outside = ((at < -reach[:, None]) | (at > (last + reach)[:, None])).any(axis=0)
    return np.where(outside, fill, out).reshape(shape)


def resample():
    out = []
    first = affine((-1.2, 0.8, 2.5), (12.0, -9.0, 4.0))
    oblique = affine((-1.2, 0.8, 2.5), (12.0, -9.0, 4.0), (0.3, -0.2, 0.1))
    other = affine((1.1, 1.0, 1.9), (-1.0, -10.0, 2.0), (0.15, 0.05, -0.2))
    for name, reference in [("axis", first), ("oblique", oblique)]:
        for spacing in [(1.5, 1.5, 1.0), (0.6, 0.8, 5.0), (2.9, 0.3, 2.5)]:
            shape, target = respaced(SHAPE, reference, spacing)
            out.append({
                "name": name, "spacing_mm": list(spacing), "affine": rows(reference), "other_affine": rows(other),
                "expected_affine": rows(target),
                "first": digest(sample(field(SHAPE), reference, shape, target, 1)),
                "other": digest(sample(field(SMALL), other, shape, target, 1)),
                "labels": digest(sample(labels(SMALL), other, shape, target, 0)),
            })
    return out


def crop():
    out = []
    for above, margin in [(94.0, 0.0), (99.5, 1.7)]:
        values, spacing = field(SHAPE), np.array((1.2, 0.8, 2.5))
        keep = np.argwhere((values > above) & (labels(SHAPE) == 1))
        masked = np.where(labels(SHAPE) == 1, values, 0)
        grow = np.ceil(margin / spacing).astype(int)
        low = np.maximum(keep.min(axis=0) - grow, 0)
        high = np.minimum(keep.max(axis=0) + 1 + grow, SHAPE)
        cut = masked[tuple(slice(a, b) for a, b in zip(low, high))]
        out.append({"above": above, "margin_mm": margin, "offset": low.tolist(), **digest(cut)})
    return out


def pad():
    values = field(SHAPE) - 50
    widths = [(0, 0), (3, 4), (4, 5)]
    padded = np.pad(values, widths, constant_values=values.min())
    return {"size": [4, 16, 16], "expected_offset": [-w[0] for w in widths], **digest(padded)}


def turns():
    cube = field((6, 6, 6))
    planes = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}
    quarter = [{"plane": name, "turns": k, **digest(np.rot90(cube, k, axes))} for name, axes in planes.items() for k in (1, 2, 3)]
    flips = [{"axes": [a for a in range(3) if bits >> a & 1], **digest(np.flip(field(SHAPE), [a for a in range(3) if bits >> a & 1]))} for bits in range(1, 8)]
    return {"rot90": quarter, "flip": flips}


if __name__ == "__main__":
    reference = {"orient": orient(), "resample": resample(), "crop": crop(), "pad": pad(), **turns()}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
