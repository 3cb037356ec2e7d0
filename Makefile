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

.PHONY: demo gallery test check fuzz-media fuzz-requests proofs load load-reports soak parity evaluate blender scenes lock generate clean

demo: $(READY)  ## take the bundled clip apart and say where the page is
	$(BIN)/omnimatte decompose samples/still_life/input.mp4 $(DEMO_MASKS) --out out/demo --force

# A clip of ours, which may be shipped; edits run no model.
EDITS := removal retiming insertion restyle movement background

gallery: demo  ## the pictures of docs/gallery.md
	for edit in $(EDITS); do \
		$(BIN)/omnimatte compose docs/gallery/$$edit.yaml --out out/gallery/$$edit --force && \
		$(BIN)/python -m services.compose.sheet docs/images/gallery-$$edit.jpg out/gallery/$$edit --frames 2 24 45 || exit 1; \
	done

DEMO_MASKS = $(foreach mask,$(wildcard samples/still_life/mask_*.mp4),--mask $(patsubst mask_%,%,$(basename $(notdir $(mask))))=$(mask))

test: check  ## everything CI runs
	$(BIN)/python -m pytest

check: $(READY)  ## style, types, architecture, generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m orchestrator.api.generate --check
	$(BIN)/python -m orchestrator.api.document --check
	$(BIN)/python -m services.catalogue.document --check
	$(BIN)/python -m helm.document --check
	$(BIN)/python -m helm.dashboards --check

fuzz-media: $(READY)  ## 2,000 damaged media files through the real stage (about 2 minutes)
	$(BIN)/python -m tests.fuzz.media --count 2000 --seed 0

# torch comes first and on its own (its index can be chosen); then exactly what the lock file says. Triton's wheel wants an
# old numpy for a Python package that we do not use, so it lives in a folder of its own.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_INDEX) $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.lock)
	$(PIP) --no-deps -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	$(PIP) --no-deps --upgrade --target $(VENV)/triton nvidia-pytriton==0.7.0
	touch $@

# Blender's module needs an old numpy, so it has an environment of its own.
SCENES := out/scenes/held-out
BPY := .venv-bpy

blender: $(BPY)/.ready  ## the environment that renders scenes

scenes: $(SCENES)/.ready  ## render the held-out scenes with Cycles (about 10 minutes of one core)

$(SCENES)/.ready: $(BPY)/.ready
	$(BPY)/bin/python -m training.data.kubric.render --seeds 1000:1010 --frames 8 --samples 8 $(SCENES)
	touch $@

$(BPY)/.ready:
	$(PYTHON) -m venv $(BPY)
	$(BPY)/bin/python -m pip install --quiet --disable-pip-version-check bpy==4.5.15 "numpy<2" pybullet
	touch $@

# The original package brings a package called `training` along, and would bring a torch with CUDA: into a folder of its own.
PARITY := $(VENV)/parity

# What the orchestrator survives and bears, with its figures (orchestrator/README.md): about 40 minutes. CI runs them
# shortened (QUICK=1, about 12 minutes).
ifdef QUICK
KILL := --every 5
LOAD := --jobs 40 --queued 1000 --flat 100
STORM := --jobs 30
FUZZ := --count 2000
MANY := --quick
else
LOAD := --jobs 200 --queued 10000 --flat 1000
endif

proofs: $(READY)  ## kill anywhere, outages, worker Jobs on a cluster, cancel storm, fuzz, load
	$(BIN)/python -m tests.proofs.kill_anywhere $(KILL)
	$(BIN)/python -m tests.proofs.outages
	$(BIN)/python -m tests.proofs.cluster $(MANY)
	$(BIN)/python -m tests.proofs.cancel_storm $(STORM)
	$(BIN)/python -m tests.fuzz.requests $(FUZZ)
	$(BIN)/python -m tests.proofs.load $(LOAD)

# Load (loadtests/README.md, docs/load.md).
load: $(READY)  ## three minutes of load on fakes, with trouble, a report, and the simulation held against it
	$(BIN)/python -m loadtests run smoke
	$(BIN)/python -m loadtests.capacity replay --report out/load/smoke/report.json
	$(BIN)/python -m loadtests.capacity targets

load-reports: $(READY)  ## the figures of docs/load.md: embedded stack, overload, chaos, validation, data path (70 minutes)
	$(BIN)/python -m loadtests run embedded
	$(BIN)/python -m loadtests run overload
	$(BIN)/python -m loadtests run chaos
	$(BIN)/python -m loadtests.validate
	$(BIN)/python -m loadtests.data_path

HOURS ?= 4

soak: $(READY)  ## hours of the same load; what grows fails (HOURS=4)
	$(BIN)/python -m loadtests run soak --duration $$(( $(HOURS) * 3600 ))

fuzz-requests: $(READY)  ## 10,000 damaged requests to a real server (about 3 minutes)
	$(BIN)/python -m tests.fuzz.requests --count 10000 --seed 0

parity: $(PARITY)/.ready  ## our SAM 2.1 against the original package, on the same random weights
	PYTHONPATH=$(PARITY) $(BIN)/python -m pytest tests/services/sam21/test_parity_with_sam2.py

$(PARITY)/.ready: $(READY)
	SAM2_BUILD_CUDA=0 $(PIP) --no-deps --no-build-isolation --upgrade --target $(PARITY) \
		sam2==1.1.0 hydra-core==1.3.8 omegaconf==2.4.0 antlr4-python3-runtime==4.9.3 iopath==0.1.10 portalocker==4.4.2
	rm -rf $(PARITY)/training
	touch $@

evaluate: $(READY) $(SCENES)/.ready  ## the tables of docs/models.md
	$(BIN)/python -m training.evaluate --scenes $(SCENES)
	$(BIN)/python -m training.evaluate

lock: $(READY)  ## resolve the dependencies anew (torch brings what its own wheel needs)
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --extra dev pyproject.toml | grep -vE "^(nvidia-|cuda-|triton==)" >requirements.lock
	$(BIN)/python -m images.lock

generate: $(READY)  ## the gRPC code and its reference, the chart's README, the dashboards
	$(BIN)/python -m orchestrator.api.generate
	$(BIN)/python -m orchestrator.api.document
	$(BIN)/python -m helm.document
	$(BIN)/python -m helm.dashboards

clean:
	rm -rf $(VENV) $(BPY) out
