"""Reading Wan's parts from folders, and what is said when one does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from services.casper.large.checkpoint import load_into
from services.casper.wan import encoder_keys, files, keys, lora, tiny
from services.errors import BadOption, NotFound

F32 = torch.float32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write_tiny(tmp_path)


def rewritten(path: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_the_denoiser_is_the_one_that_was_written(folder: Path) -> None:
    found = files.read_denoiser(folder, "1.3b", dtype=F32).state_dict()
    wanted = tiny.tiny_network().state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_both_kinds_of_names_load(folder: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.safetensors"
    save_file(tiny.tiny_network().state_dict(), ours)
    a, b = (files.read_denoiser(folder, "1.3b", dtype=F32, casper=file).state_dict() for file in (None, ours))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_an_adapter_is_known_by_its_names_and_merged(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path, adapter=True)
    found = files.read_denoiser(folder, "14b", dtype=F32)
    wanted = tiny.tiny_network()
    lora.merge(wanted, tiny.tiny_adapter(wanted, 1))
    before = tiny.tiny_network().state_dict()
    state, merged = found.state_dict(), wanted.state_dict()
    assert all(torch.equal(state[name], merged[name]) for name in merged)
    assert not torch.equal(state["proj_out.weight"], before["proj_out.weight"])


def test_norms_modulation_and_time_stay_in_float32(folder: Path) -> None:
    state = files.read_denoiser(folder, "1.3b", dtype=torch.bfloat16).state_dict()
    whole = {name for name, weight in state.items() if weight.dtype == F32}
    assert {"scale_shift_table", "blocks.0.scale_shift_table", "blocks.2.norm2.weight"} <= whole
    assert "condition_embedder.time_embedder.linear_1.weight" in whole
    assert {state[f"blocks.0.{name}.weight"].dtype for name in ("attn1.to_q", "ffn.net.2")} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("blocks.1.norm3.weight"), r"blocks\.1\.norm2\.weight"),
        (lambda t: t.update({"blocks.1.ffn.0.weight": torch.zeros(3, 3)}), r"blocks\.1\.ffn\.net\.0\.proj\.weight"),
        (lambda t: t.update({"blocks.3.ffn.0.weight": torch.zeros(3, 3)}), r"blocks\.3\.ffn\.0\.weight"),
        (lambda t: t.update({"vace.weight": torch.zeros(3, 3)}), r"vace\.weight"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(folder: Path, change: Any, named: str) -> None:
    rewritten(folder / files.CASPER, change)
    with pytest.raises(BadOption, match=named):
        files.read_denoiser(folder, "1.3b", dtype=F32)


def test_the_other_sizes_checkpoint_is_refused_by_its_first_tensor(folder: Path) -> None:
    (folder / "transformer" / "config.json").unlink()
    with pytest.raises(BadOption, match="shape"):
        files.read_denoiser(folder, "1.3b", dtype=F32)


@pytest.mark.parametrize("part", [files.CASPER, files.VAE[0]])
def test_a_truncated_file_is_named(folder: Path, part: str) -> None:
    content = (folder / part).read_bytes()
    (folder / part).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadOption, match="truncated"):
        files.read_denoiser(folder, "1.3b", dtype=F32) if part == files.CASPER else files.read_vae(folder, dtype=F32)


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / files.VAE[0]).unlink()
    (folder / "vae" / "config.json").unlink()
    (folder / "vae").rmdir()
    with pytest.raises(NotFound, match=r"Wan2\.1_VAE\.pth"):
        files.read_vae(folder, dtype=F32)
    with pytest.raises(NotFound, match="UMT5"):
        files.read_text_encoder(folder)
    (folder / files.CASPER).unlink()
    with pytest.raises(NotFound, match="casper"):
        files.read_denoiser(folder, "1.3b", dtype=F32)


def test_the_vae_loads_from_either_layout(folder: Path) -> None:
    wanted = tiny.tiny_vae().state_dict()
    original = files.read_vae(folder, dtype=F32).state_dict()
    assert all(torch.equal(original[name], wanted[name]) for name in wanted)
    (folder / files.VAE[0]).unlink()
    tiny.tiny_vae().save_pretrained(folder / "vae")
    diffusers = files.read_vae(folder, dtype=F32).state_dict()
    assert all(torch.equal(diffusers[name], wanted[name]) for name in wanted)


def test_a_vae_tensor_that_is_not_there_is_named(folder: Path) -> None:
    tensors = keys.renamed(tiny.tiny_vae().state_dict(), keys.vae_to_original)
    del tensors["decoder.upsamples.7.time_conv.weight"]
    torch.save(tensors, folder / files.VAE[0])
    with pytest.raises(BadOption, match=r"decoder\.up_blocks\.1\.upsamplers\.0\.time_conv\.weight"):
        files.read_vae(folder, dtype=F32)


def test_umt5_as_published_loads_strictly(tmp_path: Path) -> None:
    config = UMT5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    torch.manual_seed(0)
    source, target = UMT5EncoderModel(config).eval(), UMT5EncoderModel(config).eval()
    state = source.state_dict()
    published = {
        "token_embedding.weight": state["shared.weight"],
        "norm.weight": state["encoder.final_layer_norm.weight"],
    }
    for n in range(2):
        attention, dense = f"encoder.block.{n}.layer.0", f"encoder.block.{n}.layer.1"
        published |= {
            f"blocks.{n}.norm1.weight": state[f"{attention}.layer_norm.weight"],
            f"blocks.{n}.norm2.weight": state[f"{dense}.layer_norm.weight"],
            f"blocks.{n}.pos_embedding.embedding.weight": state[
                f"{attention}.SelfAttention.relative_attention_bias.weight"
            ],
            f"blocks.{n}.ffn.gate.0.weight": state[f"{dense}.DenseReluDense.wi_0.weight"],
            f"blocks.{n}.ffn.fc1.weight": state[f"{dense}.DenseReluDense.wi_1.weight"],
            f"blocks.{n}.ffn.fc2.weight": state[f"{dense}.DenseReluDense.wo.weight"],
        }
        published |= {f"blocks.{n}.attn.{x}.weight": state[f"{attention}.SelfAttention.{x}.weight"] for x in "qkvo"}
    path = tmp_path / "umt5.pth"
    torch.save(published, path)
    load_into(target, files.open_pickled(path, convert=encoder_keys.umt5), dtype=F32)
    ids = torch.tensor([[3, 4, 5, 1]])
    with torch.no_grad():
        assert torch.equal(source(ids).last_hidden_state, target(ids).last_hidden_state)
    with pytest.raises(BadOption, match="decoder"):
        encoder_keys.umt5({"decoder.weight": ids})


def test_clip_as_published_loads_strictly(tmp_path: Path) -> None:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        patch_size=14,
        hidden_act="gelu",
    )
    torch.manual_seed(0)
    source, target = CLIPVisionModel(config).eval(), CLIPVisionModel(config).eval()
    state = {name.removeprefix("vision_model."): value for name, value in source.state_dict().items()}
    published = {
        "visual.cls_embedding": state["embeddings.class_embedding"][None, None],
        "visual.pos_embedding": state["embeddings.position_embedding.weight"][None],
        "visual.patch_embedding.weight": state["embeddings.patch_embedding.weight"],
        "visual.head": torch.zeros(16, 8),
        "textual.token_embedding.weight": torch.zeros(4, 4),
        "log_scale": torch.zeros(()),
    }
    names = {"pre_norm": "pre_layrnorm", "post_norm": "post_layernorm"}
    for n in range(2):
        block, ours = f"transformer.{n}", f"encoder.layers.{n}"
        names |= {
            f"{block}.norm1": f"{ours}.layer_norm1",
            f"{block}.norm2": f"{ours}.layer_norm2",
            f"{block}.attn.proj": f"{ours}.self_attn.out_proj",
            f"{block}.mlp.0": f"{ours}.mlp.fc1",
            f"{block}.mlp.2": f"{ours}.mlp.fc2",
        }
        for leaf in ("weight", "bias"):
            published[f"visual.{block}.attn.to_qkv.{leaf}"] = torch.cat(
                [state[f"{ours}.self_attn.{x}_proj.{leaf}"] for x in "qkv"]
            )
    for theirs, ours in names.items():
        published |= {f"visual.{theirs}.{leaf}": state[f"{ours}.{leaf}"] for leaf in ("weight", "bias")}
    path = tmp_path / "clip.pth"
    torch.save(published, path)
    load_into(target, files.open_pickled(path, convert=encoder_keys.clip), dtype=F32)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        found = target(image, output_hidden_states=True).hidden_states[-2]
        assert torch.equal(source(image, output_hidden_states=True).hidden_states[-2], found)
    with pytest.raises(BadOption, match=r"visual\.adapter"):
        encoder_keys.clip({"visual.adapter.weight": image})
