# `make demo`, `make test` and `make check` each set up what they need on a machine that has only
# Python 3.11 or newer and make. Everything lands in .venv; `make clean` takes it away again.

# Compiled modules are kept whatever the environment says (containers often set this): else each server and each command
# that a test starts compiles all that it loads, which takes longer than the test.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := src tests docs $(wildcard bench)
# Tests start servers and engines of their own, and wait for them: one more at once than there are processors, at most
# four.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); n=$$((n + 1)); [ "$$n" -gt 4 ] && n=4; echo $$n)
PYTEST_FLAGS ?=
DEMO_FLAGS ?=
BENCH_FLAGS ?=
SOAK_FLAGS ?=

.PHONY: help setup check test test-browser screenshots fuzz soak demo bench docs format lock clean

help:
	@echo 'make demo     start a server with a month of sample traffic and bills  (DEMO_FLAGS="--exit --data DIR")'
	@echo 'make test     run the tests                                            (PYTEST_FLAGS="-k quote")'
	@echo 'make test-browser  walk the pages in Debian'"'"'s Chromium, which it installs         (PYTEST_FLAGS="-k portal")'
	@echo 'make screenshots   pictures of the main pages, into docs/screenshots'
	@echo 'make soak     kill the server 1,000 times under load, and compare all  (SOAK_FLAGS="--minutes 10")'
	@echo 'make fuzz     draw 100 times as many examples in the tests that draw them    (EFFORT=1000)'
	@echo 'make check    format, lint, types and import contracts'
	@echo 'make bench    measure throughput, into bench/results.json              (BENCH_FLAGS=…)'
	@echo 'make docs     write the reference pages from the code'
	@echo 'make format   rewrite the sources in the house format'
	@echo 'make lock     resolve requirements/dev.txt anew from pyproject.toml (needs uv)'
	@echo 'make clean    remove the environment and every cache'

setup: $(READY)

# The lock names each package with its hashes and no index, so any mirror serves; the package itself is
# installed in place with the locked build backend, so this step needs nothing beyond the lock.
$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up $(VENV), once: this takes a minute"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

check: $(READY)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_tidy.py

# In the order of the files, not those with few tests last: some of these take longest.
test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

# A missing browser is a failure here, not a skip.
test-browser: $(READY)
	tests/browser/install.sh
	$(BIN)/python -m pytest -m browser tests/browser $(PYTEST_FLAGS)

screenshots: $(READY)
	tests/browser/install.sh
	$(BIN)/python tests/browser/screenshots.py

soak: $(READY)
	$(BIN)/python tests/crash/soak.py $(SOAK_FLAGS)

# The same tests with EFFORT times as many drawn examples, other ones each time.
EFFORT ?= 100
FUZZED := $(shell grep -rl 'import drawing$$' tests --include='test_*.py')
fuzz: $(READY)
	EFFORT=$(EFFORT) $(BIN)/python -m pytest $(FUZZED) $(PYTEST_FLAGS)

demo: $(READY)
	@$(BIN)/tallystick demo $(DEMO_FLAGS)

bench: $(READY)
	$(BIN)/python bench/run.py $(BENCH_FLAGS)

docs: $(READY)
	$(BIN)/python docs/generate.py

format: $(READY)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lock:
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --quiet \
		--custom-compile-command 'make lock' -o requirements/dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
