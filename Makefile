# Second Read. `make run` and `make test` are all that is needed on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint model results format clean

run: $(VENV)/installed
	$(BIN)/python scripts/demo.py
	$(BIN)/streamlit run dashboard/Home.py --server.address 127.0.0.1 --server.port $(PORT)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=scripts $(BIN)/mypy scripts/*.py

DATA ?= ../shared/data
# Two processes of one thread each train faster than one of two; the last command takes what they have trained.
model: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python scripts/build_model.py --data $(DATA) --parts 4 5 6 & \
	OMP_NUM_THREADS=1 $(BIN)/python scripts/build_model.py --data $(DATA) --parts 1 2 3; wait
	$(BIN)/python scripts/build_model.py --data $(DATA)

results: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.results --data $(DATA)
	$(BIN)/python -m benchmarks.model_card --data $(DATA)
	$(BIN)/python -m benchmarks.ablation --data $(DATA)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
