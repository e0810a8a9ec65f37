"""What unlabelled subjects add to few labelled ones: hippocampus, every method at equal steps.

    VOXSTREAM_DATA=… python3 benches/experiments/few_labels.py target/release/voxstream OUT --labelled 8 --seeds 20 21 22
    VOXSTREAM_DATA=… python3 benches/experiments/few_labels.py target/release/voxstream OUT --labelled 4 --folds

Medical Segmentation Decathlon Task04. Without `--folds` the fixed split of the gallery (160 subjects train, 20
validate, 20 test), the checkpoint that was best in validation, test subjects. With `--folds` all 200 subjects in
five folds: 160 train, the other 40 are scored with the last checkpoint, so nothing is chosen on them.
Prints Markdown: mean and standard deviation over runs, the share of the gap between few labels and all that a
method closes, and the paired difference from few labels alone with a bootstrap interval over subjects. Runs that
are finished are kept; `--table` prints what is there.
"""

import argparse
import collections
import math
import pathlib

from experiment import ask, gain, number, over_runs, program, shown, train

PIPELINES = pathlib.Path(__file__).parent.parent.parent / "pipelines"
SEMI = "03-semi-supervised-hippocampus.yaml"
ALL = 160
"""Subjects that train."""

# File 03 without BCP.
ALONE = ["train.objective.bcp=null"]

# Pipeline, and what differs from it as values for --set.
METHODS = {
    "labelled-only": (SEMI, ["train.batch.unlabelled=0", *ALONE]),
    "mean-teacher": ("09-mean-teacher-hippocampus.yaml", []),
    "cps": ("14-cps-hippocampus.yaml", []),
    "flexmatch": (SEMI, ["pseudo_label.threshold={flexmatch: {}}", *ALONE]),
    "freematch": (SEMI, ["pseudo_label.threshold={freematch: {}}", *ALONE]),
    "unimatch": ("08-unimatch-hippocampus.yaml", []),
    "weak-strong": (SEMI, ALONE),
    "bcp": ("13-bcp-hippocampus.yaml", []),
    "bcp-weak-strong": (SEMI, []),
    "all-labelled": (SEMI, ["train.batch.unlabelled=0", *ALONE]),
}

SQL = """select run, subject_id, avg(dice) as dice from scores
where class_id > 0 and (checkpoint = 'last' and split = 'validation' and fold is not null
                        or checkpoint = 'best' and split = 'test' and fold is null)
group by run, subject_id"""


def labels(method, labelled):
    return ALL if method == "all-labelled" else labelled


def run(arguments, method, fold, seed):
    pipeline, changes = METHODS[method]
    labelled = labels(method, arguments.labelled)
    folder = arguments.out / f"{method}_{labelled}_{fold}_{seed}"
    changes = [f"seed={seed}", *changes]
    if fold is None:
        changes.append(f"source.folders.split.labelled={labelled}")
        train(arguments.program, PIPELINES / pipeline, folder, changes, ["--workers", "1"])
        return
    changes += [
        f"source.folders.split={{seed: 1, folds: 5, labelled: {labelled}}}",
        "score.splits=[validation]",
        "train.postprocess=false",
    ]
    train(arguments.program, PIPELINES / pipeline, folder, changes, ["--workers", "1", "--fold", str(fold)])


def cases(arguments):
    """Dice by (method, labelled), then by run (fold and seed) and subject."""
    found = collections.defaultdict(dict)
    for row in ask(arguments.program, arguments.out, SQL):
        method, labelled, fold, seed = row["run"].split("/")[0].split("_")
        if (fold != "None") == arguments.folds:
            found[method, int(labelled)][(fold, seed), row["subject_id"]] = number(row["dice"])
    return found


def table(arguments, found):
    few, best = (found.get((m, labels(m, arguments.labelled)), {}) for m in ("labelled-only", "all-labelled"))
    gap = over_runs(best)[0] - over_runs(few)[0]
    print(f"\n| method, {arguments.labelled} of {ALL} labelled | runs | Dice | of the gap | over labelled only |")
    print("| --- | --: | --- | --: | --- |")
    for method in arguments.methods:
        own = found.get((method, labels(method, arguments.labelled)), {})
        if not own:
            continue
        # Of the same runs and subjects, so that a run that is missing shifts nothing.
        same = {case: few[case] for case in own.keys() & few.keys()}
        share = (over_runs({case: own[case] for case in same})[0] - over_runs(same)[0]) / gap
        share = "" if math.isnan(share) else f"{100 * share:.0f} %"
        runs = len({run for run, _ in own})
        over = gain(same, own) if method != "labelled-only" else ""
        print(f"| {method} | {runs} | {shown(own, 4)} | {share} | {over} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=program)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--labelled", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[20])
    parser.add_argument("--folds", action="store_true", help="five folds over all 200 subjects")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--table", action="store_true", help="train nothing, print what there is")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        for seed in arguments.seeds:
            for fold in range(5) if arguments.folds else [None]:
                for method in arguments.methods:
                    run(arguments, method, fold, seed)
    table(arguments, cases(arguments))


main()
