"""Tensors out of a checkpoint file, and into a model: strictly, and saying which tensor is wrong.

Must not know: what the tensors are for.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from services.errors import BadOption

_HEADER = 8


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of an original `.pt`. Raises BadOption for one that is broken."""
    if path.suffix == ".pt":
        return _read_original(path)
    cut = _cut(path)
    if cut:
        raise BadOption(f"{path} ends within tensor {cut!r}; the file is incomplete, get it again.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise BadOption(f"{path} cannot be read as safetensors ({error}); get the file again.") from error


def fill(model: nn.Module, state: Mapping[str, Tensor], *, source: Path) -> None:
    """Put the tensors into `model`, as float32. Raises BadOption unless names and shapes are exactly the model's."""
    wanted = model.state_dict()
    for name, value in wanted.items():
        if name not in state:
            raise BadOption(f"{source} has no tensor {name!r}; take the weights that belong to this configuration.")
        if state[name].shape != value.shape:
            raise BadOption(
                f"tensor {name!r} of {source} is {tuple(state[name].shape)} and should be {tuple(value.shape)}; "
                "take the weights that belong to this configuration."
            )
    extra = sorted(set(state) - set(wanted))
    if extra:
        raise BadOption(f"{source} has a tensor {extra[0]!r} that this model has no place for; take the right weights.")
    floats = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    model.load_state_dict(floats)


def _cut(path: Path) -> str:
    """The first tensor that a file too short to hold all of them does not hold whole; "" if there is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER), "little")
        if size < _HEADER + length:
            raise BadOption(f"{path} ends within its header; the file is incomplete, get it again.")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise BadOption(f"{path} is no safetensors file; get the file again.") from error
    ends = {name: tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"}
    return next((name for name in sorted(ends, key=ends.__getitem__) if _HEADER + length + ends[name] > size), "")


def _read_original(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise BadOption(f"{path} cannot be read ({error}); the file is incomplete or no checkpoint.") from error
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadOption(f"{path} holds no tensors under 'model'; take the original checkpoint.")
    return dict(state)
