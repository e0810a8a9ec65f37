#!/usr/bin/env bash
# Reads cohorts and runs from a real S3 server on loopback, through a proxy that spoils its answers, and
# compares what comes out with what local files give.
#
#   tests/stores/run.sh [PROGRAM]          default target/debug/voxstream
#
# Needs Python 3 and a package registry for the server (moto); skips with a reason where they are absent.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:-target/debug/voxstream}")
here=tests/stores

skip() { echo "skipped: $1"; exit 0; }
fail() { echo "FAILED: $1" >&2; exit 1; }

[ -x "$program" ] || fail "$program is not there; build it with \`cargo test --no-run\`"
command -v python3 > /dev/null || skip "python3 is not installed"
venv=target/stores/venv
if ! [ -x "$venv/bin/moto_server" ]; then
  mkdir -p target/stores
  python3 -m venv "$venv" 2> target/stores/venv.log \
    || skip "a virtual environment cannot be made (target/stores/venv.log)"
  "$venv/bin/pip" install -q 'moto[server]>=5.1,<6' >> target/stores/venv.log 2>&1 \
    || skip "moto cannot be installed (target/stores/venv.log)"
fi

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# Nothing of the caller's own access takes part.
for name in $(compgen -e | grep -E '^AWS_' || true); do unset "$name"; done
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
export AWS_ACCESS_KEY_ID=stores-test-key AWS_SECRET_ACCESS_KEY=stores-test-hidden-word AWS_REGION=us-east-1
export VOXSTREAM_CACHE=$work/cache VOXSTREAM_STORE_PATIENCE=20

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
server=$(port) proxy=$(port)
export STORES_SERVER=http://127.0.0.1:$server AWS_ENDPOINT_URL=http://127.0.0.1:$proxy
faults=$work/fault
fault() { echo "$1" > "$faults.new"; mv "$faults.new" "$faults"; }
fault none
"$venv/bin/moto_server" -H 127.0.0.1 -p "$server" > "$work/server.log" 2>&1 & pids+=($!)
python3 "$here/proxy.py" "$proxy" "$server" "$faults" > "$work/proxy.log" 2>&1 & pids+=($!)
for _ in $(seq 100); do
  "$venv/bin/python" "$here/bucket.py" make cohort > /dev/null 2>&1 && break
  sleep 0.2
done
python3 "$here/cohort.py" "$work/cohort"
"$venv/bin/python" "$here/bucket.py" upload "$work/cohort" cohort ""

pipeline() { # name, source
  cat > "$work/$1.yaml" <<YAML
name: $1
source: { $2 }
stages: [orient: { to: RAS }, zscore: {}]
sinks: { prepared: { parquet: true }, part_size: 2MiB }
YAML
}
columns='columns: { subject: id, images: { ct: ct }, label: label }'
patterns="images: '{subject}_ct.nii.gz', labels: '{subject}_label.nii.gz', modalities: [ct]"
pipeline local "manifest: { path: $work/cohort/lists/list.csv, $columns }"
pipeline manifest "manifest: { path: s3://cohort/lists/list.csv, $columns }"
pipeline folders "folders: { path: s3://cohort/data, $patterns }"

sql="select p.subject_id, p.\"image.ct\"['blake3'] ct, p.label['blake3'] label, s.shape_x, s.bytes
  from prepared p join subjects s on p.subject_id = s.subject_id order by 1"
digests() { "$program" query "$1" "$sql" --format csv; }
run() { # pipeline, folder, further options
  "$program" run "$work/$1.yaml" --out "$2" --workers 2 "${@:3}" > "$work/out.log" 2> "$work/err.log"
}
same() { # what, run
  digests "$2" > "$work/found.csv" 2> "$work/err.log" || { cat "$work/err.log" >&2; fail "$1: no answer"; }
  cmp -s "$work/expected.csv" "$work/found.csv" || { diff "$work/expected.csv" "$work/found.csv" >&2; fail "$1: other digests"; }
}
told() { grep -q -- "$1" "$work/err.log" || { cat "$work/err.log" >&2; fail "$2: expected \`$1\` in the message"; }; }
timed() { printf '%-44s %5.1f s\n' "$1" "$(echo "$(date +%s.%N) - $2" | bc)"; }

run local "$work/whole" || { cat "$work/err.log" >&2; fail "the local run"; }
digests "$work/whole" > "$work/expected.csv"
[ "$(wc -l < "$work/expected.csv")" = 8 ] || fail "the local run has not seven subjects"

for source in manifest folders; do
  for kind in none latency errors truncate slow; do
    fault "$kind"
    start=$(date +%s.%N)
    run "$source" "$work/$source-$kind" || { cat "$work/err.log" >&2; fail "$source, $kind"; }
    timed "prepared from $source, $kind" "$start"
    fault none
    same "$source, $kind" "$work/$source-$kind"
  done
done

# Lists that lag: what is not named yet is not in the cohort; the next start finds it, and the same voxels.
mkdir -p "$work/early/data" "$work/later/data"
cp "$work"/cohort/data/s[0-3]_* "$work/early/data"
cp "$work"/cohort/data/s[4-6]_* "$work/later/data"
pipeline lag "folders: { path: s3://lag/data, $patterns }"
"$venv/bin/python" "$here/bucket.py" make lag
STORES_SERVER=$AWS_ENDPOINT_URL "$venv/bin/python" "$here/bucket.py" upload "$work/early" lag ""
sleep 3.5
STORES_SERVER=$AWS_ENDPOINT_URL "$venv/bin/python" "$here/bucket.py" upload "$work/later" lag ""
fault lag
run lag "$work/lag" || { cat "$work/err.log" >&2; fail "a list that lags"; }
found=$("$program" query "$work/lag" 'select count(*) from subjects' --format csv | tail -1)
[ "$found" = 4 ] || fail "a list that lags: $found subjects, expected 4"
sleep 3.5
run lag "$work/lag" --resume || { cat "$work/err.log" >&2; fail "a list that lagged"; }
fault none
same "a list that lagged" "$work/lag"

# A store that is away for five seconds.
fault down
(sleep 5; fault none) &
start=$(date +%s.%N)
run manifest "$work/away" || { cat "$work/err.log" >&2; fail "a store that was away"; }
timed "prepared from a store that was away for 5 s" "$start"
same "a store that was away" "$work/away"

# Faults that stay are named, once, and soon.
fault expired
if run manifest "$work/expired"; then fail "expired credentials were taken"; fi
told 's3://cohort/lists/list.csv' 'expired'
told 'ExpiredToken' 'expired'
told 'AWS_SESSION_TOKEN' 'expired'
fault down
start=$(date +%s)
if VOXSTREAM_STORE_PATIENCE=2 run manifest "$work/down"; then fail "a store that is down was read"; fi
[ $(($(date +%s) - start)) -lt 15 ] || fail "a store that is down took $(($(date +%s) - start)) s to be reported"
told 'cannot be reached' 'down'
fault none
if env -u AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL="http://127.0.0.1:$proxy" "$program" run "$work/manifest.yaml" \
  --out "$work/none" > "$work/out.log" 2> "$work/err.log"; then fail "a run without a secret key"; fi
told 'AWS_SECRET_ACCESS_KEY is not set' 'no secret key'

# Runs in a store are read where they are.
"$venv/bin/python" "$here/bucket.py" make runs
"$venv/bin/python" "$here/bucket.py" upload "$work/whole" runs a/whole
for kind in none errors truncate latency; do
  fault "$kind"
  start=$(date +%s.%N)
  same "query of a run in a store, $kind" s3://runs/a/whole
  timed "queried in the store, $kind" "$start"
  "$program" verify s3://runs/a/whole > "$work/out.log" 2> "$work/err.log" || { cat "$work/out.log" "$work/err.log" >&2; fail "verify, $kind"; }
  grep -q '^ok: ' "$work/out.log" || fail "verify, $kind: $(cat "$work/out.log")"
done
fault none
[ "$("$program" report s3://runs/a/whole)" = s3://runs/a/whole/report.html ] || fail "report"
"$venv/bin/python" "$here/bucket.py" list runs a/whole/report.html | grep -q . || fail "no report in the store"

# Runs are written to a store, part by part, the commit record last.
"$venv/bin/python" "$here/bucket.py" make out
for kind in none errors truncate latency no-if; do
  fault "$kind"
  start=$(date +%s.%N)
  run manifest "s3://out/$kind" || { cat "$work/err.log" >&2; fail "a run to a store, $kind"; }
  timed "prepared to the store, $kind" "$start"
  fault none
  same "a run to a store, $kind" "s3://out/$kind"
  "$program" verify "s3://out/$kind" > "$work/out.log" 2>&1 || { cat "$work/out.log" >&2; fail "verify of a run to a store, $kind"; }
  found=$("$venv/bin/python" "$here/bucket.py" list out "$kind/.lease")
  [ -z "$found" ] || fail "a lease was left: $found"
done

# Killed at some instant and resumed while lists lag: parts that are not named yet are written again, the
# tables are the same. Lists do not lag at the end: the report is made of what the store names.
fault latency
for after in 0.6 1.2 1.8 2.4; do
  kill_it() { sleep "$after"; kill -9 "$1" 2> /dev/null || true; }
  "$program" run "$work/manifest.yaml" --out "s3://out/killed-$after" --workers 2 > "$work/out.log" 2> "$work/err.log" & victim=$!
  kill_it "$victim"
  wait "$victim" 2> /dev/null || true
  resume=--resume
  "$venv/bin/python" "$here/bucket.py" list out "killed-$after/status.json" | grep -q . || resume=
  fault lag
  (sleep 1.5; fault none) &
  # shellcheck disable=SC2086
  run manifest "s3://out/killed-$after" $resume || { cat "$work/err.log" >&2; fail "resumed after $after s"; }
  fault latency
  sleep 3.5
  same "killed after $after s and resumed" "s3://out/killed-$after"
  "$program" verify "s3://out/killed-$after" > "$work/out.log" 2>&1 || { cat "$work/out.log" >&2; fail "verify, killed after $after s"; }
done
fault none
"$program" gc "s3://out/killed-1.2" > "$work/out.log" 2> "$work/err.log" || { cat "$work/err.log" >&2; fail "gc"; }
same "after gc" "s3://out/killed-1.2"

# Two runs in one place: the second is refused while the first goes on.
fault latency
"$program" run "$work/manifest.yaml" --out s3://out/two --workers 1 > /dev/null 2> "$work/first.log" & first=$!
for _ in $(seq 50); do
  "$venv/bin/python" "$here/bucket.py" list out two/status.json | grep -q . && break
  sleep 0.1
done
if run manifest s3://out/two --resume; then fail "two runs in one place"; fi
told 'another process is running this run' 'two runs'
wait "$first" || { cat "$work/first.log" >&2; fail "the first of two runs"; }
fault none
same "the first of two runs" s3://out/two

# A data set in a store gets its pipeline from `init`, which checks it against the data.
"$program" init s3://cohort/lists/list.csv -o "$work/init.yaml" > "$work/out.log" 2> "$work/err.log" \
  || { cat "$work/out.log" "$work/err.log" >&2; fail "init from a store"; }
grep -q 's3://cohort/lists/list.csv' "$work/init.yaml" || fail "init from a store: $(cat "$work/init.yaml")"
"$program" inspect s3://cohort/lists/list.csv > "$work/out.log" 2>&1 || { cat "$work/out.log" >&2; fail "inspect of a list in a store"; }

# A training is written to a store: checkpoints, tables, views. Killed and resumed, it is the same run.
small=(source.phantom.subjects=8 'source.phantom.size=[16,16,16]' source.phantom.labelled=2 source.phantom.validation=1
  source.phantom.test=2 'views.shared[0].patch.size=[16,16,16]' train.network.cmc.width=4 train.validate.every=4 train.steps=40)
training=()
for value in "${small[@]}"; do training+=(--set "$value"); done
trained() { "$program" run pipelines/04-cmc-phantom.yaml "${training[@]}" --out "$1" "${@:2}" > "$work/out.log" 2> "$work/err.log"; }
figures="select step, name, class, modality, value from metrics union all
  select 0, checkpoint || subject_id, class, modality, dice from scores order by 1, 2, 3, 4, 5"
trained "$work/training" || { cat "$work/err.log" >&2; fail "the local training"; }
"$program" query "$work/training" "$figures" --format csv > "$work/expected.csv"
for kind in none errors latency; do
  fault "$kind"
  start=$(date +%s.%N)
  trained "s3://out/training-$kind" & victim=$!
  for _ in $(seq 300); do
    "$venv/bin/python" "$here/bucket.py" list out "training-$kind/checkpoints/best.json" | grep -q . && break
    kill -0 "$victim" 2> /dev/null || { cat "$work/err.log" >&2; fail "a training to a store, $kind"; }
    sleep 0.1
  done
  pkill -9 -P "$victim" || true
  wait "$victim" 2> /dev/null || true
  trained "s3://out/training-$kind" --resume || { cat "$work/err.log" >&2; fail "a training to a store resumed, $kind"; }
  timed "trained to the store, killed, resumed, $kind" "$start"
  fault none
  "$program" query "s3://out/training-$kind" "$figures" --format csv > "$work/found.csv"
  cmp -s "$work/expected.csv" "$work/found.csv" || { diff "$work/expected.csv" "$work/found.csv" >&2; fail "a training to a store, $kind: other figures"; }
done

# No credential was written or shown.
if grep -r -l 'stores-test-hidden-word' "$work" --include='*' --exclude='*.nii.gz'; then fail "a credential was written"; fi
echo "ok"
