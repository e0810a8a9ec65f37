"""Writes a small cohort of NIfTI files: subjects with a CT and a label map, and a list of them.

    cohort.py FOLDER

The last subject is large and does not compress, so that its object is read in several requests.
"""

import gzip
import os
import random
import struct
import sys

FOLDER = sys.argv[1]


def header(shape, datatype, bits):
    fields = bytearray(352)
    struct.pack_into("<i", fields, 0, 348)
    struct.pack_into("<8h", fields, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", fields, 70, datatype, bits)
    struct.pack_into("<8f", fields, 76, 1, 1, 1, 2, 1, 1, 1, 1)
    struct.pack_into("<f", fields, 108, 352)
    struct.pack_into("<f", fields, 112, 1)
    fields[123] = 2
    struct.pack_into("<h", fields, 254, 1)
    struct.pack_into("<4f", fields, 280, 1, 0, 0, 0)
    struct.pack_into("<4f", fields, 296, 0, 1, 0, 0)
    struct.pack_into("<4f", fields, 312, 0, 0, 2, 0)
    fields[344:348] = b"n+1\0"
    return bytes(fields)


os.makedirs(os.path.join(FOLDER, "data"), exist_ok=True)
lines = ["id,ct,label"]
for subject in range(7):
    shape = (24, 20, 16) if subject < 6 else (200, 200, 160)
    voxels = shape[0] * shape[1] * shape[2]
    draw = random.Random(subject)
    if subject < 6:
        image = struct.pack(f"<{voxels}h", *(draw.randrange(-1000, 1000) for _ in range(voxels)))
    else:
        image = draw.randbytes(2 * voxels)
    label = bytes(i % 3 for i in range(voxels))
    for name, kind, body in (("ct", (4, 16), image), ("label", (2, 8), label)):
        path = os.path.join(FOLDER, "data", f"s{subject}_{name}.nii.gz")
        with open(path, "wb") as file:
            file.write(gzip.compress(header(shape, *kind) + body, 1, mtime=0))
    lines.append(f"s{subject},../data/s{subject}_ct.nii.gz,../data/s{subject}_label.nii.gz")
os.makedirs(os.path.join(FOLDER, "lists"), exist_ok=True)
with open(os.path.join(FOLDER, "lists", "list.csv"), "w") as file:
    file.write("\n".join(lines) + "\n")
