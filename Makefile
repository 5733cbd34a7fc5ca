# Everything is made below .venv; PYTHON may name another interpreter, 3.10 or newer.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
# Tests compute more than they wait for hosts and disks, but wait they do.
WORKERS ?= $(shell echo $$(($$(nproc) * 3 / 2)))
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell git ls-files -co --exclude-standard tm_ansible playbooks roles plugins meta 2>/dev/null) \
	pyproject.toml galaxy.yml

.PHONY: help demo test faults fuzz versions lint bench soak bench-data check-python clean
.DEFAULT_GOAL := help

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

check-python:
	@tools/prerequisites python "$(PYTHON)"

$(BIN)/python: | check-python
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

$(VENV)/tools: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test,lint]'
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir .cache/wheels .
	@touch $@

demo: $(VENV)/installed ## install into .venv and carry one VM through its whole life on this machine
	$(BIN)/tm-ansible demo

test: $(VENV)/tools ## install what the tests need and run them all, but the long ones
	@tools/prerequisites tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

faults: $(VENV)/tools ## all the harm of docs/reliability.md in full: kills, cuts, cancels (hours)
	@tools/prerequisites tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m long

fuzz: $(VENV)/tools ## give parsers what nobody meant, for SECONDS=600
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

versions: check-python ## the end-to-end tests with each ansible-core on each Python here (hours)
	@tools/prerequisites tests
	$(PYTHON) tools/versions.py --pythons "$(or $(PYTHONS),python3.10 python3.11 python3.12 python3.13)"

lint: $(VENV)/tools ## ruff, mypy --strict and ansible-lint (profile production)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" ANSIBLE_COLLECTIONS_PATH=.collections $(BIN)/ansible-lint

bench: $(VENV)/tools ## our driver beside a shell driver, whole transfers; how soon LOG lines come
	@tools/prerequisites tests
	$(BIN)/python -m benchmarks.transfers
	$(BIN)/python -m benchmarks.latency

soak: $(VENV)/tools ## 10,000 transfers through one driver, some failing or cancelled: what is held
	@tools/prerequisites tests
	$(BIN)/python -m benchmarks.soak

bench-data: $(VENV)/tools ## our copies beside scp, rsync, tar and cat, with their targets (half an hour)
	@tools/prerequisites bench
	$(BIN)/python -m benchmarks.data_path

clean: ## remove what was made
	rm -rf $(VENV) .cache dist .ansible .mypy_cache .ruff_cache .hypothesis
