"""Real volumes: sparse labels, missing channels and misaligned channels on kidneys in dual-echo MR of five people.

    python3 benches/experiments/real.py target/release/voxstream OUT [--parts sparse misaligned missing]
        [--methods cmc ignored ...] [--seeds 20 21] [--mm 0 2 4 8] [--steps 600]

Writes the tables of subjects and the partial label maps below OUT, trains every network for every
fold and seed (runs that are finished are kept, killed ones are resumed), predicts without each channel, asks
all run folders in one SQL statement and prints Markdown: Dice and HD95 of the three wholly labelled
acquisitions, mean and standard deviation over seeds, and paired differences with a bootstrap interval over
those acquisitions. `--table` trains nothing and prints from the runs that exist. The data are
`bench/ukat-kidney` below `$VOXSTREAM_DATA` (default: `shared/data` beside the repository).
"""

import argparse
import collections
import csv
import gzip
import os
import pathlib
import resource
import statistics
import struct
import sys

import experiment
from experiment import ask, gain, number, program, shown

HERE = pathlib.Path(__file__).resolve().parent
PIPELINE = HERE / "kidney.yaml"
DATA = pathlib.Path(os.environ.get("VOXSTREAM_DATA", HERE / "../../../shared/data")).resolve()
LABEL = "label_kidneyL1_R2.nii.gz"
CHANNELS = ["mag_e1", "mag_e2"]
# The data set names acquisitions. Slices correlate by 0.93 and more within a person and by 0.54 at most
# between people, which makes five people of the fourteen acquisitions.
PEOPLE = {
    "ge_a": ["ge_01"],
    "philips_a": ["philips_01", "philips_02", "philips_03"],
    "philips_b": [f"philips_{n:02}" for n in range(4, 11)],
    "siemens_a": ["siemens_01"],
    "siemens_b": ["siemens_02", "siemens_03"],
}
WHOLE = ["ge_01", "philips_01", "siemens_01"]
VALIDATION = "siemens_b"

# What differs from kidney.yaml, as values for --set.
METHODS = {
    # Unlabelled slices count as background, as the files store them.
    "background": ["source.manifest.columns.label=label_as_stored"],
    # The labels of acquisitions with one labelled slice are not used.
    "whole": ["source.manifest.columns.labelled=whole"],
    # Unlabelled slices are ignored. The magnitudes are two channels of one network, which is early fusion.
    "ignored": [],
    # As `ignored`, and the same volumes are rows without labels, too: a teacher labels all of their slices.
    "pseudo": [
        "train.batch.unlabelled=1",
        "pseudo_label={ema: 0.98, threshold: {fixed: 0.8}}",
        "train.objective.pseudo_label={weight: 0.6, start: 0.4, ramp: 0.1}",
        "views.strong=[scale_intensity: {factor: [0.6, 1.4], p: 1.0}, gamma: {gamma: [0.5, 2.0], p: 1.0}, "
        "gaussian_noise: {std: [0.0, 0.4], p: 1.0}]",
    ],
    # As `ignored`, and one of the channels is left out at random.
    "dropped": [
        "views.weak=[scale_intensity: {factor: [0.7, 1.3], p: 0.5}, gamma: {gamma: [0.6, 1.7], p: 0.7}, "
        "drop_modality: {p: 0.3}]"
    ],
    # The first magnitude is the only channel.
    "alone": ["source.manifest.columns.images={mag_e1: mag_e1}"],
    "cmc": [
        "train.network={cmc: {width: 8, depth: 3}}",
        "train.objective.csc={weight: 0.02, start: 0.4}",
        "train.objective.cac={weight: 0.1, start: 0.4}",
    ],
}
PARTS = {
    "sparse": ["background", "whole", "ignored", "pseudo"],
    "misaligned": ["alone", "ignored", "cmc"],
    "missing": ["ignored", "dropped", "cmc"],
}


def mark_unlabelled_slices(source, target):
    """Writes a label map in which 255 marks every slice (of the last axis) without a label."""
    raw = gzip.decompress(source.read_bytes())
    shape = struct.unpack("<8h", raw[40:56])
    kind, first = struct.unpack("<h", raw[70:72])[0], int(struct.unpack("<f", raw[108:112])[0])
    if kind != 2 or shape[0] != 3:
        sys.exit(f"{source}: expected a 3-D map of bytes, found data type {kind} and {shape[0]} axes")
    size, voxels = shape[1] * shape[2], raw[first:]
    slices = [voxels[size * z : size * (z + 1)] for z in range(shape[3])]
    parts = [part if any(part) else b"\xff" * size for part in slices]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(raw[:first] + b"".join(parts), mtime=0))


def table(out, title, test, moved=None, missing=None):
    """Writes the table of one fold and returns its path.

    Each person is repeated until all have about as many rows. An acquisition that is trained on has a
    second row without labels, from which terms for unlabelled rows take their patches.
    """
    rows = []
    for person, acquisitions in PEOPLE.items():
        is_test, is_validation = test in acquisitions, person == VALIDATION
        times = 1 if is_test or is_validation else round(7 / len(acquisitions))
        for acquisition in [test] if is_test else acquisitions:
            folder = DATA / "bench/ukat-kidney" / acquisition
            images = {channel: folder / f"{channel}.nii.gz" for channel in CHANNELS}
            if moved:
                images["mag_e2"] = moved / acquisition / "image.mag_e2.nii.gz"
            if missing:
                images[missing] = ""
            stored = folder / LABEL
            label = stored if acquisition in WHOLE else out / "labels" / f"{acquisition}.nii.gz"
            split = "test" if is_test else "validation" if is_validation else "train"
            whole = split != "train" or acquisition in WHOLE
            for n in range(1, times + 1):
                name = acquisition if n == 1 else f"{acquisition}.{n}"
                common = {"patient": person, "split": split, **images}
                as_stored = stored if split == "train" else label
                known = {"labelled": True, "whole": whole, "label": label, "label_as_stored": as_stored}
                unknown = {"labelled": False, "whole": False, "label": "", "label_as_stored": ""}
                rows.append({"subject": name, **common, **known})
                if split == "train":
                    rows.append({"subject": f"{name}.unlabelled", **common, **unknown})
    path = out / "tables" / f"{title}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(arguments, pipeline, folder, changes, **variables):
    """Runs a pipeline unless it is finished, and notes its CPU seconds."""
    if (folder / "report.html").exists():
        return
    os.environ.update({"VOXSTREAM_DATA": str(DATA), **{name: str(path) for name, path in variables.items()}})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    experiment.train(arguments.program, pipeline, folder, changes, ["--workers", str(arguments.workers)])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with open(arguments.out / "cost.csv", "a") as file:
        file.write(f"{folder.name},{seconds:.1f}\n")


def moved(arguments, mm):
    """The folder of a cohort whose second magnitude is so many mm beside the first; `None` for 0 mm."""
    if mm == 0:
        return None
    folder = arguments.out / "cohorts" / f"{mm:g}mm"
    run(arguments, HERE / "kidney-moved.yaml", folder, [f"stages[0].misalign.shift_mm={mm:g}"])
    return folder / "prepared/nifti"


def train(arguments, method, mm, test, seed):
    folder = arguments.out / "runs" / f"{method}-{mm:g}mm-none-{test}-{seed}"
    path = table(arguments.out, f"{test}-{mm:g}mm", test, moved=moved(arguments, mm))
    changes = [f"seed={seed}", f"train.steps={arguments.steps}", *METHODS[method]]
    run(arguments, PIPELINE, folder, changes, KIDNEY_TABLE=path)
    return folder


def predict(arguments, method, channel, test, seed):
    trained = arguments.out / "runs" / f"{method}-0mm-none-{test}-{seed}"
    folder = arguments.out / "runs" / f"{method}-0mm-{channel}-{test}-{seed}"
    path = table(arguments.out, f"{test}-without-{channel}", test, missing=channel)
    run(arguments, HERE / "kidney-predict.yaml", folder, [], KIDNEY_TABLE=path, KIDNEY_RUN=trained.resolve())


def prepare(arguments):
    for acquisitions in PEOPLE.values():
        for acquisition in set(acquisitions) - set(WHOLE):
            target = arguments.out / "labels" / f"{acquisition}.nii.gz"
            # `run --resume` refuses a subject whose files are newer than the run.
            if not target.exists():
                mark_unlabelled_slices(DATA / "bench/ukat-kidney" / acquisition / LABEL, target)


def run_all(arguments):
    wanted = {method for part in arguments.parts for method in PARTS[part]}
    # Folds are innermost, so that an interrupted experiment has whole rows of its tables.
    for seed in arguments.seeds:
        for method in arguments.methods:
            if method not in wanted:
                continue
            shifts = arguments.mm if "misaligned" in arguments.parts and method in ("ignored", "cmc") else [0]
            for mm in shifts:
                for test in WHOLE:
                    train(arguments, method, mm, test, seed)
            if "missing" in arguments.parts and method in PARTS["missing"]:
                for channel in CHANNELS:
                    for test in WHOLE:
                        predict(arguments, method, channel, test, seed)


SQL = """select run, subject_id, modality, dice, hd95_mm
from scores where checkpoint = 'best' and split = 'test' and class_id > 0 order by 1, 2, 3"""


def scores(arguments):
    """Dice and HD95, each by (method, mm, missing channel, head), then by (seed, acquisition)."""
    dice, hd95 = collections.defaultdict(dict), collections.defaultdict(dict)
    for row in ask(arguments.program, arguments.out / "runs", SQL):
        method, mm, missing, _, seed = pathlib.Path(row["run"]).name.split("-")
        key = method, float(mm.removesuffix("mm")), missing, row["modality"]
        dice[key][seed, row["subject_id"]] = number(row["dice"])
        hd95[key][seed, row["subject_id"]] = number(row["hd95_mm"])
    # A seed counts once all of its folds are there.
    for key, cases in dice.items():
        for seed, test in list(cases):
            if any((seed, other) not in cases for other in WHOLE):
                del cases[seed, test], hd95[key][seed, test]
    return dice, hd95


def of_acquisition(cases, acquisition):
    found = [value for (_, subject), value in cases.items() if subject == acquisition]
    return f"{statistics.fmean(found):.3f}" if found else ""


def tables(arguments, dice, hd95):
    def header(first, last):
        print(f"\n| {first} | " + " | ".join(WHOLE) + f" | Dice | HD95 mm | {last} |")
        print("| --- | --: | --: | --: | --: | --: | --- |")

    def line(name, key, difference):
        cells = [of_acquisition(dice[key], test) for test in WHOLE]
        cells += [shown(dice[key], 3), shown(hd95[key], 1), difference]
        print(f"| {name} | " + " | ".join(cells) + " |")

    early, ours = ("ignored", 0, "none", "joint"), ("cmc", 0, "none", "mag_e1")
    if "sparse" in arguments.parts:
        header("method", "difference from `ignored`")
        for method in PARTS["sparse"]:
            key = method, 0, "none", "joint"
            line(f"`{method}`", key, "" if key == early else gain(dice[early], dice[key]))
    if "misaligned" in arguments.parts:
        header("network, shift", "CMC's gain over it")
        for mm in arguments.mm:
            key, moved_ours = ("ignored", mm, "none", "joint"), ("cmc", mm, "none", "mag_e1")
            line(f"early fusion, {mm:g} mm", key, gain(dice[key], dice[moved_ours]))
            line(f"CMC, {mm:g} mm", moved_ours, "")
        alone = "alone", 0, "none", "joint"
        line("first magnitude alone", alone, gain(dice[alone], dice[ours]))
    if "missing" in arguments.parts:
        header("network, head, without", "difference from both channels")
        for method in PARTS["missing"]:
            for head in ("joint", *CHANNELS):
                for missing in ("none", *CHANNELS):
                    key, full = ((method, 0, channel, head) for channel in (missing, "none"))
                    if dice[key]:
                        line(f"`{method}`, {head}, {missing}", key, "" if key == full else gain(dice[full], dice[key]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=program)
    parser.add_argument("out", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21])
    parser.add_argument("--mm", type=float, nargs="+", default=[0, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="train nothing, print what there is")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        prepare(arguments)
        run_all(arguments)
    tables(arguments, *scores(arguments))
    with open(arguments.out / "cost.csv") as file:
        print(f"\n{sum(float(row[1]) for row in csv.reader(file)) / 60:.1f} CPU minutes in {arguments.out}")


if __name__ == "__main__":
    main()
