"""Seconds to the first part, and peak memory, of a preparation of a manifest with many rows.

    python3 benches/manifest.py target/release/voxstream OUT [--rows 10000 100000 1000000]

Writes manifests of so many subjects with images of two modalities, a label map, a split, an age and a site each, whose
rows share 1,000 images of 8 x 8 x 8 voxels (needs Python alone). Prepares each manifest with `--limit 100`, with a
condition besides, and without a limit, until its first part is committed, when it is stopped. Prints Markdown: seconds
from the start to the commit record of the first part, and the peak resident size up to there.
"""

import argparse
import pathlib
import shutil
import signal
import struct
import subprocess
import time

FILES, SIDE = 1000, 8
PIPELINE = """name: manifest
seed: 1
source:
  manifest:
    path: {manifest}
    columns: {{ subject: id, images: {{ ct: ct, mr: mr }}, label: mask, split: part }}{where}
stages: [orient: {{ to: RAS }}, zscore: {{}}]
sinks: {{ prepared: {{ parquet: true }} }}
"""


def nifti(path, fill):
    """An uncompressed NIfTI-1 file of u8 voxels of 1 mm."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, SIDE, SIDE, SIDE, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<4f", header, 76, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<h", header, 254, 1)
    for axis in range(3):
        struct.pack_into("<f", header, 280 + 20 * axis, 1)
    header[344:348] = b"n+1\0"
    voxels = bytes((fill + 7 * i) % 251 for i in range(SIDE**3))
    path.write_bytes(bytes(header) + voxels)


def cohort(folder, rows):
    data = folder / "data"
    if not data.exists():
        data.mkdir(parents=True)
        for number in range(FILES):
            nifti(data / f"image-{number:04}.nii", number)
        nifti(data / "mask.nii", 0)
    manifest = folder / f"{rows}.csv"
    if manifest.exists():
        return manifest
    with manifest.open("w") as out:
        out.write("id,ct,mr,mask,part,age,site\n")
        for row in range(rows):
            part = "test" if row % 10 == 0 else "train"
            ct, mr = row % FILES, row * 7 % FILES
            out.write(
                f"sub-{row:07},data/image-{ct:04}.nii,data/image-{mr:04}.nii,data/mask.nii,{part},{20 + row % 70},{row % 12}\n"
            )
    return manifest


def resident(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def first_part(command, run):
    """Seconds to the first commit record, and the peak resident size in MiB until then."""
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not any((run / "parts").glob("part-*")):
        peak = max(peak, resident(process.pid))
        if process.poll() is not None:
            break
        time.sleep(0.02)
    seconds = time.monotonic() - start
    peak = max(peak, resident(process.pid))
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    if not any((run / "parts").glob("part-*")):
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{errors}")
    return seconds, peak / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("out", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    print("| rows | run | seconds to the first part | peak resident MiB |")
    print("| --- | --- | --- | --- |")
    for rows in arguments.rows:
        manifest = cohort(arguments.out, rows)
        limit = ["--limit", "100"]
        condition = '\n    where: "age > 30"'
        kinds = [("--limit 100", "", limit), ("--limit 100, where", condition, limit), ("whole", "", [])]
        for name, where, options in kinds:
            pipeline = arguments.out / "manifest.yaml"
            pipeline.write_text(PIPELINE.format(manifest=manifest, where=where))
            run = arguments.out / "run"
            shutil.rmtree(run, ignore_errors=True)
            command = [arguments.program, "run", pipeline, "--out", run, "--workers", "2", *options]
            seconds, mib = first_part(command, run)
            print(f"| {rows} | {name} | {seconds:.1f} | {mib:.0f} |", flush=True)


main()
