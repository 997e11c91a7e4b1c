# Every target works on a fresh machine with Python 3.11 or newer, git and make: the environment is made first.
VENV ?= .venv
PYTHON ?= python3
OUTPUT ?= demo
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: env demo test lint types unit docs fuzz soak bench lock clean

env: $(STAMP)

$(STAMP): requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

# The whole pipeline on the embedded phantom: 14 minutes of processor time, shared by two cores.
# OUTPUT=folder writes elsewhere.
demo: env
	$(BIN)/utad-monai demo --output $(OUTPUT)

test: lint types unit

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

unit: env
	$(BIN)/pytest -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile --cov --cov-report=term:skip-covered

# The documentation as a site, site/index.html; a warning is an error.
docs: env
	$(BIN)/mkdocs build --strict

# Damaged files at every reader, longer than in the tests; MUTATIONS and SEED choose how many and which.
MUTATIONS ?= 100000
SEED ?= 0
fuzz: env
	$(BIN)/python -m benchmarks.fuzz --mutations $(MUTATIONS) --seed $(SEED)

# Kill long commands at random moments until they are done all the same; KILLS chooses how often each.
KILLS ?= 24
soak: env
	$(BIN)/python -m benchmarks.soak --kills $(KILLS) --seed $(SEED)

# Every figure of docs/performance.md and docs/scaling.md; BENCHMARKS="--only data" measures some of them.
BENCHMARKS ?=
bench: env
	$(BIN)/python -m benchmarks.everything $(BENCHMARKS)

# Resolve the exact versions of requirements.lock anew from the ranges in setup.cfg.
lock: env
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --extra dev --strip-extras --no-header --no-annotate --allow-unsafe \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock setup.cfg

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .coverage
