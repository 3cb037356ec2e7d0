"""Weights come from a folder, strictly: what is wrong with a checkpoint is said by the name of the tensor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam2VideoModel

from services.checkpoint.files import held
from services.checkpoint.loading import load_into
from services.errors import BadOption, NotFound
from services.sam21 import names, variants
from services.sam21.loading import best_device, load
from services.sam21.repvit import edgetam
from tests.services.sam21 import tiny

NAMES = json.loads(Path(__file__).with_name("original_names.json").read_text())
FRAME = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.saved(tiny.sam2_model(), tmp_path / "weights")


@pytest.mark.parametrize("make", [tiny.sam2_model, tiny.edgetam_model])
def test_a_saved_model_loads_and_gives_the_same(make: type, tmp_path: Path) -> None:
    model = make()
    loaded = load(tiny.saved(model, tmp_path), device=torch.device("cpu"))
    once, again = tiny.segmenter(model).embed(FRAME), loaded.embed(FRAME)
    # Weights that lie elsewhere in memory take other kernels on some processors, which add up in another order.
    for a, b in zip(once.features, again.features, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert loaded.precision == torch.float32


def test_half_precision_weights_are_taken(folder: Path) -> None:
    state = {name: value.bfloat16() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors")
    features = load(folder, device=torch.device("cpu")).embed(FRAME).features
    assert all(torch.isfinite(f).all() for f in features)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["memory_encoder.projection.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(BadOption, match=r"no tensor 'memory_encoder\.projection\.weight'"):
        load(folder)


def test_a_tensor_too_many_is_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({**state, "head.weight": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(BadOption, match=r"'head\.weight' \[2\] that the network does not know"):
        load(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["no_memory_embedding"] = torch.zeros(1, 1, 7)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(
        BadOption, match=r"'no_memory_embedding' in .* has shape \[1, 1, 7\], the network needs \[1, 1, 128\]"
    ):
        load(folder)


def test_a_truncated_file_names_the_tensor_it_ends_in(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    with pytest.raises(BadOption, match="is truncated: tensor") as refused:
        load(folder)
    name = refused.value.message.split("'")[1]
    start, stop = header[name]["data_offsets"]
    assert start <= len(data) // 2 <= stop + 8 + int.from_bytes(data[:8], "little")


@pytest.mark.parametrize("data", [b"", b"\x10", b"PK\x03\x04 no tensors here at all"])
def test_what_is_no_checkpoint_is_refused(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(BadOption, match="again"):
        load(folder)


def test_missing_weights_say_what_gets_them(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="omnimatte weights pull"):
        load(tmp_path)


def test_another_model_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(BadOption, match="'sam' model"):
        load(folder)


@pytest.mark.parametrize("kind", ["sam2", "edgetam"])
def test_original_names_give_exactly_the_models_tensors(kind: str) -> None:
    model: torch.nn.Module = Sam2VideoModel(tiny.sam2_config()) if kind == "sam2" else edgetam(tiny.edgetam_config())
    given = {name: torch.full(shape, float(i)) for i, (name, shape) in enumerate(NAMES[kind].items())}
    if kind == "edgetam":
        # Of the image encoder only the prefix differs; the neck is of the published widths in the list.
        given = {name: value for name, value in given.items() if not name.startswith("image_encoder.neck")}
        for name, value in model.state_dict().items():
            old = name.replace("vision_encoder.backbone.timm_model.", "image_encoder.trunk.body.")
            old = old.replace("vision_encoder.neck.convs.", "image_encoder.neck.convs.")
            if old != name:
                neck = old.startswith("image_encoder.neck")
                given[old.replace(".weight", ".conv.weight").replace(".bias", ".conv.bias") if neck else old] = value
    assert names.is_original(given)
    load_into(model, held(names.renamed(given), path=Path("original")))


def test_an_original_checkpoint_loads_from_its_pickle(tmp_path: Path) -> None:
    state = {name: torch.zeros(shape) for name, shape in NAMES["sam2"].items()}
    torch.save({"model": state}, tmp_path / "sam2.1_tiny.pt")
    (tmp_path / "config.json").write_text(json.dumps(tiny.sam2_config().to_dict()))
    assert load(tmp_path, device=torch.device("cpu")).size == tiny.SIZE
    with pytest.raises(BadOption, match="say which segmenter"):
        (tmp_path / "config.json").unlink()
        load(tmp_path)


@pytest.mark.parametrize(
    ("variant", "millions"),
    [("sam2.1-tiny", 38.96), ("sam2.1-small", 46.06), ("sam2.1-base-plus", 80.85), ("sam2.1-large", 224.45)],
)
def test_the_variants_have_the_published_numbers_of_parameters(variant: str, millions: float) -> None:
    with torch.device("meta"):
        model = Sam2VideoModel(variants.config(variant))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_edgetam_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = edgetam(variants.config("edgetam"))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(13.9, abs=0.1)


def test_an_unknown_variant_lists_those_that_exist() -> None:
    with pytest.raises(BadOption, match=r"sam2\.1-tiny.*edgetam"):
        variants.config("sam9")


def test_the_device_is_what_torch_finds() -> None:
    expected = "cpu" if not torch.accelerator.is_available() else torch.accelerator.current_accelerator().type
    assert best_device().type == expected
