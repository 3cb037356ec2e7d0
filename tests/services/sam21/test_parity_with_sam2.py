"""Our tracker over `transformers`' networks gives the original `sam2` package's logits, on the same random weights.

Runs where that package can be imported; it needs hydra-core and iopath beside it, but, for the video predictor, no
torchvision: put its source on the path, and `pip install --no-deps hydra-core omegaconf antlr4-python3-runtime iopath
portalocker`.
EdgeTAM's version of the package needs timm as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from services.sam21 import checkpoint, images, names, tracking
from services.sam21.prompts import Prompt
from services.sam21.repvit import edgetam
from tests.services.sam21 import original, tiny

pytest.importorskip("sam2")
pytest.importorskip("iopath")
# EdgeTAM's authors changed the package and kept its name.
_EDGETAM = find_spec("sam2.modeling.perceiver") is not None
sam2 = pytest.mark.skipif(_EDGETAM, reason="the installed sam2 is EdgeTAM's")

T, HEIGHT, WIDTH = 20, 48, 64
Logits = dict[int, torch.Tensor]


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    """The original predictor, and our segmenter with its weights under the other names."""
    torch.manual_seed(0)
    theirs = original.sam2_predictor()
    tiny.lively(theirs, theirs.sam_mask_decoder.pred_obj_score_head.layers[-1])
    ours = tiny.sam2_model()
    checkpoint.fill(ours, names.renamed(theirs.state_dict()), source=Path("sam2"))
    return theirs, tiny.segmenter(ours)


def clip() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (T, HEIGHT, WIDTH, 3), np.uint8)


def state(predictor: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    import sam2.sam2_video_predictor as module

    squares = torch.cat([images.squared(f, size=tiny.SIZE, device=torch.device("cpu")) for f in clip()])
    monkeypatch.setattr(module, "load_video_frames", lambda **_: (squares, HEIGHT, WIDTH))
    return predictor.init_state("", offload_video_to_cpu=False)


def ours(segmenter: Any, prompts: Sequence[Prompt], objects: int, monkeypatch: pytest.MonkeyPatch) -> Logits:
    caught: list[torch.Tensor] = []

    def catch(logits: torch.Tensor, *, height: int, width: int) -> Any:
        caught.append(F.interpolate(logits[:, None], size=(height, width), mode="bilinear", align_corners=False))
        return images.separated(logits, height=height, width=width)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "images", type("images", (), {"separated": staticmethod(catch)}))
        labels = [str(k) for k in range(objects)]
        order = [t for t, _ in tracking.track(clip(), prompts, labels=labels, segmenter=segmenter)]
    return dict(zip(order, caught, strict=True))


def both_ways(predictor: Any, at: Any, start: int) -> Logits:
    forward = {t: masks for t, _, masks in predictor.propagate_in_video(at, start_frame_idx=start)}
    return forward | {
        t: masks for t, _, masks in predictor.propagate_in_video(at, start_frame_idx=start, reverse=True) if t < start
    }


def difference(one: Logits, other: Logits) -> float:
    assert one.keys() == other.keys()
    scale = max(float(m.abs().max()) for m in other.values())
    worst = max(float((one[t] - other[t]).abs().max()) for t in one)
    print(f"largest difference {worst:.2e} of logits up to {scale:.1f}")
    return worst


@sam2
def test_points_and_a_box_tracked_both_ways(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, segmenter = both
    at = state(theirs, monkeypatch)
    points, kinds = np.array([[20, 20], [50, 9]], np.float32), np.array([1, 0], np.int32)
    theirs.add_new_points_or_box(at, frame_idx=9, obj_id=0, points=points, labels=kinds)
    theirs.add_new_points_or_box(at, frame_idx=9, obj_id=1, box=np.array([10, 5, 40, 30], np.float32))
    prompts = [
        Prompt(0, 9, point=(20, 20)),
        Prompt(0, 9, point=(50, 9), positive=False),
        Prompt(1, 9, box=(10, 5, 40, 30)),
    ]
    assert difference(ours(segmenter, prompts, 2, monkeypatch), both_ways(theirs, at, 9)) < 1e-3


@sam2
def test_one_click(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, segmenter = both
    at = state(theirs, monkeypatch)
    theirs.add_new_points_or_box(
        at, frame_idx=0, obj_id=0, points=np.array([[30, 22]], np.float32), labels=np.array([1], np.int32)
    )
    found = ours(segmenter, [Prompt(0, 0, point=(30, 22))], 1, monkeypatch)
    assert difference(found, both_ways(theirs, at, 0)) < 1e-3


@sam2
def test_a_mask(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, segmenter = both
    at = state(theirs, monkeypatch)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[12:33, 18:41] = True
    theirs.add_new_mask(at, frame_idx=4, obj_id=0, mask=mask)
    found = ours(segmenter, [Prompt(0, 4, mask=mask)], 1, monkeypatch)
    assert difference(found, both_ways(theirs, at, 4)) < 1e-3


@sam2
def test_boxes_on_two_frames_of_one_object(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, segmenter = both
    at = state(theirs, monkeypatch)
    theirs.add_new_points_or_box(at, frame_idx=2, obj_id=0, box=np.array([10, 5, 40, 30], np.float32))
    theirs.add_new_points_or_box(at, frame_idx=12, obj_id=0, box=np.array([20, 15, 60, 40], np.float32))
    prompts = [Prompt(0, 2, box=(10, 5, 40, 30)), Prompt(0, 12, box=(20, 15, 60, 40))]
    assert difference(ours(segmenter, prompts, 1, monkeypatch), both_ways(theirs, at, 2)) < 1e-3


@sam2
def test_a_correction_on_a_later_frame(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, segmenter = both
    at = state(theirs, monkeypatch)
    theirs.add_new_points_or_box(at, frame_idx=0, obj_id=0, box=np.array([10, 5, 40, 30], np.float32))
    first = {t: masks for t, _, masks in theirs.propagate_in_video(at)}
    points, kinds = np.array([[44, 30], [12, 7]], np.float32), np.array([1, 0], np.int32)
    theirs.add_new_points_or_box(at, frame_idx=10, obj_id=0, points=points, labels=kinds)
    later = {t: masks for t, _, masks in theirs.propagate_in_video(at, start_frame_idx=10)}
    prompts = [
        Prompt(0, 0, box=(10, 5, 40, 30)),
        Prompt(0, 10, point=(44, 30)),
        Prompt(0, 10, point=(12, 7), positive=False),
    ]
    assert difference(ours(segmenter, prompts, 1, monkeypatch), first | later) < 1e-3
    assert difference({10: first[10]}, {10: later[10]}) > 1e-2


@pytest.mark.skipif(not _EDGETAM, reason="the installed sam2 is not EdgeTAM's")
def test_edgetam_follows_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = original.edgetam_predictor()
    tiny.lively(theirs, theirs.sam_mask_decoder.pred_obj_score_head.layers[-1])
    for name, value in theirs.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    model = edgetam(tiny.edgetam_config((48, 96, 192, 384)))
    checkpoint.fill(model, names.renamed(theirs.state_dict()), source=Path("edgetam"))
    at = state(theirs, monkeypatch)
    theirs.add_new_points_or_box(at, frame_idx=9, obj_id=0, box=np.array([10, 5, 40, 30], np.float32))
    found = ours(tiny.segmenter(model), [Prompt(0, 9, box=(10, 5, 40, 30))], 1, monkeypatch)
    assert difference(found, both_ways(theirs, at, 9)) < 1e-3
