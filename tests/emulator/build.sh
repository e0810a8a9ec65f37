#!/usr/bin/env bash
# Builds an emulated CUDA device: our kernels and candle's as C++, and the few library calls they need.
#
#   tests/emulator/build.sh FOLDER        (after `. …/env.sh` of scripts/cuda-toolkit.sh)
#   CUDA_LIB_DIRS=FOLDER voxstream gpu-check --steps 5 --patch 16 --timed 1
#
# It shows that kernels compute what they should, and are called with the right arguments; it says
# nothing about speed, about cuDNN, or about the driver.
set -euo pipefail
[ $# = 1 ] || { echo "usage: build.sh FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${CUDA_HOME:?source env.sh of the CUDA toolkit first}"
candle=$(cd "$root" && cargo metadata --format-version 1 --all-features 2>/dev/null | python3 -c '
import json, os, sys
print([os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "candle-kernels"][0])')
mkdir -p "$1"
out=$(cd "$1" && pwd)
objects=()
# A file's kernels: the entries of its PTX.
emulate() { # FILE NAME
    "$CUDA_HOME/bin/nvcc" --ptx -std=c++17 -gencode=arch=compute_90,code=compute_90 -I"$(dirname "$1")" "$1" -o "$out/$2.ptx"
    {
        echo '#include "shim.h"'
        echo "#include \"$1\""
        grep -oE '\.entry [A-Za-z0-9_]+' "$out/$2.ptx" | awk '{ print "KERNEL(" $2 ")" }'
    } > "$out/$2.cpp"
    g++ -O2 -std=c++17 -fPIC -fno-strict-aliasing -fvisibility=hidden -w -I"$here" -I"$(dirname "$1")" -I"$CUDA_HOME/include" \
        -I"$CUDA_HOME/include/cccl" -c "$out/$2.cpp" -o "$out/$2.o"
}
for name in norm volume thin loss step; do
    emulate "$root/src/nn/cuda/$name.cu" "ours_$name"
    objects+=("$out/ours_$name.o")
done
for name in affine binary cast fill indexing reduce ternary unary; do
    [ -e "$out/candle_$name.o" ] || emulate "$candle/src/$name.cu" "candle_$name"
    objects+=("$out/candle_$name.o")
done
g++ -O3 -std=c++17 -fPIC -fno-strict-aliasing -fvisibility=hidden -w -I"$here" -I"$CUDA_HOME/include" -I"$CUDA_HOME/include/cccl" \
    -c "$here/driver.cpp" -o "$out/driver.o"
# Helpers of candle's headers are in every file, the same each time.
g++ -shared -Wl,--allow-multiple-definition -o "$out/libcuda.so.1" "$out/driver.o" "${objects[@]}"
for so in libcublas.so.13 libcurand.so.10 libcudnn.so.9 libnccl.so.2; do ln -sf libcuda.so.1 "$out/$so"; done
echo "emulated device in $out" >&2
