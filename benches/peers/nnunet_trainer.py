"""Samples per CPU second of nnU-Net's own training loader and of `nnUNetTrainerVoxstream`, on the same plans.

    nnUNet_raw=… nnUNet_preprocessed=… nnUNet_results=… python3 benches/peers/nnunet_trainer.py DATASET [--samples 400]

Needs nnunetv2, the package voxstream, and a data set that `nnUNetv2_plan_and_preprocess` has prepared for 3d_fullres. Two
workers each: processes of nnU-Net, threads of voxstream. What comes out is what a training step takes, deep supervision
included; first batches are not measured. First the voxels of every prepared case are compared.
"""
import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
trainers = Path(__file__).resolve().parents[2] / "examples/python/nnunet"
os.environ["nnUNet_extTrainer"] = str(trainers)


def trainer(name, dataset):
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    made = get_trainer_from_args(dataset, "3d_fullres", 0, name, "nnUNetPlans", device=torch.device("cpu"))
    made.initialize()
    return made


def compare(dataset):
    """The largest difference of prepared voxels, and how many labels differ."""
    import numpy as np
    import voxstream

    made = trainer("nnUNetTrainerVoxstream", dataset)
    pipeline = made.pipeline()
    del pipeline["views"]
    path = Path(made.output_folder, "compare.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(pipeline))
    cases, _ = made.get_tr_and_val_datasets()
    voxels = labels = 0
    for batch in voxstream.stream(path):
        data, segmentation, _, _ = cases.load_case(batch.ids[0])
        ours = batch.to_numpy()
        voxels = max(voxels, float(np.abs(data[:] - ours.image[0]).max()))
        labels += int((np.maximum(segmentation[:], 0) != ours.label[0].astype(int) - 1).sum())
    print(f"prepared cases: voxels differ by {voxels:.2g} at most, {labels} labels differ", flush=True)


def deliver(name, dataset, samples):
    import torch
    from loaders import cpu_seconds

    # As in nnU-Net's workers: operators on labels are too small for threads.
    torch.set_num_threads(1)
    made = trainer(name, dataset)
    batches, _ = made.get_dataloaders()
    warm, taken = 32, 0
    while taken < warm + samples:
        batch = next(batches)
        taken += len(batch["data"])
        if taken <= warm:
            wall, cpu = time.perf_counter(), cpu_seconds()
            first = taken
    wall, cpu, count = time.perf_counter() - wall, cpu_seconds() - cpu, taken - first
    print(f"{name:24} {count / cpu:8.2f} samples a CPU second  {count / wall:8.2f} a second  "
          f"({count} samples of {tuple(batch['data'].shape[1:])}, {cpu:.1f} CPU s, load {os.getloadavg()[0]:.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--one")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["nnUNet_n_proc_DA"] = "2"
    if a.one == "compare":
        compare(a.dataset)
    elif a.one:
        from loaders import end

        deliver(a.one, a.dataset, a.samples)
        end()
    else:
        for one in ["compare", "nnUNetTrainer", "nnUNetTrainerVoxstream"]:
            subprocess.run([sys.executable, __file__, a.dataset, "--samples", str(a.samples), "--one", one], check=True)


if __name__ == "__main__":
    main()
