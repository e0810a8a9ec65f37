#!/usr/bin/env bash
# Runs pipelines on schedulers and executors on loopback, disturbs them, and compares what comes out with what
# one machine makes. Then measures: one executor against two, and what a part costs the scheduler.
#
#   tests/cluster/run.sh [PROGRAM] [SECTION …]     default target/debug/voxstream, every section but `scale`
#
# Sections: same, kill, driver, cancel, predict, store, ratio, scale. PROGRAM is built with `--features cluster`, for
# example by `cargo test --features cluster --no-run`. Needs bash and coreutils; `store` needs Python 3 and the S3
# server of `tests/stores/run.sh` in `target/stores/venv`, and is skipped with a reason where they are absent; real
# volumes are those of `bench/msd-hippocampus` in VOXSTREAM_DATA.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:-target/debug/voxstream}")
sections=" ${*:2} "
[ "$sections" != "  " ] || sections=" same kill driver cancel predict store ratio "

fail() { echo "FAILED: $1" >&2; exit 1; }
[ -x "$program" ] || fail "$program is not there; build it with \`cargo test --features cluster --no-run\`"

work=$(mktemp -d)
pids=() server=
finish() {
  for pid in "${pids[@]}" $server; do kill -KILL "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT
export VOXSTREAM_CACHE=$work/cache

wanted() { [[ "$sections" == *" $1 "* ]]; }
port=$((20000 + RANDOM % 20000))
start_cluster() { # executors
  stop_cluster
  port=$((port + 1))
  address=df://127.0.0.1:$port
  "$program" scheduler --port "$port" --executor-timeout 10 2> "$work/scheduler.log" & pids+=($!)
  for _ in $(seq 200); do (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 0.05; done
  for _ in $(seq "$1"); do add_executor; done
}
add_executor() {
  "$program" executor --scheduler "$address" --port 0 --workers 1 --memory 1GiB 2>> "$work/executors.log" & pids+=($!)
}
stop_cluster() {
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2> /dev/null || true; wait "$pid" 2> /dev/null || true; done
  pids=()
}
seconds() { date +%s.%N; }
cpu() { awk -v tick="$(getconf CLK_TCK)" '{ sum += $14 + $15 } END { print sum / tick }' "${@/#/\/proc\/}"; } # PID/stat …
# What a run says, without what depends on who did the work and when.
said() {
  local run=$1 table
  for table in subjects quality failures warnings scores; do
    "$program" query "$run" "select * from $table" --format csv > "$work/rows" 2> /dev/null || continue
    echo "== $table"
    if [ "$table" = subjects ]; then
      "$program" query "$run" "select * except (seconds) from subjects order by subject_id" --format csv
    else
      cat "$work/rows"
    fi
  done
  (cd "$run" && find . -type f \( -path './prepared/*' -o -path './predictions/*' -o -path './pseudo_labels/*' \) ! -name '.*' | LC_ALL=C sort | xargs -r sha256sum)
}
same() { # what, run
  said "$2" > "$work/found"
  cmp -s "$work/expected" "$work/found" || { diff "$work/expected" "$work/found" | head -5 >&2; fail "$1: other results"; }
  "$program" verify "$2" > /dev/null || fail "$1: verify"
  [ ! -e "$2/cluster.json" ] || fail "$1: jobs are left"
  echo "$1: equal"
}
run() { # pipeline, out, further options
  "$program" --log info run "$1" --out "$2" "${@:3}" > "$work/out.log" 2> "$work/err.log"
}
must() { run "$@" || { cat "$work/err.log" >&2; fail "run $*"; }; }
# Commit records of a run under way; of one that ended and merged them, the rows of the table.
committed() {
  if [ -e "$1/parts/merged.parquet" ]; then
    "$program" query "$1" "select count(*) from parts" --format csv | tail -1
  else
    ls "$1/parts" 2> /dev/null | grep -c '^part-' || true
  fi
}
until_committed() { # run, parts
  for _ in $(seq 3000); do [ "$(committed "$1")" -ge "$2" ] && return; sleep 0.02; done
  fail "no part was committed"
}

until_stored() { # bucket, prefix, objects
  for _ in $(seq 600); do
    [ "$(STORES_SERVER=$AWS_ENDPOINT_URL "$python" tests/stores/bucket.py list "$1" "$2" | wc -l)" -ge "$3" ] && return
  done
  fail "no part was committed into the store"
}

cat > "$work/many.yaml" <<YAML
name: many
source: { phantom: { subjects: 200, size: [48, 48, 32], modalities: [ct, mr], classes: 3 } }
stages: [resample: { spacing_mm: [0.9, 0.9, 0.9] }, zscore: {}, quality: {}]
sinks: { prepared: { parquet: true }, part_size: 12MiB }
YAML
"$program" run "$work/many.yaml" --out "$work/nobody" --cluster df://127.0.0.1:1 2> "$work/err.log" || true
! grep -q 'built without' "$work/err.log" || fail "$(cat "$work/err.log")"
grep -q 'no scheduler answers' "$work/err.log" && [ ! -e "$work/nobody" ] || fail "a run without a scheduler: $(cat "$work/err.log")"

if [[ "$sections" =~ same|kill|driver|cancel ]]; then
  must "$work/many.yaml" "$work/alone" --workers 1
  said "$work/alone" > "$work/expected"
  echo "one machine: $(committed "$work/alone") parts"
fi
if wanted same; then
  for n in 1 2 3; do
    start_cluster "$n"
    must "$work/many.yaml" "$work/same$n" --cluster "$address"
    same "$n executors" "$work/same$n"
  done
fi
half=$(($(committed "$work/alone") / 2))
if wanted kill; then
  start_cluster 2
  "$program" run "$work/many.yaml" --out "$work/kill" --cluster "$address" > "$work/out.log" 2> "$work/err.log" & driver=$!
  until_committed "$work/kill" "$half"
  kill -KILL "${pids[1]}"; wait "${pids[1]}" 2> /dev/null || true
  wait "$driver" || { cat "$work/err.log" >&2; fail "an executor was killed"; }
  same "one of 2 executors killed at half time" "$work/kill"
  echo "  attempts: $("$program" query "$work/kill" "select host, count(*) parts from parts group by host order by 1" --format csv | tail -n +2 | tr '\n' ' ')"
fi
if wanted driver; then
  start_cluster 2
  "$program" run "$work/many.yaml" --out "$work/driver" --cluster "$address" > "$work/out.log" 2> "$work/err.log" & driver=$!
  until_committed "$work/driver" "$half"
  kill -KILL "$driver"; wait "$driver" 2> /dev/null || true
  kept=$(committed "$work/driver")
  must "$work/many.yaml" "$work/driver" --cluster "$address" --resume
  same "driver killed at $kept parts, started again" "$work/driver"
  echo "  starts: $("$program" query "$work/driver" "select attempt, count(*) parts from parts group by attempt order by 1" --format csv | tail -n +2 | tr '\n' ' ')"
fi
if wanted cancel; then
  start_cluster 2
  # A job in the background of a script ignores SIGINT; SIGTERM goes the same way.
  "$program" run "$work/many.yaml" --out "$work/cancel" --cluster "$address" > "$work/out.log" 2> "$work/err.log" & driver=$!
  until_committed "$work/cancel" 2
  kill -TERM "$driver"
  code=0; wait "$driver" || code=$?
  [ "$code" = 130 ] || { cat "$work/err.log" >&2; fail "stopped: exit code $code, expected 130"; }
  # The message travels while parts are being finished.
  sleep 2; stopped=$(committed "$work/cancel"); sleep 3; later=$(committed "$work/cancel")
  [ "$stopped" = "$later" ] || fail "executors went on after the run was stopped: $stopped, then $later parts"
  [ "$later" -lt "$(committed "$work/alone")" ] || fail "the run was stopped too late to show anything"
  must "$work/many.yaml" "$work/cancel" --cluster "$address" --resume
  same "stopped at $stopped parts, and resumed" "$work/cancel"
fi
if wanted predict; then
  cat > "$work/train.yaml" <<YAML
name: train
seed: 3
source: { phantom: { subjects: 8, size: [24, 24, 24], modalities: [ct], classes: 2, labelled: 4, validation: 2, test: 2 } }
stages: [zscore: {}]
views: { shared: [patch: { size: [16, 16, 16] }] }
train: { classes: [background, a, b], network: { unet3d: { width: 4, depth: 2 } }, steps: 3, batch: { labelled: 1 } }
YAML
  must "$work/train.yaml" "$work/train" --workers 1 --device cpu
  cat > "$work/predict.yaml" <<YAML
name: predict
source: { phantom: { subjects: 40, size: [24, 24, 24], modalities: [ct], classes: 2, test: 40 } }
stages: [zscore: {}]
predict: { checkpoint: $work/train }
score: { splits: [test] }
pseudo_label: { threshold: { fixed: 0.5 } }
sinks: { predictions: { parquet: true }, pseudo_labels: { nifti: true }, part_size: 1MiB }
YAML
  must "$work/predict.yaml" "$work/predict1" --workers 1 --device cpu
  said "$work/predict1" > "$work/expected"
  [ "$(committed "$work/predict1")" -gt 3 ] || fail "too few parts to tell anything"
  start_cluster 2
  must "$work/predict.yaml" "$work/predict2" --cluster "$address"
  same "predictions, pseudo-labels and scores of $(committed "$work/predict1") parts" "$work/predict2"
fi
if wanted store; then
  python=$PWD/target/stores/venv/bin/python
  if ! [ -x "${python%python}moto_server" ]; then
    echo "store: skipped, as the S3 server is not installed; \`tests/stores/run.sh\` installs it"
  else
    for name in $(compgen -e | grep -E '^AWS_' || true); do unset "$name"; done
    s3=$((port + 500))
    export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 AWS_ENDPOINT_URL=http://127.0.0.1:$s3
    export AWS_ACCESS_KEY_ID=cluster-test AWS_SECRET_ACCESS_KEY=cluster-test-secret AWS_REGION=us-east-1
    "${python%python}moto_server" -H 127.0.0.1 -p "$s3" > "$work/s3.log" 2>&1 & server=$!
    for _ in $(seq 200); do (: < "/dev/tcp/127.0.0.1/$s3") 2> /dev/null && break; sleep 0.1; done
    STORES_SERVER=$AWS_ENDPOINT_URL "$python" tests/stores/bucket.py make runs > /dev/null || fail "store: no bucket"
    sql="select subject_id, \"image.ct\"['blake3'] ct, \"image.mr\"['blake3'] mr, label['blake3'] label from prepared order by 1"
    sed 's/subjects: 200/subjects: 30/' "$work/many.yaml" > "$work/store.yaml"
    must "$work/store.yaml" "$work/store" --workers 1
    "$program" query "$work/store" "$sql" --format csv > "$work/expected"
    start_cluster 2
    must "$work/store.yaml" s3://runs/many --cluster "$address"
    "$program" query s3://runs/many "$sql" --format csv > "$work/found"
    cmp -s "$work/expected" "$work/found" || { diff "$work/expected" "$work/found" | head -5 >&2; fail "store: other digests"; }
    "$program" verify s3://runs/many > /dev/null || fail "store: verify"
    echo "into a store, by 2 executors: equal ($(wc -l < "$work/found") lines)"
    real=${VOXSTREAM_DATA:-../shared/data}/bench/msd-hippocampus
    if ! [ -d "$real" ]; then
      echo "real volumes from the store: skipped, as $real is not there (VOXSTREAM_DATA)"
    else
      STORES_SERVER=$AWS_ENDPOINT_URL "$python" tests/stores/bucket.py upload "$real" runs hippocampus
      real_cohort() { # path
        cat <<YAML
name: real
source: { folders: { path: "$1", images: 'images/{subject}.nii.gz', labels: 'labels/{subject}.nii.gz', modalities: [t1] } }
stages: [orient: { to: RAS }, resample: { spacing_mm: [1.2, 1.2, 1.2] }, zscore: {}, quality: {}]
sinks: { prepared: { parquet: true }, part_size: 1MiB }
YAML
      }
      real_cohort "$(realpath "$real")" > "$work/real-local.yaml"
      real_cohort s3://runs/hippocampus > "$work/real.yaml"
      sql="select subject_id, \"image.t1\"['blake3'] t1, label['blake3'] label from prepared order by 1"
      must "$work/real-local.yaml" "$work/real" --workers 1
      "$program" query "$work/real" "$sql" --format csv > "$work/expected"
      start_cluster 3
      must "$work/real.yaml" s3://runs/real --cluster "$address"
      real_same() { # what, run
        "$program" query "$2" "$sql" --format csv > "$work/found"
        cmp -s "$work/expected" "$work/found" || { diff "$work/expected" "$work/found" | head -5 >&2; fail "$1: other digests"; }
        "$program" verify "$2" > /dev/null || fail "$1: verify"
        echo "$1: equal ($(($(wc -l < "$work/found") - 1)) subjects, $(committed "$work/real") parts)"
      }
      real_same "real volumes from a store into it, by 3 executors" s3://runs/real
      "$program" run "$work/real.yaml" --out s3://runs/real-kill --cluster "$address" > "$work/out.log" 2> "$work/err.log" & driver=$!
      until_stored runs real-kill/parts/part- $(($(committed "$work/real") / 2))
      kill -KILL "${pids[2]}"; wait "${pids[2]}" 2> /dev/null || true
      wait "$driver" || { cat "$work/err.log" >&2; fail "an executor was killed"; }
      real_same "one of the 3 killed at half time" s3://runs/real-kill
      "$program" run "$work/real.yaml" --out s3://runs/real-driver --cluster "$address" > "$work/out.log" 2> "$work/err.log" & driver=$!
      until_stored runs real-driver/parts/part- $(($(committed "$work/real") / 2))
      kill -KILL "$driver"; wait "$driver" 2> /dev/null || true
      must "$work/real.yaml" s3://runs/real-driver --cluster "$address" --resume
      real_same "the driver killed at half time, and resumed" s3://runs/real-driver
    fi
    kill -KILL "$server"; wait "$server" 2> /dev/null || true; server=
  fi
fi
if wanted ratio; then
  # Larger subjects: what a part costs beside them does not count.
  sed -e 's/subjects: 200, size: .48, 48, 32./subjects: 60, size: [128, 128, 64]/; s/12MiB/32MiB/' "$work/many.yaml" > "$work/ratio.yaml"
  for n in 1 2; do
    start_cluster "$n"; sleep 1
    from=$(seconds)
    must "$work/ratio.yaml" "$work/ratio$n" --cluster "$address"
    took[n]=$(awk -v a="$from" -v b="$(seconds)" 'BEGIN { print b - a }')
    echo "$n executors: ${took[n]} s, $(committed "$work/ratio$n") parts"
  done
  awk -v a="${took[1]}" -v b="${took[2]}" 'BEGIN { printf "1 -> 2 executors: %.2fx\n", a / b }'
fi
if wanted scale; then
  # One tiny subject a part.
  for parts in ${PARTS:-100 1000 10000}; do
    cat > "$work/tiny.yaml" <<YAML
name: tiny
source: { phantom: { subjects: $parts, size: [16, 16, 16], modalities: [ct], classes: 2 } }
stages: [zscore: {}]
sinks: { prepared: { parquet: true }, part_size: 256KiB }
YAML
    from=$(seconds)
    must "$work/tiny.yaml" "$work/tiny-alone" --workers 1
    alone=$(awk -v a="$from" -v b="$(seconds)" 'BEGIN { print b - a }')
    start_cluster 2; sleep 1
    scheduler=${pids[0]}
    from=$(seconds)
    TIMEFORMAT='%U %S'
    { time must "$work/tiny.yaml" "$work/tiny" --cluster "$address"; } 2> "$work/driver"
    many=$(awk -v a="$from" -v b="$(seconds)" 'BEGIN { print b - a }')
    peak=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$scheduler/status")
    n=$(committed "$work/tiny")
    awk -v n="$n" -v a="$alone" -v b="$many" 'BEGIN {
      printf "%d parts: one machine %.1f s, 2 executors %.1f s (%.1f ms a part)\n", n, a, b, 1e3 * b / n }'
    awk -v n="$n" -v s="$(cpu "$scheduler/stat")" -v d="$(tail -1 "$work/driver")" -v e="$(cpu "${pids[1]}/stat" "${pids[2]}/stat")" -v p="$peak" 'BEGIN {
      split(d, of)
      printf "  CPU ms a part: scheduler %.2f, driver %.2f, executors %.2f; peak of the scheduler %d MiB\n", 1e3 * s / n, 1e3 * (of[1] + of[2]) / n, 1e3 * e / n, p }'
    rm -rf "$work/tiny" "$work/tiny-alone"
  done
fi
