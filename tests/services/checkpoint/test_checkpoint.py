"""Checkpoints: what fits loads exactly, and what does not is named."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from services.checkpoint.config import read_json
from services.checkpoint.files import held, open_checkpoint
from services.checkpoint.header import read_header
from services.checkpoint.loading import load_into
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
    with pytest.raises(BadOption, match=r"no tensor '0\.bias' \[3\] \(1 of 7 are missing\)"):
        load_into(network(), open_checkpoint(saved(tmp_path / "a.safetensors", state)))


def test_an_unknown_tensor_is_named_as_the_file_names_it(tmp_path: Path) -> None:
    state = {**network().state_dict(), "ofs_embedding.weight": torch.zeros(4)}
    with pytest.raises(BadOption, match=r"'ofs_embedding\.weight' \[4\] that the network does not know"):
        load_into(network(), open_checkpoint(saved(tmp_path / "a.safetensors", state)))


def test_a_tensor_of_another_shape_is_named_with_both(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", network(5).state_dict())
    with pytest.raises(BadOption, match=r"'0\.weight' .* has shape \[5, 2\], the network needs \[3, 2\]"):
        load_into(network(), open_checkpoint(path))


@pytest.mark.parametrize("left", [0, 4, 200])
def test_a_file_that_ends_in_its_header_gives_one_clear_error(tmp_path: Path, left: int) -> None:
    path = saved(tmp_path / "a.safetensors", network().state_dict())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(BadOption, match=r"a\.safetensors is truncated within its header.*download it again"):
        open_checkpoint(path)


def test_the_first_tensor_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", network().state_dict())
    content, places = path.read_bytes(), read_header(path)
    for name, place in places.items():
        path.write_bytes(content[: place.end - 1])
        with pytest.raises(BadOption, match=rf"truncated: tensor '{name}' ends at byte {place.end:,}.*download it"):
            open_checkpoint(path)


def test_what_follows_the_last_tensor_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", network().state_dict())
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BadOption, match=r"a\.safetensors is .*no checkpoint.*download it again"):
        load_into(network(), open_checkpoint(path))


@pytest.mark.parametrize(
    "entry", ['"shape": [1e999], "data_offsets": [0, 4]', '"shape": [1], "data_offsets": [0, 1e999]']
)
def test_a_header_with_an_infinite_number_is_refused(tmp_path: Path, entry: str) -> None:
    header = ('{"a": {"dtype": "F32", ' + entry + "}}").encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(BadOption, match=r"header of .*a\.safetensors is broken.*download it again"):
        open_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_file_fills_a_network_without_memory(tmp_path: Path, name: str, zipped: bool) -> None:
    state = network().state_dict()
    torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
    with torch.device("meta"):
        empty = network()
    load_into(empty, open_checkpoint(tmp_path / name))
    assert all(torch.equal(value, state[key]) for key, value in empty.state_dict().items())


def test_tensors_among_others_are_found_under_their_entry(tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save({"model": state, "step": 3}, tmp_path / "a.pt")
    assert set(open_checkpoint(tmp_path / "a.pt", inside="model").stored) == set(state)
    with pytest.raises(BadOption, match="holds 'model', which is no tensor"):
        open_checkpoint(tmp_path / "a.pt")
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(BadOption, match="holds a list"):
        open_checkpoint(tmp_path / "a.pt")


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("made",)


def test_code_in_a_pickled_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "a.pt")
    with pytest.raises(BadOption, match=r"a\.pt is .*no checkpoint"):
        open_checkpoint(Path("a.pt"))
    assert not Path("made").exists()


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 40, b"no checkpoint at all" * 20, b"PK\x03\x04"])
def test_what_is_no_pickle_or_half_of_one_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(BadOption, match=r"a\.pt is truncated or no checkpoint.*download it again"):
        open_checkpoint(tmp_path / "a.pt")
    torch.save(network().state_dict(), tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:-500])
    with pytest.raises(BadOption, match=r"a\.pt is truncated or no checkpoint"):
        open_checkpoint(tmp_path / "a.pt")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder with an index and two shards, and a third file that is no part of it."""
    state = network().state_dict()
    places = {name: f"{name[0]}.safetensors" for name in state}
    for file in set(places.values()):
        saved(tmp_path / file, {name: state[name] for name in state if places[name] == file})
    saved(tmp_path / "other.safetensors", state)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return tmp_path


def test_an_index_says_which_files_belong_together(shards: Path) -> None:
    wanted = dict(open_checkpoint(shards / "other.safetensors").tensors())
    for path in (shards, shards / "model.safetensors.index.json"):
        found = network()
        load_into(found, open_checkpoint(path))
        assert all(torch.equal(value, wanted[name]) for name, value in found.state_dict().items())


def test_a_shard_that_is_missing_or_elsewhere_is_named(shards: Path) -> None:
    (shards / "1.safetensors").unlink()
    with pytest.raises(NotFound, match=r"no .*1\.safetensors, where tensor '1\.weight' should be; put it there"):
        open_checkpoint(shards)
    index = shards / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../other.safetensors"}}')
    with pytest.raises(BadOption, match=r"tensor 'a' in '\.\./other\.safetensors'"):
        open_checkpoint(shards)
    index.write_text("{}")
    with pytest.raises(BadOption, match="names no shards"):
        open_checkpoint(shards)


def test_names_may_be_left_out_but_not_meet(tmp_path: Path) -> None:
    state = network().state_dict()
    more = held(state | {"position_ids": torch.zeros(2)}, path=tmp_path)
    load_into(network(), more, rename=lambda name: None if name == "position_ids" else name)
    with pytest.raises(BadOption, match=r"has tensor '0\.bias' twice, as '0\.bias' and 'position_ids'"):
        load_into(network(), more, rename=lambda name: "0.bias" if name == "position_ids" else name)


def test_tensors_may_be_put_together(tmp_path: Path) -> None:
    state = network().state_dict()
    halves = {name: value for name, value in state.items() if name != "0.weight"}
    halves |= {f"half.{i}": part for i, part in enumerate(state["0.weight"].split(1))}
    path = saved(tmp_path / "a.safetensors", halves)

    def joined(tensors: Any) -> dict[str, torch.Tensor]:
        made = {name: value for name, value in tensors.items() if not name.startswith("half")}
        return made | {"0.weight": torch.cat([tensors[f"half.{i}"] for i in range(3)])}

    found = network()
    load_into(found, open_checkpoint(path).converted(joined))
    assert torch.equal(found.state_dict()["0.weight"], state["0.weight"])
    assert not found.training and not any(weight.requires_grad for weight in found.parameters())


def test_headers_are_read_without_torch() -> None:
    code = "import sys, services.checkpoint.header, services.checkpoint.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_configuration_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(BadOption, match=r"config\.json"):
        read_json(tmp_path / "config.json")
    with pytest.raises(BadOption, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"x")
    with pytest.raises(BadOption, match="convert the checkpoint"):
        open_checkpoint(tmp_path / "a.ckpt")
    for name in ("b.safetensors", "b.pt", "b.safetensors.index.json"):
        with pytest.raises(NotFound, match=f"there is no checkpoint .*{name}; put the model's weights there"):
            open_checkpoint(tmp_path / name)
    with pytest.raises(NotFound, match=r"holds no \.safetensors"):
        open_checkpoint(tmp_path)


def test_two_files_with_the_same_tensor(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path / f"{name}.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(BadOption, match=r"tensor 'x' is in a\.safetensors and in b\.safetensors"):
        open_checkpoint(tmp_path)
