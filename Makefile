# The words that people and CI use. `check` never edits; `fix` does.

PYTHON ?= python3
RUN := .venv/bin/python
# NATIVE=1 with serve, dev, test or bench: the hot modules compiled.
ifdef NATIVE
export PYTHONPATH := $(CURDIR)/build/native/src
PYTEST := -o pythonpath="$(CURDIR)/build/native/src ."
endif

.PHONY: help setup serve dev native test check fix lock bench clean

help:  ## Say what there is.
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 14

setup:  ## Make .venv with what running needs.
	@$(PYTHON) tools/bootstrap.py serve

native:  ## Compile the hot modules (needs a C compiler); then NATIVE=1 runs them: make serve NATIVE=1
	@$(PYTHON) tools/bootstrap.py test
	@env -u PYTHONPATH $(RUN) tools/native.py

serve: setup $(if $(NATIVE),native)  ## Set up, then run in production mode on ./data. Flags: make serve ARGS="--port 8080"
	@exec .venv/bin/meadowlark serve $(ARGS)

dev: setup $(if $(NATIVE),native)  ## Set up, then run for development: everything open, data thrown away.
	@exec .venv/bin/meadowlark dev $(ARGS)

test: $(if $(NATIVE),native)  ## Set up what tests need, then run them all. Some: make test ARGS="tests/tree -k order"
	@$(PYTHON) tools/bootstrap.py test
	@$(RUN) -m pytest $(PYTEST) $(ARGS)

check:  ## Lint, format, types, layers and documents; changes nothing.
	@$(PYTHON) tools/bootstrap.py test
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m pytest -q tests/test_layers.py tests/test_docs.py tests/test_packaging.py

fix:  ## Format, and mend what the linter can.
	@$(PYTHON) tools/bootstrap.py test
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

lock:  ## Resolve the locks anew (needs uv): the newest that pyproject.toml allows.
	@$(PYTHON) tools/lock.py --upgrade

bench: $(if $(NATIVE),native)  ## Measure; one file per question, in bench/.
	@$(PYTHON) tools/bootstrap.py test
	@$(RUN) -m bench $(ARGS)

clean:  ## Remove what was made here. Never touches ./data.
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/bin
	find src tests bench tools examples -name node_modules -prune -exec rm -rf {} + 2>/dev/null || true
	find src tests bench tools -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
