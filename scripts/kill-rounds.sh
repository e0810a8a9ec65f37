#!/usr/bin/env bash
# Kills a run three times at random moments and resumes it each time; its tables must be those of a run
# that was left alone, volatile columns aside.
#
#   scripts/kill-rounds.sh target/release/voxstream pipeline.yaml ROUNDS SECONDS [options of `run`]
#
# A start is killed within SECONDS, or ends before.
# Prints one line a round: kills, and whether anything differs. Exit code 1 if something does.
set -euo pipefail

program=$(realpath "$1") pipeline=$2 rounds=$3 latest=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What a run says, without what depends on who did the work and when.
said() {
    local run=$1 table
    for table in subjects quality failures warnings metrics scores; do
        "$program" query "$run" "select * from $table" --format csv >"$work/rows" 2>/dev/null || continue
        echo "== $table"
        # `seconds` is the only volatile column of these tables.
        if [ "$table" = subjects ]; then
            "$program" query "$run" "select * except (seconds) from subjects order by subject_id" --format csv
        else
            cat "$work/rows"
        fi
    done
    (cd "$run" && find . -type f \( -path './prepared/*' -o -path './predictions/*' \) ! -name '.*' | LC_ALL=C sort | xargs -r sha256sum)
}

"$program" --log error run "$pipeline" --out "$work/whole" "$@" >/dev/null
said "$work/whole" >"$work/expected"
wrong=0
for round in $(seq "$rounds"); do
    run=$work/run kills=0 resume=()
    rm -rf "$run"
    while true; do
        "$program" --log error run "$pipeline" --out "$run" --workers $((1 + RANDOM % 3)) "$@" "${resume[@]}" >/dev/null 2>&1 &
        child=$!
        if [ "$kills" = 3 ]; then
            wait "$child"
            break
        fi
        sleep "$(awk -v r=$RANDOM -v most="$latest" 'BEGIN { print 0.05 + r / 32768 * most }')"
        if kill -KILL "$child" 2>/dev/null; then
            kills=$((kills + 1))
        fi
        if wait "$child" 2>/dev/null; then
            break
        fi
        # Killed before the folder had a ledger: there is nothing to resume.
        if [ -e "$run/status.json" ]; then resume=(--resume); else rm -rf "$run"; fi
    done
    said "$run" >"$work/found"
    if cmp -s "$work/expected" "$work/found"; then
        echo "round $round: $kills kills, equal"
    else
        echo "round $round: $kills kills, DIFFERENT"
        diff "$work/expected" "$work/found" | head -5
        wrong=1
    fi
done
exit "$wrong"
