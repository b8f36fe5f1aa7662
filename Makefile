# The words that people and CI use. `check` never edits; `fix` does.

PYTHON ?= python3
RUN := .venv/bin/python

.PHONY: help setup serve dev test check fix lock bench clean

help:  ## Say what there is.
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 14

setup:  ## Make .venv with what running needs.
	@$(PYTHON) tools/bootstrap.py serve

serve: setup  ## Set up, then run in production mode on ./data. Flags: make serve ARGS="--port 8080"
	@exec .venv/bin/meadowlark serve $(ARGS)

dev: setup  ## Set up, then run for development: everything open, data thrown away.
	@exec .venv/bin/meadowlark dev $(ARGS)

test:  ## Set up what tests need, then run them all. Some: make test ARGS="tests/tree -k order"
	@$(PYTHON) tools/bootstrap.py test
	@$(RUN) -m pytest $(ARGS)

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

bench:  ## Measure; one file per question, in bench/.
	@$(PYTHON) tools/bootstrap.py test
	@$(RUN) -m bench $(ARGS)

clean:  ## Remove what was made here. Never touches ./data.
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/bin
	find src tests bench tools examples -name node_modules -prune -exec rm -rf {} + 2>/dev/null || true
	find src tests bench tools -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
