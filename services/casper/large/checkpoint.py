"""Reading safetensors checkpoints into networks: strict in both directions, and every complaint names the tensor.

A checkpoint is a file, or a folder whose .safetensors files are read together (shards). Tensors are read one at a time,
so that loading needs the memory of the network and no more. Must not know: which network; a family gives its own
renaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from services.errors import BadOption, Internal, NotFound

_WRAPPER = "state_dict."

Rename = Callable[[str], str]
"""The name of a tensor in a checkpoint to its name in the network."""


@dataclass(frozen=True)
class Stored:
    """Where a tensor is: its file, its name there, its shape."""

    file: Path
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """The tensors at `path` by name; a "state_dict." before every name is taken off."""

    path: Path
    stored: Mapping[str, Stored]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor with its name, on the CPU, read as it is asked for. Raises BadOption for a truncated file."""
        for file in sorted({place.file for place in self.stored.values()}):
            with _opened(file) as content:
                for name, place in self.stored.items():
                    if place.file == file:
                        yield name, content.get_tensor(place.name)


def open_checkpoint(path: Path) -> Checkpoint:
    """Look at the file or folder `path` without reading its tensors.

    Raises NotFound if there is nothing, BadOption if a file is truncated, is no safetensors file, or if two files of a
    folder hold the same tensor.
    """
    stored: dict[str, Stored] = {}
    for file in _files(path):
        with _opened(file) as content:
            names = list(content.keys())
            wrapped = bool(names) and all(name.startswith(_WRAPPER) for name in names)
            for name in names:
                known = name.removeprefix(_WRAPPER) if wrapped else name
                if known in stored:
                    raise BadOption(
                        f"tensor {known} is in {stored[known].file.name} and in {file.name} of {path}; "
                        "keep the files of one model there."
                    )
                stored[known] = Stored(file, name, tuple(content.get_slice(name).get_shape()))
    return Checkpoint(path, stored)


def load_into(
    network: nn.Module,
    checkpoint: Checkpoint,
    *,
    rename: Rename = lambda name: name,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> None:
    """Put a checkpoint's tensors into `network`, whose own may be on the "meta" device, without memory.

    dtype: what floating-point tensors become; None leaves them as stored.
    Raises BadOption if a tensor is missing, unknown, of another shape or unreadable, naming the first one in the
    network's (or, if it is unknown, in the file's) order. The network is then not to be used.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    renamed = {rename(name): place for name, place in checkpoint.stored.items()}
    _compare(wanted, renamed, path=checkpoint.path)
    for name, value in checkpoint.tensors():
        kind = dtype if dtype is not None and value.is_floating_point() else value.dtype
        _assign(network, rename(name), value.to(device=device, dtype=kind))
    for name, left in [*network.named_parameters(), *network.named_buffers()]:
        if left.is_meta:
            raise Internal(f"{name} has no values and no checkpoint holds it; make it outside of the meta device.")


def _compare(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Stored], *, path: Path) -> None:
    for name, shape in wanted.items():
        if name not in found:
            missing = sum(other not in found for other in wanted)
            raise BadOption(
                f"{path} has no tensor {name} {list(shape)} ({missing} of {len(wanted)} are missing); "
                "give the checkpoint of this very model."
            )
        if found[name].shape != shape:
            raise BadOption(
                f"tensor {name} in {path} has shape {list(found[name].shape)}, the network needs {list(shape)}; "
                "give the checkpoint of this very model."
            )
    for name, place in found.items():
        if name not in wanted:
            unknown = sum(other not in wanted for other in found)
            raise BadOption(
                f"{path} has a tensor {place.name} {list(place.shape)} that the network does not know "
                f"({unknown} of {len(found)} are unknown); give the checkpoint of this very model."
            )


def _assign(network: nn.Module, name: str, value: Tensor) -> None:
    owner, _, last = name.rpartition(".")
    module = network.get_submodule(owner)
    if last in module._parameters:
        setattr(module, last, nn.Parameter(value, requires_grad=False))
    else:
        setattr(module, last, value)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise NotFound(f"{path} holds no .safetensors file; put the model's weights there.")
        return files
    if not path.is_file():
        raise NotFound(f"there is no checkpoint {path}; put the model's weights there.")
    if path.suffix != ".safetensors":
        raise BadOption(f"{path} is no .safetensors file; convert the checkpoint to safetensors.")
    return [path]


class _opened:
    """An open safetensors file whose errors say which file, and what to do."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content: Any = None

    def __enter__(self) -> Any:
        try:
            self._content = safe_open(self._file, framework="pt")
            return self._content.__enter__()
        except (SafetensorError, OSError) as error:
            raise self._complaint(error) from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._content.__exit__(kind, error, trace)
        if isinstance(error, SafetensorError):
            raise self._complaint(error) from error

    def _complaint(self, error: Exception) -> BadOption:
        return BadOption(
            f"{self._file} is truncated or no safetensors file ({error}; it has {self._file.stat().st_size} bytes); "
            "copy or download it again."
        )
