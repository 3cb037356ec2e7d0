"""Tensor names of Wan, in both directions."""

from __future__ import annotations

import pytest
import torch

from services.casper.wan import keys, tiny
from services.errors import BadOption


def original_transformer(layers: int) -> set[str]:
    """Every name in a published transformer, written out."""
    names = {f"{stem}.{leaf}" for stem in _STEMS for leaf in ("weight", "bias")} | {"head.modulation"}
    for n in range(layers):
        names.add(f"blocks.{n}.modulation")
        for attention, layers_of in (("self_attn", "q k v o"), ("cross_attn", "q k v o k_img v_img")):
            for layer in layers_of.split():
                names |= {f"blocks.{n}.{attention}.{layer}.weight", f"blocks.{n}.{attention}.{layer}.bias"}
        for norm in ("self_attn.norm_q", "self_attn.norm_k", "cross_attn.norm_q", "cross_attn.norm_k"):
            names.add(f"blocks.{n}.{norm}.weight")
        names.add(f"blocks.{n}.cross_attn.norm_k_img.weight")
        for layer in ("norm3", "ffn.0", "ffn.2"):
            names |= {f"blocks.{n}.{layer}.weight", f"blocks.{n}.{layer}.bias"}
    return names


_STEMS = (
    *("patch_embedding", "text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2"),
    *("time_projection.1", "img_emb.proj.0", "img_emb.proj.1", "img_emb.proj.3", "img_emb.proj.4", "head.head"),
)


def original_vae() -> set[str]:
    """Every name in the published VAE, written out: which levels change size and which blocks change width."""
    names = {f"{conv}.{leaf}" for conv in ("conv1", "conv2") for leaf in ("weight", "bias")}

    def residual(stem: str, *, shortcut: bool = False) -> None:
        names.update(f"{stem}.residual.{n}.gamma" for n in (0, 3))
        convolutions = [f"{stem}.residual.{n}" for n in (2, 6)] + [f"{stem}.shortcut"] * shortcut
        names.update(f"{conv}.{leaf}" for conv in convolutions for leaf in ("weight", "bias"))

    def resample(stem: str, *, time: bool) -> None:
        layers = [f"{stem}.resample.1"] + [f"{stem}.time_conv"] * time
        names.update(f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias"))

    for half in ("encoder", "decoder"):
        names.update(f"{half}.{conv}.{leaf}" for conv in ("conv1", "head.2") for leaf in ("weight", "bias"))
        names.add(f"{half}.head.0.gamma")
        residual(f"{half}.middle.0")
        residual(f"{half}.middle.2")
        names.add(f"{half}.middle.1.norm.gamma")
        names.update(f"{half}.middle.1.{layer}.{leaf}" for layer in ("to_qkv", "proj") for leaf in ("weight", "bias"))
    for n in (0, 1, 3, 4, 6, 7, 9, 10):
        residual(f"encoder.downsamples.{n}", shortcut=n in (3, 6))
    for n in (2, 5, 8):
        resample(f"encoder.downsamples.{n}", time=n > 2)
    for n in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14):
        residual(f"decoder.upsamples.{n}", shortcut=n == 4)
    for n in (3, 7, 11):
        resample(f"decoder.upsamples.{n}", time=n < 11)
    return names


def test_the_published_transformers_names_become_those_of_the_class_and_back() -> None:
    ours = tiny.tiny_network().state_dict()
    original = keys.renamed(ours, keys.transformer_to_original)
    assert set(original) == original_transformer(tiny.SHAPE.num_layers)
    back = keys.renamed(original, keys.transformer_to_diffusers)
    assert list(back) == list(ours)
    tiny.tiny_network(1).load_state_dict(back, strict=True)
    assert keys.is_original(original)
    assert not keys.is_original(ours)


def test_every_block_of_the_large_network_has_a_name() -> None:
    names = original_transformer(40)
    assert len(names) == 1303
    assert {keys.transformer_to_original(keys.transformer_to_diffusers(name)) for name in names} == names


def test_the_published_vaes_names_become_those_of_the_class_and_back() -> None:
    with torch.device("meta"):
        from diffusers import AutoencoderKLWan

        published = AutoencoderKLWan().state_dict()
    original = keys.renamed(published, keys.vae_to_original)
    assert set(original) == original_vae()
    assert list(keys.renamed(original, keys.vae_to_diffusers)) == list(published)

    ours = tiny.tiny_vae().state_dict()
    back = keys.renamed(keys.renamed(ours, keys.vae_to_original), keys.vae_to_diffusers)
    tiny.tiny_vae(1).load_state_dict(back, strict=True)
    assert keys.is_original(original)
    assert not keys.is_original(ours)


def test_the_only_norm_with_weights_is_the_third_there_and_the_second_here() -> None:
    assert keys.transformer_to_diffusers("blocks.7.norm3.weight") == "blocks.7.norm2.weight"


@pytest.mark.parametrize(
    "name",
    ["blocks.0.norm2.weight", "blocks.#.norm3.weight", "blocks.0.attn1.to_q.weight", "vace_blocks.0.norm3.weight", "x"],
)
def test_an_unknown_tensor_is_named(name: str) -> None:
    with pytest.raises(BadOption, match=name.replace(".", r"\.")):
        keys.transformer_to_diffusers(name)


@pytest.mark.parametrize("name", ["decoder.upsamples.15.residual.2.weight", "decoder.upsamples.3.residual.2.weight"])
def test_a_vae_of_another_build_is_named(name: str) -> None:
    with pytest.raises(BadOption, match=name.replace(".", r"\.")):
        keys.vae_to_diffusers(name)
