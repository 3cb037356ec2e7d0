"""The built-in scenes, scenes at base resolution, and the benchmark's folder layout."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluate.toys import scene
from training.data.object_paste import Clip, Layer
from training.evaluate import benchmark, metrics, sets


def _clip(*, frames: int = 2, height: int = 40, width: int = 60) -> Clip:
    """Two objects whose coloured shadows and reflections are random: the worst case for one alpha."""
    rng = np.random.default_rng(3)

    def layer(x: int) -> Layer:
        shadow = np.ones((frames, height, width, 3), np.float32)
        shadow[:, 20:30, x : x + 20] = rng.uniform(0.3, 0.9, 3)
        reflection = np.zeros((frames, height, width, 4), np.float32)
        reflection[:, 24:34, x : x + 12] = (*rng.random(3), 0.4)
        rgba = np.zeros((frames, height, width, 4), np.float32)
        rgba[:, 5:24, x : x + 15] = (*rng.random(3), 1)
        rgba[:, 4, x : x + 15] = (*rng.random(3), 0.5)
        return Layer(rgba, shadow, reflection, np.full(frames, 0.5, np.float32))

    return Clip(rng.random((frames, height, width, 3), dtype=np.float32), (layer(5), layer(14)))


def test_a_clip_becomes_a_scene_whose_layers_are_exact() -> None:
    clip = _clip()
    made = sets.from_clip(clip, name="x", rng=np.random.default_rng(0))
    assert made.solos is not None and made.layers is not None and made.background is not None
    for solo, layer in zip(made.solos / 255, made.layers / 255, strict=True):
        composed = layer[..., :3] * layer[..., 3:] + made.background / 255 * (1 - layer[..., 3:])
        assert np.abs(composed - solo).max() < 0.01
    assert not (made.masks.astype(int).sum(axis=-1) > 255).any()


def test_objects_are_shuffled_and_the_order_follows() -> None:
    clip = _clip()
    orders = set()
    for seed in range(8):
        made = sets.from_clip(clip, name="x", rng=np.random.default_rng(seed))
        assert made.order is not None and made.layers is not None
        front = int(made.order[0, -1])
        orders.add(front)
        # What is behind is hidden where the front object shows, and nowhere the other way round.
        opaque = made.layers[..., 3] == 255
        assert (opaque[1 - front] & (made.masks[..., front] > 0)).any()
        assert not (opaque[front] & (made.masks[..., 1 - front] > 0)).any()
    assert orders == {0, 1}


def test_scenes_shrink_to_base_resolution_with_everything_they_know() -> None:
    large = scene(height=256, width=448, frames=2)
    small = sets.at_base(large)
    assert small.video.shape == (2, 128, 224, 3) and small.masks.shape == (2, 128, 224, 2)
    assert small.layers is not None and small.layers.shape == (2, 2, 128, 224, 4)
    assert set(np.unique(small.masks)) == {0, 255}
    assert sets.at_base(small) is small
    assert small.background is not None
    layer, solo = small.layers[0] / np.float32(255), small.solos[0] / np.float32(255)  # type: ignore[index]
    composed = layer[..., :3] * layer[..., 3:] + small.background / np.float32(255) * (1 - layer[..., 3:])
    found = metrics.psnr(composed.astype(np.float32), solo)
    assert found is not None and found > 35


def test_the_held_out_set_is_the_same_every_time_and_grows_at_its_end() -> None:
    try:
        longer = sets.object_paste(2, frames=2)
    except FileNotFoundError:
        pytest.skip("the pictures are not installed")
    (first,) = sets.object_paste(1, frames=2)
    assert first.name == longer[0].name and np.array_equal(first.video, longer[0].video)
    assert not np.array_equal(longer[0].video, longer[1].video)


def test_the_benchmarks_folder_is_read(published: Path) -> None:
    found = benchmark.load(published)
    toy = scene()
    assert [one.name for one in found] == ["kubric-car", "movie-dog"]
    for one in found:
        assert np.array_equal(one.video, toy.video)
        assert np.array_equal(one.masks, toy.masks)
        assert one.background is not None and toy.background is not None
        assert np.array_equal(one.background, toy.background)


def test_a_scene_without_truth_is_named(published: Path) -> None:
    (published / "movie" / "dog" / "rgb_bg").rename(published / "elsewhere")
    with pytest.raises(FileNotFoundError, match="dog"):
        benchmark.load(published)
    with pytest.raises(FileNotFoundError, match="no scene"):
        benchmark.load(published / "elsewhere")
