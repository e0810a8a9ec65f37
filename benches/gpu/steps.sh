#!/usr/bin/env bash
# What is checked and measured on a machine with an NVIDIA GPU; `scripts/gpu-window.sh` packs it.
#
#   bash steps.sh [STEP…]        default: all, in the order of `all` below
#
# Every step writes `$OUT/NAME.txt` and, as it ends, a line `PASS|FAIL name seconds figure` to
# `$OUT/summary.txt`. A step that fails or passes its time limit stops no other.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:-$here/out}
mkdir -p "$OUT/steps"
cd "$here" || exit 2
all="device operators convolutions training speed-cmc speed-unet3d speed-cmc-f32 speed-unet3d-f32
    torch torch-compiled stream nccl resume sanitizer"
[ -x voxstream ] || { xz --decompress --keep voxstream.xz && chmod +x voxstream; }

found=$(python3 - 2>/dev/null <<'PY' || true
import glob, site, sysconfig
roots = {sysconfig.get_paths()["purelib"], *site.getsitepackages()}
print(":".join(sorted(d for r in roots for d in glob.glob(r + "/nvidia/*/lib"))))
PY
)
for folder in /usr/lib64-nvidia /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu; do
    [ ! -e "$folder/libcuda.so.1" ] || found=${found:+$found:}$folder
done
libraries=${CUDA_LIB_DIRS:+$CUDA_LIB_DIRS:}$found
# PyTorch finds its libraries by itself: the folders are for our program alone.
ours() { CUDA_LIB_DIRS=$libraries LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"; }

# Where a step takes its figure from: the last line that matches.
step() { # NAME LIMIT PATTERN COMMAND…
    local name=$1 limit=$2 pattern=$3 start code figure
    shift 3
    start=$(date +%s.%N)
    timeout --kill-after=5 "$limit" bash -c "$*" >"$OUT/steps/$name.txt" 2>&1
    code=$?
    figure=$(grep -E "$pattern" "$OUT/steps/$name.txt" | tail -n 1)
    printf '%s %s %.1f %s\n' "$([ $code = 0 ] && echo PASS || echo "FAIL($code)")" "$name" \
        "$(echo "$(date +%s.%N) $start" | awk '{ print $1 - $2 }')" "$figure" | tee -a "$OUT/summary.txt"
}
export -f ours
export libraries OUT here

check() { step "$1" "$2" "$3" "ours ./voxstream gpu-check ${*:4}"; }

for name in ${*:-$all}; do
    case $name in
    device)
        step device 30 'driver CUDA' "nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; nproc; free -g
            ours ./voxstream gpu-check --only device; ours ./voxstream --version" ;;
    operators) check operators 90 'comparisons' --only operators ;;
    convolutions) check convolutions 120 'comparisons' --only convolutions ;;
    training) check training 60 'late loss' --only training ;;
    speed-cmc) check "$name" 60 'steps/s' --only speed --network cmc --precision bf16 ;;
    speed-unet3d) check "$name" 60 'steps/s' --only speed --network unet3d --precision bf16 ;;
    speed-cmc-f32) check "$name" 60 'steps/s' --only speed --network cmc --precision f32 --timed 10 ;;
    speed-unet3d-f32) check "$name" 60 'steps/s' --only speed --network unet3d --precision f32 --timed 10 ;;
    speed-*-searched)
        export VOXSTREAM_CUDNN_SEARCH=1
        network=${name#speed-}
        check "$name" 90 'steps/s' --only speed --network "${network%-searched}" --precision bf16
        unset VOXSTREAM_CUDNN_SEARCH ;;
    convolutions-searched)
        export VOXSTREAM_CUDNN_SEARCH=1
        check "$name" 120 'comparisons' --only convolutions
        unset VOXSTREAM_CUDNN_SEARCH ;;
    torch) step torch 100 'bf16' "python3 train_step_gpu.py --variants eager" ;;
    torch-bf16) step torch-bf16 60 'bf16' "python3 train_step_gpu.py --variants eager --values bf16" ;;
    torch-compiled) step torch-compiled 150 'bf16' "python3 train_step_gpu.py --variants compiled --values bf16" ;;
    stream)
        step stream 120 'GPU busy' "nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits -lms 100 >\$OUT/steps/busy.csv & watch=\$!
            ours ./voxstream run stream.yaml --device cuda --out stream-run; code=\$?
            kill \$watch
            python3 read_run.py busy \$OUT/steps/busy.csv stream-run; exit \$code" ;;
    nccl) step nccl 60 'loss' "ours ./voxstream run 04-cmc-phantom.yaml --devices 0 --out nccl-run --set train.steps=20 --set train.validate.every=20 &&
            python3 read_run.py last nccl-run" ;;
    resume) step resume 100 'resumed' "set -e
            flags='--device cuda --set train.steps=60 --set train.validate.every=20'
            ours ./voxstream run 04-cmc-phantom.yaml \$flags --out whole-run
            # The program itself in the background: a function would be a shell that dies alone.
            CUDA_LIB_DIRS=\$libraries LD_LIBRARY_PATH=\$libraries ./voxstream run 04-cmc-phantom.yaml \$flags --out broken-run & run=\$!
            for i in \$(seq 600); do [ -z \"\$(ls broken-run/checkpoints 2>/dev/null)\" ] || break; sleep 0.05; done
            sleep 0.3; kill -9 \$run; wait \$run || true
            ours ./voxstream run 04-cmc-phantom.yaml \$flags --out broken-run --resume
            python3 read_run.py same whole-run broken-run" ;;
    sanitizer) step sanitizer 120 'ERROR SUMMARY' "ours compute-sanitizer --tool memcheck ./voxstream gpu-check --only operators" ;;
    *) echo "no step is called $name; expected some of: $all" >&2 ;;
    esac
done
cp "$OUT/summary.txt" "$OUT/steps/"
tar -C "$OUT" -czf "$OUT/steps.tar.gz" steps
cat "$OUT/summary.txt"
