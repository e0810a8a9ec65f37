#!/usr/bin/env bash
# Fuzzes the readers of files, guided by the code that an input reaches: libFuzzer under cargo-fuzz.
#
#   [RUNS=1000000] scripts/fuzz.sh [KIND...]     # kinds are the targets of fuzz/; all of them without any
#
# Each begins with the inputs of tests/fuzz/corpora, adds those that reach other code, and keeps the fewest that
# reach all of it there; `cargo test --test suite fuzz` replays them. An input at which a reader panics, hangs
# or asks for more than 3 GB ends the script and lies in fuzz/artifacts. Needs a nightly compiler and cargo-fuzz;
# the first build takes 20 CPU minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

for needed in 'cargo +nightly fuzz --version' 'tar --version'; do
    if ! $needed >/dev/null 2>&1; then
        echo "'$needed' fails: run 'rustup toolchain install nightly' and 'cargo install cargo-fuzz'" >&2
        exit 2
    fi
done
kinds=("$@")
if [ $# = 0 ]; then mapfile -t kinds < <(cargo fuzz list); fi
# Panics that a reader catches are many: a backtrace of each would take most of the time.
export RUST_BACKTRACE=0
# The versions that the program is built of.
cp Cargo.lock fuzz/Cargo.lock

for kind in "${kinds[@]}"; do
    corpus=fuzz/corpus/$kind packed=tests/fuzz/corpora/$kind.tar.gz
    mkdir -p "$corpus"
    if [ -f "$packed" ]; then tar -xzf "$packed" -C "$corpus"; fi
    # No sanitizer: safe code has no use for one, and it would cost half of the executions.
    cargo +nightly fuzz run --sanitizer none "$kind" -- \
        -runs="${RUNS:-1000000}" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1
    cargo +nightly fuzz cmin --sanitizer none "$kind"
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=0644 -cC "$corpus" . | gzip -9n >"$packed"
done
