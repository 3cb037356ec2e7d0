"""Checkpoints: what fits loads exactly, and what does not is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from services.casper.large.checkpoint import load_into, open_checkpoint
from services.errors import BadOption, NotFound


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "state_dict."])
def test_a_network_without_memory_is_filled(tmp_path: Path, prefix: str) -> None:
    source = network()
    path = saved(tmp_path / "a.safetensors", {prefix + name: value for name, value in source.state_dict().items()})
    with torch.device("meta"):
        empty = network()
    load_into(empty, open_checkpoint(path), dtype=torch.bfloat16)
    for name, value in empty.state_dict().items():
        wanted = source.state_dict()[name]
        assert value.dtype == (torch.bfloat16 if wanted.is_floating_point() else wanted.dtype)
        assert torch.equal(value, wanted.to(value.dtype))


def test_shards_and_renames(tmp_path: Path) -> None:
    state = network().state_dict()
    saved(tmp_path / "1.safetensors", {f"old.{name}": state[name] for name in state if name.startswith("0")})
    saved(tmp_path / "2.safetensors", {f"old.{name}": state[name] for name in state if name.startswith("1")})
    found = network()
    load_into(found, open_checkpoint(tmp_path), rename=lambda name: name.removeprefix("old."))
    assert all(torch.equal(found.state_dict()[name], state[name]) for name in state)


def test_a_missing_tensor_is_named_with_its_shape(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["0.bias"]
    with pytest.raises(BadOption, match=r"no tensor 0\.bias \[3\] \(1 of 7 are missing\)"):
        load_into(network(), open_checkpoint(saved(tmp_path / "a.safetensors", state)))


def test_an_unknown_tensor_is_named_as_the_file_names_it(tmp_path: Path) -> None:
    state = {**network().state_dict(), "ofs_embedding.weight": torch.zeros(4)}
    with pytest.raises(BadOption, match=r"ofs_embedding\.weight \[4\] that the network does not know"):
        load_into(network(), open_checkpoint(saved(tmp_path / "a.safetensors", state)))


def test_a_tensor_of_another_shape_is_named_with_both(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", network(5).state_dict())
    with pytest.raises(BadOption, match=r"0\.weight .* has shape \[5, 2\], the network needs \[3, 2\]"):
        load_into(network(), open_checkpoint(path))


@pytest.mark.parametrize("left", [0, 4, 200, -8])
def test_a_truncated_file_gives_one_clear_error(tmp_path: Path, left: int) -> None:
    path = saved(tmp_path / "a.safetensors", network().state_dict())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(BadOption, match=r"a\.safetensors is truncated or no safetensors file.*download it again"):
        open_checkpoint(path)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(BadOption, match="convert the checkpoint"):
        open_checkpoint(tmp_path / "a.pt")
    with pytest.raises(NotFound, match="there is no checkpoint"):
        open_checkpoint(tmp_path / "b.safetensors")
    with pytest.raises(NotFound, match=r"holds no \.safetensors"):
        open_checkpoint(tmp_path)


def test_two_files_with_the_same_tensor(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path / f"{name}.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(BadOption, match=r"tensor x is in a\.safetensors and in b\.safetensors"):
        open_checkpoint(tmp_path)
