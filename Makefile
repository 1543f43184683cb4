# Two commands do everything on a fresh clone: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
DEV := $(VENV)/.dev

# Much of a test is waiting: half as many again as there are processors keeps these busy.
WORKERS := $(shell echo $$(($$(nproc) * 3 / 2)))

# Long runs: whole applications inside real containers, and trouble that takes its time; `make guests` has them.
GUESTS := tests/innkeeper/inside tests/innkeeper/roles tests/innkeeper/formats/real \
  tests/innkeeper/operator/test_trouble.py tests/innkeeper/operator/test_inside.py \
  tests/innkeeper/deploy tests/innkeeper/forge/test_pull_requests.py \
  tests/innkeeper/control/test_endurance.py tests/innkeeper/control/test_trouble.py \
  tests/innkeeper/configure/test_containers.py tests/innkeeper/web/test_schema_deep.py tests/pvesim/clients

.PHONY: help demo test check lint types contracts unit templates guests parts package bench docs screenshots lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(CORE): pyproject.toml requirements/core.txt
	@$(PYTHON) -c 'import sys; sys.exit("Innkeeper needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment: on Debian, install python3-venv."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/core.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(CORE) requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

demo: $(CORE)  ## the main job from start to finish, no Proxmox needed
	@$(BIN)/innkeeper demo

test: lint types contracts unit package  ## every check and every test, but for those of `make guests`

check: lint types contracts  ## the checks that need no running part

lint: $(DEV)  ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)  ## static types, strict
	$(BIN)/mypy

contracts: $(DEV)  ## who may import whom
	$(BIN)/lint-imports

unit: $(DEV)  ## the tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(GUESTS:%=--ignore=%)

templates: $(DEV)  ## build what real containers are made of (root and mmdebstrap; once)
	$(BIN)/pvesim template build debian-12

guests: $(DEV)  ## long runs: roles and applications inside real containers (root and lxc), trouble of clusters and forges
	$(BIN)/pytest -n 2 --dist loadfile --durations 25 $(GUESTS)

parts: $(DEV)  ## build Gitea, kube-apiserver, kubectl and helm for the tests (Go; minutes, once)
	$(BIN)/python scripts/gitea.py
	$(BIN)/python scripts/kubernetes_parts.py

package: $(DEV)  ## build the wheel and try it from an empty directory
	$(BIN)/python scripts/check_wheel.py

bench: $(DEV)  ## measure beside the alternatives; writes docs/benchmarks.md
	$(BIN)/python -m bench

docs: $(DEV)  ## write the generated pages again
	$(BIN)/python scripts/generate_docs.py

screenshots: $(DEV)  ## pictures of the portal for the docs (needs chromium)
	$(BIN)/python scripts/screenshots.py

lock: $(DEV)  ## resolve the versions anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate --all-extras pyproject.toml --group pyproject.toml:build -o requirements/core.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate --all-extras pyproject.toml --group pyproject.toml:dev -c requirements/core.txt -o requirements/dev.txt

clean:  ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .bench
