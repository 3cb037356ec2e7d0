"""The response map is Eq. 1, whatever the denoiser."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from services.casper.cogvideox.tiny import tiny_network
from services.casper.network import CompactCasper, Widths
from services.errors import BadMask, BadOption, BadVideo
from training import checkpoint, denoisers, response
from training.attention import Grid, Watch, frame_weights, responses
from training.attention import response as equation
from training.recipes.large import cogvideox, wan


def clip(frames: int, height: int, width: int) -> denoisers.Clip:
    rng = np.random.default_rng(0)
    masks = np.zeros((frames, height, width), np.uint8)
    masks[:, : height // 2, : width // 2] = 255
    return denoisers.Clip(rng.integers(0, 255, (frames, height, width, 3), dtype=np.uint8), masks, frame=frames // 2)


def test_the_response_is_the_share_of_attention_that_goes_to_the_object() -> None:
    weights = torch.tensor([[0.1, 0.3, 0.1], [0.2, 0.0, 0.2], [0.0, 0.5, 0.0]])
    assert equation(weights, torch.tensor([1.0, 0, 0])).tolist() == pytest.approx([0.2, 0.5, 0])
    assert equation(weights, torch.ones(3)).tolist() == pytest.approx([1, 1, 1])
    # A position that is half object counts half.
    assert equation(weights, torch.tensor([0.5, 0, 0])).tolist() == pytest.approx([0.1, 0.25, 0])


@pytest.mark.parametrize("before", [0, 3])
def test_weights_are_those_of_the_network_cut_to_one_frame(before: int) -> None:
    grid = Grid(frames=3, rows=2, columns=2, before=before)
    query, key = torch.randn(2, 1, 4, grid.tokens, 8, generator=torch.Generator().manual_seed(0))
    # With one value per token, attention hands out its own weights.
    whole = F.scaled_dot_product_attention(query, key, torch.eye(grid.tokens).expand(1, 4, -1, -1)).mean(dim=1)[0]
    inside = slice(before + 4, before + 8)
    assert torch.allclose(frame_weights(query, key, grid, moment=1), whole[inside, inside], atol=1e-6)


def test_a_network_of_single_frames_is_asked_about_its_own_frame() -> None:
    grid = Grid(frames=1, rows=2, columns=2)
    query, key = torch.randn(2, 5, 4, 4, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.softmax(query[3] @ key[3].transpose(-1, -2) / 8**0.5, dim=-1).mean(dim=0)
    assert torch.allclose(frame_weights(query, key, grid, moment=3), expected, atol=1e-6)


def test_watching_changes_nothing_and_ignores_other_attentions() -> None:
    x, text = torch.randn(1, 2, 12, 8), torch.randn(1, 2, 5, 8)
    with Watch((Grid(3, 2, 2),), 0) as watch:
        shown = F.scaled_dot_product_attention(x, x, x)
        F.scaled_dot_product_attention(x, text, text)
    assert torch.equal(shown, F.scaled_dot_product_attention(x, x, x))
    assert watch.sums[Grid(3, 2, 2)].sum(dim=-1).max() <= 1


def test_compact_casper_answers_at_both_resolutions() -> None:
    torch.manual_seed(0)
    given = clip(3, 32, 48)
    network = CompactCasper(Widths((8, 16, 24, 48), time=16)).eval()
    found = responses(denoisers.Compact(network, given), given.masks[1], frame=1)
    assert {grid: values.shape for grid, values in found.items()} == {Grid(3, 2, 3): (2, 3), Grid(1, 4, 6): (4, 6)}
    assert all(values.min() >= 0 and values.max() <= 1 for values in found.values())


@pytest.mark.parametrize("family", ["cogvideox", "wan"])
def test_large_backbones_answer_on_their_latents(family: str) -> None:
    torch.manual_seed(0)
    given = clip(5 if family == "cogvideox" else 9, 32, 48)
    pair = (
        (cogvideox.CogVideoX.tiny(), tiny_network()) if family == "cogvideox" else (wan.Wan.tiny(), wan.tiny_network())
    )
    denoiser = denoisers.Large(pair[1].eval(), pair[0], given)
    (grid,) = denoiser.grids()
    found = responses(denoiser, given.masks[0], frame=4)
    assert found[grid].shape == (2, 3)
    # A network without knowledge looks everywhere alike: a quarter of the frame is object.
    assert found[grid].mean() == pytest.approx(0.25, abs=0.1)


def test_frames_are_found_in_their_latents() -> None:
    given = clip(13, 32, 48)
    cog = denoisers.Large(tiny_network(), cogvideox.CogVideoX.tiny(), given)
    flow = denoisers.Large(wan.tiny_network(), wan.Wan.tiny(), given)
    assert [flow.moment(frame) for frame in (0, 1, 4, 5, 12)] == [0, 1, 1, 2, 3]
    assert [cog.moment(frame) for frame in (0, 1, 4, 5, 12)] == [0, 0, 0, 1, 1]


def test_an_object_that_is_not_there_is_refused() -> None:
    given = clip(3, 32, 48)
    network = CompactCasper(Widths((8, 16, 24, 48), time=16)).eval()
    with pytest.raises(BadMask, match="--frame"):
        responses(denoisers.Compact(network, given), np.zeros((32, 48), np.uint8), frame=1)


def test_the_command_draws_input_mask_and_responses(
    sample_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "random.safetensors"
    checkpoint.export_weights(CompactCasper().state_dict(), weights)
    arguments = ["--video", sample_clip / "input.mp4", "--mask", sample_clip / "mask_vase.mp4", "--weights", weights]
    monkeypatch.setattr(
        "sys.argv", ["response", *map(str, arguments), "--frame", "10", "--out", str(tmp_path / "r.png")]
    )
    response.main()
    drawn = cv2.imread(str(tmp_path / "r.png"))
    assert drawn is not None
    assert drawn.shape[0] == 288
    assert drawn.std() > 10
    assert capsys.readouterr().out.count("blind attention") == 2


def test_clips_that_do_not_fit_are_refused(sample_clip: Path) -> None:
    video, mask = sample_clip / "input.mp4", sample_clip / "mask_vase.mp4"
    with pytest.raises(BadOption, match="no frame 999"):
        denoisers.read_clip(video, mask, frame=999, backbone="compact")
    with pytest.raises(BadVideo, match="cannot be read"):
        denoisers.read_clip(sample_clip / "README.md", mask, frame=0, backbone="compact")
    with pytest.raises(BadOption, match="--base"):
        denoisers.make("casper-wan-1.3b", clip(13, 32, 48), weights=None, base=None)
