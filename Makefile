# The two commands of this project: `make demo` and `make test`. Each does its own set-up.
SHELL := /bin/bash
VENV := .venv
PYTHON ?= $(shell scripts/find-python)
BIN := $(VENV)/bin
# Two files of tests at a time: most tests wait for something. Three took as long, and missed deadlines.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo-packages test-packages viewer demo-viewer demo test test-browser test-docker test-fast lint format lock clean \
	bench-receiver bench-receiver-memory bench-catalog bench-cache bench-transcoding soak fuzz

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

# The stamp is newer than the lock file once the environment holds what the lock file names.
$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "dicom-pipeline needs Python 3.11 or newer: set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

setup: $(VENV)/.installed ## make the virtual environment from requirements.lock

DEMO_PACKAGES := storescu=dcmtk
TEST_PACKAGES := $(DEMO_PACKAGES) strace=strace Orthanc=orthanc mariadbd=mariadb-server \
	redis-server=redis-server pg_createcluster=postgresql java=default-jre-headless mvn=maven \
	nginx=nginx,libnginx-mod-stream chromium=chromium ffmpeg=ffmpeg shellcheck=shellcheck \
	node=nodejs npm=npm rsync=rsync openssl=openssl curl=curl update-ca-certificates=ca-certificates \
	docker-compose=docker-compose
DOCKER_PACKAGES := dockerd=docker.io debootstrap=debootstrap iptables=iptables ip=iproute2

demo-packages:
	@scripts/system-packages $(DEMO_PACKAGES)

test-packages:
	@scripts/system-packages $(TEST_PACKAGES)

# Stale when anything that it is built from is newer.
viewer/dist/.built: scripts/build-viewer $(wildcard viewer/*.json viewer/*.mjs viewer/stubs/*) \
		$(shell find viewer/src viewer/public -type f)
	@scripts/system-packages node=nodejs npm=npm
	@scripts/build-viewer

viewer: viewer/dist/.built ## build the page of studies (needs Node.js)

# The demo goes on without the page where it cannot be built.
demo-viewer:
	@$(MAKE) --no-print-directory viewer || true

demo: setup demo-packages demo-viewer ## run the whole flow on this machine with real DICOM objects
	@$(BIN)/dicom-pipeline demo

test: setup test-packages demo-viewer ## all tests
	$(PYTEST) $(ARGS)

test-browser: setup test-packages viewer ## what is called renderable, loaded by Cornerstone3D (CORPUS=all: every object)
	$(BIN)/python -m pytest dicom_pipeline_tests/browser dicom_pipeline_tests/corpus $(ARGS)

test-docker: setup test-packages viewer ## images, and the whole stack in containers (needs root)
	@scripts/system-packages $(DOCKER_PACKAGES)
	$(BIN)/python -m pytest -m docker $(ARGS)

test-fast: setup ## the tests that start no service
	$(PYTEST) -m "not service" $(ARGS)

bench-receiver: setup test-packages ## the receiver against other Storage SCPs, to benchmarks/results/
	$(BIN)/python -m benchmarks.receiver $(ARGS)

bench-receiver-memory: setup ## the receiver's memory: 50 associations, and an object of 2 GB
	$(BIN)/python -m benchmarks.receiver_memory $(ARGS)

bench-catalog: setup test-packages ## rows a second into the catalog, to benchmarks/results/
	$(BIN)/python -m benchmarks.catalog $(ARGS)

bench-cache: setup test-packages ## what the cache spares the index stage, to benchmarks/results/
	$(BIN)/python -m benchmarks.cache $(ARGS)

bench-transcoding: setup test-packages ## MB/s of renditions per codec, and memory for an object of 2 GB
	$(BIN)/python -m benchmarks.transcoding $(ARGS)

soak: setup test-packages ## good and bad senders against the receiver for half an hour
	$(BIN)/python -m benchmarks.soak $(ARGS)

fuzz: setup ## hostile senders by the thousand, without a network and over the wire
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

lint: setup ## ruff, mypy, shellcheck and hadolint, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@scripts/system-packages shellcheck=shellcheck
	scripts/lint-deployment

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-annotate \
	--generate-hashes --quiet
# The images' packages, each in the version that was tested.
LOCK_IMAGE := $(LOCK) --constraint requirements.lock --custom-compile-command "make lock"

lock: setup ## pin the dependencies of pyproject.toml anew (hashes, no addresses)
	$(LOCK) pyproject.toml --extra dev --output-file requirements.lock
	$(LOCK_IMAGE) docker/receiver.in --output-file docker/receiver.lock
	$(LOCK_IMAGE) pyproject.toml --extra postgres --extra docker --extra video \
		--output-file docker/dagster.lock
	$(LOCK) docker/build.in --custom-compile-command "make lock" --output-file docker/build.lock

clean: ## remove what the targets above made
	rm -rf viewer/node_modules viewer/dist* $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .bench-*
