# make site   the demo atlas, computed and rendered into site/
# make site PROFILE=… IMAGES=… WEIGHTS=… [ARGS="--limit 200"]   the same for another network and other pictures
# make test       lint and every test, the browser's too, but the long ones
# make test-all   the long tests too: before a release
# make test-fast  the quick tests alone

PYTHON ?= python3
BIN := .venv/bin
# A process per core, each with one thread: small tensors gain nothing from more. A process takes a file at a time, in
# the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PROFILE ?= demo
IMAGES ?=
WEIGHTS ?=
ARGS ?=

.PHONY: site serve test test-all test-fast lint format bench release-check lock clean

site: .venv/installed
	$(BIN)/atlas site $(PROFILE) $(if $(IMAGES),--images "$(IMAGES)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(ARGS)

serve: .venv/installed
	$(BIN)/atlas serve

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/python tools/prettier.py --check --log-level warn site_src package.json
	$(BIN)/python tools/plain_words.py

format: .venv/tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tools/prettier.py --write --log-level warn site_src package.json

test: lint
	$(BIN)/python tools/ensure_chromium.py
	$(PYTEST) -m "not long"

test-all: lint
	$(BIN)/python tools/ensure_chromium.py
	ATLAS_FUZZ=all $(PYTEST)

test-fast: .venv/tested
	$(PYTEST) -m "not slow and not browser and not long"

bench: .venv/tested
	$(BIN)/pip install -q -e ".[bench]"
	$(BIN)/python -m benchmarks

# Built twice and compared, licences and lock file up to date.
release-check: .venv/tested
	$(BIN)/pip install -q -e ".[release]"
	$(BIN)/python tools/release_check.py

# The exact packages with which a site is rendered, with their hashes.
lock: .venv/installed
	$(BIN)/pip install -q -e ".[release]"
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" requirements-site.in -o requirements-site.txt

clean:
	rm -rf site build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info

# torch and torchvision come together from PyPI: a CPU-only torch wheel fits no torchvision wheel there.
.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Residual Atlas needs Python 3.11 or newer; say make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	@echo "installing torch, torchvision and the rest (a minute or two)"
	$(BIN)/python -m pip install --progress-bar on -q -e .
	$(BIN)/python -c "from generator.engine.loops.compiled import loops; loops()"
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install -q -e ".[test]"
	touch $@
