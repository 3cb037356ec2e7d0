"""Merging the adapter, against the plain matrix formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from services.casper.wan import keys, lora, tiny
from services.errors import BadOption

RANK, ALPHA = 4, 2.0


def adapter(original: dict[str, Tensor], seed: int = 5) -> dict[str, Tensor]:
    """An adapter for every linear layer of a published transformer, named as its training script names it."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in original.items():
        # The patch embedding is a convolution, norms and modulation are no matrices.
        if weight.ndim != 2 or not name.endswith(".weight"):
            continue
        layer = "lora_unet__" + name.removesuffix(".weight").replace(".", "_")
        tensors[f"{layer}.lora_down.weight"] = torch.randn(RANK, weight.shape[1], generator=generator)
        tensors[f"{layer}.lora_up.weight"] = torch.randn(weight.shape[0], RANK, generator=generator)
        tensors[f"{layer}.alpha"] = torch.tensor(ALPHA)
    return tensors


def originals(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: w.clone() for name, w in keys.renamed(network.state_dict(), keys.transformer_to_original).items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_linear_layer_gets_its_product_and_nothing_else_changes(dtype: torch.dtype) -> None:
    network = tiny.tiny_network().to(dtype)
    before = originals(network)
    given = adapter(before)
    changed = lora.merge(network, given)

    # Per block 4 + 6 attention and 2 feed-forward layers; text 2, time 2 + 1, image 2, head 1.
    assert changed == len(given) // 3 == 12 * tiny.SHAPE.num_layers + 8
    assert "lora_unet__blocks_0_self_attn_q.lora_down.weight" in given
    for name, after in originals(network).items():
        layer = "lora_unet__" + name.removesuffix(".weight").replace(".", "_")
        wanted = before[name]
        if f"{layer}.alpha" in given:
            product = given[f"{layer}.lora_up.weight"] @ given[f"{layer}.lora_down.weight"]
            wanted = (wanted.float() + 1.0 * (ALPHA / RANK) * product).to(dtype)
        assert torch.equal(after, wanted), name


def test_an_adapter_without_alpha_is_added_whole() -> None:
    network = tiny.tiny_network()
    before = originals(network)
    given = {name: tensor for name, tensor in adapter(before).items() if not name.endswith("alpha")}
    lora.merge(network, given, strength=0.5)
    product = given["lora_unet__head_head.lora_up.weight"] @ given["lora_unet__head_head.lora_down.weight"]
    assert torch.allclose(originals(network)["head.head.weight"], before["head.head.weight"] + 0.5 * product)


def test_a_layer_that_is_not_there_is_named_and_nothing_is_merged() -> None:
    network = tiny.tiny_network()
    before = originals(network)
    given = adapter(before)
    for part in ("lora_down.weight", "lora_up.weight"):
        given[f"lora_unet__blocks_9_ffn_0.{part}"] = given[f"lora_unet__blocks_0_ffn_0.{part}"]
    with pytest.raises(BadOption, match="lora_unet__blocks_9_ffn_0"):
        lora.merge(network, given)
    assert all(torch.equal(before[name], weight) for name, weight in originals(network).items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lora_unet__head_head.lora_up.weight": torch.zeros(64, 3)}, "lora_unet__head_head"),
        ({"lora_unet__head_head.lora_down.weight": torch.zeros(4, 7)}, "lora_unet__head_head"),
        ({"lora_te_encoder.lora_up.weight": torch.zeros(1, 4)}, "lora_te_encoder.lora_up.weight"),
        ({"lora_unet__head_head.dora_scale": torch.zeros(1)}, "lora_unet__head_head.dora_scale"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(change: dict[str, Tensor], named: str) -> None:
    network = tiny.tiny_network()
    with pytest.raises(BadOption, match=named):
        lora.merge(network, adapter(originals(network)) | change)


def test_half_an_update_is_named() -> None:
    network = tiny.tiny_network()
    given = adapter(originals(network))
    del given["lora_unet__text_embedding_0.lora_up.weight"]
    with pytest.raises(BadOption, match=r"lora_unet__text_embedding_0\.lora_up\.weight"):
        lora.merge(network, given)
