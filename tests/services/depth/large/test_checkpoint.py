"""Bad checkpoints are refused, and the tensor is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.depth.large.checkpoint import cut_off
from services.errors import BadOption
from tests.services.depth.large import tiny

WRITERS = [tiny.write_single, tiny.write_video, tiny.write_crafter]


def weights_of(model: tiny.Written) -> list[Path]:
    return [path for path in model.files if path.suffix != ".json"]


def changed(path: Path, change: Callable[[dict[str, torch.Tensor], str], None]) -> str:
    """Change the tensor in the middle of a checkpoint; returns its name."""
    is_pickle = path.suffix == ".pth"
    tensors = torch.load(path, weights_only=True) if is_pickle else load_file(path)
    name = sorted(tensors)[len(tensors) // 2]
    change(tensors, name)
    if is_pickle:
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    return name


def drop(tensors: dict[str, torch.Tensor], name: str) -> None:
    del tensors[name]


def grow(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors[name] = torch.zeros(*tensors[name].shape, 2)


def add(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors["a.stranger"] = torch.zeros(3)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(("change", "complaint"), [(drop, "no tensor for"), (grow, "has shape"), (add, "a.stranger")])
def test_a_wrong_checkpoint_names_the_tensor(
    tmp_path: Path,
    write: Callable[[Path], tiny.Written],
    change: Callable[[dict[str, torch.Tensor], str], None],
    complaint: str,
) -> None:
    model = write(tmp_path)
    for path in weights_of(model):
        sound = path.read_bytes()
        changed(path, change)
        with pytest.raises(BadOption, match=complaint) as told:
            model.load()
        assert path.name in told.value.message
        path.write_bytes(sound)
    model.load()


@pytest.mark.parametrize("write", [tiny.write_single, tiny.write_crafter])
def test_a_truncated_checkpoint_names_the_tensor_that_is_cut_off(
    tmp_path: Path, write: Callable[[Path], tiny.Written]
) -> None:
    model = write(tmp_path)
    for path in weights_of(model):
        sound = path.read_bytes()
        path.write_bytes(sound[: len(sound) * 2 // 3])
        name = cut_off(path)
        assert name is not None
        with pytest.raises(BadOption, match="ends within tensor") as told:
            model.load()
        assert name in told.value.message and path.name in told.value.message
        path.write_bytes(sound)
        assert cut_off(path) is None


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 40, b"no checkpoint at all" * 20])
@pytest.mark.parametrize("write", [tiny.write_single, tiny.write_video])
def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, write: Callable[[Path], tiny.Written], content: bytes
) -> None:
    model = write(tmp_path)
    weights_of(model)[0].write_bytes(content)
    with pytest.raises(BadOption, match="copy or download it again"):
        model.load()


def test_a_truncated_pickle_is_refused(tmp_path: Path) -> None:
    model = tiny.write_video(tmp_path)
    path = weights_of(model)[0]
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(BadOption, match="truncated"):
        model.load()


def test_a_configuration_that_is_no_json_is_named(tmp_path: Path) -> None:
    model = tiny.write_single(tmp_path)
    model.files[0].write_text("{")
    with pytest.raises(BadOption, match=r"config\.json"):
        model.load()
