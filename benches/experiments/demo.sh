#!/usr/bin/env bash
# What do 23 unlabelled subjects add to 1 labelled one in the demo?
#
#   benches/experiments/demo.sh target/release/voxstream OUT [SEED ...]
#
# Trains gallery file 04 on labelled rows alone, with each of its two terms for unlabelled rows, and as it is
# (`voxstream demo` runs the first and the last), and prints mean Dice over classes, modalities and the 8 test
# subjects. Runs that are finished are not run again. On one core a run takes 2 to 5 minutes.
set -euo pipefail
binary=$(realpath "$1")
out=$2
shift 2
seeds=("${@:-20}")
pipeline=$(cd "$(dirname "$0")/../../pipelines" && pwd)/04-cmc-phantom.yaml
mkdir -p "$out"

train() { # NAME SEED [SET]
  local folder=$out/$1-$2 sets=(--set "seed=$2")
  if [ -n "${3:-}" ]; then sets+=(--set "$3"); fi
  if [ ! -e "$folder/report.html" ]; then
    rm -rf "$folder"
    "$binary" run "$pipeline" --out "$folder" --workers 1 "${sets[@]}" > /dev/null
  fi
  local dice
  dice=$("$binary" query "$folder" --format csv \
    "select avg(dice) from scores where checkpoint = 'best' and split = 'test' and class_id > 0" | tail -1)
  printf '| %s | %s | %.3f |\n' "$1" "$2" "$dice"
}

echo '| trained on | seed | Dice |'
echo '| --- | --- | --- |'
for seed in "${seeds[@]}"; do
  train labelled-only "$seed" train.batch.unlabelled=0
  train pseudo-labels "$seed" train.objective.bcp=null
  train copy-paste "$seed" train.objective.pseudo_label=null
  train both "$seed"
done
