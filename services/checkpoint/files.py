"""Tensors in files of weights: .safetensors, alone or in shards, and what torch.save wrote (.pt, .pth, .bin).

A file is opened without reading its tensors; they are read, or mapped, as somebody asks for their values, so that
loading needs the memory of the network and no more. Code in a pickled file is never run.
Must not know: networks.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from services.checkpoint.config import read_json
from services.checkpoint.header import read_header
from services.errors import BadInput, BadOption, NotFound

SAFETENSORS = ".safetensors"
INDEX = ".safetensors.index.json"
PICKLED = (".pt", ".pth", ".bin")
_WRAPPER = "state_dict."

Convert = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Tensors as they are stored to the same ones as a network wants them: renamed, taken apart, put together."""


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
        """Every tensor with its name, on the CPU, read as it is asked for. Raises BadOption for a broken file."""
        for file in sorted({place.file for place in self.stored.values()}):
            try:
                with safe_open(file, framework="pt") as content:
                    for name, place in self.stored.items():
                        if place.file == file:
                            yield name, content.get_tensor(place.name)
            except (SafetensorError, OSError) as error:
                raise _unreadable(file, error) from error

    def converted(self, convert: Convert) -> Checkpoint:
        """The same checkpoint with what `convert` makes of all its tensors."""
        return held(convert(dict(self.tensors())), path=self.path)


@dataclass(frozen=True)
class _Held(Checkpoint):
    content: Mapping[str, Tensor]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.content.items()


def open_checkpoint(path: Path, *, inside: str = "") -> Checkpoint:
    """Look at what lies at `path` without reading its tensors.

    path: a file; an index of shards (`*.safetensors.index.json`); or a folder with one index, or else with .safetensors
        files that belong together.
    inside: the entry under which a pickled file may keep its tensors among others ("model").

    Raises NotFound if there is nothing or a shard is missing; BadOption if a file is truncated (naming the first tensor
    that is cut off, where the format tells), is no such file, or if two files of a folder hold the same tensor.
    """
    if not path.is_dir() and path.suffix in PICKLED:
        return held(_pickled(_existing(path), inside), path=path)
    stored: dict[str, Stored] = {}
    for file in _files(path):
        for name, place in _listed(file).items():
            if name in stored:
                raise BadOption(
                    f"tensor {name!r} is in {stored[name].file.name} and in {file.name} of {path}; "
                    "keep the files of one model there."
                )
            stored[name] = place
    return Checkpoint(path, stored)


def held(tensors: Mapping[str, Tensor], *, path: Path) -> Checkpoint:
    """Tensors in memory as a checkpoint. path: where they come from, for messages."""
    known = _unwrapped(tensors)
    stored = {name: Stored(path, original, tuple(tensors[original].shape)) for name, original in known.items()}
    return _Held(path, stored, {name: tensors[original] for name, original in known.items()})


def _listed(file: Path) -> dict[str, Stored]:
    try:
        header = read_header(file)
    except BadInput as error:
        raise BadOption(error.message) from error
    except OSError as error:
        raise _unreadable(file, error) from error
    return {name: Stored(file, stored, header[stored].shape) for name, stored in _unwrapped(header).items()}


def _unwrapped(names: Mapping[str, object]) -> dict[str, str]:
    """Names without what wraps all of them -> names as they are stored."""
    wrapped = bool(names) and all(name.startswith(_WRAPPER) for name in names)
    return {name.removeprefix(_WRAPPER) if wrapped else name: name for name in names}


def _pickled(file: Path, inside: str) -> Mapping[str, Tensor]:
    try:
        # Only the zip format, torch's since 1.6, can be mapped.
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:  # pickle's complaints share no base class
        raise _unreadable(file, error) from error
    content: Any = loaded[inside] if isinstance(loaded, Mapping) and inside in loaded else loaded
    if not isinstance(content, Mapping):
        raise BadOption(f"{file} holds a {type(content).__name__} and no tensors by name; give the model's checkpoint.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise BadOption(f"{file} holds {name!r}, which is no tensor with a name; give the model's weights alone.")
    return content


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        indexes = list(path.glob(f"*{INDEX}"))
        if len(indexes) == 1:
            return _shards(indexes[0])
        files = sorted(path.glob(f"*{SAFETENSORS}"))
        if not files:
            raise NotFound(f"{path} holds no {SAFETENSORS} file; put the model's weights there.")
        return files
    if path.name.endswith(INDEX):
        return _shards(_existing(path))
    if _existing(path).suffix != SAFETENSORS:
        raise BadOption(f"{path} is no {', '.join((SAFETENSORS, *PICKLED))}; convert the checkpoint to safetensors.")
    return [path]


def _shards(index: Path) -> list[Path]:
    """The files that an index names: {"weight_map": {tensor: file}}."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise BadOption(f"{index} names no shards; copy or download it again.")
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise BadOption(f"{index} places tensor {name!r} in {file!r}, no file beside it; get the index again.")
        if not (index.parent / file).is_file():
            raise NotFound(f"there is no {index.parent / file}, where tensor {name!r} should be; put it there.")
    return sorted({index.parent / file for file in places.values()})


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise NotFound(f"there is no checkpoint {file}; put the model's weights there.")
    return file


def _unreadable(file: Path, error: Exception) -> BadOption:
    said = str(error).partition("\n")[0].rstrip(". ") or type(error).__name__
    size = f"{file.stat().st_size:,}" if file.is_file() else "no"
    return BadOption(f"{file} is truncated or no checkpoint ({said}; it has {size} bytes); copy or download it again.")
