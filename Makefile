# Everything from a bare clone, with python3 and make alone. `make help` prints this list.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TIMELINE ?= city
SMOOTH ?= sampling.path=smooth timeline.pace=even
ARGS ?=
SECONDS ?= 60
# Each worker gets a part of the files in a piece, so that what a file's tests share is made once.
# Tests of faults wait more than they compute: three workers for two cores.
WORKERS := --numprocesses $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )) --maxprocesses 12 --dist worksteal
KERNELS := tests/kernels tests/run/test_devices.py $(WORKERS)
# Tests begin some hundred processes; without bytecode each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install city plan sweep test test-older-cpus lint bench bench-quality bench-smooth bench-growth bench-block-cache bench-gpu docs fuzz storybook storybook-eval clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install the locked versions

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("render needs Python 3.11 or later, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

city: $(STAMP) ## render the film of the five prompts: outputs/city/city.mp4
	$(BIN)/render +timeline=$(TIMELINE) $(SMOOTH) $(ARGS)

plan: $(STAMP) ## say what `make city` would render, keep and redo, at what cost
	$(BIN)/render +timeline=$(TIMELINE) $(SMOOTH) mode=plan $(ARGS)

sweep: $(STAMP) ## two timelines with two schedulers, into outputs/NAME/OVERRIDES/
	$(BIN)/render -m +timeline=city,city_seeds scheduler=lms,dpmpp_2m $(ARGS)

test: $(STAMP) lint test-older-cpus ## ruff, mypy and pytest, the kernels also as on older CPUs
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-older-cpus: $(STAMP) ## what depends on the CPU's instructions, without AVX-512 and without AVX
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest --quiet $(KERNELS)
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(BIN)/python -m pytest --quiet $(KERNELS)

lint: $(STAMP) ## ruff, mypy and the imports between packages alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(STAMP) ## the reference loop, a stock pipeline and this project in turn: seconds a frame, ratios
	$(BIN)/python benchmarks/speed.py $(ARGS)

bench-quality: $(STAMP) ## what each approximation costs in picture: tables, and docs/pareto.webp
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[bench]'
	$(BIN)/python benchmarks/quality.py --plot docs/pareto.webp $(ARGS)

bench-smooth: $(STAMP) ## how smooth films are, by the way their frames are made: a table, docs/smooth-ways.webp
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[bench]'
	$(BIN)/python benchmarks/smooth.py --plot docs/smooth-ways.webp $(ARGS)

bench-growth: $(STAMP) ## how rows, time and memory grow with the work: tables, and docs/growth.webp
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[bench]'
	$(BIN)/python benchmarks/growth.py --plot docs/growth.webp $(ARGS)

bench-block-cache: $(STAMP) ## what sampling.block_cache gains and costs on networks of Flux's kind: tables
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[bench]'
	$(BIN)/python benchmarks/block_cache.py $(ARGS)

bench-gpu: $(STAMP) ## on an NVIDIA GPU: a stock pipeline and this project, by frames a call, with a profile
	$(BIN)/python benchmarks/gpu.py $(ARGS)

docs: $(STAMP) ## the pages of docs/ and of the docstrings as a site: build/site/index.html
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[docs]'
	$(BIN)/python -m mkdocs build --quiet --strict

fuzz: $(STAMP) ## throw SECONDS=60 of odd timelines at the reader; finds are kept in .fuzz/
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[fuzz]'
	PYTHONPATH=tests/faults $(BIN)/python tests/faults/fuzz_timeline.py .fuzz -max_total_time=$(SECONDS) $(ARGS)

storybook: $(STAMP) ## train the embedded model from nothing (hours; it says how many first)
	$(BIN)/python -m training.storybook make $(ARGS)

storybook-eval: $(STAMP) ## measure the embedded model (docs/storybook.md)
	$(BIN)/python -m training.storybook eval $(ARGS)

clean: ## remove .venv and caches; finished frames in outputs/ stay
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
	find render training tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -n "$$(ls -A outputs 2>/dev/null | grep -v .gitkeep)" ]; then echo "outputs/ with your frames and videos stays; remove it by hand if you mean to: rm -r outputs"; fi
