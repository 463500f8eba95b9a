# Second Read. `make run` and `make test` are all that is needed on a machine with Python 3.11 or newer and make;
# `make serve` starts without demo cases.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run serve test lint model results format clean

run: $(VENV)/installed
	$(BIN)/python scripts/demo.py
	$(MAKE) serve

serve: $(VENV)/installed
	$(BIN)/streamlit run dashboard/Home.py --server.address 127.0.0.1 --server.port $(PORT)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests -n auto --dist worksteal

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=scripts $(BIN)/mypy scripts/*.py

DATA ?= ../shared/data
model: $(VENV)/installed
	$(BIN)/python scripts/build_model.py --data $(DATA)

results: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.results --data $(DATA)
	$(BIN)/python -m benchmarks.model_card --data $(DATA)
	$(BIN)/python -m benchmarks.ablation --data $(DATA)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# An environment without pip was left half made, as by Debian where python3-venv is missing: it is made anew.
$(VENV)/installed: requirements.txt pyproject.toml
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
