# Everything that a person or CI runs. Needs Python 3.11+ and the package registries, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-recovery chaos dev format lock clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

# What the product needs to run, with a development broker; the checkout itself, editable.
$(VENV)/run.stamp: requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "installing: what a worker and a development broker need"
	$(PIP) install --require-hashes --only-binary :all: -r requirements/run.lock
	$(PIP) install --require-hashes --only-binary :all: -r requirements/build.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "import pathlib, site; pathlib.Path(site.getsitepackages()[0], 'saga-tree.pth').write_text(str(pathlib.Path.cwd()))"
	@touch $@

$(VENV)/demo.stamp: requirements/demo.lock | $(VENV)/run.stamp
	@echo "installing: the demo's data"
	$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements/demo.lock
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock | $(VENV)/run.stamp
	@echo "installing: linters, type checkers, test tools"
	$(PIP) install --require-hashes --only-binary :all: -r requirements/dev.lock
	@touch $@

demo: $(VENV)/demo.stamp ## Book 10,000 trips on a real Kafka, kill a worker, check every promise (BOOKINGS=n)
	$(BIN)/python -m demo $(if $(BOOKINGS),--bookings $(BOOKINGS)) $(DEMO)

dev: $(VENV)/run.stamp ## Kafka, topics, a worker and the example participants in one foreground command
	$(BIN)/saga dev --modules sagas

# The tests run against the wheel, not the tree: var/wheel comes first on the path.
var/wheel: $(VENV)/dev.stamp $(shell find orchestrator schemas pyproject.toml -type f -not -name '*.pyc')
	@rm -rf var/wheel build
	$(BIN)/python -m build --wheel --no-isolation --outdir var/dist . > var-build.log 2>&1 || (cat var-build.log; exit 1)
	@rm -f var-build.log
	$(PIP) install --no-deps --target var/wheel var/dist/*.whl
	@ln -s ../../sagas var/wheel/sagas
	@touch $@

test: $(VENV)/demo.stamp var/wheel ## All tests, against the built wheel and a real Kafka
	SAGA_TEST_WHEEL=var/wheel PYTHONPATH=$(CURDIR)/var/wheel $(BIN)/pytest -m "not chaos" $(TEST)

check: $(VENV)/dev.stamp ## Format, lint, types, definitions, schemas and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/saga check --modules sagas
	$(BIN)/saga schemas check --modules sagas
	$(BIN)/pytest -q -m "not system and not chaos"

format: $(VENV)/dev.stamp ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: $(VENV)/dev.stamp ## Every fault once, then a random mix, seed printed (CHAOS='--minutes 5 --seed 7')
	$(BIN)/pytest -m chaos
	$(BIN)/python tests/chaos/run.py $(CHAOS)

bench: $(VENV)/dev.stamp ## The trip workload beside the bare loop
	$(BIN)/python -m benchmarks

bench-recovery: $(VENV)/dev.stamp ## Kills, stops, lost stores and brokers: how long until all goes on
	$(BIN)/python -m benchmarks recovery $(RECOVERY)

lock: $(VENV)/dev.stamp ## Resolve the dependencies anew
	scripts/lock

clean: ## Remove what the targets above made
	rm -rf $(VENV) var build dist
