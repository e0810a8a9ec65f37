"""Draws Dice against the shift from the table that phantom.sh prints.

python3 benches/experiments/curve.py TABLE.md OUT.svg
"""

import collections
import pathlib
import sys

CURVES = {
    "early": ("early fusion (unet3d)", "#b3473f"),
    "no-csc": ("CMC without CSC", "#8a8f98"),
    "full": ("CMC", "#22629c"),
}
LEFT, TOP, WIDE, HIGH = 56, 24, 460, 280
LOW, UP, FAR = 0.4, 0.9, 8

table = collections.defaultdict(list)
for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    cells = [cell.strip() for cell in line.strip("| \n").split("|")]
    if len(cells) == 4 and cells[0] in CURVES:
        table[cells[0], int(cells[1])].append(float(cells[3]))


def x(shift):
    return LEFT + WIDE * shift / FAR


def y(dice):
    return TOP + HIGH * (UP - dice) / (UP - LOW)


parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 24}" height="{TOP + HIGH + 56}"'
    ' font-family="sans-serif" font-size="13">',
    '<rect width="100%" height="100%" fill="white"/>',
]
for step in range(6):
    dice = LOW + step * 0.1
    parts.append(f'<path d="M{LEFT} {y(dice):.1f}h{WIDE}" stroke="#ddd"/>')
    parts.append(f'<text x="{LEFT - 8}" y="{y(dice) + 4:.1f}" text-anchor="end">{dice:.1f}</text>')
for shift in (0, 2, 4, 8):
    parts.append(f'<text x="{x(shift):.1f}" y="{TOP + HIGH + 20}" text-anchor="middle">{shift}</text>')
parts.append(f'<text x="{LEFT + WIDE / 2}" y="{TOP + HIGH + 42}" text-anchor="middle">shift of the MR, voxels</text>')
parts.append(f'<text x="{LEFT}" y="{TOP - 8}">mean Dice on the CT\'s frame, 4 of 40 subjects labelled</text>')
for row, (name, (title, colour)) in enumerate(CURVES.items()):
    points = []
    for shift in (0, 2, 4, 8):
        found = table[name, shift]
        if not found:
            continue
        mean = sum(found) / len(found)
        points.append(f"{x(shift):.1f},{y(mean):.1f}")
        parts += [f'<circle cx="{x(shift):.1f}" cy="{y(d):.1f}" r="3" fill="{colour}"/>' for d in found]
    dash = ' stroke-dasharray="6 4"' if name == "no-csc" else ""
    parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
    at = TOP + HIGH - 56 + 18 * row
    parts.append(f'<path d="M{LEFT + 14} {at - 4}h22" stroke="{colour}" stroke-width="2"{dash}/>')
    parts.append(f'<text x="{LEFT + 42}" y="{at}">{title}</text>')
parts.append("</svg>")
pathlib.Path(sys.argv[2]).write_text("\n".join(parts) + "\n")
