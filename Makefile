# Everything runs in .venv, made from the hash-locked requirements: only Python 3.11+, make and the package registries are needed.
PYTHON ?= python3
BACKEND ?= embedded
BIN := .venv/bin

.PHONY: install demo test unit live lint simulate fuzz storm bench lock clean
install: .venv/ready

.venv/ready: infra/lock/dev.txt infra/lock/uv.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "weft needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r infra/lock/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes infra/lock/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/weft demo

test: lint unit live

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest -q -n 2 tests --ignore=tests/live

live: install
	WEFT_TEST_BACKEND=$(BACKEND) $(BIN)/pytest -q -n 2 --dist worksteal tests/live

# make simulate SEEDS=100000 (WORLD=shop plays the shop); make simulate OFF=all switches each rule of the design off and wants its law to break
SEEDS ?= 2000
OFF ?=
WORLD ?= counter
simulate: install
	PYTHONHASHSEED=0 $(BIN)/python -m infra.testing.simulate tests.$(WORLD).story:simulation --seeds $(SEEDS) $(if $(OFF),--off $(OFF))

# make fuzz INPUTS=10000000: what is nearly right, at whatever reads what others wrote
INPUTS ?= 1000000
fuzz: install
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS)

# make storm MINUTES=10: load, strangers, and whatever can be killed or frozen, in turn; a short form is among the live tests
MINUTES ?= 10
storm: install
	WEFT_STORM_MINUTES=$(MINUTES) $(BIN)/pytest -q -s tests/live/test_storm.py

bench: install
	$(BIN)/weft bench

# Hashes and no addresses: a lock that records hosts would tie the project to one mirror.
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url --no-header --upgrade
lock: install
	$(LOCK) --output-file infra/lock/runtime.txt
	$(LOCK) --extra dev --output-file infra/lock/dev.txt
	echo uv | $(BIN)/uv pip compile - --quiet --universal --generate-hashes --no-emit-index-url --no-header --output-file infra/lock/uv.txt
	grep -o 'hatchling==[^"]*' pyproject.toml | sort -u | $(BIN)/uv pip compile - --quiet --universal --generate-hashes --no-emit-index-url --no-header --output-file infra/lock/build.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
