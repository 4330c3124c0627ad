# Every target sets up what it needs in .venv; nothing outside the checkout is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check bench format clean

demo: $(INSTALLED)  ## send the welcome sample through the embedded server
	$(BIN)/batchsend send samples/welcome/campaign.toml --sandbox --results $$(mktemp -d)/results.jsonl

test: $(INSTALLED)  ## every tier of the tests that this machine can run
	$(BIN)/pytest

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## the whole job against Postfix's smtp-source, to one smtp-sink (as root, on Debian with Postfix)
	$(BIN)/python -m benchmarks.whole_job

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
