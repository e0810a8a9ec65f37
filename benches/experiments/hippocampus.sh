#!/usr/bin/env bash
# What do 152 unlabelled subjects add to 8 labelled ones? Every method at equal steps.
#
#   VOXSTREAM_DATA=… benches/experiments/hippocampus.sh target/release/voxstream OUT [SEED ...]
#
# Trains each method on Medical Segmentation Decathlon Task04 (fixed split: 160 training, 20
# validation, 20 test subjects) and prints a table of mean Dice on the test subjects. Runs that are
# finished are not run again. On one core a run takes 6 to 20 minutes.
set -euo pipefail
binary=$(realpath "$1")
out=$2
shift 2
seeds=("${@:-20}")
pipelines=$(cd "$(dirname "$0")/../../pipelines" && pwd)
mkdir -p "$out"

train() { # NAME SEED PIPELINE [SET ...]
  local name=$1 seed=$2 file=$pipelines/$3 folder=$out/$1-$2 value sets=(--set "seed=$2")
  for value in "${@:4}"; do sets+=(--set "$value"); done
  if [ ! -e "$folder/report.html" ]; then
    rm -rf "$folder"
    "$binary" run "$file" --out "$folder" "${sets[@]}" > /dev/null
  fi
  local dice
  dice=$("$binary" query "$folder" --format csv \
    "select avg(dice) from scores where checkpoint = 'best' and class <> 'background'" | tail -1)
  printf '| %s | %s | %.4f |\n' "$name" "$seed" "$dice"
}

threshold() { echo "pseudo_label.threshold={$1: {}}"; }
echo '| method | seed | Dice |'
echo '| --- | --- | --- |'
for seed in "${seeds[@]}"; do
  train labelled-only "$seed" 03-semi-supervised-hippocampus.yaml train.batch.unlabelled=0
  train mean-teacher "$seed" 09-mean-teacher-hippocampus.yaml
  train cps "$seed" 14-cps-hippocampus.yaml
  train unimatch "$seed" 08-unimatch-hippocampus.yaml
  train bcp "$seed" 13-bcp-hippocampus.yaml
  train fixed "$seed" 03-semi-supervised-hippocampus.yaml
  train flexmatch "$seed" 03-semi-supervised-hippocampus.yaml "$(threshold flexmatch)"
  train freematch "$seed" 03-semi-supervised-hippocampus.yaml "$(threshold freematch)"
  train all-labelled "$seed" 03-semi-supervised-hippocampus.yaml \
    source.folders.split.labelled=160 train.batch.unlabelled=0
done
