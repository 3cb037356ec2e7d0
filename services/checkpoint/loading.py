"""Putting a checkpoint into a network: strict in both directions, and every complaint names the tensor.

Must not know: which network, kinds of files; a family gives its own renaming.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from services.checkpoint.files import Checkpoint, Stored
from services.errors import BadOption, Internal

Rename = Callable[[str], str | None]
"""The name of a tensor in a checkpoint to its name in the network; None for what is known and not needed."""

_ADVICE = "give the checkpoint of this very model."


def load_into(
    network: nn.Module,
    checkpoint: Checkpoint,
    *,
    rename: Rename = lambda name: name,
    dtype: torch.dtype | None = None,
) -> None:
    """Put a checkpoint's tensors into `network`, whose own may be on the "meta" device, without memory.

    The network is then on the CPU, frozen and ready to run. dtype: what floating-point tensors become; None leaves them
    as stored.
    Raises BadOption if a tensor is missing, unknown, of another shape or unreadable, naming the first one in the
    network's (or, if it is unknown, in the file's) order. The network is then not to be used.
    """
    names = _renamed(checkpoint, rename)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    _compare(wanted, {ours: checkpoint.stored[name] for name, ours in names.items()}, checkpoint)
    for name, value in checkpoint.tensors():
        if name in names:
            kind = dtype if dtype is not None and value.is_floating_point() else value.dtype
            _assign(network, names[name], value.to(device="cpu", dtype=kind))
    for name, left in [*network.named_parameters(), *network.named_buffers()]:
        if left.is_meta:
            raise Internal(f"{name} has no values and no checkpoint holds it; make it outside of the meta device.")
    network.requires_grad_(False).eval()


def _renamed(checkpoint: Checkpoint, rename: Rename) -> dict[str, str]:
    """The checkpoint's names -> the network's, of what is needed."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in checkpoint.stored:
        ours = rename(name)
        if ours is None:
            continue
        if ours in taken:
            raise BadOption(f"{checkpoint.path} has tensor {ours!r} twice, as {taken[ours]!r} and {name!r}; {_ADVICE}")
        names[name], taken[ours] = ours, name
    return names


def _compare(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Stored], checkpoint: Checkpoint) -> None:
    for name, shape in wanted.items():
        if name not in found:
            missing = sum(other not in found for other in wanted)
            raise BadOption(
                f"{checkpoint.path} has no tensor {name!r} {list(shape)} "
                f"({missing} of {len(wanted)} are missing); {_ADVICE}"
            )
        if found[name].shape != shape:
            raise BadOption(
                f"tensor {name!r} in {found[name].file} has shape {list(found[name].shape)}, "
                f"the network needs {list(shape)}; {_ADVICE}"
            )
    for name, place in found.items():
        if name not in wanted:
            unknown = sum(other not in wanted for other in found)
            raise BadOption(
                f"{place.file} has a tensor {place.name!r} {list(place.shape)} that the network does not know "
                f"({unknown} of {len(found)} are unknown); {_ADVICE}"
            )


def _assign(network: nn.Module, name: str, value: Tensor) -> None:
    owner, _, last = name.rpartition(".")
    module = network.get_submodule(owner)
    if last in module._parameters:
        setattr(module, last, nn.Parameter(value, requires_grad=False))
    else:
        setattr(module, last, value)
