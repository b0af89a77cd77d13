# Two commands do all: `make run` starts a node, `make test` runs every test.
# Needed: Python 3.11 to 3.13 with venv, make, and a package index that pip can reach.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 \
	&& echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help run test chaos check style types layers locked bench lock docs clean
.PHONY: install install-dev system-packages cluster cluster-stop cluster-status cluster-packages

help:
	@echo "make run      a node of all parts on this machine"
	@echo "make cluster  three comets and all that they need; STORE=sql; cluster-stop, cluster-status"
	@echo "make test     every test"
	@echo "make chaos    a cluster is broken in every way, again and again; ROUNDS=n SEED=s"
	@echo "make check    style, types, layers, and that the lock is up to date"
	@echo "make bench    the benchmarks"
	@echo "make lock     pin the newest allowed versions of all dependencies"
	@echo "make docs     write docs/configuration.md"
	@echo "make clean    remove the environment and everything made"

run: install
	@$(BIN)/appmsg up

cluster: install cluster-packages
	@$(BIN)/python -m tools.cluster start $(if $(STORE),--store $(STORE))

cluster-stop: install
	@$(BIN)/python -m tools.cluster stop

cluster-status: install
	@$(BIN)/python -m tools.cluster status

# Most tests wait for a server or a process, so more of them run than there are cores. The tests of a
# file stay together: they share their servers. Files come in the order of tests/conftest.py.
JOBS ?= 3

test: install-dev system-packages
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

ROUNDS ?= 10
SEED ?= $(shell date +%s)

chaos: install-dev system-packages
	CHAOS_ROUNDS=$(ROUNDS) CHAOS_SEED=$(SEED) $(BIN)/pytest tests/cluster tests/system/test_kill_storm.py -m slow $(ARGS)

check: style types layers locked

style: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev
	$(BIN)/mypy

layers: install-dev
	$(BIN)/lint-imports --no-logo

locked: install-dev
	$(BIN)/python tools/lock.py --check

bench: install-dev
	$(BIN)/python -m bench.run $(ARGS)

lock: install-dev
	$(BIN)/python tools/lock.py

docs: install-dev
	$(BIN)/appmsg config defaults --markdown > docs/configuration.md

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made again only when its lock has changed. What is installed is what the lock
# names, by hash; the checkout itself is linked in.

install: $(VENV)/run.stamp
install-dev: $(VENV)/dev.stamp

$(VENV)/locked.stamp: requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "$(PYTHON) has no venv: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --require-hashes --no-deps -r requirements.lock
	@touch $@

$(VENV)/run.stamp: $(VENV)/locked.stamp pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	@echo "Installing what tests and checks need ..."
	@$(PIP) --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# Servers, browser and Node.js for the tests and for `make cluster`: root gets those that are missing.
# What needs one that cannot be had is skipped, with that reason in pytest's summary.
system-packages: install
	@$(BIN)/python -m tools.packages test

cluster-packages: install
	@$(BIN)/python -m tools.packages cluster
