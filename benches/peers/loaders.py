"""Patches of 128³ delivered to a PyTorch loop: voxstream beside MONAI, TorchIO and nnU-Net's pipeline.

    BENCH_DATA=/path/to/subjects python3 benches/peers/loaders.py [--chain weak default] [--loader …] [--patches 200]
    BENCH_DATA=/path/to/subjects python3 benches/peers/loaders.py --train     # a small U-Net on 2 cores, by epoch

Needs torch, monai, torchio, nnunetv2 and the package voxstream; subjects are those of `benches/pipelines/`
(NAME_CT.nii.gz, NAME_CT_gt.nii.gz). Every loader gets the same prepared volumes (RAS, 1.5 x 1.5 x 2.0 mm, window, crop,
pad), kept in memory or, for voxstream, in its cache; that preparation and the first patches are not measured. Batches of
2 rows, 2 workers each: threads of voxstream, processes of the others. CPU seconds are those of all threads and
processes. Each measurement runs in a process of its own.

Chains: `weak` is CMC's (4 patches a volume around positive and negative voxels, flips, quarter turns, scale, shift),
`default` nnU-Net v2's default, through `nnUNetTrainer.get_training_transforms` for nnU-Net itself.
"""
import argparse
import math
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

LOADERS = ["voxstream", "monai", "torchio", "nnunet"]
SIDE, SAMPLES, ROWS, WORKERS = 128, 4, 2, 2
ROI = (SIDE,) * 3
PIPELINES = {"weak": "weak.yaml", "default": "nnunet.yaml"}
HERE = Path(__file__).resolve().parent


def prepared():
    """Volumes [1, z, y, x] as they leave the pipeline's `stages`: image f32, label u8."""
    import voxstream

    bare = "\n".join(line for line in (HERE.parent / "pipelines/weak.yaml").read_text().splitlines())
    bare = bare[: bare.index("views:")].replace("  - cache: { precision: half }", "  #")
    path = Path(os.environ["BENCH_DATA"], "prepared.yaml")
    path.write_text(bare.replace("bench-weak", "bench-prepared"))
    volumes = []
    for batch in voxstream.stream(path, labelled=None):
        t = batch.to_torch()
        volumes.append((t.image[0].clone(), t.label[0].clone()))
    return volumes


def voxstream_loader(chain):
    import voxstream

    path = HERE.parent / "pipelines" / PIPELINES[chain]
    for batch in voxstream.stream(path, epochs=None, workers=WORKERS, batch=ROWS, memory="4GiB"):
        t = batch.to_torch()
        yield t.image, t.label


def monai_loader(chain):
    import torch
    from monai import transforms as mt
    from monai.data import Dataset, list_data_collate, set_track_meta

    set_track_meta(False)
    keys, rad = ["img", "seg"], 30 / 180 * math.pi
    data = []
    for image, label in prepared():
        # What MONAI's documentation advises: look for the foreground once.
        fg, bg = mt.FgBgToIndices(image_threshold=0)(label, image)
        data.append({"img": image, "seg": label, "fg": fg, "bg": bg})
    crop = mt.RandCropByPosNegLabeld(keys, label_key="seg", spatial_size=ROI, pos=1, neg=1, num_samples=SAMPLES,
                                     fg_indices_key="fg", bg_indices_key="bg", allow_smaller=False)
    if chain == "weak":
        steps = [*[mt.RandFlipd(keys, prob=0.2, spatial_axis=a) for a in range(3)], mt.RandRotate90d(keys, prob=0.2, max_k=3),
                 mt.RandScaleIntensityd("img", factors=0.1, prob=0.1), mt.RandShiftIntensityd("img", offsets=0.1, prob=0.1)]
    else:
        steps = [
            mt.RandAffined(keys, prob=1 - 0.8 * 0.8, rotate_range=(rad,) * 3, scale_range=((-0.3, 0.4),) * 3,
                           mode=("bilinear", "nearest"), padding_mode="zeros"),
            mt.RandGaussianNoised("img", prob=0.1, std=0.316),
            mt.RandGaussianSmoothd("img", (0.5, 1), (0.5, 1), (0.5, 1), prob=0.1),
            mt.RandScaleIntensityd("img", factors=0.25, prob=0.15),
            mt.RandScaleIntensityFixedMeand("img", factors=0.25, preserve_range=True, prob=0.15),
            mt.RandSimulateLowResolutiond("img", prob=0.125, zoom_range=(0.5, 1.0)),
            mt.RandAdjustContrastd("img", prob=0.1, gamma=(0.7, 1.5), invert_image=True, retain_stats=True),
            mt.RandAdjustContrastd("img", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
            *[mt.RandFlipd(keys, prob=0.5, spatial_axis=a) for a in range(3)],
        ]
    chosen = mt.SelectItemsd(keys)
    dataset = Dataset(data * 1000, mt.Compose([crop, *steps, chosen]))

    def collate(items):
        # A batch of ROWS rows: half of the patches of one volume.
        return list_data_collate([p for item in items for p in item])

    loader = torch.utils.data.DataLoader(dataset, batch_size=1, shuffle=True, num_workers=WORKERS, collate_fn=collate,
                                         worker_init_fn=lambda _: torch.set_num_threads(1))
    for batch in loader:
        for i in range(0, SAMPLES, ROWS):
            yield batch["img"][i : i + ROWS], batch["seg"][i : i + ROWS]


# TorchIO pickles what was applied to a subject: functions of a module.
def scaled(x):
    return x * (1 + random.uniform(-0.1, 0.1))


def shifted(x):
    return x + random.uniform(-0.1, 0.1)


def brighter(x):
    return x * random.uniform(0.75, 1.25)


def contrast(x):
    mean, low, high = x.mean(), x.min(), x.max()
    return ((x - mean) * random.uniform(0.75, 1.25) + mean).clamp(low, high)


def inverted_gamma(x):
    return 1 - (1 - x).clamp(0, 1) ** random.uniform(0.7, 1.5)


def torchio_loader(chain):
    import torch
    import torchio as tio

    subjects, only = [], [tio.INTENSITY]
    for image, label in prepared():
        subjects.append(tio.Subject(img=tio.ScalarImage(tensor=image), seg=tio.LabelMap(tensor=label)))
    values = [int(v) for v in subjects[0]["seg"].data.unique()]
    share = {v: (0.5 if v == 0 else 0.5 / (len(values) - 1)) for v in values}

    def turned(subject):
        # TorchIO has no quarter turns.
        k = random.randint(1, 3)
        for image in subject.get_images(intensity_only=False):
            image.set_data(torch.rot90(image.data, k, (1, 2)))
        return subject

    if chain == "weak":
        steps = [*[tio.RandomFlip(axes=(a,), flip_probability=0.2) for a in range(3)],
                 tio.Lambda(scaled, types_to_apply=only, p=0.1),
                 tio.Lambda(shifted, types_to_apply=only, p=0.1)]
    else:
        steps = [
            tio.RandomAffine(scales=(0.7, 1.4), degrees=30, isotropic=True, default_pad_value=0, p=1 - 0.8 * 0.8),
            tio.RandomNoise(std=(0, 0.316), p=0.1),
            tio.RandomBlur(std=(0.5, 1), p=0.1),
            tio.Lambda(brighter, types_to_apply=only, p=0.15),
            tio.Lambda(contrast, types_to_apply=only, p=0.15),
            tio.RandomAnisotropy(axes=(0, 1, 2), downsampling=(1, 2), p=0.125),
            tio.Lambda(inverted_gamma, types_to_apply=only, p=0.1),
            tio.RandomGamma(log_gamma=(math.log(0.7), math.log(1.5)), p=0.3),
            tio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
        ]
    transform = tio.Compose(steps)

    def augmented(subject):
        subject = transform(subject)
        return turned(subject) if chain == "weak" and random.random() < 0.2 else subject

    dataset = tio.SubjectsDataset(subjects * 1000, transform=augmented)
    queue = tio.Queue(dataset, max_length=4 * SAMPLES, samples_per_volume=SAMPLES,
                      sampler=tio.LabelSampler(ROI, "seg", share), num_workers=WORKERS)
    for batch in tio.SubjectsLoader(queue, batch_size=ROWS, num_workers=0):
        yield batch["img"]["data"], batch["seg"]["data"]


def nnunet_loader(chain):
    import numpy as np
    import torch
    from batchgenerators.dataloading.data_loader import DataLoader
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
    from batchgeneratorsv2.transforms.intensity.brightness import (BrightnessAdditiveTransform,
                                                                   MultiplicativeBrightnessTransform)
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.rot90 import Rot90Transform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from threadpoolctl import threadpool_limits

    rad = 30 / 180 * math.pi
    if chain == "weak":
        first = ROI
        transforms = ComposeTransforms([
            RandomTransform(MirrorTransform((0, 1, 2)), 0.4), RandomTransform(Rot90Transform(1, (1, 2, 3), {0, 1, 2}), 0.2),
            RandomTransform(MultiplicativeBrightnessTransform((0.9, 1.1), False), 0.1),
            RandomTransform(BrightnessAdditiveTransform(0, 0.1), 0.1)])
    else:
        first = tuple(int(n) for n in get_patch_size(ROI, (-rad, rad), (-rad, rad), (-rad, rad), (0.85, 1.25)))
        transforms = nnUNetTrainer.get_training_transforms(np.array(ROI), (-rad, rad), None, (0, 1, 2), False)
    cases = []
    for image, label in prepared():
        label = label.to(torch.int16)
        # Class locations are found once, when nnU-Net prepares a data set.
        cases.append((image.numpy(), label.numpy(), torch.nonzero(label[0] > 0).numpy()))

    class Cases(DataLoader):
        def __init__(self):
            super().__init__(cases, ROWS, WORKERS, None, True, False, True)
            self.indices = list(range(len(cases)))

        def generate_train_batch(self):
            from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd

            data, labels = None, None
            with torch.no_grad(), threadpool_limits(limits=1, user_api=None):
                for j, i in enumerate(self.get_indices()):
                    image, label, locations = self._data[i]
                    shape = image.shape[1:]
                    centre = (locations[np.random.randint(len(locations))] if np.random.rand() < 0.5
                              else [np.random.randint(n) for n in shape])
                    low = [min(max(min(0, (n - f) // 2), c - f // 2), max(0, n - f)) for c, f, n in zip(centre, first, shape)]
                    box = [[a, a + f] for a, f in zip(low, first)]
                    made = transforms(image=torch.from_numpy(crop_and_pad_nd(image, box, 0)).float(),
                                      segmentation=torch.from_numpy(crop_and_pad_nd(label, box, -1)))
                    if data is None:
                        data = torch.empty((ROWS, *made["image"].shape))
                        labels = torch.empty((ROWS, *made["segmentation"].shape), dtype=made["segmentation"].dtype)
                    data[j], labels[j] = made["image"], made["segmentation"]
            return {"data": data, "target": labels}

    augmenter = NonDetMultiThreadedAugmenter(data_loader=Cases(), transform=None, num_processes=WORKERS, num_cached=6,
                                             seeds=None, pin_memory=False, wait_time=0.002)
    while True:
        batch = next(augmenter)
        yield batch["data"], batch["target"]


def family():
    """CPU ticks of this process and of every process below it, by id, from /proc."""
    ticks, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        # Field 4 is the parent; 14 to 17 are user and system time, own and of children that ended.
        parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    found = {os.getpid()}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return {p: ticks[p] for p in found}


def cpu_seconds():
    """CPU seconds of this process and every process below it."""
    return sum(family().values()) / os.sysconf("SC_CLK_TCK")


def end():
    """Ends this process and its workers, which would go on without end."""
    sys.stdout.flush()
    for pid in family():
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def deliver(loader, chain, patches):
    import torch

    torch.set_num_threads(1)
    batches = globals()[f"{loader}_loader"](chain)
    # What lies ready when measuring begins was paid for before; it is few beside what is counted.
    warm, taken, most = 16 * SAMPLES, 0, 120
    for image, label in batches:
        assert tuple(image.shape) == (ROWS, 1, *ROI) and tuple(label.shape) == (ROWS, 1, *ROI), (image.shape, label.shape)
        float(image[0, 0, 0, 0, 0])
        taken += ROWS
        if taken == warm:
            wall, cpu = time.perf_counter(), cpu_seconds()
        if taken >= warm + patches or (taken > warm + 8 and time.perf_counter() - wall > most):
            break
    wall, cpu, count = time.perf_counter() - wall, cpu_seconds() - cpu, taken - warm
    print(f"{chain:8} {loader:10} {count / cpu:8.2f} patches a CPU second  {count / wall:8.2f} a second  "
          f"({count} patches, {cpu:.1f} CPU s, {wall:.1f} s, load {os.getloadavg()[0]:.1f})", flush=True)


def train(loader, chain, patches):
    """Wall time of an epoch of a small U-Net, whose operators and whose loader share 2 cores."""
    import torch
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    net = UNet(spatial_dims=3, in_channels=1, out_channels=7, channels=(8, 16, 32), strides=(2, 2))
    optimizer, loss_of = torch.optim.AdamW(net.parameters(), lr=1e-3), DiceCELoss(to_onehot_y=True, softmax=True)
    batches = globals()[f"{loader}_loader"](chain) if loader != "none" else None
    if batches is None:
        again = (torch.rand(ROWS, 1, *ROI), torch.randint(0, 7, (ROWS, 1, *ROI)))
        batches = iter(lambda: again, None)
    warm, taken = 4, 0
    for image, label in batches:
        torch.set_num_threads(2)
        loss = loss_of(net(image), label.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        taken += ROWS
        if taken == warm:
            wall, cpu = time.perf_counter(), cpu_seconds()
        if taken >= warm + patches:
            break
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    print(f"train {chain:8} {loader:10} {wall:7.1f} s an epoch of {patches} patches, {cpu:.1f} CPU s  "
          f"(last loss {loss.item():.3f}, load {os.getloadavg()[0]:.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chain", nargs="*", default=list(PIPELINES), choices=list(PIPELINES))
    parser.add_argument("--loader", nargs="*", default=LOADERS, choices=[*LOADERS, "none"])
    parser.add_argument("--patches", type=int, default=400)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--one", action="store_true")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    if a.one:
        (train if a.train else deliver)(a.loader[0], a.chain[0], a.patches)
        end()
    if not os.environ.get("BENCH_DATA"):
        sys.exit("set BENCH_DATA to a folder of subjects NAME_CT.nii.gz, NAME_CT_gt.nii.gz")
    for chain in a.chain:
        for loader in a.loader:
            command = [sys.executable, __file__, "--one", "--chain", chain, "--loader", loader, "--patches", str(a.patches)]
            subprocess.run(command + ["--train"] * a.train, check=True)


if __name__ == "__main__":
    main()
