# Everything runs in .venv, made on first use. PYTHON=python3.12 make test uses another Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.PHONY: audit test check bench docs clean
.DEFAULT_GOAL := audit

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "expected Python 3.11 or newer; found $$($(PYTHON) --version). Try make PYTHON=python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

audit: $(VENV)/.ready  ## the main job, on the embedded organism
	$(BIN)/holdfast audit

test: $(VENV)/.ready  ## every test that needs no accelerator and no patience
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m 'not gpu and not slow'

check: $(VENV)/.ready  ## style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/.ready  ## where the time goes, and against the usual way
	$(BIN)/python benchmarks/standard_audit.py
	$(BIN)/python benchmarks/pricing.py

docs: $(VENV)/.ready  ## what is printed in the docs, printed anew
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) holdfast-out
