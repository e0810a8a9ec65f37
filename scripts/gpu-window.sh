#!/usr/bin/env bash
# Packs everything that a short visit to a machine with an NVIDIA GPU needs into one folder.
#
#   scripts/gpu-window.sh FOLDER [PROGRAM]
#
# PROGRAM  a program built with `--features cuda`; left out, the `dist` profile is built here, with the
#          compiler of `scripts/cuda-toolkit.sh` (no GPU, driver or CUDA needed).
#
# FOLDER then holds the packed program, the pipelines, PyTorch's counterpart and `steps.sh`. Carry it there
# and run `bash FOLDER/steps.sh`: it needs bash, xz and the libraries of a PyTorch installation, no network.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { echo "usage: gpu-window.sh FOLDER [PROGRAM]" >&2; exit 2; }
folder=$1
program=${2:-}
if [ -z "$program" ]; then
    [ -e target/cuda-toolkit/.complete ] || scripts/cuda-toolkit.sh target/cuda-toolkit
    # shellcheck source=/dev/null
    . target/cuda-toolkit/env.sh
    cargo build --profile dist --features cuda --target-dir target-cuda
    program=target-cuda/dist/voxstream
fi
mkdir -p "$folder"
strip -o "$folder/voxstream" "$program"
xz "-${XZ_LEVEL:-9}" --threads=0 --force "$folder/voxstream"
cp benches/gpu/steps.sh benches/gpu/read_run.py benches/gpu/stream.yaml benches/peers/train_step_gpu.py \
    pipelines/04-cmc-phantom.yaml "$folder/"
size=$(du -sm "$folder" | cut -f 1)
[ "$size" -le 50 ] || { echo "gpu-window: $folder takes $size MiB; at most 50 are carried over" >&2; exit 1; }
echo "gpu-window: $size MiB in $folder; on the GPU machine: bash $folder/steps.sh" >&2
