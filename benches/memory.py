"""Peak memory of preparation and of training from the cache under several budgets.

    python3 benches/memory.py target/release/voxstream OUT [--budgets 512MiB 1GiB 2GiB 4GiB] [--steps 40]

Makes eight CT volumes of 512 x 512 x 200 voxels (int16, 0.8 x 0.8 x 1.5 mm, gzip), and eight of 100 slices with label
maps, in OUT unless they are there (NumPy and nibabel). Prepares the former and trains on the latter with each
`--memory`, the cache emptied before each run, and prints Markdown: the peak resident size as the system keeps it, and the peak of what the process
holds by itself (RssAnon, looked at 50 times a second), which leaves out code and mapped pages of the cache: the
system takes those back whenever others need them.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import time

SIDE, VOXEL, SUBJECTS = 512, (0.8, 0.8, 1.5), 8
COMMON = """name: memory
seed: 1
source:
  folders: {{ path: "{data}", images: "{{subject}}_ct.nii.gz", {labels}modalities: [ct] }}
stages:
  - orient: {{ to: RAS }}
  - zscore: {{}}
"""
PREPARE = COMMON + "sinks: {{ prepared: {{ parquet: true }} }}\n"
TRAIN = COMMON + """  - shuffle: {{}}
views:
  shared: [patch: {{ size: [64, 64, 64], samples: 2, positive: 0.5 }}, flip: {{ axes: [x] }}]
train:
  classes: [background, a, b, c]
  network: {{ unet3d: {{ width: 8, depth: 3 }} }}
  objective: {{ supervised: {{}} }}
  steps: {steps}
  batch: {{ labelled: 2 }}
"""


def cohort(folder, slices):
    import nibabel as nib
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    shape = (SIDE, SIDE, slices)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape], indexing="ij", sparse=True)
    affine = np.diag([-VOXEL[0], -VOXEL[1], VOXEL[2], 1.0])
    for number in range(SUBJECTS):
        image, label = (folder / f"s{number}_{name}.nii.gz" for name in ("ct", "label"))
        if image.exists() and label.exists():
            continue
        draw = np.random.default_rng(number)
        classes = np.zeros(shape, np.uint8)
        for organ in range(1, 4):
            at = draw.uniform(-0.4, 0.4, 3)
            classes[((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2) < 0.05] = organ
        body = (x / 0.9) ** 2 + (y / 0.7) ** 2 < 1
        values = np.where(body, 40 + 25 * classes, -1000) + draw.normal(0, 10, shape)
        nib.save(nib.Nifti1Image(classes, affine), label)
        nib.save(nib.Nifti1Image(np.round(values).astype(np.int16), affine), image)


def status(pid, field):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def peak(command, environment):
    """Peak resident size, and peak of RssAnon, in MiB; and seconds."""
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    resident = anonymous = 0
    while process.poll() is None:
        resident = max(resident, status(process.pid, "VmHWM"))
        anonymous = max(anonymous, status(process.pid, "RssAnon"))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{process.stderr.read()}")
    return resident / 1024, anonymous / 1024, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("out", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--budgets", nargs="+", default=["512MiB", "1GiB", "2GiB", "4GiB"])
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    cache = arguments.out / "cache"
    environment = dict(os.environ, VOXSTREAM_CACHE=str(cache))
    print("| work | budget | peak resident MiB | without mapped pages MiB | seconds |")
    print("| --- | --- | --- | --- | --- |")
    labels = 'labels: "{subject}_label.nii.gz", '
    for work, text, slices, labels in [("prepare", PREPARE, 200, ""), ("train", TRAIN, 100, labels)]:
        data, pipeline = arguments.out / f"data-{slices}", arguments.out / f"{work}.yaml"
        cohort(data, slices)
        pipeline.write_text(text.format(data=data, labels=labels, steps=arguments.steps))
        for budget in arguments.budgets:
            run = arguments.out / "run"
            for folder in (cache, run):
                shutil.rmtree(folder, ignore_errors=True)
            resident, anonymous, seconds = peak(
                [arguments.program, "run", pipeline, "--out", run, "--memory", budget], environment
            )
            print(f"| {work} | {budget} | {resident:.0f} | {anonymous:.0f} | {seconds:.0f} |", flush=True)


main()
