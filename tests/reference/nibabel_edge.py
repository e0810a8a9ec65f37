#!/usr/bin/env python3
"""Writes nibabel_edge.json: what nibabel reads from the odd files of the edge collection.

    pip install numpy nibabel
    python3 tests/reference/nibabel_edge.py path/to/data/edge tests/reference/nibabel_edge.json

Each file is either `volumes` (the first and the last 3-D volume as nibabel sees them) or `refused`
(what we refuse on purpose, and the error that must name it). A file that nibabel cannot read and
that is not listed in REFUSED ends the script: every difference is a decision, none an accident.
"""

import gzip
import json
import sys
import zlib
from pathlib import Path

import nibabel
import numpy as np

# Path -> (kind of error, a word of its message). Kinds are the variants of VolumeError.
REFUSED = {
    "corrupt/bad_crc.nii.gz": ("Format", "checksum"),  # nibabel reads it
    "corrupt/dim_overflow.nii": ("Format", "more than any file can hold"),
    "corrupt/nan_affine.nii": ("Grid", "not finite"),  # nibabel reads it
    "corrupt/truncated_data.nii": ("Format", "cut off"),
    "corrupt/truncated_gzip.nii.gz": ("Format", "cut off"),
    "nibabel/analyze.hdr": ("Unsupported", "ANALYZE"),
    "nibabel/nifti1.hdr": ("Io", "image"),
    "nibabel/nifti2.hdr": ("Io", "image"),
    "nibabel/row_major.dconn.nii": ("Unsupported", "6 axes"),
    "nifti-reader-js/not-nifti.nii": ("Format", "no NIfTI file"),
    "nifti-rs/avg152T1_LR_nifti.hdr.gz": ("Io", "image"),
    "nifti-rs/complex/complex32.nii": ("Unsupported", "complex"),
    "nifti-rs/complex/complex64.nii": ("Unsupported", "complex"),
    "nifti-rs/rgb/3D.nii": ("Unsupported", "RGB"),
    "nifti-rs/rgb/4D.nii": ("Unsupported", "RGB"),
    "nifti-rs/rgba/4D.nii": ("Unsupported", "RGBA"),
    "niivue/complex.nii.gz": ("Unsupported", "complex"),
    "niivue/complex_image.nii.gz": ("Unsupported", "complex"),
    "niivue/ct_perfusion.nii.gz": ("Unsupported", "RGB"),
    "itksnap-gpl/multi_chunk.nii.gz": ("Unsupported", "5 axes"),
    "itksnap-gpl/tensor_rgb.nii.gz": ("Unsupported", "5 axes"),
    "itksnap-gpl/warp_image.nii.gz": ("Unsupported", "5 axes"),
    "nifti-reader-js/5D_small.nii": ("Unsupported", "5 axes"),
    "nifti-reader-js/5D_zeros.nii.gz": ("Unsupported", "5 axes"),
}
# Found by a fuzzer: the bytes are noise, so only the kind of error is fixed.
FUZZED = "nifti-rs/fuzz_artifacts/"

ENDINGS = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz")
MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}


def is_candidate(path: Path) -> bool:
    return path.name.endswith(ENDINGS) or FUZZED in path.as_posix()


def raw(path: Path) -> bytes:
    """The file's bytes; inflated when they are gzip, whatever the name says."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def halves(path: Path) -> tuple[Path, Path]:
    """Header and image of a pair, packed or not."""
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    find = lambda ending: next(
        (p for p in (path.with_name(stem + ending), path.with_name(stem + ending + ".gz")) if p.exists())
    )
    header = path if ".hdr" in path.name else find(".hdr")
    image = path if ".img" in path.name else find(".img")
    return header, image


def load(path: Path):
    if path.name.removesuffix(".gz").endswith(".nii"):
        data = raw(path)
        kind = nibabel.Nifti2Image if 540 in (
            int.from_bytes(data[:4], "little"),
            int.from_bytes(data[:4], "big"),
        ) else nibabel.Nifti1Image
        return kind.from_bytes(data)
    header, image = (raw(half) for half in halves(path))
    kind = nibabel.Nifti1Pair if 348 in (
        int.from_bytes(header[:4], "little"),
        int.from_bytes(header[:4], "big"),
    ) else nibabel.Nifti2Pair
    holders = kind.make_file_map({"header": bytes_io(header), "image": bytes_io(image)})
    return kind.from_file_map(holders)


def bytes_io(data: bytes):
    import io

    return io.BytesIO(data)


def volumes(image) -> list[dict]:
    stored = np.asarray(image.dataobj.get_unscaled())
    values = np.asarray(image.dataobj, dtype=np.float64)
    axes = list(stored.shape) + [1] * (4 - stored.ndim)
    assert all(n == 1 for n in axes[4:]), axes
    stored, values = stored.reshape(axes[:4], order="F"), values.reshape(axes[:4], order="F")
    out = []
    for index in sorted({0, axes[3] - 1}):
        one, scaled = stored[..., index], values[..., index]
        flat = scaled.ravel(order="F")
        finite = flat[np.isfinite(flat)]
        little = one.astype(one.dtype.newbyteorder("<"))
        picks = [int(p) for p in np.linspace(0, flat.size - 1, 5).astype(np.int64)]
        out.append(
            {
                "index": index,
                "crc32_of_stored": zlib.crc32(little.tobytes(order="F")),
                "finite": int(finite.size),
                "sum": float(np.sum(finite)),
                "sum_of_magnitudes": float(np.sum(np.abs(finite))),
                "min": float(finite.min()) if finite.size else None,
                "max": float(finite.max()) if finite.size else None,
                "samples": [[p, float(flat[p]) if np.isfinite(flat[p]) else None] for p in picks],
            }
        )
    return out


def described(path: Path) -> dict:
    image = load(path)
    mm = MM_PER_UNIT[image.header.get_xyzt_units()[0]]
    slope, inter = image.dataobj.slope, image.dataobj.inter
    return {
        "shape_xyz": (list(image.shape) + [1, 1])[:3],
        "volumes": (list(image.shape) + [1, 1, 1])[3],
        "dtype": np.dtype(image.get_data_dtype()).newbyteorder("=").name,
        "slope": float(slope),
        "intercept": float(inter),
        "rows": (image.affine[:3] * mm).tolist(),
        "orientation": "".join(nibabel.aff2axcodes(image.affine)),
        "blocks": volumes(image),
    }


def main(folder: Path, out: Path) -> None:
    table = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if not is_candidate(path):
            continue
        if name.startswith(FUZZED):
            table[name] = {"refused": ["Format", ""]}
        elif name in REFUSED:
            table[name] = {"refused": list(REFUSED[name])}
        else:
            table[name] = described(path)
    unknown = set(REFUSED) - set(table)
    assert not unknown, f"listed but not there: {unknown}"
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in table.items())
    out.write_text("{\n" + lines + "\n}\n")
    refused = sum("refused" in v for v in table.values())
    print(f"{len(table)} files, {refused} refused on purpose, nibabel {nibabel.__version__}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
