"""Training pairs of the solver's network, cut from a clip made by hand."""

import numpy as np
import pytest

from training.data.object_paste import Clip, Layer
from training.data.omnimatte import Sample, samples_of

HEIGHT, WIDTH, FRAMES = 64, 96, 3


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A red square with a shadow under it on a grey ramp."""
    rgba = np.zeros((FRAMES, HEIGHT, WIDTH, 4), np.float32)
    rgba[:, 16:40, 30:54] = 0.8, 0.1, 0.1, 1
    shadow = np.ones((FRAMES, HEIGHT, WIDTH, 3), np.float32)
    shadow[:, 40:52, 30:60] = 0.5
    ramp = np.linspace(0.3, 0.8, WIDTH, dtype=np.float32)[None, None, :, None]
    background = np.broadcast_to(ramp, (FRAMES, HEIGHT, WIDTH, 3)).copy()
    return Clip(background, (Layer(rgba, shadow, np.zeros_like(rgba), np.full(FRAMES, 0.5, np.float32)),))


def _samples(clip: Clip, seed: int) -> list[Sample]:
    return list(samples_of(clip, 0, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(6))
def test_every_frame_at_base_resolution_and_one_larger(clip: Clip, seed: int) -> None:
    *base, large = _samples(clip, seed)
    assert len(base) == FRAMES
    assert large.own.shape == (HEIGHT, WIDTH)
    for sample in (*base, large):
        assert sample.own.shape[0] <= HEIGHT
        for name, part in vars(sample).items():
            assert part.shape[:2] == sample.own.shape, name
            assert np.isfinite(part).all()
            assert part.min() >= 0
            assert part.max() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_the_truth_holds_object_and_shadow_and_the_guess_is_near(clip: Clip, seed: int) -> None:
    large = _samples(clip, seed)[-1]
    assert large.alpha[20:36, 34:50].min() == 1
    assert large.alpha[44:48, 34:56] == pytest.approx(0.5, abs=0.01)
    assert np.abs(large.guess - large.alpha).mean() < 0.05


def test_the_same_seed_gives_the_same_pairs(clip: Clip) -> None:
    for one, two in zip(_samples(clip, 3), _samples(clip, 3), strict=True):
        for name, part in vars(one).items():
            assert np.array_equal(part, vars(two)[name]), name
