# Everything a person or CI runs. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
UV_COMPILE_BYTECODE := 1
export UV_COMPILE_BYTECODE

.DEFAULT_GOAL := help
.PHONY: help up test nightly check bench contracts analysis clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

up: .venv/.ready node_modules/.ready ## run a whole network on this machine until Ctrl-C
	$(RUN)/subak up $(ARGS)

test: .venv/.ready node_modules/.ready ## run all tests (house rules, contracts, network)
	$(MAKE) --no-print-directory check
	$(RUN)/pytest $(ARGS)

nightly: .venv/.ready node_modules/.ready ## a thousand seeds of the simulator; SEEDS=1..1000 for others
	$(RUN)/subak simulate --scenario mixed --seeds $(or $(SEEDS),1..1000) --workers 0

check: .venv/.ready ## house rules: style, types, arrows between rooms
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: .venv/.ready node_modules/.ready ## measure; ONLY=name for one; writes bench/results.json
	$(RUN)/python -m bench $(if $(ONLY),--only $(ONLY))

contracts: .venv/.ready node_modules/.ready ## compile the contracts into the Python package
	$(RUN)/python contracts/build.py

analysis: .venv-analysis/.ready node_modules/.ready ## slither and halmos over the contracts, against the committed triage
	.venv-analysis/bin/python contracts/analysis/analyse.py slither
	.venv-analysis/bin/python contracts/analysis/analyse.py halmos

clean: ## remove everything that set-up and tests made
	rm -rf $(VENV) .venv-analysis node_modules build out cache contracts/out contracts/cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src -name '*.so' -delete

.venv/.ready: pyproject.toml uv.lock setup.py src/subak/core/canon/_keccak.c
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	test -x $(RUN)/uv || $(RUN)/pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	$(RUN)/uv sync --quiet --locked --inexact
	@touch $@

.venv-analysis/.ready: contracts/analysis/requirements.txt
	test -x .venv-analysis/bin/python || $(PYTHON) -m venv .venv-analysis
	.venv-analysis/bin/pip install --quiet --disable-pip-version-check -r contracts/analysis/requirements.txt
	@touch $@

node_modules/.ready: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@
