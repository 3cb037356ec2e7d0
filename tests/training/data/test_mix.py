"""Scene files mixed into the training stream."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.data import mix, scenes
from training.data.casper import CasperSamples, draw_sample

KEYS = {"video", "plate", "target", "trimask", "seen", "changed", "caption"}


def _scene(path: Path, *, category: scenes.Category, seed: int, frames: int = 6) -> None:
    """Two squares on noise, one of them with a shadow stripe."""
    rng = np.random.default_rng(seed)
    background = np.broadcast_to(rng.integers(40, 255, (48, 64, 3), np.uint8), (frames, 48, 64, 3)).copy()
    masks = np.zeros((frames, 48, 64, 2), np.uint8)
    solos = np.stack([background, background])
    for t in range(frames):
        for i in range(2):
            inside = (slice(10 + 20 * i, 20 + 20 * i), slice(4 + 6 * t, 14 + 6 * t))
            masks[t][(*inside, i)] = 255
            solos[i, t][inside] = 200 * i
            solos[i, t][20 + 20 * i : 23 + 20 * i, 4 + 6 * t : 14 + 6 * t] //= 2
    video = background.copy()
    for solo in solos:
        video = np.where(solo != background, solo, video)
    kept = solos if category == "kubric" else None
    scenes.save(scenes.Scene(path.stem, category, video, masks, background, kept, caption="An empty view."), path)


@pytest.fixture
def folders(tmp_path: Path) -> dict[scenes.Category, Path]:
    for seed in range(3):
        _scene(tmp_path / "kubric" / f"{seed}.npz", category="kubric", seed=seed)
        _scene(tmp_path / "tripod" / f"{seed}.npz", category="tripod", seed=seed)
    return {"kubric": tmp_path / "kubric", "tripod": tmp_path / "tripod", "omnimatte": tmp_path / "none"}


def _samples(folders: dict[scenes.Category, Path], count: int, *, frames: int = 2) -> list[dict[str, Any]]:
    only_files = mix.Mix(object_paste=0, kubric=0.7, tripod=0.2, omnimatte=0.1)
    stream = CasperSamples(
        split="train", seed=4, frames=frames, height=32, width=48, folders=folders, weights=only_files, file_pool=2
    )
    return list(islice(stream, count))


def test_the_stream_is_the_same_at_the_same_seed(folders: dict[scenes.Category, Path]) -> None:
    first, again = (_samples(folders, 25) for _ in range(2))
    tensors = KEYS - {"caption"}
    assert all(torch.equal(a[key], b[key]) for a, b in zip(first, again, strict=True) for key in tensors)
    assert all(set(sample) == KEYS and sample["video"].shape == (3, 2, 32, 48) for sample in first)


def test_captions_of_scene_files_reach_the_batch(folders: dict[scenes.Category, Path]) -> None:
    assert {sample["caption"] for sample in _samples(folders, 3)} == {"An empty view."}


def test_what_is_unchanged_is_equal_in_input_and_target(folders: dict[scenes.Category, Path]) -> None:
    for sample in _samples(folders, 25):
        still = (sample["changed"] == 0).expand_as(sample["video"])
        assert torch.equal(sample["video"][still], sample["target"][still])
        # White promises that nothing changes, except along the grown rim of a kept object.
        white = (sample["trimask"] == 1).expand_as(sample["changed"])
        assert sample["changed"][white].float().mean().nan_to_num() < 0.2


def test_a_scene_that_is_too_short_is_played_back_and_forth(folders: dict[scenes.Category, Path]) -> None:
    assert _samples(folders, 1, frames=15)[0]["video"].shape == (3, 15, 32, 48)


def test_only_truths_that_are_known_are_asked_for(folders: dict[scenes.Category, Path]) -> None:
    rng = np.random.default_rng(0)
    for category in ("kubric", "tripod"):
        window = mix.FileScene(folders[category] / "0.npz").window(rng, frames=2)
        keeps = {window.choose_keep(rng) for _ in range(200)}
        assert keeps == ({(), (0,), (1,), (0, 1)} if category == "kubric" else {(), (0, 1)})
        assert set(draw_sample(window, rng, height=32, width=48)) == KEYS


def test_missing_categories_leave_their_share_to_the_others() -> None:
    assert mix.PAPER.shares({"kubric", "object-paste"}) == pytest.approx({"object-paste": 0.04, "kubric": 0.96})
    with pytest.raises(ValueError, match="no share"):
        mix.Mix(1, 0, 0, 0).shares({"kubric"})
