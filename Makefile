# Short names for the targets of scripts/make.py, which does the work. PYTHON=/path/to/python3.13 names the Python to use.
.DEFAULT_GOAL := help
PYTHON ?= python3

.PHONY: help ant steer page lab train sweep test lint bench bench-full lock clean
help ant steer page lab train sweep test lint bench bench-full lock clean:
	@$(PYTHON) scripts/make.py $@ $(ARGS)
