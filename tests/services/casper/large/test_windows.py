"""Windows over latents: the released plans to the letter, every latent covered, blending exact."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.casper.large.windows import COGVIDEOX, WAN, Rule, blended, plan_windows, ramp_weights

RULES = st.tuples(st.integers(2, 30), st.integers(0, 15), st.sampled_from(["short", "full"])).filter(
    lambda r: 2 * r[1] <= r[0]
)


def spans(latents: int, rule: Rule) -> list[tuple[int, int]]:
    return [(w.start, w.stop) for w in plan_windows(latents, rule)]


def test_the_plans_of_the_release() -> None:
    assert spans(22, COGVIDEOX) == [(0, 22)]
    assert spans(24, COGVIDEOX) == [(0, 22), (18, 24)]
    assert spans(40, COGVIDEOX) == [(0, 22), (18, 40)]
    assert spans(50, COGVIDEOX) == [(0, 22), (18, 40), (36, 50)]
    assert spans(21, WAN) == [(0, 21)]
    assert spans(22, WAN) == [(0, 21), (1, 22)]
    assert spans(50, WAN) == [(0, 21), (17, 38), (29, 50)]


@given(st.integers(1, 200), RULES)
def test_windows_cover_the_clip_and_overlap(latents: int, parts: tuple[int, int, str]) -> None:
    rule = Rule(window=parts[0], overlap=parts[1], last=parts[2])  # type: ignore[arg-type]
    windows = plan_windows(latents, rule)
    assert windows[0].start == 0 and windows[-1].stop == latents
    for left, right in pairwise(windows):
        assert left.start < right.start <= left.stop - rule.overlap
    assert all(len(w) == rule.window for w in windows[:-1])
    assert rule.overlap < len(windows[-1]) <= rule.window or len(windows) == 1
    if rule.last == "full":
        assert len(windows[-1]) == min(latents, rule.window)


@given(st.integers(1, 60).map(lambda k: 2 * k))
def test_cogvideox_windows_hold_whole_pairs_of_latents(latents: int) -> None:
    assert all(w.start % 2 == 0 and w.stop % 2 == 0 for w in plan_windows(latents, COGVIDEOX))


@given(st.integers(1, 80), RULES, st.integers(0, 9))
def test_windows_that_agree_blend_to_what_they_agree_on(latents: int, parts: tuple[int, int, str], seed: int) -> None:
    rule = Rule(window=parts[0], overlap=parts[1], last=parts[2])  # type: ignore[arg-type]
    clip = torch.randn(1, 2, latents, 1, 1, generator=torch.Generator().manual_seed(seed))
    windows = plan_windows(latents, rule)
    result = blended(
        windows, (clip[:, :, w.start : w.stop] for w in windows), ramp_weights(windows, overlap=rule.overlap)
    )
    assert result.dtype == torch.float32
    assert torch.allclose(result, clip, atol=1e-6)


@pytest.mark.parametrize("latents, rule", [(24, COGVIDEOX), (50, COGVIDEOX), (22, WAN), (50, WAN)])
def test_blending_is_the_weighted_mean_of_the_release(latents: int, rule: Rule) -> None:
    """Written out latent by latent: ramps 0.2..0.8 on the first and last four of a window, over their sum."""
    windows = plan_windows(latents, rule)
    results = [torch.randn(1, 3, len(w), 2, 2, generator=torch.Generator().manual_seed(w.start)) for w in windows]
    found = blended(windows, results, ramp_weights(windows, overlap=rule.overlap))
    for latent in range(latents):
        value, total = torch.zeros(1, 3, 2, 2, dtype=torch.float64), 0.0
        for i, (window, result) in enumerate(zip(windows, results, strict=True)):
            if not window.start <= latent < window.stop:
                continue
            weight, place = 1.0, latent - window.start
            if i > 0 and place < 4:
                weight = [0.2, 0.4, 0.6, 0.8][place]
            left = window.stop - 1 - latent
            if i + 1 < len(windows) and left < 4:
                weight = [0.2, 0.4, 0.6, 0.8][left]
            value += weight * result[:, :, place].double()
            total += weight
        assert torch.allclose(found[:, :, latent].double(), value / total, atol=1e-6)


def test_half_precision_results_are_blended_in_float32() -> None:
    windows = plan_windows(24, COGVIDEOX)
    results = [torch.full((1, 1, len(w), 1, 1), 1 + 2**-7 * i, dtype=torch.bfloat16) for i, w in enumerate(windows)]
    found = blended(windows, results, ramp_weights(windows, overlap=4))
    assert found.dtype == torch.float32
    assert found[0, 0, 18, 0, 0] == pytest.approx((0.8 + 0.2 * (1 + 2**-7)) / 1.0, abs=1e-6)


def test_an_overlap_over_half_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap 3"):
        Rule(window=5, overlap=3, last="short")
