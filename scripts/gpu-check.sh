#!/usr/bin/env bash
# Validates this build on a machine with an NVIDIA GPU: every operator against the CPU, training, speed.
#
#   scripts/gpu-check.sh [PROGRAM] [OPTIONS of `voxstream gpu-check`]
#
# PROGRAM  default: target/release/voxstream, built with `--features cuda` here or elsewhere.
#
# The libraries (cuBLAS, cuRAND, cuDNN, NCCL) are looked for where the loader looks, in CUDA_LIB_DIRS, and
# in the folders of Python's NVIDIA wheels (`pip install nvidia-cudnn-cu13 nvidia-cublas nvidia-curand
# nvidia-cuda-nvrtc`, or those that PyTorch brings). Exit code: that of `voxstream gpu-check`.
set -euo pipefail
program=target/release/voxstream
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    program=$1
    shift
fi
[ -x "$program" ] || {
    echo "gpu-check: $program is not there; build it: scripts/cuda-toolkit.sh target/cuda-toolkit &&" \
        ". target/cuda-toolkit/env.sh && cargo build --release --features cuda" >&2
    exit 2
}
found=$(python3 - 2>/dev/null <<'PY' || true
import glob, site, sysconfig
roots = {sysconfig.get_paths()["purelib"], site.getusersitepackages(), *site.getsitepackages()}
print(":".join(sorted(d for r in roots for d in glob.glob(r + "/nvidia/*/lib"))))
PY
)
# A folder of the driver that the loader does not know.
for folder in /usr/lib64-nvidia /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu; do
    [ ! -e "$folder/libcuda.so.1" ] || found=${found:+$found:}$folder
done
export CUDA_LIB_DIRS=${CUDA_LIB_DIRS:+$CUDA_LIB_DIRS:}$found
# cuDNN opens its own parts by name, so the loader must know the folders too.
export LD_LIBRARY_PATH=$CUDA_LIB_DIRS${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; fi
exec "$program" gpu-check "$@"
