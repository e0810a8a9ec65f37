#!/usr/bin/env bash
# Kills a run three times at random moments and resumes it each time; its tables must be those of a run
# that was left alone, volatile columns aside.
#
#   scripts/kill-rounds.sh target/release/voxstream pipeline.yaml ROUNDS SECONDS [options of `run`]
#
# A start is killed within SECONDS, or ends before.
# Prints one line a round: kills, whether anything differs, and for runs in parts how many subjects were done in
# vain at a kill: those that were finished and in no committed part. Ends with the sums. Exit code 1 if
# something differs.
set -euo pipefail

schemas=$(realpath "$(dirname "$0")/../schemas")
program=$(realpath "$1") pipeline=$2 rounds=$3 latest=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

query() { "$program" query "$1" "$2" --format csv 2>/dev/null; }

# The columns of a table that depend on who did the work and when, as its schema marks them.
volatile() { awk -F'"' '/"name":/ { name = $4 } /"volatile": true/ { print name }' "$schemas/$1.arrow.json" | paste -sd,; }

# What a run says, without what depends on who did the work and when.
said() {
    local run=$1 table columns
    for table in subjects parts quality failures warnings metrics scores postprocessing views; do
        columns=$(volatile "$table")
        columns="*${columns:+ except ($columns)}"
        query "$run" "select $columns from $table" >"$work/rows" || continue
        echo "== $table"
        # The order of parts is that of their records, and of no meaning.
        if [ "$table" = parts ]; then sort "$work/rows"; else cat "$work/rows"; fi
    done
    (cd "$run" && find . -type f ! -name '.*' \( -path './prepared/*' -o -path './predictions/*' \
        -o -path './checkpoints/*.safetensors' \) | LC_ALL=C sort | xargs -r sha256sum)
}

# How many subjects are in committed parts.
committed() { query "$1" 'select sum(subjects) from parts' | tail -1 | grep -x '[0-9]\+' || echo 0; }

"$program" --log error run "$pipeline" --out "$work/whole" "$@" >/dev/null
said "$work/whole" >"$work/expected"
wrong=0 all=0 vain=0 most=0
for round in $(seq "$rounds"); do
    run=$work/run kills=0 lost=0 resume=()
    rm -rf "$run"
    while true; do
        before=$(committed "$run")
        "$program" --log error run "$pipeline" --out "$run" --workers $((1 + RANDOM % 3)) "$@" "${resume[@]}" >/dev/null 2>&1 &
        child=$!
        if [ "$kills" = 3 ]; then
            wait "$child" || true
            break
        fi
        sleep "$(awk -v r=$RANDOM -v most="$latest" 'BEGIN { print 0.05 + r / 32768 * most }')"
        if kill -KILL "$child" 2>/dev/null; then
            kills=$((kills + 1))
        fi
        code=0
        wait "$child" 2>/dev/null || code=$?
        # It ended by itself, well or not.
        if [ "$code" != 137 ]; then break; fi
        # A training writes attempts down, too, and commits no part.
        if [ -e "$run/.attempts" ] && [ -d "$run/parts" ]; then
            ended=$(grep -c '^{"ended"' "$run/.attempts" || true)
            in_vain=$((ended - ($(committed "$run") - before)))
            lost=$((lost + in_vain))
            most=$((in_vain > most ? in_vain : most))
        fi
        # Killed before the folder had a ledger: there is nothing to resume.
        if [ -e "$run/status.json" ]; then resume=(--resume); else rm -rf "$run"; fi
    done
    said "$run" >"$work/found"
    all=$((all + kills)) vain=$((vain + lost))
    if cmp -s "$work/expected" "$work/found"; then
        echo "round $round: $kills kills, equal, $lost subjects in vain"
    else
        echo "round $round: $kills kills, DIFFERENT, $lost subjects in vain"
        diff "$work/expected" "$work/found" | head -5
        wrong=$((wrong + 1))
    fi
done
echo "$rounds rounds, $all kills, $wrong different, $vain subjects in vain, at most $most at a kill"
[ "$wrong" = 0 ]
