# A fresh machine needs Python 3.11 (or later) and make; every target fetches the rest into .venv.

# What is on PATH may be a shim for a version that is not there, or a uv without groups: so ask, not just look.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -V >&- 2>&- && command -v $$p && break; done)
UV     := $(shell uv pip install --help 2>&- | grep -q -e --group && command -v uv || echo .venv-uv/bin/uv)
BIN    := .venv/bin
READY  := .venv/.ready
PEERS  := .bench/.ready
# One process more than there are cores, since tests that wait need none; those with long tests start first.
SPREAD := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 4 --dist loadscope --no-loadscope-reorder
CODE   := airflow_provider_llmbatch example_dags tests docs

.DEFAULT_GOAL := help
.PHONY: help demo test slow chaos lint format docs matrix bench scale build clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## run the example DAG on real Airflow, against the emulator; no key, no network
	@$(BIN)/python -m example_dags.demo

test: $(READY)  ## the everyday suite
	@$(BIN)/python -m pytest -q $(SPREAD) -m "not slow and not chaos"

slow: $(READY)  ## the rest of the suite: a real `airflow standalone`, large jobs, crashes
	@$(BIN)/python -m pytest -q $(SPREAD) -m slow

chaos: $(READY)  ## kill -9 of workers, triggerer and scheduler while thirty jobs run; some five minutes
	@$(BIN)/python -m pytest -q -s -m chaos

lint: $(READY)  ## style, types, and who may import whom
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY)  ## apply the style
	@$(BIN)/ruff check --fix-only $(CODE)
	@$(BIN)/ruff format $(CODE)

docs: $(READY)  ## docs/_build/html; a warning is an error
	@$(BIN)/python -m sphinx -E -W -n -q --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

matrix: $(READY)  ## the core suites on the oldest, a middle and the newest Airflow
	@UV="$(UV)" PYTHON="$(PYTHON)" .ci/matrix

bench: $(PEERS)  ## time and memory next to other libraries, in Markdown; N=records RUNS=3 ONLY='land .* ours'
	@.bench/bin/python -m tests.benchmarks --count $(or $(N),100000) --runs $(or $(RUNS),3) --only '$(ONLY)'

scale: $(READY)  ## one task of a million records on real Airflow and the emulator; N=records VENDOR=anthropic
	@$(BIN)/python -m tests.benchmarks.scale --count $(or $(N),1000000) --vendor $(or $(VENDOR),openai)

build: $(READY)  ## dist/: wheel and source
	@$(UV) build -q --python $(BIN)/python --out-dir dist

clean:  ## remove everything that these targets made
	rm -rf .venv .venv-uv .matrix .bench .demo dist docs/_build

# uv resolves and installs in seconds where pip takes minutes. A machine without it gets its own copy.
.venv-uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv-uv
	@.venv-uv/bin/pip install --quiet --disable-pip-version-check uv

# The stamp is newer than pyproject.toml exactly when nothing needs installing. hatchling builds the wheel that
# tests/packaging looks into.
$(READY): pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip install --quiet --python $(BIN)/python --editable '.[parquet]' --group dev hatchling
	@touch $@

# The libraries that `make bench` compares with stay out of .venv.
$(PEERS): pyproject.toml | $(UV)
	@test -x .bench/bin/python || $(UV) venv --quiet --python $(PYTHON) .bench
	@$(UV) pip install --quiet --python .bench/bin/python --editable . --group bench
	@touch $@
