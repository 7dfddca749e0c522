# One command to see it work, one to test it. Needs Python 3.11 or newer, make, and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# For a CPU-only PyTorch on Linux: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints.txt)

# Worker processes of the tests: a core each, and beyond four there is little left to share out.
WORKERS ?= logical --maxprocesses 4

.PHONY: demo tables-tiny test check unit e2e lint types imports wheel clean

demo: $(VENV)/.installed  ## MovieLens-100K, SmolLM2-135M, the whole path: a results table and an explanation; accepts MovieLens' terms of use
	$(BIN)/reclora demo --yes

tables-tiny: $(VENV)/.installed  ## every table and figure of the paper on MovieLens-100K, hours on two cores; TABLES="--table 3" makes one
	$(BIN)/reclora ablate $(or $(TABLES),--table 1 --table 2 --table 3 --table 4 --figure 4 --figure 5 --figure 6) --size tiny --yes

test: $(VENV)/.installed-dev  ## every test, the end-to-end one with real data and the real LLM too
	$(BIN)/python -m pytest -n $(WORKERS) --durations=20

unit: $(VENV)/.installed-dev  ## the tests that take seconds
	$(BIN)/python -m pytest -n $(WORKERS) -m "not e2e and not network"

check: lint types imports wheel  ## what CI checks besides tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

wheel: $(VENV)/.installed-dev  ## build a wheel, install it alone, start it
	sh tests/architecture/check_wheel.sh $(BIN)/python

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("reclora needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist
