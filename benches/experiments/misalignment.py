"""What each part of CMC gains on modalities that complement each other and are out of register.

    python3 benches/experiments/misalignment.py target/release/voxstream OUT [--seeds 20 21 22]
        [--mm 0 2 4 8 12] [--kind rigid elastic] [--labelled 4] [--networks early cmc ...] [--steps 400]

Trains every network at every misalignment and seed (runs that are finished are kept, killed ones resumed),
asks all run folders in one SQL statement, and prints Markdown: mean and standard deviation over seeds of Dice
and HD95 of each head against its own frame, and paired differences from `cmc` with a bootstrap interval over
test subjects. `--table` prints from the runs that are there, and `--svg FILE` draws the curve. `--gradients`
adds how much of the gradient each term makes, and how alike the modalities' channels are.
"""

import argparse
import collections
import math
import pathlib

from experiment import ask, gain, number, over_runs, program, shown
from experiment import train as train_kept

HERE = pathlib.Path(__file__).parent
PIPELINE = HERE / "misalignment.yaml"

# What differs from misalignment.yaml, as values for --set.
NETWORKS = {
    # Both modalities as channels of one network; its one head can only follow one frame, the CT's.
    "early": [
        "source.phantom.labels=first",
        "train.network={unet3d: {width: 11, depth: 3}}",
        "train.objective.csc=null",
        "train.objective.cac=null",
    ],
    # A network a modality that share nothing: what fusion, attention and consistency are to improve on.
    "alone": [
        "train.network.cmc.fusion=false",
        "train.network.cmc.mia=false",
        "train.objective.csc=null",
        "train.objective.cac=null",
    ],
    "no-csc": ["train.objective.csc=null"],
    # The paper adds its terms unweighted, and late; or from the first step on.
    "paper-weights": ["train.objective.csc.weight=1", "train.objective.cac.weight=1"],
    "csc-early": ["train.objective.csc.weight=1", "train.objective.csc.start=0"],
    "no-cac": ["train.objective.cac=null"],
    "no-mia": ["train.network.cmc.mia=false"],
    "no-fusion": ["train.network.cmc.fusion=false"],
    "every-level": ["train.network.cmc.fusion_at=every_level"],
    "cmc": [],
}
COLOURS = dict(zip(NETWORKS, ["#b3473f", "#8a8f98", "#c98a1b", "#7b5aa6", "#3d8a5f", "#4aa3b5", "#1b3a5c", "#a06a3f", "#5d8a2f", "#22629c"]))


def moved(kind, mm):
    """The misalignment of a kind whose mean length is so many millimetres."""
    part = {"rigid": "shift_mm", "elastic": "elastic_mm"}[kind]
    return f"source.phantom.misalignment={{{part}: {mm}}}"


def name(network, kind, mm, labelled, seed):
    return f"{network}_{kind}_{mm}mm_{labelled}_{seed}"


def train(arguments, network, kind, mm, seed):
    folder = arguments.out / name(network, kind, mm, arguments.labelled, seed)
    changes = [
        moved(kind, mm),
        f"seed={seed}",
        f"source.phantom.labelled={arguments.labelled}",
        f"train.steps={arguments.steps}",
        *NETWORKS[network],
    ]
    train_kept(arguments.program, PIPELINE, folder, changes, ["--workers", str(arguments.workers)])


SQL = """select run, subject_id, coalesce(modality, 'joint') as head, avg(dice) as dice, avg(hd95_mm) as hd95_mm,
       count(*) filter (where missed) as missed
from scores where checkpoint = 'best' and split = 'test' and class_id > 0
group by run, subject_id, modality order by run, subject_id, modality"""


FIGURES = {"dice": 3, "hd95_mm": 1}
"""What is scored, and the digits that are shown of it."""


def scores(arguments):
    """Figures by (network, kind, mm, labelled), head and figure, then by seed and subject."""
    found = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(dict)))
    for row in ask(arguments.program, arguments.out, SQL):
        network, kind, mm, labelled, seed = pathlib.Path(row["run"]).name.split("_")
        head = {"joint": "ct"}.get(row["head"], row["head"])
        key = network, kind, float(mm.removesuffix("mm")), int(labelled)
        for figure in FIGURES:
            found[key][head][figure][int(seed), row["subject_id"]] = number(row[figure])
    return found


def tables(arguments, found):
    for kind in arguments.kind:
        print(f"\n### {kind}, {arguments.labelled} labelled subjects, {len(arguments.seeds)} seeds\n")
        print("| network | mm | CT Dice | CT HD95 mm | MR Dice | MR HD95 mm | CT: CMC's gain over it | MR: CMC's gain over it |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for network in arguments.networks:
            for mm in arguments.mm:
                heads = found.get((network, kind, mm, arguments.labelled))
                if not heads:
                    continue
                full = found.get(("cmc", kind, mm, arguments.labelled), {})
                cells, gains = [], []
                for head in ("ct", "mr"):
                    if head not in heads:
                        cells += ["", ""]
                        gains.append("")
                        continue
                    cells += [shown(heads[head][figure], digits) for figure, digits in FIGURES.items()]
                    is_other = network != "cmc" and head in full
                    gains.append(gain(heads[head]["dice"], full[head]["dice"]) if is_other else "")
                print(f"| {network} | {mm:g} | " + " | ".join(cells + gains) + " |")


GRADIENTS = """with parts as (
  select run, step, name, value, sum(value) over (partition by run, step) as whole,
         case when step <= {steps} * 0.6 then 'first 60 %' else 'after' end as phase
  from metrics where name like 'grad_norm_%')
select split_part(run, '_', 1) as network, split_part(run, '_', 3) as mm, phase,
       replace(name, 'grad_norm_', '') as term, avg(value / whole) as share, avg(value) as norm
from parts group by 1, 2, 3, 4 order by 1, 2, 3 desc, 4"""

SIMILARITY = """select split_part(run, '_', 1) as network, split_part(run, '_', 3) as mm,
       case when step <= {steps} * 0.6 then 'first 60 %' else 'after' end as phase,
       avg(value) filter (where name = 'similarity_same_channel') as same_channel,
       avg(value) filter (where name = 'similarity_other_channels') as other_channels
from metrics where name like 'similarity_%' group by 1, 2, 3 order by 1, 2, 3 desc"""


def gradients(arguments):
    """How much of the gradient each term makes, and how alike the modalities' channels are."""
    for sql in (GRADIENTS, SIMILARITY):
        print()
        print(ask(arguments.program, arguments.out, sql.format(steps=arguments.steps), "md"))


def draw(arguments, found, path):
    left, top, wide, high, low, up = 56, 28, 400, 260, 0.0, 1.0
    far = max(arguments.mm) or 1
    panels = [(kind, head) for kind in arguments.kind for head in ("ct", "mr")]
    width = (left + wide + 24) * len(panels)
    height = top + high + 64
    x = lambda panel, mm: (left + wide + 24) * panel + left + wide * mm / far
    y = lambda dice: top + high * (up - dice) / (up - low)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for panel, (kind, head) in enumerate(panels):
        parts.append(f'<text x="{x(panel, 0)}" y="{top - 10}">{head.upper()} head, {kind} misalignment: mean Dice</text>')
        for step in range(6):
            dice = low + 0.2 * step
            parts.append(f'<path d="M{x(panel, 0)} {y(dice):.1f}h{wide}" stroke="#ddd"/>')
            parts.append(f'<text x="{x(panel, 0) - 8}" y="{y(dice) + 4:.1f}" text-anchor="end">{dice:.1f}</text>')
        for mm in arguments.mm:
            parts.append(f'<text x="{x(panel, mm):.1f}" y="{top + high + 18}" text-anchor="middle">{mm:g} mm</text>')
        for row, network in enumerate(arguments.networks):
            points = []
            for mm in arguments.mm:
                cases = found.get((network, kind, mm, arguments.labelled), {}).get(head)
                if not cases:
                    continue
                mean, sd = over_runs(cases["dice"])
                at = x(panel, mm) + 3 * (row - len(arguments.networks) / 2)
                points.append(f"{at:.1f},{y(mean):.1f}")
                if not math.isnan(sd):
                    parts.append(
                        f'<path d="M{at:.1f} {y(min(mean + sd, up)):.1f}V{y(max(mean - sd, low)):.1f}" stroke="{COLOURS[network]}"/>'
                    )
            if points:
                parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLOURS[network]}" stroke-width="2"/>')
    for row, network in enumerate(arguments.networks):
        at = left + 110 * row
        parts.append(f'<path d="M{at} {height - 14}h20" stroke="{COLOURS[network]}" stroke-width="3"/>')
        parts.append(f'<text x="{at + 26}" y="{height - 10}">{network}</text>')
    path.write_text("\n".join(parts + ["</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=program)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--mm", type=float, nargs="+", default=[0, 2, 4, 8, 12])
    parser.add_argument("--kind", nargs="+", choices=["rigid", "elastic"], default=["rigid"])
    parser.add_argument("--labelled", type=int, default=4)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="train nothing, print what there is")
    parser.add_argument("--gradients", action="store_true", help="also print gradient shares and similarities of channels")
    parser.add_argument("--svg", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        # A seed after the other, so that an interrupted experiment has whole curves.
        for seed in arguments.seeds:
            for kind in arguments.kind:
                for mm in arguments.mm:
                    for network in arguments.networks:
                        train(arguments, network, kind, f"{mm:g}", seed)
    found = scores(arguments)
    tables(arguments, found)
    if arguments.gradients:
        gradients(arguments)
    if arguments.svg:
        draw(arguments, found, arguments.svg)


main()
