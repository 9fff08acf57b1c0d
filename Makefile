# The two commands of this project: `make demo` and `make test`. Each does its own set-up.
SHELL := /bin/bash
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup system-packages demo test test-fast lint format lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The stamp is newer than the lock file once the environment holds what the lock file names.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "dicom-pipeline needs Python 3.11 or newer: set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

setup: $(VENV)/.installed ## make the virtual environment from requirements.lock

SYSTEM_PACKAGES := storescu=dcmtk

system-packages:
	@scripts/system-packages $(SYSTEM_PACKAGES)

demo: setup system-packages ## run the whole flow on this machine with real DICOM objects
	@$(BIN)/dicom-pipeline demo

test: setup system-packages ## all tests
	$(PYTEST) $(ARGS)

test-fast: setup ## the tests that start no service
	$(PYTEST) -m "not service" $(ARGS)

lint: setup ## ruff (lint and format) and mypy, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## pin the dependencies of pyproject.toml anew (hashes, no addresses)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--no-emit-index-url --no-annotate --generate-hashes --quiet --output-file requirements.lock

clean: ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
