# Everything a fresh Linux machine needs to know. Needs python3 (3.11 to 3.13), git, make and a package index.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
COMPLAINTS := DeprecationWarning PendingDeprecationWarning FutureWarning
READY := $(VENV)/.ready
# Two processes of one thread each keep two cores busier than one process of two; the other options stand in pyproject.toml.
PYTEST := $(RUN) -m pytest -n 2 --dist worksteal

# Without kept bytecode every process that imports torch compiles it anew, which takes longer than most tests.
unexport PYTHONDONTWRITEBYTECODE

# `make lint test` begins the tests while the types are checked, which keep one core busy and leave the other idle.
ifeq ($(MAKECMDGOALS),lint test)
MAKEFLAGS += --jobs=2
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-short test test-slow test-lowest test-faults gpu-check lint audit results pictures notebooks \
	notebooks-run docs format lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## install the locked versions into .venv; CPU=1 without CUDA libraries

# By pip's own settings: index, certificates, proxy (install.py). CPU=1 leaves 3 GB of CUDA libraries out.
$(READY): requirements.lock pyproject.toml install.py
	$(PYTHON) install.py --venv $(VENV) $(if $(CPU),--cpu)
	touch $@

demo: setup  ## pretrain, fine-tune, probe and compare on drawn images; ends with a verdict and a report
	$(RUN) -m compare --config configs/compare/demo.yaml

demo-short: setup  ## the same path in a few minutes, for CI
	$(RUN) -m compare --config configs/compare/short.yaml

test: setup  ## the fast tests
	$(PYTEST) -m 'not slow'

test-slow: setup  ## the slow tests as well
	$(PYTEST)

# What pyproject.toml promises of its lower bounds; the tools of the tests are new, and move what they must. An old library
# complains of the newer ones that it stands on, of which our code knows nothing.
test-lowest:  ## the fast tests with the oldest versions that pyproject.toml allows, in build/lowest; TESTS=tests/... some
	$(PYTHON) install.py --lowest --venv build/lowest $(if $(CPU),--cpu)
	build/lowest/bin/python -m pytest -n 2 --dist worksteal -m 'not slow' $(addprefix -W ignore::,$(COMPLAINTS)) $(TESTS)

test-faults: setup  ## all faults, and their table; FAULTS_SEED=N draws others, FAULTS_PAGE=docs/results/faults.md keeps it
	rm -f runs/faults/*-$(or $(FAULTS_SEED),0).json
	FAULTS=whole $(PYTEST) --timeout 1500 tests/faults; \
		PYTHONPATH=.:tests $(RUN) tests/faults/table.py $(if $(FAULTS_PAGE),--write $(FAULTS_PAGE))

# On a machine that has torch with CUDA already, and no index: with its python where there is no .venv.
gpu-check:  ## is it right and fast on this NVIDIA GPU? 9 minutes, tables in runs/gpu; PYTHON=... without a .venv
	$(if $(wildcard $(READY)),$(RUN),$(PYTHON)) -m benchmarks.gpu --out $(or $(OUT),runs/gpu)

lint: setup  ## formatting, lint and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

audit: setup  ## licences of what is installed, known vulnerabilities of what is locked; OSV=FILE without a network
	PYTHONPATH=tests $(RUN) tests/audit/report.py "$$OSV"

results: setup  ## write docs/results, docs/results.md and the README's findings anew from the scores kept in docs/results
	$(RUN) -m compare.publish

pictures: setup  ## draw docs/pictures anew from the demo's study, with chromium; no test compares their bits
	PYTHONPATH=.:tests $(RUN) -m pictures

notebooks: setup  ## open the notebooks in JupyterLab, with this environment as their kernel; LAB=--no-browser or others
	mkdir -p build && $(RUN) -m pip freeze --exclude-editable > build/installed.txt  # which the extra is not to move
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint build/installed.txt --editable '.[jupyterlab]'
	$(RUN) -m ipykernel install --sys-prefix --name python3 --display-name 'Python 3' > build/kernel.txt
	$(RUN) -m jupyterlab notebooks $(LAB)

notebooks-run: setup  ## run the notebooks on drawn images and keep their outputs in them
	$(RUN) -m pictures.notebooks

docs: setup  ## the documents as a site in build/site; stops at a link that leads nowhere
	mkdir -p build && $(RUN) -m pip freeze --exclude-editable > build/installed.txt  # which the extra is not to move
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint build/installed.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet --clean
	@echo "open:    build/site/index.html"

format: setup  ## write the formatting that lint checks
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

lock: setup  ## resolve pyproject.toml anew into requirements.lock
	$(RUN) -m uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --upgrade --output-file requirements.lock

clean:  ## remove what runs and tools left; data/ and checkpoints/ stay
	rm -rf runs .mypy_cache .ruff_cache .pytest_cache
