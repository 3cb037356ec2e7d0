"""Detail transfer: the input's own pixels where they belong, and nowhere else."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.finish import transfer
from services.finish.sources import Frame, Layer
from services.finish.transfer import finish_frame, recompose, snap

H, W = 24, 40


def frame(image, background, layers, masks, dtype=np.uint8) -> Frame:
    peak = np.iinfo(dtype).max
    return Frame(
        index=0,
        image=np.rint(image * peak).astype(dtype),
        background=background.astype(np.float32),
        layers=tuple(Layer(rgb.astype(np.float32), alpha.astype(np.float32)) for rgb, alpha in layers),
        masks=masks,
        depth=np.zeros((2, 2), np.float16),
    )


def flat(color) -> np.ndarray:
    return np.broadcast_to(np.asarray(color, np.float32), (H, W, 3)).copy()


def box(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[6:18, x0:x1] = True
    return mask


def two_boxes(front: int = 0):
    """Two opaque boxes that overlap; object `front` is seen where they do. Layers' colours are blurred and off."""
    rng = np.random.default_rng(0)
    first, second = box(6, 22), box(16, 34)
    texture = rng.uniform(-0.1, 0.1, (H, W, 3))
    image = flat((0.5, 0.5, 0.5)) + texture
    order = [front, 1 - front]
    colors = [flat((0.9, 0.1, 0.1)), flat((0.1, 0.1, 0.9))]
    masks = np.stack([first, second], -1)
    for k in reversed(order):
        image = np.where(masks[..., k, None], colors[k] + texture, image)
    visible = masks.copy()
    visible[..., 1 - front] &= ~masks[..., front]
    layers = [(colors[k] * 0.9 + 0.03, masks[..., k, None] * 1.0) for k in range(2)]
    return np.clip(image, 0, 1), flat((0.5, 0.5, 0.5)), layers, visible, masks, order


def test_the_background_is_bit_identical_where_no_layer_touches_it():
    image, background, layers, visible, masks, order = two_boxes()
    for dtype in (np.uint8, np.uint16):
        source = frame(image, background, layers, visible, dtype)
        done = finish_frame(source, order, objects=[0, 1], peak=np.iinfo(dtype).max)
        free = cv2.dilate(masks.any(-1).astype(np.uint8), np.ones((3, 3))) == 0
        assert done.background.dtype == dtype
        assert np.array_equal(done.background[free], source.image[free])


def test_an_opaque_visible_layer_is_bit_identical_to_the_input():
    image, background, layers, visible, _, order = two_boxes()
    source = frame(image, background, layers, visible)
    done = finish_frame(source, order, objects=[0, 1], peak=255)
    for k in range(2):
        assert np.array_equal(done.layers[k][..., :3][visible[..., k]], source.image[visible[..., k]])
        assert (done.layers[k][..., 3][visible[..., k]] == 255).all()
    assert np.array_equal(recompose(done, order, peak=255)[visible.any(-1)], source.image[visible.any(-1)])


@pytest.mark.parametrize("given_order", [[0, 1], [1, 0]])
def test_an_occluders_colour_never_gets_into_the_layer_behind(given_order):
    # Whatever the order that somebody believes in: where object 0 is seen, layer 1 must keep its own colour.
    image, background, layers, visible, masks, _ = two_boxes(front=0)
    done = finish_frame(frame(image, background, layers, visible), given_order, objects=[0, 1], peak=255)
    behind = masks[..., 1] & visible[..., 0]
    assert behind.sum() > 30
    assert np.abs(done.layers[1][..., :3][behind].astype(int) - np.rint(layers[1][0][behind] * 255)).max() <= 1


def test_an_object_that_its_layer_missed_does_not_come_back_into_the_background():
    image, background, layers, visible, masks, order = two_boxes()
    nothing = [(rgb, alpha * 0) for rgb, alpha in layers]
    done = finish_frame(frame(image, background, nothing, visible), order, objects=[0, 1], peak=255)
    assert np.abs(done.background[masks.any(-1)].astype(int) - 128).max() <= 1


def test_an_occluder_without_a_layer_guards_all_the_same():
    image, background, layers, visible, masks, _ = two_boxes(front=0)
    done = finish_frame(frame(image, background, layers[1:], visible), [0], objects=[1], peak=255)
    behind = masks[..., 1] & visible[..., 0]
    assert np.abs(done.layers[0][..., :3][behind].astype(int) - np.rint(layers[1][0][behind] * 255)).max() <= 1


def test_soft_shadows_recompose_and_keep_the_background_clean():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:H, :W]
    ground = 0.5 + 0.2 * np.sin(x / 2)[..., None] * np.cos(y / 3)[..., None] * np.ones(3)
    alpha = 0.6 * np.exp(-(((x - 20) / 8.0) ** 2 + ((y - 12) / 5.0) ** 2))[..., None]
    image = (1 - alpha) * ground
    solved = np.clip(alpha + rng.normal(0, 0.03, alpha.shape), 0, 1) * (alpha > 0.01)
    plate = np.clip(ground + rng.normal(0, 0.02, ground.shape), 0, 1)
    source = frame(image, plate, [(np.zeros_like(ground), solved)], np.zeros((H, W, 1), bool))
    done = finish_frame(source, [0], objects=[0], peak=255)
    before = np.mean(((1 - solved) * plate - image) ** 2)
    assert done.square_error / 255**2 < before / 4
    dark = (alpha > 0.3)[..., 0]
    error = done.background[dark] / 255 - ground[dark]
    assert np.abs(error.mean()) < 0.02  # no shadow in the clean plate


def test_small_alphas_are_nothing_and_large_ones_everything():
    alpha = np.array([0.0, 0.007, 0.0079, 0.5, 0.981, 1.0], np.float32)
    assert snap(alpha, peak=255).tolist() == [
        0,
        0,
        np.float32(2) / np.float32(255),
        np.float32(128) / np.float32(255),
        1,
        1,
    ]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_layers_stay_in_range_and_recomposition_never_gets_worse(seed, count):
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 1, (H, W, 3))
    layers = [(rng.uniform(0, 1, (H, W, 3)), rng.uniform(0, 1, (H, W, 1)) ** 2) for _ in range(count)]
    background = rng.uniform(0, 1, (H, W, 3))
    source = frame(image, background, layers, np.zeros((H, W, max(1, count)), bool))
    order = list(rng.permutation(count))
    done = finish_frame(source, order, objects=list(range(count)), peak=255)
    picture = background.copy()
    for k in reversed(order):
        alpha = snap(layers[k][1].astype(np.float32), peak=255)
        picture = alpha * layers[k][0] + (1 - alpha) * picture
    assert done.square_error <= np.mean((picture * 255 - source.image) ** 2) + 1.0
    for layer in done.layers:
        assert (layer[layer[..., 3] == 0] == 0).all()


@pytest.mark.parametrize("objects", [[0, 1], [0]], ids=["two layers", "one without"])
def test_bands_leave_no_trace(monkeypatch, objects):
    """A frame finished whole, and in bands of a few rows, is the same to the last bit."""
    rng = np.random.default_rng(3)
    image, background = rng.random((60, 40, 3)), rng.random((60, 40, 3))
    y, x = np.mgrid[:60, :40]
    masks = np.stack([np.hypot(x - 14, y - 22) < 9, np.hypot(x - 27, y - 38) < 9], axis=-1)
    masks[..., 0] &= ~masks[..., 1]
    layers = [
        (rng.random((60, 40, 3)), np.clip(1.4 - np.hypot(x - cx, y - cy) / 10, 0, 1)[..., None])
        for cx, cy in ((14, 22), (27, 38))
    ]
    shot = frame(image, background, [layers[i] for i in objects], masks)
    order = list(range(len(objects)))
    monkeypatch.setattr(transfer, "BAND", 60)
    whole = transfer.finish_frame(shot, order, objects=objects, peak=255)
    for rows in (7, 16, 59):
        monkeypatch.setattr(transfer, "BAND", rows)
        banded = transfer.finish_frame(shot, order, objects=objects, peak=255)
        assert np.array_equal(banded.background, whole.background)
        assert all(np.array_equal(a, b) for a, b in zip(banded.layers, whole.layers, strict=True))
        assert banded.square_error == pytest.approx(whole.square_error, rel=1e-9)
