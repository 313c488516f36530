# make bench   install what is needed into .venv and run the whole matrix on the embedded digits
# make test    install what is needed into .venv, then check types, style and imports and run every test
# make check   types, style and imports alone
# make docs    build the site of docs/ into site/, warnings are errors
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PINS := setup.cfg setup.py pyproject.toml constraints.txt
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: bench test check docs install clean

bench: $(VENV)/.installed
	$(BIN)/python -m tinyfuse.bench $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

install: $(VENV)/.installed

$(VENV)/.installed: $(PINS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) '.[oracle]' || { echo 'TFLite Micro cannot be installed; going on without it' >&2; $(PIP) .; }
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) '.[dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) site .mypy_cache .import_linter_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
