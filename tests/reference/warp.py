"""Reference values of affine and elastic warps, from SciPy and NumPy.

Run from the repository root: `python tests/reference/warp.py`. It rewrites warp.json, which
`src/stage/spatial/tests/warps.rs` compares with. Arrays here are indexed [x, y, z].

Positions are computed from the definitions (world points, cubic B-spline basis), values by
`scipy.ndimage.map_coordinates`.
"""

import json
import pathlib

import numpy as np
from scipy import ndimage

SHAPE = (15, 13, 11)
CONTROL = (5, 4, 6)


def field(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return (7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101


def labels(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return ((x // 3 + 2 * (y // 4) + z // 2) % 5).astype(np.uint8)


def turn_x(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def turn_y(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def turn_z(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def homogeneous(linear, shift=(0, 0, 0)):
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = linear, shift
    return out


SPACING = np.array((1.1, 0.9, 1.7))
DIRECTIONS = turn_z(0.3) @ turn_x(-0.2) @ np.diag((-1.0, 1.0, 1.0))
GRID = homogeneous(DIRECTIONS @ np.diag(SPACING), (12.0, -9.0, 4.0))


def apply(matrix, points):
    return matrix[:3, :3] @ points + matrix[:3, 3:]


def indices():
    return np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).reshape(3, -1).astype(float)


def affine(rotation_deg, scale, shear_deg, shift_mm):
    """World after the step to world before it."""
    x, y, z = np.radians(rotation_deg)
    a, b, c = np.tan(np.radians(shear_deg))
    linear = turn_z(z) @ turn_y(y) @ turn_x(x) @ np.array([[1, a, b], [0, 1, c], [0, 0, 1]]) @ np.diag(scale)
    centre = apply(GRID, (np.array(SHAPE)[:, None] - 1) / 2)[:, 0]
    frame = homogeneous(DIRECTIONS, centre)
    return frame @ np.linalg.inv(homogeneous(linear, shift_mm)) @ np.linalg.inv(frame)


def displacement(size):
    """Vectors of the control points [x, y, z, component], from a formula both sides know."""
    i, j, k = np.meshgrid(*map(np.arange, CONTROL), indexing="ij")
    wave = lambda n: ((n % 17) / 8.0 - 1.0) * size
    return np.stack((wave(3 * i + 5 * j + 7 * k), wave(11 * i + 2 * j + 3 * k + 4), wave(5 * i + 9 * j + k + 8)), axis=-1)


CONTROL_FROM_WORLD = np.linalg.inv(homogeneous(turn_y(0.15) @ np.diag((5.0, 4.5, 6.5)), (-6.0, -10.0, 1.0)))


def spline(x):
    x = np.abs(x)
    return np.where(x < 1, (4 - 6 * x**2 + 3 * x**3) / 6, np.where(x < 2, (2 - x) ** 3 / 6, 0))


def bend(vectors, points):
    at = apply(CONTROL_FROM_WORLD, points)
    # Two copies of the edge on each side and everything further out at the edge.
    padded = np.pad(vectors, [(3, 3)] * 3 + [(0, 0)], mode="edge")
    limit = np.array(CONTROL)[:, None]
    at = np.clip(at, -1, limit)
    moved = points.copy()
    weights = [spline(at[a][:, None] - (np.arange(padded.shape[a]) - 3)) for a in range(3)]
    for c in range(3):
        moved[c] += np.einsum("pi,pj,pk,ijk->p", *weights, padded[..., c])
    return moved


def read(values, world, order, scale, fill):
    """Edge value within half a voxel of the coarser grid, beyond it `fill`."""
    at = apply(np.linalg.inv(GRID), world)
    last = np.array(SHAPE)[:, None] - 1
    reach = 0.5 * np.maximum(1.0, scale)[:, None] + 1e-6
    if order == 1:
        out = ndimage.map_coordinates(values.astype(float), at, order=1, mode="nearest")
    else:
        nearest = np.clip(np.floor(at + 0.5 + 1e-6).astype(int), 0, last)
        out = values[tuple(nearest)].astype(float)
    outside = ((at < -reach) | (at > last + reach)).any(axis=0)
    return np.where(outside, fill, out).reshape(SHAPE)


def digest(array, count=60):
    flat = np.asarray(array, dtype=float).ravel(order="F")
    index = np.unique(np.linspace(0, flat.size - 1, count).astype(int))
    return {"mean": float(flat.mean()), "index": index.tolist(), "values": [round(float(flat[i]), 9) for i in index]}


def case(name, draw, size, elastic_first):
    """`elastic_first`: anatomy is bent, then turned, so that the turn is the first map of positions."""
    world = apply(GRID, indices())
    turn = affine(*draw) if draw else np.eye(4)
    maps = [lambda p: apply(turn, p)]
    if size:
        vectors = displacement(size)
        bent = lambda p: bend(vectors, p)
        maps = maps + [bent] if elastic_first else [bent] + maps
    for step in maps:
        world = step(world)
    # The border law counts the affine part in voxels.
    scale = np.linalg.norm((np.linalg.inv(GRID) @ turn @ GRID)[:3, :3], axis=1)
    values = field(SHAPE)
    return {
        "name": name, "draw": draw, "size": size, "elastic_first": elastic_first,
        "image": digest(read(values, world, 1, scale, values.min())),
        "label": digest(read(labels(SHAPE), world, 0, scale, 0)),
    }


if __name__ == "__main__":
    turn = [[12.0, -20.0, 33.0], [1.25, 1.25, 1.25], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    all_at_once = [[-7.5, 4.0, 15.0], [0.75, 1.5, 1.125], [6.0, -4.0, 9.0], [1.5, -0.75, 2.25]]
    reference = {
        "affine": GRID[:3].tolist(),
        "control_from_world": CONTROL_FROM_WORLD[:3].tolist(),
        "cases": [
            case("turn and scale", turn, 0.0, False),
            case("everything an affine does", all_at_once, 0.0, False),
            case("bend", None, 1.5, False),
            case("bent, then turned", turn, 1.5, True),
            case("turned, then bent", all_at_once, 1.0, False),
        ],
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
