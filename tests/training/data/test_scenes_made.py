"""Scene files made by Object-Paste and from decompositions: their parts fit each other."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.errors import BadInput
from training.data import captions, omnimatte_like, scenes
from training.data.assets import SOURCES, Assets, find
from training.data.paste_scene import paste_scene


@pytest.fixture(scope="module")
def assets() -> Assets:
    try:
        found = find("train")
    except FileNotFoundError:
        pytest.skip("the packages of pictures are not installed")
    return Assets(found.cutouts[:20], found.photos[:5])


def _over(layer: np.ndarray, back: np.ndarray) -> np.ndarray:
    alpha = layer[..., 3:] / 255
    return layer[..., :3] * alpha + back * (1 - alpha)


def test_layers_over_the_background_make_solos_and_video(assets: Assets) -> None:
    for seed in range(3):
        scene = paste_scene(assets, seed=seed, split="train", frames=3, height=64, width=96)
        assert scene.background is not None and scene.solos is not None and scene.layers is not None
        picture = scene.background.astype(np.float32)
        for i in range(scene.objects):
            error = np.abs(_over(scene.layers[i], scene.background) - scene.solos[i])
            assert error.mean() < 0.3 and np.percentile(error, 99) <= 2
            picture = _over(scene.layers[i], picture)
        assert np.abs(picture - scene.video).mean() < 0.5


def test_a_seed_always_gives_the_same_scene_and_survives_the_disk(assets: Assets, tmp_path: Path) -> None:
    made = [paste_scene(assets, seed=5, split="train", frames=2, height=64, width=96) for _ in range(2)]
    scenes.save(made[0], tmp_path / "a.npz")
    read = scenes.load(tmp_path / "a.npz")
    assert np.array_equal(read.video, made[1].video) and read.caption == made[1].caption != ""
    assert read.order is not None and read.order.shape == (2, read.objects)


def _result(folder: Path, *, psnr: float, frames: int = 3) -> Path:
    """A result folder: two opaque discs, the first with a shadow; "near" in front."""
    rng = np.random.default_rng(0)
    for t in range(frames):
        images = {"background": cv2.resize(rng.integers(0, 255, (8, 14, 3), np.uint8), (448, 256))}
        for k, label in enumerate(("far", "near")):
            rgba = np.zeros((256, 448, 4), np.uint8)
            cv2.ellipse(rgba, (200 + 60 * k, 210), (60, 20), 0, 0, 360, (0, 0, 0, 140), -1)
            cv2.circle(rgba, (200 + 60 * k, 140), 50, (40, 200 * k, 200, 255), -1)
            images[f"layers/{label}"] = rgba
        for stem, image in images.items():
            (folder / stem).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / stem / f"{t:05d}.png"), image)
    layers = [{"label": n, "files": {"png": f"layers/{n}/%05d.png"}} for n in ("far", "near")]
    content = {
        "frames": frames,
        "background": {"files": {"png": "background/%05d.png"}},
        "layers": layers,
        "occluders": [],
        "order": [["near", "far"]] * frames,
        "recomposition": {"psnr_db": psnr},
    }
    (folder / "layers.json").write_text(json.dumps(content))
    return folder


def test_the_input_of_an_omnimatte_pair_is_what_its_layers_make(tmp_path: Path) -> None:
    scene = omnimatte_like.pair_of(_result(tmp_path / "good", psnr=45))
    assert scene.background is not None and scene.layers is not None and scene.order is not None
    assert scene.order[0].tolist() == [0, 1]
    picture = scene.background.astype(np.float32)
    for i in scene.order[0]:
        picture = _over(scene.layers[i], picture)
    assert np.abs(picture - scene.video).mean() < 1
    # The far disc is cut by the near one, and shadows are in no mask.
    areas = (scene.masks[0] > 0).sum(axis=(0, 1))
    assert areas[0] < 0.9 * areas[1] and areas[1] == pytest.approx(np.pi * 25**2, rel=0.1)


def test_poor_or_missing_results_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 38 dB"):
        omnimatte_like.pair_of(_result(tmp_path / "poor", psnr=30, frames=1))
    with pytest.raises(BadInput, match=r"layers\.json"):
        omnimatte_like.pair_of(tmp_path / "nothing")


def test_captions_say_what_is_there() -> None:
    assert captions.caption("dune") == "An empty view of dune."
    said = captions.caption("a lawn", ["orange", "orange", "cat"], camera="a static camera")
    assert said == "Two oranges and a cat in front of a lawn, filmed by a static camera."
    assert captions.place(Path("/b/Bridge_by_Sander_Klootwijk.jpg")) == "bridge"
    assert captions.place(Path("/usr/share/wallpapers/BytheWater/contents/images/1920x1080.jpg")) == "bythe water"


def test_every_source_names_its_licence() -> None:
    assert len({s.package for s in SOURCES}) == len(SOURCES) == 5
    assert all(s.licences and s.what for s in SOURCES)
