# modelmeter: `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO_SECONDS ?= 0
BENCH_SECONDS ?= 15
# Most of the time tests wait for clusters: more workers than a small machine has cores still help.
TEST_WORKERS ?= 4
NODE_PACKAGES := runc containernetworking-plugins debootstrap nftables conntrack iproute2 util-linux mount
LOCK   := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "setup: Python environment in $(VENV) (pinned by requirements.lock)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	    || { echo "Python 3.11 or 3.12 is needed, for Triton here runs under no other (PYTHON=...)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## Make .venv with everything pinned

.PHONY: lint
lint: setup ## ruff, mypy strict, import contracts
	@$(BIN)/ruff check operator tests
	@$(BIN)/ruff format --check operator tests
	@$(BIN)/mypy
	@PYTHONPATH=operator $(BIN)/lint-imports

.PHONY: test
test: lint ## Lint, unit, property, golden and end-to-end tests; on real nodes, too, where they can run
	@$(BIN)/python -m tests.cluster.space
	@$(BIN)/python -m pytest -n $(TEST_WORKERS)

.PHONY: demo
demo: setup ## The main job on an embedded control plane (DEMO_SECONDS=60 ends by itself)
	@$(BIN)/python -m tests.demo --seconds $(DEMO_SECONDS)

.PHONY: real-node-deps
real-node-deps: ## Install the Debian packages that real nodes need (root; all that is ever installed outside)
	@apt-get update --quiet=2
	@apt-get install --quiet=2 --yes --no-install-recommends $(NODE_PACKAGES)

.PHONY: demo-real
demo-real: setup ## The same in real containers, on a real node (root; DEMO_SECONDS as above)
	@$(BIN)/python -m tests.demo.real --seconds $(DEMO_SECONDS)

.PHONY: bench
bench: setup ## Speed and memory, each figure beside its reference
	@$(BIN)/python -m tests.bench

.PHONY: bench-serving
bench-serving: setup ## Triton's requests a second and latencies, beside the usual way's and bare onnxruntime's
	@$(BIN)/python -m tests.bench.serving --seconds $(BENCH_SECONDS)

.PHONY: faults
faults: setup ## Everything goes wrong between operator and API server (MUTATION=NAME plants a bug that must be found)
	@$(BIN)/python -m tests.faults $(if $(MUTATION),--mutation $(MUTATION)) $(FAULTS)

.PHONY: crds
crds: setup ## Generate crds/*.yaml and the chart's copies from the pydantic models
	@$(BIN)/python -m tests.generate crds

.PHONY: manifests
manifests: crds ## Render manifests/install.yaml from the chart
	@$(BIN)/python -m tests.generate install

.PHONY: lock
lock: ## Pin every dependency again, for development and for the image (needs uv)
	@$(LOCK) --extra dev --extra bench -o requirements.lock
	@$(LOCK) --constraint requirements.lock -o requirements.image.lock
