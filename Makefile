SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `demo` makes, `dev` and `serve` open; set INTENT_HOME to work on another home. Tests have homes of their own.
demo dev serve: export INTENT_HOME ?= $(CURDIR)/.demo
demo dev serve: export DAGSTER_HOME ?= $(INTENT_HOME)/dagster
demo dev serve: export BENTOML_HOME ?= $(INTENT_HOME)/bentoml
# No dependency reports home.
export DAGSTER_DISABLE_TELEMETRY := 1
export BENTOML_DO_NOT_TRACK := True
export DO_NOT_TRACK := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PYTHONPATH := $(CURDIR)
# Threads that spin while they wait make training several times slower when anything else runs beside it.
export OMP_WAIT_POLICY ?= passive

.PHONY: help setup demo dev serve test check bench bench-quality bench-training bench-service bench-applications linguistics openapi clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# By content: a fresh checkout has new times and the same lock.
setup: ## Make .venv from the lock (reused while the lock is unchanged)
	@wanted="$$(cat requirements.lock pyproject.toml | cksum)"; \
	if [ "$$(cat $(VENV)/.ready 2>/dev/null)" != "$$wanted" ]; then \
	  $(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 12) else f"Python 3.11 or 3.12 is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.11 setup")'; \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "venv failed: on Debian install python3-venv" >&2; exit 1; }; \
	  echo "Installing the locked environment into $(VENV) (about 3 GB, a few minutes) ..."; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	  echo "$$wanted" > $(VENV)/.ready; \
	fi

demo: setup ## Run the whole loop once; DATA=<folder of public data> runs it on real logs
	@$(BIN)/python -m dagster_project.demo $(if $(DATA),--data "$(DATA)")

dev: setup ## Open the Dagster UI on the data that the demo made
	@$(BIN)/python -m dagster_project.instance
	@exec $(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port $${DAGSTER_PORT:-3070}

serve: setup ## Start the intent service on 127.0.0.1:3000
	@exec $(BIN)/bentoml serve bentos.intent_service.service:IntentService --host 127.0.0.1 --port $${SERVICE_PORT:-3000}

# Two at a time, a file in one process: much of a test is waiting for servers, and files share what they set up.
# Sets in one order, so that a run can be repeated.
test: setup ## Run all tests; ARGS=<pytest's>
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: setup ## Lint, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The other scripts in benchmarks/ need public data, a GPU or hours; the documentation names each where it gives its figures.
bench: setup ## Measure the simulator, the drift decision, inference, tracking and what kills do to it; needs no data
	@failed=; for name in simulator drift_false_alarms inference track kill; do \
	  echo "== $$name"; $(BIN)/python -m benchmarks.bench_$$name || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed, or a claim does not hold:$$failed"; exit 1; }

bench-quality: setup ## Measure quality on the public sets, resumable; ARGS=--list shows the plan
	@$(BIN)/python -m benchmarks.quality $(ARGS)

bench-training: setup ## Measure the speed of training beside the usual recipes; ARGS=--ablation, --smoke
	@$(BIN)/python -m benchmarks.bench_training $(ARGS)

bench-service: setup ## Measure the service beside a plain one and the bare network; needs wrk; ARGS=--smoke
	@$(BIN)/python -m benchmarks.bench_service $(ARGS)

bench-applications: setup ## Measure the applications on the public sets beside their baselines; ARGS=<names>
	@$(BIN)/python -m benchmarks.bench_applications $(ARGS)

linguistics: setup ## Train the shipped language pipelines again; needs the public data (datasets fetch ud)
	@$(BIN)/python -m intent_tracking.text.make_pipelines $(ARGS)

openapi: setup ## Write docs/openapi.json, which a test compares with the service
	@$(BIN)/python -m bentos.intent_service.openapi_file

clean: ## Remove .venv, caches and the demo's data
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
