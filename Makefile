# Every target sets up what it needs in .venv; nothing outside the checkout is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
COMPILED := .venv/compiled
# The compiled modules before those of the checkout, in every process that is started from here.
WITH_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED)/lib:$(CURDIR)

.PHONY: demo test test-compiled check bench bench-setup docs format clean help

help:  ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(INSTALLED)  ## send the welcome sample through the embedded server
	$(BIN)/batchsend send samples/welcome/campaign.toml --sandbox --results $$(mktemp -d)/results.jsonl

test: $(INSTALLED)  ## every tier of the tests that this machine can run
	$(BIN)/pytest

test-compiled: $(COMPILED)/.built  ## the same, or TESTS=…, against the compiled hot path
	$(WITH_COMPILED) $(BIN)/python -c 'from benchmarks.machine import compiled; assert compiled()'
	$(WITH_COMPILED) $(BIN)/pytest -o pythonpath= -m 'not interpreted' $(TESTS)

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(COMPILED)/.built  ## batchsend and its rivals in turns, about twenty minutes (as root, on Debian; a quiet machine)
	$(WITH_COMPILED) $(BIN)/python -m benchmarks $(addprefix --only ,$(ONLY))

bench-setup: $(INSTALLED)  ## the rivals that `make bench` compares with (as root, on Debian)
	bash benchmarks/setup

docs: $(INSTALLED)  ## README and manual: the examples run again, and the parts made from the program written anew
	$(BIN)/python -m tests.tools.documents

format: $(INSTALLED)  ## format, and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove what was built and installed here
	find . -maxdepth 4 -name '*.so' -not -path './.venv/*' -delete
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# From a copy: the compiler leaves its modules beside the source, where they would go on being imported.
$(COMPILED)/.built: $(INSTALLED) $(shell find batchsend -name '*.py')
	rm -rf $(COMPILED)
	mkdir -p $(COMPILED)/source
	cp -R batchsend pyproject.toml README.md LICENSE $(COMPILED)/source
	HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $(COMPILED)/lib $(COMPILED)/source
	touch $@
