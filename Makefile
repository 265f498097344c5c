# Overstory: every word a person or a CI needs. Works with Python 3.11+, pip and make alone.
#
# The environment is rebuilt only when a lock or pyproject.toml changes: each stamp under .venv
# stands for one installed lock. Pass words on with ARGS: make test-unit ARGS="-k packing -x"

SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# The tests start a thousand processes: each would compile the code again.
unexport PYTHONDONTWRITEBYTECODE

VENV   := .venv
BIN    := $(VENV)/bin
# On a terminal pip shows its progress.
PIP    := $(BIN)/python -m pip $(if $(MAKE_TERMOUT),,-qq) --disable-pip-version-check --no-input
TEN    := examples/ten_photos
PHOTOS := examples/photos
ASK    := What is in these photos, and which stand out?
# Without a key the sandbox answers `make run`, off a terminal too, and says so.
SANDBOX := $(if $(OVERSTORY_API_KEY)$(STEPFUN_API_KEY)$(OVERSTORY_BASE_URL),,--sandbox)
UV     := uv==0.13.9

# The first interpreter that is new enough; a shim that cannot start one does not count.
PYTHON = $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

# --- for people ---------------------------------------------------------------------------------

.PHONY: help
help: ## this list
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

.PHONY: run
run: $(VENV)/.stamp-run ## a first answer, about ten photographs
	@$(BIN)/overstory run $(TEN) --ask "$(ASK)" $(SANDBOX) $(ARGS)

.PHONY: run-tree
run-tree: $(VENV)/.stamp-run | $(PHOTOS) ## the same about 132 pictures (made on first use): a summary tree
	@$(BIN)/overstory run $(PHOTOS) --ask "$(ASK)" $(SANDBOX) $(ARGS)

# Made aside and moved: an interrupted first run leaves no half a folder behind.
$(PHOTOS): | $(VENV)/.stamp-run
	@rm -rf build/photos
	@$(BIN)/python examples/make_photos.py --out build/photos
	@mv build/photos $@

# --- checks -------------------------------------------------------------------------------------

RINGS := integration acceptance unit contract migration
# The unit ring takes the benchmarks' own checks along: they are no tests of the product.
FOLDERS = tests/$1 $(if $(filter unit,$1),benchmarks/checks)
# Acceptance runs real worker processes, which mostly wait for each other: three files at a time on two
# cores, the longest first (tests/acceptance/conftest.py), so that none is left at the end. Each file
# stays in one process, because its tests share a stack. Integration mostly waits, too.
SPREAD = $(or $(SPREAD_$1),-n 2 --dist worksteal)
SPREAD_acceptance  := -n 3 --dist loadfile --no-loadscope-reorder
SPREAD_integration := -n 3 --dist worksteal

# Acceptance runs beside all other rings, and what it says follows at the end. A ring that fails keeps
# no other from running. 5: ARGS selected no test.
# set -m: else Ctrl-C would not reach what runs beside.
RUN = $(BIN)/pytest -q $(call SPREAD,$1) $(call FOLDERS,$1) $(ARGS)
.PHONY: test
test: $(VENV)/.stamp-dev ## every test: all rings, whatever failed; the last line names the rings that did
	@failed=; said=$$(mktemp); set -m; $(call RUN,acceptance) >$$said 2>&1 & beside=$$!; set +m; \
	trap 'kill -INT $$beside; wait $$beside; cat $$said; rm $$said; exit 130' INT TERM; \
	$(foreach ring,$(filter-out acceptance,$(RINGS)),echo "test: $(ring)"; \
	  $(call RUN,$(ring)) || test $$? = 5 || failed="$$failed $(ring)";) \
	wait $$beside || test $$? = 5 || failed="$$failed acceptance"; \
	echo "test: acceptance"; cat $$said; rm $$said; \
	test -z "$$failed" || { echo "test: failed:$$failed" >&2; exit 1; }; \
	echo "test: all rings passed"

.PHONY: test-fast
test-fast: $(VENV)/.stamp-dev ## the tests that need neither PostgreSQL nor long: in under 3 minutes
	@$(BIN)/pytest -q $(SPREAD) --fast $(foreach ring,$(filter-out acceptance,$(RINGS)),$(call FOLDERS,$(ring))) $(ARGS)

test-%: $(VENV)/.stamp-dev ## one ring: make test-unit, test-contract, ...
	@$(BIN)/pytest -q $(call FOLDERS,$*) $(ARGS)

.PHONY: check
check: lint test ## lint, then every test

.PHONY: lint
lint: $(VENV)/.stamp-dev ## ruff, mypy strict, and who may import whom
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/mypy --no-error-summary examples
	@report=$$(PYTHONPATH=clients-http/src $(BIN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }
	@echo "lint: ruff, mypy and the import contracts hold"

.PHONY: format
format: $(VENV)/.stamp-dev ## put the code in ruff's format, fix what ruff can fix
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

.PHONY: schema
schema: $(VENV)/.stamp-dev ## write migrations/newest.sql, after a new migration
	@$(BIN)/python -m migrations.snapshot

.PHONY: settings
settings: $(VENV)/.stamp-dev ## write docs/settings.md, the table of docs/models.md and what the Tab key knows, after a change of settings or options
	@$(BIN)/python -m overstory.doctor.settings_page
	@$(BIN)/python -m overstory.doctor.models_page
	@$(BIN)/python -m overstory.completion_table

# --- longer runs --------------------------------------------------------------------------------

.PHONY: gauntlet
gauntlet: $(VENV)/.stamp-dev ## kills, wipes and refusals: every fault, seeded, at most 15 minutes
	@$(BIN)/python -m benchmarks.gauntlet $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.stamp-dev ## 100,000 hostile files, schemas, replies, messages and answers: none may hang or harm
	@$(BIN)/python -m benchmarks.fuzz $(ARGS)

.PHONY: bench
bench: $(VENV)/.stamp-dev build/daft/.stamp ## jobs of 60 to 6,000 images beside a careful script, Daft and the least time: at most 10 minutes
	@$(BIN)/python -m benchmarks.pipeline $(ARGS)

.PHONY: bench-store
bench-store: $(VENV)/.stamp-dev ## images in the provider's file store and inside requests, over slow and distant lines: 10 minutes; ARGS=--quick: 5
	@$(BIN)/python -m benchmarks.shaped $(ARGS)

.PHONY: bench-preprocess
bench-preprocess: $(VENV)/.stamp-bench ## image preparation beside plain Pillow and pyvips
	@$(BIN)/python -m benchmarks.preprocess $(ARGS)

.PHONY: bench-truth
bench-truth: $(VENV)/.stamp-eyes ## what preparation costs in truth, read by real OCR: at most 15 minutes; ARGS=--quick: 2
	@$(BIN)/python -m benchmarks.truth $(ARGS)

.PHONY: bench-auto
bench-auto: $(VENV)/.stamp-dev ## the limit that finds itself, beside the best fixed number: at most 15 minutes
	@$(BIN)/python -m benchmarks.auto $(ARGS)

.PHONY: bench-litellm
bench-litellm: $(VENV)/.stamp-dev build/litellm/.stamp ## LiteLLM's real proxy in front: its limits, budgets and timeouts, 10 minutes
	@$(BIN)/python -m benchmarks.proxy --litellm build/litellm/bin/litellm $(ARGS)

.PHONY: bench-bucket
bench-bucket: $(VENV)/.stamp-dev build/moto/.stamp ## 10,000 objects of an S3 server: listing, and finding what has changed: 4 minutes
	@$(BIN)/python -m benchmarks.buckets --server build/moto/bin/moto_server $(ARGS)

.PHONY: bench-machines
bench-machines: $(VENV)/.stamp-dev build/moto/.stamp ## machines as network namespaces whose links break, lose and delay: as root, at most 15 minutes
	@$(BIN)/python -m benchmarks.machines --moto build/moto/bin/moto_server $(ARGS)

.PHONY: bench-limits
bench-limits: $(VENV)/.stamp-dev ## the account end to end under kills, then the limiter alone: at most 25 minutes
	@$(BIN)/python -m benchmarks.limits $(ARGS)
	@$(BIN)/python -m benchmarks.limiter

.PHONY: bench-api
bench-api: $(VENV)/.stamp-dev ## the HTTP API: 500 submissions a second, 200 who watch a job of 6,000 images: 5 minutes
	@$(BIN)/python -m benchmarks.api $(ARGS)

.PHONY: bench-uploads
bench-uploads: $(VENV)/.stamp-dev ## 5,000 photographs through the HTTP API, killed in the middle, and 600 MB in one form: 3 minutes
	@$(BIN)/python -m benchmarks.uploads $(ARGS)

.PHONY: bench-units
bench-units: $(VENV)/.stamp-dev ## 2,000 PDFs, an answer for each, with and without refusals: requests, and whether each is right: 5 minutes
	@$(BIN)/python -m benchmarks.units $(ARGS)

.PHONY: bench-tables
bench-tables: $(VENV)/.stamp-dev ## memory of reading and planning tables of 600 to 60,000 rows: 1 minute
	@$(BIN)/python -m benchmarks.tables $(ARGS)

.PHONY: bench-scale
bench-scale: $(VENV)/.stamp-dev ## a million images through the service on PostgreSQL, and what reads them then; ARGS="--images 10000": 4 minutes
	@$(BIN)/python -m benchmarks.scale $(ARGS)

.PHONY: bench-families
bench-families: $(VENV)/.stamp-dev ## estimates and budgets at five families of models, billed by their vendors' rules: 5 minutes
	@$(BIN)/python -m benchmarks.families $(ARGS)

.PHONY: bench-failover
bench-failover: $(VENV)/.stamp-dev ## PostgreSQL, Redis by Sentinel and PgBouncer fail over under load: at most 10 minutes
	@$(BIN)/python -m benchmarks.failover $(ARGS)

.PHONY: bench-similar
bench-similar: $(VENV)/.stamp-dev ## made bursts and what resembles them: precision, recall and CPU of --similar, 4 minutes
	@$(BIN)/python -m benchmarks.similar $(ARGS)

.PHONY: client
client: $(VENV)/.stamp-dev ## overstory-client, the distribution for other programs, as a wheel in dist/
	@$(BIN)/python clients-http/generate.py
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist ./clients-http
	@rm -rf clients-http/build
	@echo "client: $$(ls -t dist/overstory_client-*.whl | head -1)"

.PHONY: docs
docs: $(VENV)/.stamp-docs ## docs/ as a site in build/docs; a broken link fails
	@$(BIN)/properdocs build --strict --quiet
	@echo "docs: build/docs/index.html"

# --- the environment ----------------------------------------------------------------------------

$(VENV)/.stamp-venv:
	@test -n "$(PYTHON)" || { echo "Overstory needs Python 3.11 or newer, and none is on the PATH." >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# compat: one .pth line to this folder, so that a new package needs no new install.
INSTALL_SELF := $(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=compat -e .

$(VENV)/.stamp-run: requirements/run.txt pyproject.toml | $(VENV)/.stamp-venv
	@echo "installing requirements/run.txt"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(INSTALL_SELF)
	@touch $@

# dev.txt holds everything in run.txt, at the same versions. pip would compile it on one core; like
# pip, compileall passes over a file that is written for another Python.
$(VENV)/.stamp-dev: requirements/dev.txt pyproject.toml | $(VENV)/.stamp-venv
	@echo "installing requirements/dev.txt"
	@$(PIP) install --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@$(INSTALL_SELF)
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-bench: requirements/bench.txt $(VENV)/.stamp-dev
	@echo "installing requirements/bench.txt"
	@$(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@

$(VENV)/.stamp-eyes: requirements/eyes.txt $(VENV)/.stamp-dev
	@echo "installing requirements/eyes.txt"
	@$(PIP) install --require-hashes -r requirements/eyes.txt
	@touch $@

# LiteLLM asks for other versions of what we use, so it has an environment of its own (0.8 GB).
build/litellm/.stamp: requirements/litellm.txt
	@echo "installing requirements/litellm.txt into build/litellm"
	@$(PYTHON) -m venv build/litellm
	@build/litellm/bin/python -m pip install $(if $(MAKE_TERMOUT),,-qq) --disable-pip-version-check --require-hashes -r $<
	@touch $@

build/moto/.stamp: requirements/bucket.txt
	@echo "installing requirements/bucket.txt into build/moto"
	@$(PYTHON) -m venv build/moto
	@build/moto/bin/python -m pip install $(if $(MAKE_TERMOUT),,-qq) --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Daft pins Pillow and the SDK, so it has an environment of its own too (0.4 GB).
build/daft/.stamp: requirements/daft.txt
	@echo "installing requirements/daft.txt into build/daft"
	@$(PYTHON) -m venv build/daft
	@build/daft/bin/python -m pip install $(if $(MAKE_TERMOUT),,-qq) --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.stamp-docs: requirements/docs.txt $(VENV)/.stamp-dev
	@echo "installing requirements/docs.txt"
	@$(PIP) install --require-hashes -r requirements/docs.txt
	@touch $@

# No index, host or path may enter a lock: it is installed from wherever its reader's pip looks.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate $(LOCK_ARGS)

.PHONY: lock
lock: $(VENV)/.stamp-venv ## solve the locks again; LOCK_ARGS=--upgrade moves every version
	@$(PIP) install $(UV)
	@$(LOCK) pyproject.toml requirements/build.in -o requirements/run.txt
	@$(LOCK) pyproject.toml requirements/build.in --group dev -c requirements/run.txt -o requirements/dev.txt
	@$(LOCK) pyproject.toml requirements/build.in --extra traces -c requirements/run.txt -o requirements/traces.txt
	@$(LOCK) pyproject.toml requirements/build.in --extra mcp -c requirements/run.txt -c requirements/traces.txt \
	  -o requirements/mcp.txt
	@$(LOCK) --group bench -c requirements/dev.txt -o requirements/bench.txt
	@$(LOCK) --group eyes -c requirements/dev.txt -o requirements/eyes.txt
	@$(LOCK) --group litellm -o requirements/litellm.txt
	@$(LOCK) --group bucket -o requirements/bucket.txt
	@$(LOCK) --group daft -o requirements/daft.txt
	@$(LOCK) --group docs -c requirements/dev.txt -o requirements/docs.txt
	@! grep -nE '://|^--|^ *-[if] |^/' requirements/*.txt || { echo "a lock names a place" >&2; exit 1; }

.PHONY: clean
clean: ## remove the environment, the made photographs and every cache
	@rm -rf $(VENV) $(PHOTOS) build dist *.egg-info benchmarks/out .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
