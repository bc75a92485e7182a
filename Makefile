# `make` lists the targets.
PROMEM := target/release/promem
DEMO := target/demo
REFERENCE := .deps/reference
PARITY := target/parity
PACKAGE := target/package
VIEWER := .deps/slicer-5.11

.DEFAULT_GOAL := help
.PHONY: help setup build demo test packages package package-check wheel slicer browser viewer lint soak parity header goldens reference evaluate bench smoke clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

setup: libtorch build ## Fetch libtorch (once, 550 MB) and build everything

.PHONY: libtorch
libtorch:
	@python3 scripts/setup.py

build: libtorch
	cargo build --release

demo: setup ## Segment the liver of a generated scan from one slice; mask, overlay and trace go to target/demo
	@$(PROMEM) demo $(DEMO) --force
	$(PROMEM) segment --image $(DEMO)/scan.nii.gz --prompt-mask $(DEMO)/mask.nii.gz --force \
	    --output $(DEMO)/result.nii.gz --overlay $(DEMO)/overlay.png --trace $(DEMO)/trace.json

test: libtorch ## Every test (lint apart)
	cargo test --release

packages: setup ## C++, CMake, ITK (where they are installed) and Python from outside
	tests/packages.sh
	tests/python/run.sh

package: libtorch ## The library to pass on: target/package/release/libpromem.so knows no path of this machine
	scripts/package_library.sh $(PACKAGE)

package-check: build package ## C++, CMake and ITK from outside, with the library to pass on
	PROMEM_PREBUILT=$(PACKAGE)/release/libpromem.so tests/packages.sh

wheel: package ## The Python package with the library to pass on, in target/wheel
	PROMEM_LIBRARY=$(CURDIR)/$(PACKAGE)/release/libpromem.so python3 -m pip wheel --no-deps -w target/wheel slicer-module/python

slicer: setup ## The 3D Slicer effect on slicer-core and a PythonQt stand-in
	tests/slicer/run.sh

browser: setup $(VIEWER)/.ready ## The viewer in Chromium (where it is installed)
	BROWSER=1 ONLY=5.11 tests/slicer/run.sh -k viewer

$(VIEWER)/.ready:
	ONLY=5.11 tests/slicer/run.sh --make

viewer: setup $(VIEWER)/.ready ## Segment in the browser; SCAN=ct.nii.gz opens a scan, PORT=8080
	$(VIEWER)/bin/python slicer-module/viewer/promem_viewer.py $(SCAN) --port $(or $(PORT),8080)

lint: libtorch ## Formatting, clippy and ruff
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	@if command -v ruff >/dev/null; then ruff check . && ruff format --check .; else echo "ruff is not installed: Python is not checked"; fi

reference: $(REFERENCE)/.done
$(REFERENCE)/.done:
	python3 -m venv $(REFERENCE)
	$(REFERENCE)/bin/pip install -q torch==2.11.0 numpy==1.26.4 scipy hydra-core iopath tqdm pillow wheel setuptools
	$(REFERENCE)/bin/pip install -q --no-deps torchvision==0.26.0
	SAM2_BUILD_CUDA=0 $(REFERENCE)/bin/pip install -q --no-build-isolation --no-deps sam2==1.1.0
	$(REFERENCE)/bin/pip install -q --no-deps monai==1.5.1
	touch $@

header: libtorch ## Write include/promem.h from the sources
	PROMEM_WRITE_HEADER=1 cargo test --release --test header

goldens: reference ## Write the golden files anew from the public implementation (downloads 4.5 GB)
	$(REFERENCE)/bin/python tests/golden/resize.py
	$(REFERENCE)/bin/python tests/golden/generate.py
	$(REFERENCE)/bin/python tests/golden/metrics.py
	for golden in adamw losses stochastic_propagation training_step; do $(REFERENCE)/bin/python tests/golden/$$golden.py; done

soak: libtorch ## A thousand lives of models and sessions through the C interface take no more memory
	cargo test --release --test c -- --ignored --nocapture

parity: libtorch reference ## Compare all official networks at full size with the public implementation
	$(REFERENCE)/bin/python tests/golden/parity.py $(PARITY)
	PROMEM_PARITY=$(PARITY) cargo test --release --test parity -- --nocapture

evaluate: setup ## Score the default model and what learns nothing on the verification scans (PROMEM_DATA)
	scripts/evaluate.sh

bench: setup reference ## This project beside the public implementation, how work grows, parts, memory, training (downloads 4.5 GB)
	cargo bench --no-run --bench peer
	$(REFERENCE)/bin/python bench/peer.py
	cargo bench --bench growth
	cargo bench --bench parts
	scripts/bench_memory.sh
	scripts/bench_training.sh
	cargo bench --bench training
	cargo bench --bench capi

smoke: libtorch ## A little of the benchmark of how work grows: whether it still runs
	cargo bench --bench growth -- --smoke

clean: ## Remove what was built; libtorch stays
	cargo clean
