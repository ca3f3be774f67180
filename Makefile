# Every target does its own set-up; each can be run again at any time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 3
SUITES ?= trixie sid
SUITE ?= trixie
TARGETS ?= demo check

.PHONY: help demo test check test-matrix test-bare test-containers test-packages deb docs bench clean
.DEFAULT_GOAL := help

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s:

$(STAMP): pyproject.toml
	@echo "Making $(VENV) and installing myha into it (about 30 s the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "myha needs Python 3.11 or newer; $(PYTHON) is older" >&2; exit 2; }
	@test -x $(BIN)/pip || .ci/make-venv $(PYTHON) $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) ## a pair on this machine, its writer killed before your eyes
	@$(BIN)/myha sandbox fetch mysql haproxy
	@$(BIN)/myha drill crash --sandbox

check: $(STAMP) ## the quick checks (style, types, pure tests)
	$(BIN)/ruff check myha tests benchmarks compose
	$(BIN)/ruff format --check myha tests benchmarks compose
	$(BIN)/mypy
	$(BIN)/pytest -q -m "not real" tests

test: $(STAMP) ## the whole suite, real servers of both flavours included
	$(BIN)/ruff check myha tests benchmarks compose
	$(BIN)/ruff format --check myha tests benchmarks compose
	$(BIN)/mypy
	@$(BIN)/myha sandbox fetch
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup tests

test-matrix: $(STAMP) ## the tests of real servers, with the programs of newer Debian suites
	@for suite in $(SUITES); do \
		echo "Programs of Debian $$suite"; export MYHA_DEBIAN=$$suite; \
		$(BIN)/myha sandbox fetch mysql mariadb haproxy \
			&& $(BIN)/pytest -n $(WORKERS) --dist loadgroup -m real tests || exit; \
	done

test-bare: ## TARGETS of this file on a minimal Debian SUITE, with its Python (as root)
	@.ci/bare-debian $(SUITE) $(TARGETS)

test-containers: $(STAMP) ## the drill in Docker containers; starts an engine if none runs (as root)
	@$(BIN)/python -m tests.containers.engine --check
	@$(BIN)/python compose/images/build.py --fetch
	@MYHA_TEST_CONTAINERS=1 $(BIN)/python -m tests.containers.engine sh -c \
		'$(BIN)/python compose/images/build.py --fetched && exec $(BIN)/pytest tests/containers'

docs: $(STAMP) ## the documentation as a site in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html; with search: $(PYTHON) -m http.server --directory build/site"

deb: ## a Debian package in dist/ (installs the build tools as root)
	@packaging/build

test-packages: $(STAMP) ## the package in bare Debians with their own systemd (as root)
	@packaging/test-tools
	MYHA_TEST_PACKAGES=1 $(BIN)/pytest tests/packages

bench: $(STAMP) ## measure, and write benchmarks/RESULTS.md
	@$(BIN)/myha sandbox fetch
	$(BIN)/python -m benchmarks.run

clean: ## remove what the build made (fetched server programs stay in the cache)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
