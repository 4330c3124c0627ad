# Every target sets up what it needs in .venv. Outside the checkout are only temporary files of tests and measurements, and
# the programs that those that say "as root" install.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
COMPILED := .venv/compiled
SNIFFIO := .venv/sniffio
# The compiled modules before those of the checkout, in every process that is started from here.
WITH_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED)/lib:$(CURDIR)
# Where `.ci/servers` puts what cannot be installed.
UNPACKED := $(or $(BATCHSEND_SERVERS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/batchsend-tests)
# Tests wait more than they compute, and share the machine's cores. They start the program some hundred times: where
# nothing may be kept of a module that was read, each of them reads all of it again. Neighbours go to one process, for
# they use the same things, such as a browser, until another process has nothing left to do; what takes long goes first.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n auto --dist worksteal
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-all test-compiled test-sniffio simulate fuzz servers check compiled dist bench bench-prediction bench-setup docs format clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

demo: $(INSTALLED)  ## send the welcome sample through the embedded server
	mkdir -p .venv/demo && rm -f .venv/demo/results.jsonl*
	$(BIN)/batchsend send samples/welcome/campaign.toml --sandbox --results .venv/demo/results.jsonl

test: $(INSTALLED)  ## what needs no server and little time, in under two minutes; says which tiers it left out
	$(PYTEST) --quick $(TESTS)

# With sniffio, for httpx and others bring it; `make test` runs without.
test-all: $(SNIFFIO)/.installed  ## every tier, as root on Debian after `make servers`; what is missing is a failure
	PYTHONPATH=$(CURDIR)/$(SNIFFIO) BATCHSEND_TEST_EVERYTHING=1 BATCHSEND_RIVALS="$(UNPACKED)/npm" $(PYTEST) $(TESTS)

test-compiled: $(COMPILED)/.built  ## every tier that this machine can run, or TESTS=…, on one event loop each, against the compiled hot path
	$(WITH_COMPILED) $(BIN)/python -c 'from batchsend.version import compiled; assert compiled()'
	$(WITH_COMPILED) $(PYTEST) --brief -o pythonpath= -m 'not interpreted' $(TESTS)

compiled: $(COMPILED)/.built  ## the compiled hot path, in .venv/compiled, for the targets that use it

test-sniffio: $(SNIFFIO)/.installed  ## what `make test` runs, or TESTS=…, with sniffio installed
	PYTHONPATH=$(CURDIR)/$(SNIFFIO) $(PYTEST) --quick $(TESTS)

simulate: $(INSTALLED)  ## bad days in virtual time until one goes wrong, which is made small and kept: SEED=… RUNS=…, or a minute's worth
	$(BIN)/python -m tests.simulation $(SEED) $(addprefix --runs ,$(RUNS))

fuzz: $(INSTALLED)  ## foreign input at random, until something is found, which is kept: SUBJECT=… TIME=…, or ten minutes (600) of each kind
	$(BIN)/python -m tests.fuzz $(or $(SUBJECT),all) --seconds $(or $(TIME),600) $(addprefix --seed ,$(SEED))

servers:  ## what `make test-all` needs beside Python, as root on Debian; does nothing where it is there
	bash .ci/servers

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

dist: $(COMPILED)/.built  ## dist/: the source archive, the wheel in plain Python, the compiled wheel; each tried in a clean place
	$(BIN)/python -m tests.tools.dist

bench: $(COMPILED)/.built  ## batchsend and its rivals in turns, twenty minutes, an hour on a machine that is never quiet (as root, on Debian)
	$(WITH_COMPILED) $(BIN)/python -m benchmarks $(addprefix --only ,$(ONLY)) $(if $(LOADED),--loaded)

bench-prediction: $(COMPILED)/.built  ## what `batchsend bench` predicts and advises, against campaigns, about twenty-five minutes (as root, on Debian)
	$(WITH_COMPILED) $(BIN)/python -m benchmarks.prediction $(addprefix --server ,$(ONLY)) $(if $(KEEP),--keep $(KEEP))

bench-setup: $(INSTALLED)  ## the rivals that `make bench` compares with (as root, on Debian)
	bash benchmarks/setup

docs: $(INSTALLED)  ## README and manual: the examples run again, and the parts made from the program written anew
	$(BIN)/python -m tests.tools.documents

format: $(INSTALLED)  ## put the source into its format, and fix what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove what the other targets made
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	BATCHSEND_PURE=1 $(PIP_INSTALL) --editable '.[dev,bench]'
	touch $@

$(COMPILED)/.built: $(INSTALLED) pyproject.toml $(shell find batchsend -name '*.py')
	$(BIN)/python -m tests.tools.dist --compiled
	touch $@

# In a folder of its own: most programs have it, because httpx, openai or trio bring it, but nothing here needs it.
$(SNIFFIO)/.installed: $(INSTALLED)
	$(PIP_INSTALL) --no-deps --target $(SNIFFIO) sniffio
	touch $@
