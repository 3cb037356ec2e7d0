# Everything a newcomer needs. Python 3.11 is the only thing that must be there already.
#
#   OMNIMATTE_TORCH_INDEX   package index to take torch from (for example one with CPU wheels)
#   PYTHON                  interpreter to make the environment with

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH_INDEX := $(if $(OMNIMATTE_TORCH_INDEX),--index-url $(OMNIMATTE_TORCH_INDEX))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

export OMP_NUM_THREADS := 1

.PHONY: demo test check lock generate clean

demo: $(READY)  ## take the bundled clip apart and say where the page is
	$(BIN)/omnimatte decompose samples/still_life/input.mp4 $(DEMO_MASKS) --out out/demo --force

DEMO_MASKS = $(foreach mask,$(wildcard samples/still_life/mask_*.mp4),--mask $(patsubst mask_%,%,$(basename $(notdir $(mask))))=$(mask))

test: check  ## everything CI runs
	$(BIN)/python -m pytest

check: $(READY)  ## style, types, architecture, generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m orchestrator.api.generate --check

# torch comes first and on its own (its index can be chosen); then exactly what the lock file says. Triton's wheel wants an
# old numpy for a Python package that we do not use, so it lives in a folder of its own.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_INDEX) $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.lock)
	$(PIP) --no-deps -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	$(PIP) --no-deps --upgrade --target $(VENV)/triton nvidia-pytriton==0.7.0
	touch $@

lock: $(READY)  ## resolve the dependencies anew (torch brings what its own wheel needs)
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --extra dev pyproject.toml | grep -vE "^(nvidia-|cuda-|triton==)" >requirements.lock

generate: $(READY)  ## the gRPC code
	$(BIN)/python -m orchestrator.api.generate

clean:
	rm -rf $(VENV) out
