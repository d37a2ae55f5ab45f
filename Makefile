# Everything a newcomer or CI runs. `make demo` and `make test` need Python 3.11.4 or later only.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test torture browser docs check format bench clean

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "zoo needs Python 3.11.4 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip

# what users need and the photos of the demo
$(VENV)/.demo: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -qq --editable '.[demo]'
	touch $@

# and what developers need
$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -qq --editable '.[demo,test,dev]'
	touch $@ $(VENV)/.demo

$(VENV)/.docs: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -qq --editable '.[docs]'
	touch $@

demo: $(VENV)/.demo  ## fine-tune EfficientNet-Lite0 on solar-cell photos
	$(BIN)/zoo finetune efficientnet --data elpv

test: $(VENV)/.installed  ## the tests that need neither network nor GPU nor patience
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

browser: $(VENV)/.installed  ## the pages in a headless Chromium, which must be there with its driver
	$(BIN)/python -m pip install -qq --editable '.[browser]'
	$(BIN)/python -m pytest -m browser tests/reporting tests/serving

torture: $(VENV)/.installed  ## 1,000 faults: damaged files, random lines, kills, hostile files
	$(BIN)/python -m tests.torture --cases 1000

docs: $(VENV)/.docs  ## the documentation, into site/; fails on a broken link or reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

check: $(VENV)/.installed  ## format, lint, types, import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --quiet .

bench: $(VENV)/.installed  ## the tables of benchmarks/
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/errors.py
	$(BIN)/python benchmarks/stages.py --size 128
	$(BIN)/python benchmarks/ensemble.py
	$(BIN)/python benchmarks/faults.py --quick
	$(BIN)/python benchmarks/compare.py --check benchmarks/baseline.json

clean:
	rm -rf $(VENV) build site *.egg-info
