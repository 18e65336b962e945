# `make demo` and `make test` each set up all they need in .venv; `make help` lists the rest.
VENV ?= .venv
# The first Python that is new enough; looked for only when .venv is made.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
# Two test processes keep two cores busy; more would each load torch again.
PYTEST_ARGS ?= -n 2

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
MADE = $(VENV)/.made
TORCH = $(VENV)/.torch
CORE = $(VENV)/.core
DEV = $(VENV)/.dev

.PHONY: help demo test test-faults test-hosts lint clean docs qgis-plugin gimp-plugin

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(CORE) ## upscale examples/houses.tif; prints where the result and its before/after picture lie
	@mkdir -p demo
	$(BIN)/python -m zido_core examples/houses.tif -o demo/houses_x4.tif --overwrite
	@$(BIN)/python -m zido_core.picture examples/houses.tif demo/houses_x4.tif demo/before-after.png \
		--window 20 0 128 128
	@echo "Result:       $(CURDIR)/demo/houses_x4.tif"
	@echo "Before/after: $(CURDIR)/demo/before-after.png"

test: lint ## check the code, then run all tests but those in other programs
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest $(PYTEST_ARGS) \
		$(foreach host,qgis gimp browser,--ignore-glob='*/test_$(host)_*.py')

test-hosts: $(DEV) ## run the tests in the real QGIS, GIMP and Chromium, which .ci/hosts installs; fails without one
	@ZIDO_REQUIRE_HOSTS=1 ZIDO_PYTHON="$(abspath $(BIN))/python" OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} \
		$(BIN)/python -m pytest $(PYTEST_ARGS) --dist loadfile tests/test_qgis_*.py tests/test_gimp_*.py tests/test_browser_*.py

test-faults: $(DEV) ## the long form of tests/faults: 10,000 damaged files, 210 kills, 120 full disks, all writes and calls failing, 50,000 tiles
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} ZIDO_MUTANTS=10000 ZIDO_KILLS=210 ZIDO_DISKS=20 ZIDO_SOAK=50000 \
		ZIDO_WRITES=1000 ZIDO_CALLS=1000 \
		$(BIN)/python -m pytest -s tests/faults

lint: $(DEV) ## ruff, import-linter, mypy
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@mkdir -p $(VENV)/host
	@ln -sfn "$(CURDIR)" $(VENV)/host/zido # what hosts load is a part of the package zido
	@MYPYPATH=$(VENV)/host $(BIN)/mypy -p zido.plugin -p zido.qgis -p zido.gimp

docs: $(CORE) ## write docs/help.txt anew, from the options
	@COLUMNS=80 $(BIN)/python -m zido_core --help > docs/help.txt

qgis-plugin: $(DEV) ## build dist/zido-VERSION.zip for QGIS, and check it as the plugin repository does
	@$(BIN)/python .ci/package.py qgis

gimp-plugin: $(DEV) ## the same for GIMP: dist/zido-gimp-VERSION.zip
	@$(BIN)/python .ci/package.py gimp

clean: ## remove all that these commands made, .venv included
	rm -rf $(VENV) demo dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "zido needs Python 3.11 or newer and found none; say which with: make PYTHON=/path/to/python3"; exit 1; \
	elif ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments yet; run: sudo apt-get install python3-venv"; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@touch $@

# torch first and not quietly: it is by far the longest step. `torch==2.13.0` is met by 2.13.0+cpu, too, which pip
# prefers where it is offered.
$(TORCH): $(MADE) constraints.txt
	@echo "Installing torch, the long step (several minutes on a slow line)"
	@$(PIP) install -c constraints.txt torch
	@touch $@

$(CORE): $(TORCH) pyproject.toml
	@echo "Installing zido and its other dependencies"
	@$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(DEV): $(CORE)
	@echo "Installing the test tools"
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@
