#!/usr/bin/env bash
# Build the wheel, install it into an empty environment, and judge with it there, away from the source.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/.venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" "$root"
"$root/.venv/bin/python" -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet --require-hashes -r "$root/requirements.txt"
"$work/env/bin/python" -m pip install --quiet --no-deps "$work"/dist/magistrate-*.whl
ls -l "$work"/dist/*.whl | awk '{printf "wheel: %.1f MB\n", $5 / 1e6}'

cd "$work"
export MAGISTRATE_HOME="$work/home"
magistrate="$work/env/bin/magistrate"
"$magistrate" --version
"$magistrate" doctor
status=0
"$magistrate" judge --policy spam "1000 followers for 5 dollars, DM me" || status=$?
test "$status" -eq 1
printf '{"id": "a", "text": "Where is my order?"}\n{"id": "b", "text": "Win a free phone, click now!!!"}\n' > in.jsonl
"$magistrate" batch --policy spam in.jsonl --out out.jsonl
test "$(wc -l < out.jsonl)" -eq 2
status=0
"$magistrate" judge --policy nowhere.md "x" 2> error.txt || status=$?
test "$status" -eq 64
echo "smoke test: 1 passed, 0 failed"
