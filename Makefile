# Everything sets itself up: a virtual environment in .venv from the locked requirements/dev.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SECONDS ?= 60

define NEXT

How to go on:
  $(BIN)/vm-preflight run -o json           the same report for programs (also yaml and junit)
  $(BIN)/vm-preflight checks explain KVM    what a check asks, its reasons, and what to do
  make demo                                    the cluster side, with an API server on loopback
  README.md                                    a cluster, and a host without Kubernetes
endef
export NEXT

.DEFAULT_GOAL := help
.PHONY: help setup run test e2e lint format demo docs bench fuzz lab image tools lock clean

help: ## show this list
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## make .venv (the other targets do it by themselves)

$(STAMP): requirements/dev.txt pyproject.toml
	@echo "Setting up $(VENV) (once, about a minute) ..." >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vm-preflight needs Python 3.11 or newer; set PYTHON=python3.11")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

run: $(STAMP) ## check this machine now, and say how to go on
	@$(BIN)/vm-preflight run; status=$$?; echo "$$NEXT" >&2; exit $$status

test: $(STAMP) ## run all tests; says at the end what was skipped and why
	$(BIN)/python -m pytest

e2e: $(STAMP) ## tests on a real cluster, made here; or CLUSTER=kubeconfig IMAGE=REGISTRY/vm-preflight:TAG
	@$(if $(CLUSTER),,echo "make image ..." && mkdir -p build && { $(MAKE) --no-print-directory image > build/image.log 2>&1 || { cat build/image.log; exit 1; }; })
	@$(BIN)/python -m pytest tests/e2e -q --timeout=600 $(if $(CLUSTER),--cluster='$(CLUSTER)' --image='$(IMAGE)')

lint: $(STAMP) ## formatting, rules, types, borders of the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/support tests/fuzz bench image lab requirements
	$(BIN)/lint-imports

format: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(STAMP) ## the cluster side, on a control plane on loopback
	@$(BIN)/python tests/support/demo.py

docs: $(STAMP) ## write docs/checks.md anew from the declarations of the checks
	@env -u VM_PREFLIGHT_CONFIG -u VM_PREFLIGHT_PLUGIN_DIR $(BIN)/vm-preflight checks list -o markdown > docs/checks.md

bench: $(STAMP) ## side-by-side measurements against the reference tools
	@$(BIN)/python bench/bench.py

fuzz: $(STAMP) ## fuzz every parser for SECONDS=60, by coverage where atheris installs (docs/fuzzing.md)
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
	  || $(BIN)/pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes \
	    -r requirements/fuzz.txt || echo "atheris does not install here: inputs are made without it" >&2
	@$(BIN)/python tests/fuzz/fuzz.py $(SECONDS) $(TARGETS)

lab: $(STAMP) ## machines with real kernels under emulation, judged; ARGS='x86/*' chooses, ARGS=--help
	@$(BIN)/python -m lab $(ARGS)

image: $(STAMP) ## build the container image with buildah (docs/image.md); BASE=, RUNTIME=, NAME=, ARCH=
	@$(BIN)/python -m image --base='$(BASE)' --runtime='$(RUNTIME)' --name='$(NAME)' --architecture='$(ARCH)'

tools: $(STAMP) ## build the programs of the tests' control plane into the cache (make test does it too)
	@$(BIN)/python tests/support/toolchain.py

lock: $(STAMP) ## renew requirements/*.txt from pyproject.toml
	@$(BIN)/python requirements/lock.py

clean: ## remove what was made here (the tools' cache stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .import_linter_cache build dist
