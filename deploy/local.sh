#!/usr/bin/env bash
# Starts a scheduler and three executors on this machine and waits; Ctrl-C ends them all.
#
#   deploy/local.sh [PROGRAM]          default: voxstream on the path, built with `--features cluster`
#
# EXECUTORS (3), PORT (50050), WORKERS (one core in EXECUTORS) and MEMORY (4GiB) of each change the defaults.
set -euo pipefail
program=${1:-voxstream}
executors=${EXECUTORS:-3} port=${PORT:-50050} memory=${MEMORY:-4GiB}
cores=$(($(nproc) / executors))
workers=${WORKERS:-$((cores > 0 ? cores : 1))}

pids=()
finish() {
  # Executors first: they finish their parts and take leave of the scheduler.
  for pid in "${pids[@]:1}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${pids[@]:1}"; do wait "$pid" 2> /dev/null || true; done
  kill "${pids[0]}" 2> /dev/null || true
  wait
}
trap finish EXIT
trap 'exit 130' INT TERM

"$program" scheduler --port "$port" & pids+=($!)
for _ in $(seq 100); do (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 0.1; done
kill -0 "${pids[0]}" 2> /dev/null || { echo "the scheduler did not start" >&2; exit 1; }
for _ in $(seq "$executors"); do
  "$program" executor --scheduler "df://127.0.0.1:$port" --port 0 --workers "$workers" --memory "$memory" & pids+=($!)
done
echo "$executors executors: $program run pipeline.yaml --cluster df://127.0.0.1:$port" >&2
wait -n
