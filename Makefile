# make env, demo, test, coverage, fuzz, lint, bench, bench-compare, docs: see README.md and CONTRIBUTING.md.

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
INSTALLED := .venv/installed
FAST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal tests/unit tests/physics
SNAKEMAKE := $(BIN)/snakemake --profile config/profiles/default --cores $(CORES)

.PHONY: env demo test coverage test-slurm test-newest fuzz lint format bench bench-compare bench-keep docs clean FORCE

env: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "gdyn needs Python 3.11 to 3.13, and $(PYTHON) is another: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Building the environment in .venv (some minutes, 2 GB)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: env
	$(SNAKEMAKE) results/toy/report.pdf results/toy/summary.json
	@echo
	@echo "Report:  results/toy/report.pdf"
	@echo "Figures: results/toy/figures/"
	@echo "Numbers: results/toy/summary.json, and behind each figure results/toy/analysis/"

# Fast tests side by side; then those that run Snakemake, which divides the cores itself.
test: env
	$(FAST) $(COVERAGE)
	$(BIN)/python -m pytest tests/workflow

coverage: env
	$(FAST) --cov --cov-report=term-missing

# On a real Slurm of two nodes on this machine: needs root, and installs Debian's slurm-wlm and munge if they are missing.
test-slurm: env
	$(BIN)/python -m pytest -rs tests/slurm

test-newest: env
	.ci/newest

# Whatever states a model gives, there is a report: 2000 made-up ones (an hour on one core; FUZZ=N for another number).
FUZZ ?= 2000
fuzz: env
	GDYN_FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/physics/test_any_states.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

# Minutes on an idle machine. Numbers go to .benchmarks/; kept ones, to compare with, are in tests/benchmarks/kept/.
BENCHMARKS := training reading worlds
bench: env $(BENCHMARKS:%=.benchmarks/%.json)

.benchmarks/%.json: FORCE
	$(BIN)/python tests/benchmarks/$*.py --json $@

bench-compare: bench
	@status=0; for name in $(BENCHMARKS); do \
		$(BIN)/python tests/benchmarks/record.py tests/benchmarks/kept/$$name.json .benchmarks/$$name.json || status=1; \
	done; exit $$status

bench-keep:
	cp $(BENCHMARKS:%=.benchmarks/%.json) tests/benchmarks/kept/

FORCE:

docs: env
	$(BIN)/python -m gdyn.config.docs
	$(BIN)/python -m gdyn.analyses.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Documentation: site/index.html"

clean:
	rm -rf .venv .venv-newest .snakemake
