# Python 3.11 to 3.14, git and make are all that is needed; uv is used where it is on the PATH.
# PYTHON=python3.12 chooses the interpreter of a new .venv; ARGS is handed to the program.

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
DEMO  := $(VENV)/.demo-installed
DEV   := $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help demo setup test check format bench drills spire fuzz mutation docs lock proto clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

demo: $(DEMO)  ## the whole story on one machine (ARGS="--json" and so on)
	@$(BIN)/wimse demo $(ARGS)

setup: $(DEV)  ## the environment of a developer, in .venv

test: check  ## the checks, then all tests with branch coverage and its floor (ARGS goes to pytest)
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	@# Signatures and keys: every branch. What is excluded says why on its line.
	$(BIN)/coverage report --include='src/wimse/httpsig/*,src/wimse/keys/*' --fail-under=100

check: $(DEV)  ## lint, format, types, the laws of the house, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(BIN)/python tools/check_links.py

format: $(DEV)  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(DEV)  ## every benchmark
	@set -e; shopt -s nullglob; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

drills: $(DEV)  ## the drills in full: faults of every kind under load (DRILLS="d4_replay d8_nonces" for some of them)
	@set -e; for each in $(or $(DRILLS),$(basename $(notdir $(wildcard tests/drills/d[0-9]*.py)))); do \
	  echo "== $$each"; $(BIN)/python -m tests.drills.$$each; done

spire: $(DEV)  ## our sources at SPIRE's own agent, which is built first (needs Go)
	@tools/spire.sh
	$(BIN)/python -m tests.drills.spire_agent

fuzz:  ## the fuzz targets (TARGETS="jws bundle" for some of them, SECONDS_EACH=600, JOBS=2)
	@tools/fuzz_venv.sh
	.fuzz-venv/bin/python fuzz/run.py $(TARGETS) --seconds $(or $(SECONDS_EACH),60) --jobs $(or $(JOBS),1)

mutation: $(DEV)  ## change base, verifier and digests, and see that a test notices (ARGS="--sample 0.2 --modules base")
	@tools/mutation.sh $(ARGS)

docs: $(DEV)  ## check the links: the documentation is Markdown, and there is nothing to build
	$(BIN)/python tools/check_links.py

lock:  ## resolve requirements/*.lock again (ARGS="--upgrade" for newer versions)
	tools/lock.sh $(ARGS)

proto:  ## generate the protobuf code
	tools/generate_proto.sh

clean:  ## remove environments, caches and reports
	rm -rf $(VENV) .lock-venv .proto-venv .fuzz-venv .fuzz .mutation-venv .mutation .spire build dist \
	  htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than all that the environment was made from. dev.lock holds all of demo.lock, at the same versions.
$(DEMO): requirements/demo.lock pyproject.toml tools/install.sh
	@echo "Installing into $(VENV) …" >&2
	@tools/install.sh requirements/demo.lock >&2
	@touch $@

$(DEV): requirements/dev.lock pyproject.toml tools/install.sh
	@echo "Installing into $(VENV) …" >&2
	@tools/install.sh requirements/dev.lock >&2
	@touch $@ $(DEMO)
