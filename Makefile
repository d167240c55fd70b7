# Two commands: `make quickstart` trains a model on a real knowledge graph, `make test` checks everything.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := $(wildcard cpp_ext/*/*) setup.py setup.cfg pyproject.toml
NVCC   ?= $(shell command -v nvcc 2>/dev/null)

.PHONY: quickstart test lint types check-cuda tables docs reproduce sanitize clean

quickstart: $(VENV)/installed
	rm -rf runs/quickstart
	# one thread: on a graph this small a second one gains little, and loses much where a core is busy
	OMP_NUM_THREADS=1 $(BIN)/graphkit run nbfnet/quickstart --out runs/quickstart
	cp runs/quickstart/report.html report.html
	@echo "report.html holds the report; runs/quickstart holds the model and everything else"

test: $(VENV)/installed-test lint types check-cuda
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/installed-test
	$(BIN)/ruff check .

types: $(VENV)/installed-test
	$(BIN)/mypy

# Compiles the CUDA kernels where a compiler for them exists; no GPU is needed for that.
check-cuda:
ifneq ($(NVCC),)
	mkdir -p build/cuda
	for file in cpp_ext/cuda/*.cu; do $(NVCC) -std=c++20 -O3 -arch=sm_80 -c $$file -o build/cuda/$$(basename $$file).o || exit 1; done
else
	@echo "nvcc not found: the CUDA kernels are not compile-checked"
endif

# The extension with the compiler's sanitizers, and the tests of its kernels on it; SANITIZE=thread for data races.
SANITIZE ?= address,undefined
sanitize: $(VENV)/installed-test
	$(MAKE) -f cpp_ext/sanitize.mk PYTHON=$(BIN)/python SANITIZE=$(SANITIZE)

# README's and the docs' result tables, the list of experiments, and the figures on faults
tables: $(VENV)/installed
	$(BIN)/python experiments/write_tables.py
	$(BIN)/python docs/write_pages.py
	$(BIN)/python experiments/faults/write_fault_tables.py
	$(BIN)/python experiments/adpa/directions.py
	$(BIN)/python experiments/adpa/searches.py
	$(BIN)/python experiments/gmope/claims.py

# The site, in build/site. A warning is an error, and so is a public name that the reference lacks. No network but for the packages.
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -b html -q -W --keep-going -n docs build/site
	@echo "build/site/index.html is the first page"

# Runs again what fits into 30 CPU minutes and compares it with the committed results; after a stop it goes on
MINUTES ?= 30
reproduce: $(VENV)/installed
	$(BIN)/python experiments/reproduce.py --minutes $(MINUTES)

clean:
	rm -rf build dist *.egg-info graphkit/*.so runs report.html docs/api

$(VENV)/made:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10) and 'graphkit needs Python 3.10 or later, found %d.%d' % sys.version_info[:2])"
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/dependencies: $(VENV)/made requirements.txt requirements-data.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements-data.txt
	touch $@

$(VENV)/installed: $(VENV)/dependencies $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

$(VENV)/installed-docs: $(VENV)/installed requirements-docs.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-docs.txt
	touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-test.txt
	touch $@
