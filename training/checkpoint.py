"""What a training run leaves on disk: one file that it resumes from, and the weights that are used afterwards.

A checkpoint is replaced in one move, so that a run that is killed while it saves loses nothing. Frozen weights (the
base under an adapter) are left out. Must not know: how the numbers came about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from services.errors import BadOption

State = dict[str, Tensor]


def trained_state(network: nn.Module) -> State:
    """The weights that training changes, and the buffers that go with them; shared with the network, not copied."""
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    return {name: value.detach() for name, value in network.state_dict().items() if name not in frozen}


def load_state(network: nn.Module, state: State, *, origin: Path) -> None:
    """Put `state` into what `network` trains. Raises BadOption if names or shapes differ."""
    expected = {name: value.shape for name, value in trained_state(network).items()}
    given = {name: value.shape for name, value in state.items()}
    wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
    if wrong:
        raise BadOption(
            f"{origin} holds weights of another network: {len(wrong)} of {len(expected)} tensors differ, "
            f"{wrong[0]!r} first; choose the file of this recipe."
        )
    network.load_state_dict(state, strict=False)


def read_weights(path: Path) -> State:
    """Weights from a .safetensors file, or the averaged ones from a checkpoint. Raises BadOption."""
    if not path.is_file():
        raise BadOption(f"there is no weight file {path}; give a .safetensors file or a checkpoint.")
    if path.suffix == ".safetensors":
        return load_file(path)
    found = torch.load(path, weights_only=True, map_location="cpu")
    if not isinstance(found, dict) or "average" not in found:
        raise BadOption(f"{path} is no checkpoint of this trainer; give a .safetensors file or a checkpoint.")
    average: State = found["average"]
    return average


def export_weights(state: State, path: Path) -> None:
    """Write float16 weights, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({name: value.detach().cpu().half().contiguous() for name, value in state.items()}, partial)
    partial.replace(path)


def save(path: Path, *, network: nn.Module, average: State, optimiser: torch.optim.Optimizer, facts: Any) -> None:
    """Write everything a run needs to go on; `facts` (step, seed) are plain values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    parts = {"network": trained_state(network), "average": average, "optimiser": optimiser.state_dict()}
    torch.save({**parts, **facts}, partial)
    partial.replace(path)


def resume(path: Path, *, network: nn.Module, average: State, optimiser: torch.optim.Optimizer, seed: int) -> int:
    """Restore in place what `save` wrote; the number of steps done, 0 if there is no such file.

    Raises BadOption if the file belongs to another network or another seed.
    """
    if not path.exists():
        return 0
    found = torch.load(path, weights_only=True, map_location="cpu")
    if found.get("seed", seed) != seed:
        raise BadOption(f"{path} was trained at seed {found['seed']}, not {seed}; give that seed or another file.")
    load_state(network, found["network"], origin=path)
    for name, value in average.items():
        value.copy_(found["average"][name])
    optimiser.load_state_dict(found["optimiser"])
    return int(found["step"])
