# Everything on a fresh machine: `make demo` trains a network, `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
# Which torch to install. The default is small where a CPU build of it is at hand; any torch >= 2.6 will do,
# for example TORCH="torch" for the newest with CUDA.
TORCH ?= torch==2.13.0
# Processes that share the tests; each holds some 600 MB.
JOBS ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-cold test-slow fuzz check format bench gpu-check docs build clean

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: $(INSTALLED)  ## Train a BRF network on the embedded data set and show what came of it.
	$(BIN)/python -m brfkit train --dataset tones --run-dir demo/run --force
	$(BIN)/python -m brfkit simulate --neuron brf --omega 10 --plot demo/neuron.png --force
	@echo "Learning curve: demo/run/learning_curve.png    One neuron: demo/neuron.png"

test: $(INSTALLED)  ## Style, types and all tests but the slow ones.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses $(JOBS) --dist loadfile

# BRFKIT_CACHE_DIR holds kernels, cubins and shims of earlier runs; without it, they lie in the user's cache folder.
test-cold: $(INSTALLED)  ## The same with nothing compiled beforehand.
	cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && BRFKIT_CACHE_DIR=$$cache $(MAKE) test

test-slow: $(INSTALLED)  ## Whole test sets and end-to-end training: minutes to hours.
	$(BIN)/python -m pytest -m slow

fuzz: $(INSTALLED)  ## 3,000 damaged files of every format (docs/security.md).
	OMP_NUM_THREADS=1 BRFKIT_FUZZ_ROUNDS=3000 $(BIN)/python -m pytest tests/fuzz --numprocesses $(JOBS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## The backends against a plain PyTorch loop, on this machine.
	$(BIN)/python -m brfkit bench --shape all

# On a machine with a CUDA device; takes the Python at hand, which needs CuPy, torch, numba, scipy, h5py, click, rich
# and pytest. GPU_CHECK="--force" overwrites an earlier report.
gpu-check:  ## The CUDA backend: tests, gradients, published networks, sanitizer, benchmark.
	$(PYTHON) -m benchmarks.gpu_check $(GPU_CHECK)

docs: $(INSTALLED)  ## Write docs/cli.md anew from the commands themselves.
	$(BIN)/python -m brfkit.cli.reference docs/cli.md

build: $(INSTALLED)  ## Source distribution and wheel in dist/.
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build

clean:
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache
