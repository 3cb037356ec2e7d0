"""Guided super-resolution, whatever its weights: what it must copy and what it cannot see."""

import torch

from training.recipes.ssr import GuidedUpscaler, compose, plate_detail


def _guides(size: int = 48) -> torch.Tensor:
    """A random guide whose Casper result equals the enlarged original and the plate's, nothing removed."""
    generator = torch.Generator().manual_seed(0)
    low, image = (torch.rand(1, 3, size, size, generator=generator) for _ in range(2))
    return torch.cat(
        [low, image, low, torch.full((1, 1, size, size), 0.5), image, low, torch.ones(1, 1, size, size)], dim=1
    )


def _wild_network() -> GuidedUpscaler:
    torch.manual_seed(1)
    network = GuidedUpscaler()
    torch.nn.init.normal_(network.head.weight, std=0.5)
    return network.eval()


@torch.inference_mode()
def test_where_nothing_changed_the_original_is_copied_exactly() -> None:
    guides = _guides()
    assert torch.equal(_wild_network()(guides), guides[:, 3:6])


@torch.inference_mode()
def test_the_detail_of_a_removed_object_cannot_reach_the_result() -> None:
    network, guides = _wild_network(), _guides()
    guides[:, 9, 8:40, 8:40] = 0
    other = guides.clone()
    other[:, 3:6, 8:40, 8:40] = torch.rand(3, 32, 32)
    inside = (..., slice(8, 40), slice(8, 40))
    assert torch.allclose(network(guides)[inside], network(other)[inside], atol=1e-5)


def test_detail_grows_with_the_light() -> None:
    guides = _guides(8)
    guides[:, 6:9], guides[:, 3:6], guides[:, 0:3] = 0.2, 0.25, 0.4
    made = compose(
        guides, gate=torch.ones(1, 1, 8, 8), believed=torch.zeros(1, 1, 8, 8), correction=torch.zeros(1, 3, 8, 8)
    )
    assert torch.allclose(made, torch.full_like(made, 0.4 + 0.05 * 0.42 / 0.22))


def test_the_plate_counts_only_where_it_was_seen_and_casper_agrees() -> None:
    guides = _guides(16)
    assert torch.allclose(plate_detail(guides), guides[:, 10:13] - guides[:, 13:16])
    guides[:, 16] = 0
    assert not plate_detail(guides).any(), "unseen"
    guides[:, 16] = 1
    guides[:, 0:3] = 1 - guides[:, 13:16].round()
    assert not plate_detail(guides).any(), "Casper shows something else"
