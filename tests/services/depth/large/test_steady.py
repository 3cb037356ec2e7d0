"""One scale for frames that were estimated one by one."""

import numpy as np
import pytest

from services.depth.large.steady import matched, steadied


def scene(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (np.linspace(1, 9, 48)[:, None] + random.random((48, 64))).astype(np.float32)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (2.5, -3.0), (0.1, 40.0)])
def test_scale_and_shift_are_found(scale: float, shift: float) -> None:
    found = matched(scene(), (scale * scene() + shift).astype(np.float32))
    assert found == pytest.approx((scale, shift), abs=1e-3)


def test_a_moving_object_has_no_say() -> None:
    target = 2 * scene() + 1
    target[10:30, 5:20] = 50
    assert matched(scene(), target) == pytest.approx((2, 1), abs=0.05)


def test_noise_does_not_shrink_the_range() -> None:
    random = np.random.default_rng(1)
    maps = [scene() + 0.5 * random.standard_normal((48, 64)).astype(np.float32) for _ in range(200)]
    last = list(steadied(maps, leak=0.0))[-1]
    assert np.ptp(np.quantile(last, [0.1, 0.9])) == pytest.approx(np.ptp(np.quantile(scene(), [0.1, 0.9])), rel=0.1)


def test_flicker_goes() -> None:
    random = np.random.default_rng(2)
    maps = [scene() * random.uniform(0.7, 1.4) + random.uniform(-1, 1) for _ in range(60)]
    before, after = (np.array([m.mean() for m in maps]), np.array([m.mean() for m in steadied(maps)]))
    assert np.abs(np.diff(after)).mean() < 0.05 * np.abs(np.diff(before)).mean()


def test_errors_do_not_add_up_over_a_long_clip() -> None:
    random = np.random.default_rng(3)
    maps = (scene(7) * random.uniform(0.9, 1.1) for _ in range(600))
    means = np.array([m.mean() for m in steadied(maps)])
    assert 0.7 * scene(7).mean() < means.min() and means.max() < 1.3 * scene(7).mean()


def test_a_cut_begins_anew() -> None:
    after = np.random.default_rng(4).random((48, 64)).astype(np.float32)
    assert np.array_equal(list(steadied([scene(), after]))[1], after)


@pytest.mark.parametrize("flat", [0.0, 3.0])
def test_flat_maps_do_no_harm(flat: float) -> None:
    made = list(steadied([np.full((8, 8), flat, np.float32), scene(), np.full((8, 8), flat, np.float32)][:1] * 3))
    assert np.isfinite(made).all() and np.allclose(made, flat)
