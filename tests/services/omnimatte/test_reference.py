"""The paper's objective and network, as facts that can be computed by hand."""

from __future__ import annotations

import pytest
import torch

from services.omnimatte.reference import losses
from services.omnimatte.reference.solve import BASE, WORKING
from services.omnimatte.reference.unet import FEATURES, ReferenceUNet


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (64, 96), (5, 7)])
def test_alpha_has_the_frame_s_size_and_is_an_opacity(size: tuple[int, int]) -> None:
    alpha = ReferenceUNet()(torch.rand(2, FEATURES, *size))
    assert alpha.shape == (2, 1, *size)
    assert alpha.min() >= 0 and alpha.max() <= 1


def test_the_network_has_the_published_size() -> None:
    # Published with four outputs and affine batch normalisation: 2,629,860.
    count = sum(p.numel() for p in ReferenceUNet().parameters())
    assert count == 2_629_860 - 3 * (32 * 16 + 1)


def test_a_frame_s_alpha_does_not_depend_on_the_others_of_its_batch() -> None:
    network, features = ReferenceUNet(), torch.rand(3, FEATURES, 32, 64)
    assert torch.allclose(network(features)[:1], network(features[:1]), atol=1e-5)


def test_sparsity_grows_with_alpha_and_with_the_object() -> None:
    small, large = torch.zeros(1, 1, 10, 10), torch.ones(1, 1, 10, 10)
    small[..., :1, :] = 1
    alphas = [torch.full((1, 1, 10, 10), a) for a in (0.0, 0.1, 0.5, 1.0)]
    values = [float(losses.sparsity(a, large, beta1=10, beta0=1)) for a in alphas]
    assert values == sorted(values) and values[0] == 0
    assert float(losses.sparsity(alphas[2], small, beta1=10, beta0=1)) == pytest.approx(values[2] / 10)
    # beta1 * 0.5 + beta0 * (2 sigmoid(2.5) - 1), in units of 0.075.
    assert values[2] == pytest.approx(0.075 * (5 + 0.8483), abs=1e-4)


def test_mask_supervision_counts_inside_and_outside_alike() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :2, :2] = 1
    assert float(losses.mask_supervision(torch.zeros_like(mask), mask)) == pytest.approx(1)
    assert float(losses.mask_supervision(torch.ones_like(mask), mask)) == pytest.approx(1)
    nothing = torch.zeros_like(mask)
    assert torch.isfinite(losses.mask_supervision(nothing, nothing))


def test_edges_are_not_supervised() -> None:
    enlarged, where = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    where[..., 0, 0] = 1
    wrong = torch.ones(1, 1, 4, 4)
    wrong[..., 0, 0] = 0
    assert float(losses.alpha_supervision(wrong, enlarged, where)) == 0


def test_the_mask_teaches_ever_less_and_then_not_at_all() -> None:
    base = [BASE.weights.mask_at(step, 20_000) for step in (0, 10_000, 19_999)]
    assert base[0] == 20 and base == sorted(base, reverse=True) and base[-1] == pytest.approx(0.02)
    assert [WORKING.weights.mask_at(step, 20_000) for step in (0, 1_999, 2_000)] == [10, 10, 0]
