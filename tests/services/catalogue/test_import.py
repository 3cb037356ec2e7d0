"""Taking over a file that the user has."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.catalogue.header import read_header
from services.catalogue.home import WeightsHome
from services.catalogue.importing import recognise, take_over
from services.catalogue.layouts import Layout
from services.catalogue.state import State, look
from services.errors import BadInput, Conflict
from tests.services.catalogue.small import BODY, CASPER, DIGEST, NET, TINY_LAYOUT, accepted, shapes, write_safetensors

AMONG = (NET, CASPER)


@pytest.fixture
def home(tmp_path: Path) -> WeightsHome:
    return accepted(WeightsHome(tmp_path / "weights"), *AMONG)


def bring(path: Path, home: WeightsHome) -> None:
    take_over(path, recognise(path, among=AMONG), home)


def test_a_checkpoint_is_told_by_its_tensors_whatever_its_name(home: WeightsHome, tmp_path: Path) -> None:
    given = write_safetensors(tmp_path / "drive" / "download (1).bin", shapes())
    bring(given, home)
    assert (home.folder(CASPER) / "casper.safetensors").read_bytes() == given.read_bytes()
    assert look(CASPER, home).state == State.VERIFIED
    names = sorted(path.name for path in home.folder(CASPER).iterdir())
    assert names == [".files.json", ".licence.json", ".lock", "casper.safetensors"]


def test_a_truncated_checkpoint_names_the_tensor(home: WeightsHome, tmp_path: Path) -> None:
    given = write_safetensors(tmp_path / "casper.safetensors", shapes())
    given.write_bytes(given.read_bytes()[:-3])
    last = list(shapes())[-1]
    with pytest.raises(BadInput, match=rf"cut off: tensor '{last}' ends at byte"):
        bring(given, home)
    given.write_bytes(given.read_bytes()[:100])
    with pytest.raises(BadInput, match="ends within its header"):
        bring(given, home)
    assert look(CASPER, home).state == State.MISSING


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda have: have.pop("transformer_blocks.1.ff.net.2.weight"),
            "'transformer_blocks.1.ff.net.2.weight' is miss",
        ),
        (
            lambda have: have.update({"proj_out.weight": (8, 8)}),
            r"'proj_out.weight' is \[8, 8\] and should be \[128, 8\]",
        ),
        (lambda have: have.update({"ofs_embedding.weight": (3,)}), "'ofs_embedding.weight' does not belong to it"),
    ],
)
def test_a_wrong_checkpoint_names_the_tensor(home: WeightsHome, tmp_path: Path, change: object, words: str) -> None:
    have = shapes()
    change(have)  # type: ignore[operator]
    given = write_safetensors(tmp_path / "casper.safetensors", have)
    with pytest.raises(BadInput, match=words):
        bring(given, home)
    assert look(CASPER, home).state == State.MISSING


def test_a_wrong_one_does_not_replace_a_right_one(home: WeightsHome, tmp_path: Path) -> None:
    bring(write_safetensors(tmp_path / "right.safetensors", shapes()), home)
    before = (home.folder(CASPER) / "casper.safetensors").read_bytes()
    have = shapes()
    have["norm_final.weight"] = (9,)
    with pytest.raises(BadInput, match="norm_final"):
        bring(write_safetensors(tmp_path / "wrong.safetensors", have), home)
    assert (home.folder(CASPER) / "casper.safetensors").read_bytes() == before
    assert look(CASPER, home).state == State.VERIFIED


def test_a_foreign_file_is_refused_by_what_is_in_it(tmp_path: Path) -> None:
    foreign = write_safetensors(tmp_path / "casper.safetensors", {"encoder.layer.0.weight": (4, 4)})
    with pytest.raises(BadInput, match=r"nothing in the catalogue: its first tensor is 'encoder\.layer\.0\.weight'"):
        recognise(foreign, among=AMONG)
    other = tmp_path / "holiday.mp4"
    other.write_bytes(b"video")
    with pytest.raises(BadInput, match="neither by size and SHA-256 nor by name"):
        recognise(other, among=AMONG)
    with pytest.raises(BadInput, match="is no file"):
        recognise(tmp_path / "missing", among=AMONG)


def test_a_published_file_is_told_by_its_digest(home: WeightsHome, tmp_path: Path) -> None:
    given = tmp_path / "anything"
    given.write_bytes(BODY)
    found = recognise(given, among=AMONG)
    assert (found.entry, found.file.path) == (NET, "unet/net.bin")
    assert take_over(given, found, home).sha256 == DIGEST


def test_a_damaged_published_file_is_told_by_its_name(home: WeightsHome, tmp_path: Path) -> None:
    given = tmp_path / "net.bin"
    given.write_bytes(BODY[:1000])
    with pytest.raises(BadInput, match=r"not unet/net\.bin of Net: it has 1,000 bytes instead of 3,072,000"):
        bring(given, home)


def test_nothing_is_copied_before_the_licence_is_accepted(tmp_path: Path) -> None:
    given = write_safetensors(tmp_path / "casper.safetensors", shapes())
    with pytest.raises(Conflict):
        take_over(given, recognise(given, among=AMONG), WeightsHome(tmp_path / "weights"))
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"{}}",
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"a": ' * 50_000,
    ],
)
def test_a_broken_header_is_one_error(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(BadInput, match=r"a\.safetensors"):
        read_header(path)


def test_a_header_of_impossible_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{" + bytes(100))
    with pytest.raises(BadInput, match="no safetensors"):
        read_header(path)


def adapter(rank: int = 4) -> dict[str, tuple[int, ...]]:
    have: dict[str, tuple[int, ...]] = {}
    for block in range(2):
        for part, (outputs, inputs) in {"self_attn_q": (8, 8), "ffn_0": (24, 8)}.items():
            name = f"lora_unet__blocks_{block}_{part}"
            have |= {f"{name}.lora_down.weight": (rank, inputs), f"{name}.lora_up.weight": (outputs, rank)}
            have[f"{name}.alpha"] = ()
    return have


def test_an_adapter_may_have_any_rank_but_has_to_fit_its_layers() -> None:
    layout = Layout("wan-adapter", width=8, hidden=24, layers=2)
    assert layout.mismatch(adapter()) == "" and layout.mismatch(adapter(rank=16)) == ""
    assert layout.resembles(adapter()) and not TINY_LAYOUT.resembles(adapter())
    have = adapter()
    del have["lora_unet__blocks_1_ffn_0.lora_up.weight"]
    assert layout.mismatch(have) == "tensor 'lora_unet__blocks_1_ffn_0.lora_up.weight' is missing"
    have = adapter() | {"lora_unet__blocks_0_ffn_0.lora_up.weight": (99, 4)}
    assert "is [99, 4] and should be [24, 4]" in layout.mismatch(have)
    have = adapter() | {"lora_unet__blocks_7_ffn_0.lora_up.weight": (24, 4)}
    assert "does not belong" in layout.mismatch(have)
    have = {name: shape for name, shape in adapter().items() if "blocks_1" not in name}
    assert "'lora_unet__blocks_1_self_attn_q.lora_down.weight' is missing" in layout.mismatch(have)
