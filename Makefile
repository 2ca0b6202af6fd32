# Everything below installs what it needs: Debian packages, and Python packages into .venv. Only cargo must be there.

VENV := .venv
PYTHON := $(VENV)/bin/python
LOCKED := $(if $(CI),--locked)
FUZZ_SECONDS ?= 60
QUICKSTARTS := ../shared/quickstarts/run
RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) $(shell find crates -name '*.rs' -o -name Cargo.toml)
WHEEL_SOURCES := $(RUST_SOURCES) pyproject.toml README.md $(shell find python -name '*.py' -o -name '*.pyi' -o -name py.typed -o -name '*.html')

export PATH := $(PATH):$(HOME)/.cargo/bin
export PYO3_PYTHON := $(abspath $(PYTHON))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build check test soak pythons demo bench bench-gate interop fuzz docs clean toolchain go browsers

help: ## print this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: $(VENV)/.wheel ## build a release wheel and install it in .venv

check: $(VENV)/.wheel ## formatting, lints and types of Rust and Python, and docstrings
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	cargo clippy --quiet --locked --manifest-path benchmarks/rust/Cargo.toml --target-dir target/benchmarks -- -D warnings
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy python tests examples tools benchmarks
	$(PYTHON) -m mypy.stubtest web_transport._web_transport
	$(PYTHON) tools/check_docstrings.py

test: browsers $(VENV)/.dev ## all tests: Rust, Python, browsers, and the seeds' quick starts
	$(PYTHON) tools/tally.py \
	    'cargo test $(LOCKED) --workspace --exclude webtransport-python --no-fail-fast' \
	    '$(MAKE) --no-print-directory build' \
	    '$(PYTHON) -m pytest' \
	    '$(if $(wildcard $(QUICKSTARTS)),$(QUICKSTARTS) $(PYTHON),echo "no quick starts: there is no $(QUICKSTARTS)")'

soak: $(VENV)/.wheel pythons ## the tests that take minutes: every Python, leaks, scenarios by seed, every interleaving of two threads on a pipe
	$(PYTHON) -m pytest -m soak
	SCENARIOS=100000 cargo test $(LOCKED) --release -p webtransport-proto --test scenarios
	RUSTFLAGS='--cfg loom' cargo test $(LOCKED) --release -p webtransport-reactor --test pipe_loom --target-dir target/loom

pythons: $(VENV)/.wheel ## tests/transport under every CPython from 3.11 on that is found
	$(PYTHON) tools/every_python.py build/wheel/*.whl

demo: browsers $(VENV)/.wheel ## an echo server, a client, and a page in Chromium and Firefox
	$(PYTHON) examples/demo.py

bench: $(VENV)/.wheel ## measure ourselves and the other libraries: BENCH=--quick for 3 minutes, or what benchmarks/README.md tells
	$(PYTHON) -m benchmarks $(BENCH)

bench-gate: $(VENV)/.dev ## count what the protocol's work costs in instructions, and compare with benchmarks/gate.json: GATE=--rebaseline
	@tools/apt_install valgrind:valgrind
	$(PYTHON) -m benchmarks.gate $(GATE)

interop: browsers $(VENV)/.wheel | go ## build the other implementations, test against all of them and both browsers, and write docs/interop.md
	$(PYTHON) -m pytest tests/interop -m 'not soak' --interop-page docs/interop.md

fuzz: toolchain ## look for input that breaks a decoder, the endpoint or a session: FUZZ_SECONDS (60) for each target
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	for target in $$(cargo fuzz list); do \
	    mkdir -p fuzz/corpus/$$target && \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=600 -len_control=0 -timeout=30 || exit 1; \
	done

docs: $(VENV)/.docs ## build the documentation in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet --site-dir build/site
	@echo "built: build/site/index.html; its search wants a server: $(PYTHON) -m http.server -d build/site"

clean: ## delete what was built and installed here
	rm -rf $(VENV) .venv-* target build dist .mypy_cache .pytest_cache .ruff_cache

toolchain:
	@tools/apt_install cc:build-essential
	@tools/find_python >/dev/null 2>&1 || tools/apt_install :python3-venv
	@command -v cargo >/dev/null || { echo "please install Rust 1.85 or later, with rustfmt and clippy: https://rustup.rs" >&2; exit 1; }

go:
	@tools/apt_install go:golang-go

browsers:
	@tools/apt_install chromium:chromium firefox-esr:firefox-esr

$(VENV)/.dev: pyproject.toml | toolchain
	test -x $(PYTHON) || "$$(tools/find_python)" -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --upgrade 'pip>=25.1' # the first that knows dependency groups
	$(PYTHON) -m pip install --quiet --group dev
	touch $@

$(VENV)/.docs: pyproject.toml $(VENV)/.dev
	$(PYTHON) -m pip install --quiet --group docs
	touch $@

$(VENV)/.wheel: $(WHEEL_SOURCES) $(VENV)/.dev | toolchain
	rm -rf build/wheel
	$(VENV)/bin/maturin build --release $(LOCKED) --interpreter $(PYTHON) --out build/wheel
	$(PYTHON) -m pip install --quiet --force-reinstall --no-deps build/wheel/*.whl
	@echo "built and installed in $(VENV): $$(ls build/wheel)"
	@touch $@
