"""The minimum cut weighs evidence against edges."""

import numpy as np

from services.sam2.cut import edge_guide, minimum_cut


def test_noisy_evidence_is_drawn_to_the_edge_of_the_picture() -> None:
    random = np.random.default_rng(0)
    truth = np.zeros((80, 100), np.bool_)
    truth[25:60, 30:75] = True
    picture = np.where(truth[..., None], 140, 100) + random.normal(0, 4, (80, 100, 2))
    shrunk = np.zeros_like(truth)
    shrunk[29:56, 34:71] = True
    odds = np.where(shrunk, 1.0, np.where(truth, 0.0, -1.0)) + random.normal(0, 1.5, truth.shape)
    found = minimum_cut(odds.astype(np.float32), np.clip(picture, 0, 255).astype(np.uint8))
    assert (found & truth).sum() / (found | truth).sum() > 0.97


def test_a_lone_pixel_of_weak_evidence_is_smoothed_away_and_a_patch_of_it_is_not() -> None:
    textured = np.random.default_rng(0).integers(60, 200, (40, 40, 2)).astype(np.uint8)
    odds = np.full((40, 40), -3, np.float32)
    odds[10, 10] = 3
    odds[20:32, 20:32] = 3
    found = minimum_cut(odds, textured)
    assert not found[10, 10]
    assert found[24:28, 24:28].all()


def test_no_evidence_for_the_object_gives_an_empty_mask() -> None:
    assert not minimum_cut(np.full((20, 20), -1, np.float32), np.zeros((20, 20, 2), np.uint8)).any()


def test_edge_guide_shows_a_change_of_colour_at_equal_lightness() -> None:
    lab = np.full((10, 20, 3), 50, np.float32)
    lab[:, 10:, 1:] = -30
    guide = edge_guide(lab).astype(int)
    assert guide.shape == (10, 20, 2)
    assert (abs(guide[:, 9, 1] - guide[:, 10, 1]) > 40).all() and (guide[:, 9, 0] == guide[:, 10, 0]).all()
