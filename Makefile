# make report   set up, run the study, write runs/NAME/report/index.html
# make test     set up, check style and types, run all tests
# make hooks    let Git check style and types before each commit
# make docs     set up, build the documentation in build/docs, warnings are errors
# make bench    set up, compare extraction, analysis, scoring and mixed models with the usual ways
# make campaign set up, harm everything in every way for up to three hours, print what held
# make clean    remove the runs

STUDY ?= studies/default.toml
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: report test lint hooks docs bench campaign clean
.DELETE_ON_ERROR:

report: $(VENV)/.installed
	$(BIN)/actstore report $(STUDY)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

hooks: $(VENV)/.installed-dev
	$(BIN)/pre-commit install

docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -W --keep-going -b html docs build/docs

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.extraction
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.minimal_pairs
	$(BIN)/python -m benchmarks.mixed_models

campaign: $(VENV)/.installed-dev
	$(BIN)/python -m tests.campaign

clean:
	rm -rf runs
