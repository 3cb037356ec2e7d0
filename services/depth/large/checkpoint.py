"""Checkpoints of the large depth models: read whole or not at all, and every complaint names the tensor.

Must not know: any model; each gives its own renaming.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from services.errors import BadOption

Rename = Callable[[str], str | None]
"""Name of a tensor in the file -> its name in the network; None for what is known and not needed."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .pth file, by name.

    Raises BadOption if the file is truncated (naming the first tensor that is cut off, where the format tells) or none.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError) as error:
        cut = cut_off(path) if path.suffix == ".safetensors" else None
        where = f"ends within tensor {cut}" if cut else f"is truncated or no checkpoint ({error})"
        raise BadOption(f"{path} {where}; copy or download it again.") from error
    except Exception as error:  # pickle's complaints share no base class
        raise BadOption(f"{path} is no checkpoint ({error}); copy or download it again.") from error


def cut_off(path: Path) -> str | None:
    """Name of the first tensor of a .safetensors file whose data are not all there; None if there is no such tensor."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (OSError, ValueError, OverflowError, MemoryError):
        return None
    start = 8 + length
    ends = {name: start + part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"}
    return next((name for name, end in sorted(ends.items(), key=lambda pair: pair[1]) if end > size), None)


def fill(network: nn.Module, path: Path, *, rename: Rename = lambda name: name, dtype: torch.dtype) -> None:
    """Put the tensors of the file `path` into `network`, strictly; `dtype`: what floating-point tensors become.

    Raises BadOption if a tensor is missing, unknown, or of another shape; the message names it.
    """
    found = {rename(name): value for name, value in read_tensors(path).items()}
    fill_from(network, {name: value for name, value in found.items() if name is not None}, path=path, dtype=dtype)


def fill_from(network: nn.Module, tensors: Mapping[str, Tensor], *, path: Path, dtype: torch.dtype) -> None:
    """Put `tensors`, under the network's names, into `network`; see `fill`. `path`: for messages."""
    _compare(network.state_dict(), tensors, path)
    kept = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    network.load_state_dict(kept, strict=True, assign=True)
    network.requires_grad_(False).eval()


def read_config(path: Path) -> dict[str, Any]:
    """The JSON configuration beside a model's tensors. Raises BadOption if it cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadOption(f"the configuration {path} cannot be read ({error}); copy or download it again.") from error


def _compare(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    advice = "give the checkpoint of this very model."
    for name, value in wanted.items():
        if name not in found:
            raise BadOption(f"{path} has no tensor for {name} {list(value.shape)}; {advice}")
        if found[name].shape != value.shape:
            shapes = f"{list(found[name].shape)}, the network needs {list(value.shape)}"
            raise BadOption(f"the tensor for {name} in {path} has shape {shapes}; {advice}")
    for name, value in found.items():
        if name not in wanted:
            raise BadOption(f"{path} has a tensor {name} {list(value.shape)} that the network does not know; {advice}")
