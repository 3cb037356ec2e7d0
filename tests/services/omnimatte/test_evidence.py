"""What is read off a pair of frames before anything is learned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.omnimatte import colour, evidence

_UNIT = st.floats(0, 1, width=32)


def flat(value: float, *, height: int = 12, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), value, np.float32)


def test_a_black_shadow_is_as_opaque_as_it_darkens() -> None:
    least = evidence.least_alpha(flat(0.3), flat(0.6), np.zeros((12, 16), np.float32), blur=1)
    assert np.allclose(least, 0.5, atol=1e-4)


@given(solo=_UNIT, background=st.floats(0.1015625, 0.8984375, width=32))
def test_the_least_alpha_lets_a_colour_explain_the_pixel(solo: float, background: float) -> None:
    front, back = flat(solo), flat(background)
    least = evidence.least_alpha(front, back, np.zeros((12, 16), np.float32), blur=1)
    found = colour.uncomposited(front, back, least, prior=front, trust=0) if least.max() > 1e-3 else front
    composed = least[..., None] * found + (1 - least[..., None]) * back
    assert np.abs(composed - front).max() < 2e-3


def test_the_object_does_not_smear_into_its_surroundings() -> None:
    solo, own = flat(0.5), np.zeros((12, 16), np.float32)
    own[4:8, 5:10] = 1
    solo[4:8, 5:10] = 0
    assert evidence.least_alpha(solo, flat(0.5), own, blur=1)[own == 0].max() < 1e-4


def test_noise_is_no_effect_but_a_shadow_at_the_object_is() -> None:
    rng = np.random.default_rng(0)
    least = np.abs(rng.normal(0, 0.01, (64, 96))).astype(np.float32)
    own = np.zeros((64, 96), np.float32)
    own[20:40, 30:40] = 1
    least[36:40, 40:60] = 0.3
    noise = evidence.noise_floor(least[evidence.away(own, 0 * own)])
    region = evidence.effects(least, own, np.zeros_like(own), noise=noise)
    assert region[36:40, 41:59].all()
    assert not region[:, 70:].any()


def test_what_only_another_object_shows_is_not_an_effect() -> None:
    own, others = np.zeros((64, 96), np.float32), np.zeros((64, 96), np.float32)
    own[20:40, 20:30] = 1
    others[20:40, 70:80] = 1
    least = 0.15 * others
    assert not evidence.effects(least, own, others, noise=0.005)[:, 60:].any()


def test_an_exposure_offset_is_taken_out() -> None:
    everywhere = np.ones((12, 16), bool)
    assert np.allclose(evidence.matched(flat(0.52), flat(0.5), everywhere), 0.52, atol=1e-6)


def test_flicker_is_filled_from_both_sides() -> None:
    regions = np.array([1, 0, 1, 0, 0], bool).reshape(5, 1, 1)
    assert evidence.steady(regions).ravel().tolist() == [True, True, True, False, False]
    assert evidence.steady(regions[:1]).all()


def test_empty_parts_take_the_nearest_colour() -> None:
    image, weight = flat(0.9), np.zeros((12, 16), np.float32)
    image[:, :4], weight[:, :4] = 0.2, 1
    assert np.allclose(colour.spread(image, weight), 0.2, atol=1e-4)


def test_where_a_layer_is_its_alpha_is_enough_to_explain_the_pixel() -> None:
    background = np.full((4, 4, 3), 0.5, np.float32)
    solo, alpha = background.copy(), np.zeros((4, 4), np.float32)
    solo[0] = 0.3  # needs 0.4
    solo[1] = [0.5, 0.5, 0.75]  # needs 0.5, for one channel
    alpha[0, :2], alpha[1], alpha[2] = 0.2, 0.8, 0.3
    found = evidence.enough(alpha, solo, background)
    assert found[0] == pytest.approx([0.4, 0.4, 0, 0]), "raised where the layer is, and nowhere else"
    assert np.array_equal(found[1:], alpha[1:]), "what is enough stays"
