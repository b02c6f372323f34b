# Every target makes .venv first if it is missing. PYTHON=/path/to/python3.11 names the Python to make it with.
.DEFAULT_GOAL := help
.PHONY: help ant steer lab train test lint bench bench-full lock clean
.DELETE_ON_ERROR:
export PYTHON

PY := .venv/bin/python
READY := .venv/.ready
# JupyterLab refuses to start as root, which is who one is in most containers, unless it is told that this is meant.
AS_ROOT = $(if $(filter 0,$(shell id -u 2>/dev/null)),--allow-root)

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

ant: $(READY)  ## Watch the trained ant walk a random path, and get an animation of it
	@$(PY) viewer.py ant $(ARGS)

steer: $(READY)  ## Steer a living ant in your browser; click the ground and it walks there
	@$(PY) steer.py $(ARGS)

lab: $(READY)  ## Open the notebooks in JupyterLab
	@.venv/bin/jupyter lab $(AS_ROOT) $(ARGS)

train: $(READY)  ## Train an ant; ARGS="--help" lists the options
	@$(PY) main.py $(ARGS)

test: $(READY)-test  ## Run the tests; ARGS="-m 'not slow'" for the quick ones
	@$(PY) -m pytest $(ARGS)

lint: $(READY)-lint  ## Check format, slips and type hints; ARGS="--fix" mends what can be
	@$(PY) -m ruff format $(if $(filter --fix,$(ARGS)),,--check) --quiet
	@$(PY) -m ruff check --quiet $(ARGS)
	@$(PY) -m mypy

bench: $(READY)-bench  ## Compare with other libraries, briefly
	@$(PY) benchmarks/bench.py $(ARGS)

bench-full: $(READY)-bench  ## The same at full length; takes hours
	@$(PY) benchmarks/bench.py --full $(ARGS)

lock: $(READY)  ## Renew constraints.txt after a change of pyproject.toml; needs uv
	@$(PY) scripts/lock.py

clean:  ## Remove .venv and caches; runs, models and results stay
	@rm -rf .venv .conda .pytest_cache .ruff_cache .mypy_cache __pycache__ */__pycache__

# A stamp is touched only after pip has succeeded, so an interrupted installation is taken up again.
# An environment without a complete pip (one with its list of files) was interrupted in the making: it is made anew.
$(READY): pyproject.toml constraints.txt
	@$(PY) -c 'import importlib.metadata as m; m.files("pip") or exit(1)' 2>/dev/null || \
	    { python=$$($(SHELL) scripts/find_python.sh) && "$$python" -m venv --clear .venv; }
	@$(PY) scripts/install.py
	@touch $@

$(READY)-test $(READY)-lint $(READY)-bench: $(READY)-%: $(READY)
	@$(PY) scripts/install.py $*
	@touch $@
