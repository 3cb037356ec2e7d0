"""CogVideoX Casper, the whole way on a tiny random model: lengths, sizes, runs, seeds, modes, complaints."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.base_clip import BaseClip
from services.casper.cogvideox.casper import CogVideoXCasper
from services.casper.cogvideox.model import make_schedule, read_denoiser, read_vae
from services.casper.large.casper import Sampling
from services.casper.large.clip import Part
from services.casper.large.distance import CAP, distances
from services.casper.large.placement import Placement
from services.casper.large.preparation import NEUTRAL
from services.casper.large.tiers import DRAFT, Tier
from services.casper.large.windows import COGVIDEOX, Rule
from services.errors import BadOption, Cancelled

SMALL = Sampling(tier=Tier("two", 2), height=32, width=48, rule=Rule(window=4, overlap=2, last="short"))


def moving(frames: int, *, height: int = 40, width: int = 50) -> BaseClip:
    """Noise, and two squares that move to the right, one above the other."""
    video = np.random.default_rng(frames).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    masks = np.zeros((frames, height, width, 2), np.uint8)
    for t in range(frames):
        left = 2 + t % 30
        masks[t, 2:12, left : left + 10, 0] = 255
        masks[t, 26:36, left : left + 10, 1] = 255
    return BaseClip(video, masks, None)


@pytest.fixture(scope="module")
def casper(weights: Path) -> CogVideoXCasper:
    return CogVideoXCasper.load(weights, Placement(together=2))


def joined(parts: Sequence[Part], run: int) -> np.ndarray:
    """The frames of one run; its parts must follow each other."""
    own = [part for part in parts if part.run == run]
    assert [part.first for part in own] == list(np.cumsum([0] + [len(part.frames) for part in own])[:-1])
    return np.concatenate([part.frames for part in own])


@pytest.mark.parametrize("frames", [1, 4, 5, 9, 13, 14, 40, 90])
def test_clips_of_every_length_come_back_at_their_length(casper: CogVideoXCasper, frames: int) -> None:
    parts = list(casper.remove(moving(frames), [[0]], replace(SMALL, tier=Tier("one", 1))))
    found = joined(parts, 0)
    assert found.shape == (frames, 32, 48, 3) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1 and np.isfinite(found).all()
    assert max(len(part.frames) for part in parts) <= 8


def test_the_released_window_pads_a_short_clip_to_85_frames(casper: CogVideoXCasper) -> None:
    seen: list[tuple[int, int, str]] = []
    sampling = replace(SMALL, rule=COGVIDEOX, tier=Tier("one", 1))
    assert sampling.window_frames == 85
    parts = list(casper.remove(moving(9), [[]], sampling, on_progress=lambda *at: seen.append(at)))
    assert len(joined(parts, 0)) == 9
    # 13 + 9 x 8 frames; one window; pieces of 1, 2, 2, ... of 22 latents.
    assert seen[:10] == [(i, 10, "encoding") for i in range(1, 11)]
    assert seen[10] == (1, 1, "denoising") and seen[11] == (1, 12, "decoding")


@pytest.mark.parametrize("height, width", [(17, 31), (32, 48), (90, 160)])
def test_clips_of_any_size_are_brought_to_the_models(casper: CogVideoXCasper, height: int, width: int) -> None:
    found = joined(list(casper.remove(moving(5, height=height, width=width), [[]], SMALL)), 0)
    assert found.shape == (5, 32, 48, 3)


def test_runs_share_their_noise_and_do_not_depend_on_each_other(casper: CogVideoXCasper) -> None:
    clip = moving(9)
    all_runs = list(casper.remove(clip, [[], [0], [1]], SMALL))
    assert [part.run for part in all_runs] == sorted(part.run for part in all_runs)
    for run, keep in enumerate([[], [0], [1]]):
        alone = joined(list(casper.remove(clip, [keep], SMALL)), 0)
        assert np.allclose(joined(all_runs, run), alone, atol=1e-5)
    same = list(casper.remove(clip, [[0], [0]], SMALL))
    assert np.array_equal(joined(same, 0), joined(same, 1))
    assert np.abs(joined(all_runs, 0) - joined(all_runs, 1)).max() > 1e-4


def test_runs_with_a_cache_do_not_depend_on_each_other_either(casper: CogVideoXCasper) -> None:
    clip, cached = moving(9), replace(SMALL, tier=Tier("t", 6, cache=0.3))
    both = list(casper.remove(clip, [[], [0]], cached))
    assert np.array_equal(joined(both, 1), joined(list(casper.remove(clip, [[0]], cached)), 0))


def test_the_seed_decides(casper: CogVideoXCasper) -> None:
    clip = moving(5)
    first, again, other = (joined(list(casper.remove(clip, [[]], replace(SMALL, seed=s))), 0) for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=1e-3)


def test_what_the_network_is_told_is_the_clip_by_the_releases_rules(casper: CogVideoXCasper) -> None:
    """Keep 0.7, unsure 0.351, remove 0 where only it is sampled; the video encoded with its noise on it."""
    clip = moving(5, height=32, width=48)
    clip.masks[:] = 0
    clip.masks[:, :, :8, 0] = 255  # grows over columns 0..12
    clip.masks[:, :, 40:, 1] = 255  # grows over columns 35..47
    given: list[torch.Tensor] = []
    handle = casper._network.register_forward_pre_hook(
        lambda module, args, named: given.append(named["hidden_states"].clone()), with_kwargs=True
    )
    list(casper.remove(clip, [[0]], replace(SMALL, tier=Tier("one", 1), rule=Rule(2, 0, "short"))))
    handle.remove()
    stacked = given[0]
    assert stacked.shape == (1, 2, 33, 4, 6)
    neutral = 0.7 * NEUTRAL
    columns = [0.7, 0.7, neutral, neutral, 0, 0]
    assert torch.allclose(stacked[0, :, 16], torch.tensor(columns).expand(2, 4, 6), atol=1e-6)

    noise = [np.random.default_rng([0, 1, t]).standard_normal((3, 32, 48), dtype=np.float32) for t in range(5)]
    video = torch.from_numpy(clip.video.transpose(3, 0, 1, 2).astype(np.float32)) / 255 * 2 - 1
    noisy = torch.where(video == -1, video, video + 0.0563 * torch.from_numpy(np.stack(noise, axis=1)))
    with torch.inference_mode():
        latents = casper._vae.encode(noisy[None]).latent_dist.mode() * 0.7
    assert torch.allclose(stacked[0, :, 17:], latents[0].transpose(0, 1), atol=1e-5)
    start = [np.random.default_rng([0, 0, t]).standard_normal((16, 4, 6), dtype=np.float32) for t in range(2)]
    assert torch.equal(stacked[0, :, :16], torch.from_numpy(np.stack(start)))


def test_a_preserve_region_reaches_every_run(casper: CogVideoXCasper) -> None:
    clip = moving(5)
    plain = joined(list(casper.remove(clip, [[]], SMALL)), 0)
    region = np.full(clip.video.shape[:3], 255, np.uint8)
    kept = joined(list(casper.remove(BaseClip(clip.video, clip.masks, region), [[]], SMALL)), 0)
    assert np.abs(kept - plain).max() > 1e-4


def test_clips_are_read_in_pieces(casper: CogVideoXCasper) -> None:
    clip, read = moving(40), []

    class Slices:
        def __init__(self, array: np.ndarray) -> None:
            self.array, self.shape = array, array.shape

        def __len__(self) -> int:
            return len(self.array)

        def __getitem__(self, inside: slice) -> np.ndarray:
            read.append(inside.stop - inside.start)
            return self.array[inside]

    sliced = BaseClip(Slices(clip.video), Slices(clip.masks), None)  # type: ignore[arg-type]
    found = joined(list(casper.remove(sliced, [[0]], replace(SMALL, tier=Tier("one", 1)))), 0)
    assert max(read) <= 13 and len(found) == 40


@pytest.mark.parametrize(
    "placement, close",
    [
        (Placement(offload="model"), 1e-6),
        (Placement(offload="group"), 1e-6),
        (Placement(attention="efficient"), 1e-5),
        (Placement(dtype=torch.bfloat16), 0.1),
        (Placement(fp8=True), 0.1),
        (Placement(dtype=torch.bfloat16, fp8=True, offload="model"), 0.1),
    ],
)
def test_every_placement_gives_nearly_the_same(
    casper: CogVideoXCasper, weights: Path, placement: Any, close: float
) -> None:
    wanted = joined(list(casper.remove(moving(9), [[0]], SMALL)), 0)
    other = CogVideoXCasper.load(weights, placement)
    for _ in range(2):
        assert np.abs(joined(list(other.remove(moving(9), [[0]], SMALL)), 0) - wanted).max() <= close


def test_blocks_can_be_compiled_with_and_without_a_cache(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, graphs = torch.compile, []

    def without_code(function: Any, **options: Any) -> Any:
        def backend(graph: Any, given: Any) -> Any:
            graphs.append(graph)
            return graph.forward

        return compiled(function, backend=backend, **options)

    monkeypatch.setattr(torch, "compile", without_code)
    quick = CogVideoXCasper.load(weights, Placement(compiled=True))
    monkeypatch.undo()
    plain = CogVideoXCasper.load(weights, Placement())
    for sampling in (SMALL, replace(SMALL, tier=Tier("t", 4, cache=0.3))):
        wanted = joined(list(plain.remove(moving(5), [[0]], sampling)), 0)
        assert np.allclose(joined(list(quick.remove(moving(5), [[0]], sampling)), 0), wanted, atol=1e-5)
    # Blocks share graphs: one for the first, whose input is part of a larger tensor, one for the others, ...
    assert 2 <= len(graphs) <= 3


def test_progress_stops_the_work_in_every_phase(casper: CogVideoXCasper) -> None:
    for phase in ("encoding", "denoising", "decoding"):

        def stop(done: int, total: int, note: str, phase: str = phase) -> None:
            assert 1 <= done <= total
            if note == phase:
                raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            list(casper.remove(moving(9), [[]], SMALL, on_progress=stop))


def test_progress_counts_all_runs(casper: CogVideoXCasper) -> None:
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int, kind: str) -> None:
        if kind == "denoising":
            seen.append((done, total))

    list(casper.remove(moving(9), [[], [0], [1]], SMALL, on_progress=note))
    # 4 latents make one window, 2 steps; two runs together, then one.
    assert seen == [(2, 6), (4, 6), (5, 6), (6, 6)]


def test_impossible_requests_are_refused_at_once(casper: CogVideoXCasper, weights: Path) -> None:
    clip = moving(5)
    with pytest.raises(BadOption, match=r"40x50 is not a multiple of 16; use 32x48 .*clips of any size") as error:
        casper.remove(clip, [[]], replace(SMALL, height=40, width=50))
    assert error.value.field == "size"
    with pytest.raises(BadOption, match="1024x48 is over its limit 512x512"):
        casper.remove(clip, [[]], replace(SMALL, height=1024))
    with pytest.raises(BadOption, match="no object 2 to keep; the clip has 2"):
        casper.remove(clip, [[2]], SMALL)
    with pytest.raises(BadOption, match="no run to make"):
        casper.remove(clip, [], SMALL)
    streaming = CogVideoXCasper(
        read_denoiser(weights, Placement()),
        read_vae(weights, Placement()),
        make_schedule(weights),
        folder=weights,
        placement=Placement(offload="group"),
    )
    with pytest.raises(BadOption, match="tier 'fast' skips blocks"):
        streaming.remove(clip, [[]], replace(SMALL, tier=Tier("fast", 4, cache=0.1)))


def test_distances_from_the_full_tier(casper: CogVideoXCasper) -> None:
    tiers = [DRAFT, Tier("never", 50, cache=0.0)]
    found = distances(casper, moving(5), keep=[0], tiers=tiers, sampling=SMALL, clock=iter(range(9)).__next__)
    assert [(one.tier, one.steps, one.seconds) for one in found] == [("full", 50, 1), ("draft", 4, 1), ("never", 50, 1)]
    assert found[0].psnr == CAP and found[2].psnr == CAP
    assert found[1].worst <= found[1].psnr < 90
