#!/usr/bin/env bash
# Builds the Python wheel and tries it in a clean virtual environment.
#
#   scripts/wheel.sh [OUT]        wheel of the release profile into OUT (default target/wheels), tests, examples
#   PROFILE=dev scripts/wheel.sh  a quicker build, slower at work
#   FEATURES=cuda scripts/wheel.sh
#
# Needs Rust, Python 3.9 or newer with venv, and a package index for maturin, numpy, pyarrow and pytest; with torch in
# $WITH (such as WITH="torch pandas duckdb monai") the tests and examples that use it run, too. What cannot be had is
# named, and the script ends with 0: nothing in the library depends on it.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "skipped: $*"; exit 0; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || skip "no $python; set PYTHON to a Python of 3.9 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || skip "$("$python" --version) is older than 3.9"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv" 2>"$work/log" || skip "no virtual environment can be made: $(tail -1 "$work/log")"
pip() { "$work/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install 'maturin>=1.9,<2' 2>"$work/log" || skip "maturin cannot be had: $(tail -1 "$work/log")"

out=${1:-target/wheels}
mkdir -p "$out" && out=$(cd "$out" && pwd)
"$work/venv/bin/maturin" build --manifest-path python/Cargo.toml --profile "${PROFILE:-release}" \
    ${FEATURES:+--features "$FEATURES"} --out "$work/wheels"
wheel=$(ls "$work"/wheels/voxstream-*.whl)

# Clean: the wheel and what it names, nothing of this folder on Python's path.
"$python" -m venv "$work/clean"
clean=$work/clean/bin/python
"$clean" -m pip --disable-pip-version-check --quiet install "$wheel" pytest ${WITH:-} 2>"$work/log" ||
    skip "$(basename "$wheel") is built, and what its tests need cannot be had: $(tail -1 "$work/log")"
cp -r python/tests python/pyproject.toml examples/python "$work/"
cd "$work"
"$clean" -m pytest -c pyproject.toml --rootdir . tests
has() { "$clean" -c "import $1" 2>/dev/null || { echo "skipped: $2: $1 is not installed (WITH=\"$1\")"; false; }; }
has torch train_loop.py && "$clean" python/train_loop.py
has torch monai_loop.py && has monai monai_loop.py && "$clean" python/monai_loop.py
has pandas tables.py && has duckdb tables.py && "$clean" python/tables.py
cp "$wheel" "$out/"
echo "$out/$(basename "$wheel"): $(du -h "$wheel" | cut -f1)"
