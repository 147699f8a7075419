# `make run` and `make test` are the two commands to know. All of it needs Python >= 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= .
WORKERS ?= 3
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate

.DEFAULT_GOAL := help
.PHONY: help install run demo test test-unit test-cluster test-long test-soak browser-tools node-tools test-tools check format docs vendor bench bench-quick chaos clean lock

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## Virtual environment with all of the developers' tools, hash-pinned

# What the stack needs is enough for `run` and `demo`; the tests' tools come on top, into the same
# environment, when something asks for them.
$(VENV)/.local: requirements/local.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Rollcall needs Python 3.11 or later: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(call pip_install,requirements/local.txt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed: requirements/dev.txt $(VENV)/.local
	@$(call pip_install,requirements/dev.txt)
	@touch $@

define pip_install
echo 'Setting up $(VENV) ($(1)): up to a minute the first time'; \
( s=0; while sleep 2 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do \
		s=$$((s + 2)); echo "  $$s s: packages"; done ) & ticker=$$!; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r $(1); status=$$?; kill $$ticker 2>/dev/null; exit $$status
endef

run: $(VENV)/.local ## The whole stack and the demo; stays up until Ctrl-C
	@exec $(BIN)/rollcall demo --stay --data $(DATA)

demo: $(VENV)/.local ## The demo that ends by itself; exit status 0 if every expectation held
	@exec $(BIN)/rollcall demo

test: install ## All tests but the long ones
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m 'not long' $(ARGS)

test-unit: install ## Tests that need no server, in under a minute
	$(BIN)/pytest -n 2 --dist worksteal -m 'not long' tests/unit tests/contract $(ARGS)

test-cluster: install ## The manifests on the cluster that KUBECONFIG names; ROLLCALL_CLUSTER_LOAD loads an image
	$(BIN)/pytest tests/cluster -m long -n 0 -rP --capture=tee-sys $(ARGS)

test-long: install ## The long tests; those of a cluster where KUBECONFIG names one
	$(BIN)/pytest -m long $(if $(KUBECONFIG),,--ignore tests/cluster) $(ARGS)

test-soak: install ## Hours: ten minutes of kills, of chaos, 20 seeds of both, CHANGES=1000000 under kills
	$(BIN)/python -m tests.chaos --minutes 10 --scene kills
	$(BIN)/python -m tests.chaos --runs 20 --minutes 1 --scene kills
	$(BIN)/python -m tests.chaos --minutes 10
	$(BIN)/python -m tests.chaos --runs 20 --minutes 1
	$(BIN)/python -m tests.crash.soak --changes $(or $(CHANGES),1000000)

browser-tools: ## What tests of the console need of the system (Debian, as root): Chromium
	@command -v chromium >/dev/null || { apt-get update --quiet --quiet \
		&& apt-get install --yes --no-install-recommends chromium; }

node-tools: ## What tests of the sign-in need (Node.js): an OpenID provider, at pinned hashes
	@command -v npm >/dev/null || { apt-get update --quiet --quiet \
		&& apt-get install --yes --no-install-recommends nodejs npm; }
	@test tests/oidc/node_modules/.package-lock.json -nt tests/oidc/package-lock.json \
		|| npm ci --prefix tests/oidc --ignore-scripts --no-audit --no-fund

test-tools: browser-tools node-tools ## What long tests need of the system (Debian, as root): a Docker engine, compose, mmdebstrap
	apt-get install --yes --no-install-recommends docker.io docker-compose mmdebstrap

check: install ## Lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## Write the event contract and the settings reference from the code
	$(BIN)/python -m docs.generate

vendor: install ## Fetch the browser libraries of the console from npm, at pinned hashes
	$(BIN)/python -m docs.vendor

bench: install ## Beside two other SCIM servers, in rounds; writes docs/benchmarks.md (half an hour, needs npm)
	$(BIN)/python -m benchmarks.side_by_side --write

bench-quick: install ## The same, one short round that writes nothing (4 minutes)
	$(BIN)/python -m benchmarks.side_by_side --quick

chaos: install ## Clients at work while everything fails: SEED=… MINUTES=… SCENE=… to play a run again
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SCENE),--scene $(SCENE))

clean: ## Stop a running stack and remove its data and what tests and checks left
	@if test -x $(BIN)/rollcall && test -d $(DATA)/.rollcall; then $(BIN)/rollcall down --remove --data $(DATA); fi
	@rm -rf $(DATA)/.rollcall .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

lock: install ## Pin the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra local --group dev $(LOCK) -o requirements/dev.txt
	uv pip compile pyproject.toml --extra local --group local $(LOCK) -c requirements/dev.txt -o requirements/local.txt
	uv pip compile pyproject.toml $(LOCK) -c requirements/dev.txt -o requirements/run.txt
	echo hatchling | uv pip compile - $(LOCK) -c requirements/dev.txt -o requirements/build.txt
