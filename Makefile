# Every target sets up what it needs in .venv; nothing outside the checkout is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check bench bench-setup readme format clean

demo: $(INSTALLED)  ## send the welcome sample through the embedded server
	$(BIN)/batchsend send samples/welcome/campaign.toml --sandbox --results $$(mktemp -d)/results.jsonl

test: $(INSTALLED)  ## every tier of the tests that this machine can run
	$(BIN)/pytest

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## batchsend and its rivals in turns, about twenty minutes (as root, on Debian; a quiet machine)
	$(BIN)/python -m benchmarks

bench-setup: $(INSTALLED)  ## the rivals that `make bench` compares with (as root, on Debian)
	bash benchmarks/setup

readme: $(INSTALLED)  ## the README's examples run again, and the sections made from the program written anew
	$(BIN)/python -m tests.tools.readme

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
