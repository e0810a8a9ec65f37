"""Preparation of image and label pairs beside SimpleITK and MONAI, in alternation, by CPU time.

    python3 -m venv venv && venv/bin/pip install numpy nibabel SimpleITK deflate   # and torch monai
    venv/bin/python benches/peers/prepare.py --program target/release/voxstream

Makes a cohort of CT and MRI (256 x 256 x 128, 1.2 x 1.2 x 2.5 mm, LPS, int16, labels uint8; fixed seed)
in `--data`, unless it is there. One pair is read from .nii.gz, turned to RAS, resampled to 1.5 x 1.5 x
2.0 mm (linear, nearest), windowed (CT) or z-scored over voxels that are not 0 (MRI), cropped to the
foreground and padded to 128³. Every round runs voxstream (`bench`, one worker), each peer, and libdeflate alone on the
same files; the table has the median CPU seconds a pair and ratios of the same rounds.
MONAI is left out, and said so, where it is not installed.
"""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")
PIPELINES = Path(__file__).resolve().parent.parent / "pipelines"
SPACING, SIZE = (1.5, 1.5, 2.0), (128, 128, 128)
SHAPE, VOXEL = (256, 256, 128), (1.2, 1.2, 2.5)
WARM = 20
"""Pairs of each subject that our process prepares: its start and the first touch of its memory count for little then,
as the peers are timed in a process that has worked before."""


def cohort(folder, subjects):
    """An ellipsoid body with four organs, noise, and air; about as compressible as real scans."""
    import nibabel as nib
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    affine = np.diag([-VOXEL[0], -VOXEL[1], VOXEL[2], 1.0])
    for number in range(subjects):
        rng = np.random.default_rng(20 + number)
        paths = [folder / f"s{number:02}_{name}.nii.gz" for name in ("CT", "CT_gt", "MRI", "MRI_gt")]
        if all(path.exists() for path in paths):
            continue
        body = (x / 0.9) ** 2 + (y / 0.68) ** 2 + 0.02 * np.sin(9 * z) < 1
        label = np.zeros(SHAPE, np.uint8)
        for organ in range(1, 5):
            at, size = rng.uniform(-0.4, 0.4, 3), rng.uniform(0.12, 0.3, 3)
            inside = ((x - at[0]) / size[0]) ** 2 + ((y - at[1]) / size[1]) ** 2 + ((z - at[2]) / size[2]) ** 2
            label[(inside < 1) & body] = organ
        noise = rng.normal(0, 1, SHAPE).astype(np.float32)
        organ = label.astype(np.float32)
        ct = np.where(body, 40 + 25 * organ + 14 * noise, -1000 + 6 * noise)
        mri = np.where(body, 200 + 60 * organ + 9 * noise, 0)
        for path, values in zip(paths, (ct, label, mri, label)):
            stored = np.uint8 if path.name.endswith("_gt.nii.gz") else np.int16
            nib.save(nib.Nifti1Image(np.round(values).astype(stored), affine), path)


def pairs(folder, modality):
    images = sorted(folder.glob(f"*_{modality}.nii.gz"))
    return [(image, image.with_name(image.name.replace(".nii.gz", "_gt.nii.gz"))) for image in images]


def simpleitk(modality):
    import numpy as np
    import SimpleITK as sitk

    def resampled(image, how):
        size = [round(n * have / want) for n, have, want in zip(image.GetSize(), image.GetSpacing(), SPACING)]
        frame = (image.GetOrigin(), SPACING, image.GetDirection())
        return sitk.Resample(image, size, sitk.Transform(), how, *frame, 0.0, sitk.sitkUnknown)

    def prepare(image_path, label_path):
        image = sitk.DICOMOrient(sitk.ReadImage(str(image_path), sitk.sitkFloat32), "RAS")
        label = sitk.DICOMOrient(sitk.ReadImage(str(label_path), sitk.sitkUInt8), "RAS")
        image, label = resampled(image, sitk.sitkLinear), resampled(label, sitk.sitkNearestNeighbor)
        if modality == "CT":
            image = sitk.IntensityWindowing(image, -175.0, 250.0, 0.0, 1.0)
        else:
            values = sitk.GetArrayFromImage(image)
            kept = values != 0
            values[kept] = (values[kept] - values[kept].mean()) / values[kept].std()
            scored = sitk.GetImageFromArray(values)
            scored.CopyInformation(image)
            image = scored
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(sitk.BinaryThreshold(image, 1e-9, 1e9, 1, 0))
        box = shape.GetBoundingBox(1)
        out = []
        for volume in (image, label):
            volume = sitk.RegionOfInterest(volume, box[3:], box[:3])
            missing = [max(0, want - have) for want, have in zip(SIZE, volume.GetSize())]
            below = [n // 2 for n in missing]
            above = [n - low for n, low in zip(missing, below)]
            out.append(sitk.GetArrayFromImage(sitk.ConstantPad(volume, below, above, 0)))
        return out

    return prepare


def monai(modality):
    import torch
    from monai import transforms as mt

    torch.set_num_threads(1)
    keys = ["image", "label"]
    values = (
        mt.ScaleIntensityRanged("image", -175.0, 250.0, 0.0, 1.0, clip=True)
        if modality == "CT"
        else mt.NormalizeIntensityd("image", nonzero=True, channel_wise=True)
    )
    chain = mt.Compose([
        mt.LoadImaged(keys), mt.EnsureChannelFirstd(keys, channel_dim="no_channel"),
        mt.Orientationd(keys, axcodes="RAS"), mt.Spacingd(keys, pixdim=SPACING, mode=("bilinear", "nearest")),
        values, mt.CropForegroundd(keys, source_key="image"), mt.SpatialPadd(keys, spatial_size=SIZE),
    ])
    return lambda image, label: chain({"image": str(image), "label": str(label)})


def inflate(_modality):
    import deflate

    return lambda image, label: [deflate.gzip_decompress(path.read_bytes()) for path in (image, label)]


def cpu_seconds(work, files):
    before = resource.getrusage(resource.RUSAGE_SELF)
    for image, label in files:
        work(image, label)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(files)


def ours(program, folder, modality, count):
    pipeline = PIPELINES / f"prepare-{modality.lower()}.yaml"
    command = [program, "bench", str(pipeline), "--samples", str(count), "--workers", "1", "--json"]
    env = {**os.environ, "BENCH_DATA": str(folder)}
    found = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    return found["preparation"]["cpu_s"] / found["preparation"]["items"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a release build of voxstream")
    parser.add_argument("--data", type=Path, default=Path("target/bench-prepare"))
    parser.add_argument("--subjects", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cohort(args.data, args.subjects)
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), platform.processor())
    print(f"CPU {model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {args.rounds} rounds of {args.subjects} pairs\n")
    print("| pair | | CPU s a pair | ours is faster by |\n| --- | --- | --: | --: |")
    for modality in ("CT", "MRI"):
        files, peers, times = pairs(args.data, modality), {}, {"voxstream": []}
        for name, make in (("libdeflate alone", inflate), ("SimpleITK", simpleitk), ("MONAI", monai)):
            try:
                peers[name] = make(modality)
                peers[name](*files[0])
            except ImportError as missing:
                print(f"{name} is left out: {missing}", file=sys.stderr)
                peers.pop(name, None)
        for _ in range(args.rounds):
            times["voxstream"].append(ours(args.program, args.data, modality, WARM * args.subjects))
            for name, work in peers.items():
                times.setdefault(name, []).append(cpu_seconds(work, files))
        for name, seconds in times.items():
            ratios = [other / own for other, own in zip(seconds, times["voxstream"])]
            print(f"| {modality} | {name} | {statistics.median(seconds):.4f} | {statistics.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
