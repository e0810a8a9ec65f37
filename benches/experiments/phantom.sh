#!/usr/bin/env bash
# Does cross-modality collaboration stand misaligned modalities, and which of its parts does what?
#
#   benches/experiments/phantom.sh target/release/voxstream OUT [SEED ...]
#
# Prepares four cohorts (MR shifted by 0, 2, 4 and 8 voxels), trains early fusion, CMC without CSC
# and full CMC on each, and at 2 voxels CMC without each of its parts; prints a table of mean Dice of
# the CT's head on 8 test subjects. Runs that are finished are not run again.
set -euo pipefail
binary=$(realpath "$1")
out=$2
shift 2
seeds=("${@:-20}")
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

for shift in 0 2 4 8; do
  cohort=$out/cohort-$shift
  [ -e "$cohort/report.html" ] || "$binary" run "$here/prepare-phantom.yaml" --out "$cohort" \
    --set "stages[0].misalign.shift_voxels=$shift"
done

# What differs from phantom.yaml, by name: values for --set.
change=()
choose() {
  case $1 in
    full) change=() ;;
    early) change=('train.network={unet3d: {width: 16, depth: 3}}' 'train.objective.csc=null' 'train.objective.cac=null') ;;
    no-csc) change=('train.objective.csc=null') ;;
    no-cac) change=('train.objective.cac=null') ;;
    no-mia) change=('train.network.cmc.mia=false') ;;
    no-fusion) change=('train.network.cmc.fusion=false') ;;
    no-pseudo-labels) change=('train.objective.pseudo_label=null') ;;
    no-strong-view) change=('views.strong=[scale_intensity: {factor: [0.9, 1.1], p: 0.3}]') ;;
    labelled-only) change=('train.objective={supervised: {}}' 'train.batch.unlabelled=0') ;;
    as-released) change=('train.objective={supervised: {}, cmc_as_released: {start: 0.6}}') ;;
  esac
}

train() { # NAME SHIFT SEED
  local folder=$out/$1-$2-$3 value sets=(--set "seed=$3")
  choose "$1"
  for value in "${change[@]}"; do sets+=(--set "$value"); done
  if [ ! -e "$folder/report.html" ]; then
    rm -rf "$folder"
    PHANTOM_DATA=$out/cohort-$2 "$binary" run "$here/phantom.yaml" --out "$folder" "${sets[@]}" > /dev/null
  fi
  # Early fusion has one head; of CMC's that of the CT stands in the frame of the truth.
  local dice
  dice=$("$binary" query "$folder" --format csv \
    "select avg(dice) from scores where checkpoint = 'best' and class <> 'background' and modality in ('ct', 'joint')" | tail -1)
  printf '| %s | %s | %s | %.4f |\n' "$1" "$2" "$3" "$dice"
}

echo '| network | shift, voxels | seed | Dice |'
echo '| --- | --- | --- | --- |'
for seed in "${seeds[@]}"; do
  for shift in 0 2 4 8; do
    for name in early no-csc full; do train $name $shift "$seed"; done
  done
  for name in no-cac no-mia no-fusion no-pseudo-labels no-strong-view labelled-only as-released; do
    train $name 2 "$seed"
  done
done
