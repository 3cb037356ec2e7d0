"""The arithmetic floor, against PyTorch's own count and against published counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from services.casper.cogvideox import inputs, model
from services.casper.large import flops
from services.casper.wan import network as wan


@pytest.mark.parametrize(
    ("family", "latents", "size", "petaflop"),
    [
        ("cogvideox", 22, (384, 672), 8.7),
        ("cogvideox", 50, (384, 672), 22.2),
        ("wan-1.3b", 21, (480, 832), 14.2),
        ("wan-14b", 21, (480, 832), 84),
    ],
)
def test_a_run_of_fifty_steps_is_what_the_literature_counts(
    family: str, latents: int, size: tuple[int, int], petaflop: float
) -> None:
    height, width = size
    counted = flops.of_run(flops.SHAPES[family], latents=latents, height=height, width=width, steps=50)
    assert counted / 1e15 == pytest.approx(petaflop, rel=0.02)


def test_the_formula_of_cogvideox_is_what_pytorch_counts_at_full_size() -> None:
    network = model.build(model.PUBLISHED)
    stacked = torch.empty(1, 22, 33, 48, 84, device="meta")
    rotary = tuple(one.to("meta") for one in inputs.rotary(network.config, torch.empty(1, 22, 33, 48, 84)))
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(
            hidden_states=stacked,
            encoder_hidden_states=torch.empty(1, 226, 4096),
            timestep=torch.empty(1),
            image_rotary_emb=rotary,
            return_dict=False,
        )
    assert counter.get_total_flops() == pytest.approx(flops.cogvideox(11 * 24 * 42), rel=0.001)


def test_the_formula_of_wan_is_what_pytorch_counts_at_full_size() -> None:
    shape = wan.SHAPES["1.3b"]
    network = wan.build(shape)
    network.rope = network.rope.to("meta")
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        wan.predict(
            network,
            torch.empty(1, 36, 21, 60, 104),
            timestep=500.0,
            text=torch.empty(1, 512, 4096),
            image=torch.empty(1, 257, 1280),
        )
    formula = flops.wan(21 * 30 * 52, layers=30, width=1536, hidden=8960)
    assert counter.get_total_flops() == pytest.approx(formula, rel=0.001)
