"""Wan Casper end to end on few random weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from services.base_clip import BaseClip
from services.casper.large.casper import Sampling
from services.casper.large.placement import Device, Placement, choose
from services.casper.large.preparation import area_frames, trimask
from services.casper.large.tiers import DRAFT, FAST, Tier
from services.casper.large.windows import WAN, Rule
from services.casper.wan import files, image_context, tiny
from services.casper.wan.casper import WanCasper, need_at
from services.casper.wan.schedule import sigmas
from services.errors import BadOption, Cancelled, NotFound, OutOfSpace

QUICK = Tier("quick", steps=2)
SMALL = Sampling(tier=QUICK, height=32, width=48, rule=Rule(window=3, overlap=1, last="full"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tiny(tmp_path_factory.mktemp("wan"))


@pytest.fixture(scope="module")
def casper(folder: Path) -> WanCasper:
    return WanCasper.load(folder, Placement(together=2))


def make_clip(frames: int, *, height: int = 40, width: int = 72) -> BaseClip:
    generator = np.random.default_rng(0)
    video = generator.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    masks = np.zeros((frames, height, width, 2), np.uint8)
    masks[:, 4:20, 6:30, 0] = 255
    masks[:, 14:36, 40:66, 1] = 255
    return BaseClip(video, masks, None)


def frames_of(parts: Iterator[Any], runs: int) -> list[NDArray[np.float32]]:
    found: list[list[NDArray[np.float32]]] = [[] for _ in range(runs)]
    for run, first, frames in parts:
        assert first == sum(len(part) for part in found[run])
        assert frames.dtype == np.float32
        found[run].append(frames)
    return [np.concatenate(run) for run in found]


@torch.no_grad()
def by_hand(folder: Path, clip: BaseClip, keep: list[int], *, context: str = "first_frame") -> NDArray[np.float32]:
    """One run on a clip of one window, whole clip at once, every formula written out (no padding: 4k + 1 frames)."""
    network, vae = tiny.tiny_network(), tiny.tiny_vae()
    mean = torch.tensor(vae.config.latents_mean).reshape(1, 16, 1, 1, 1)
    spread = torch.tensor(vae.config.latents_std).reshape(1, 16, 1, 1, 1)
    small = area_frames(clip.video, height=32, width=48)
    video = torch.from_numpy(small).permute(3, 0, 1, 2)[None]
    condition = (vae.encode(video * 2 - 1).latent_dist.mode() - mean) / spread

    tri = torch.from_numpy(np.stack([trimask(mask, keep=keep, height=32, width=48) for mask in clip.masks]))
    folded = torch.cat([tri[:1].expand(4, -1, -1), tri[1:]]).reshape(-1, 4, 32, 48)
    mask = F.interpolate(folded, size=(4, 6), mode="bilinear", align_corners=False).transpose(0, 1)[None]

    text = torch.zeros(1, 512, 16)
    text[0, :3] = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).float()
    image = torch.zeros(1, 257, 20)
    if context == "first_frame":
        image = image_context.first_frame(clip.video[0], model=files.read_image_encoder(folder, dtype=torch.float32))
    generator = torch.Generator().manual_seed(SMALL.seed)
    latents = condition.shape[2]
    state = torch.stack([torch.randn(16, 4, 6, generator=generator) for _ in range(latents)], dim=1)[None]
    levels = sigmas(2)
    for sigma, following in itertools.pairwise(levels):
        given = torch.cat([state, mask, condition], dim=1)
        velocity = network(given, torch.tensor([1000 * sigma]), text, image, return_dict=False)[0]
        state = state + (following - sigma) * velocity
    decoded: Tensor = vae.decode(state * spread + mean).sample
    return ((decoded[0] + 1) / 2).clamp(0, 1).permute(1, 2, 3, 0).numpy()


@pytest.mark.parametrize("context", ["first_frame", "zeros"])
def test_a_short_clip_is_what_the_formulas_say(casper: WanCasper, folder: Path, context: Any) -> None:
    clip = make_clip(9)
    found = frames_of(casper.remove(clip, [[], [0], [1]], replace(SMALL, context=context)), runs=3)
    for keep, frames in zip([[], [0], [1]], found, strict=True):
        assert frames.shape == (9, 32, 48, 3)
        assert np.abs(frames - by_hand(folder, clip, keep, context=context)).max() < 1e-4
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_what_clip_sees_changes_the_result(casper: WanCasper) -> None:
    seen, unseen = (
        frames_of(casper.remove(make_clip(5), [[]], replace(SMALL, context=context)), runs=1)[0]
        for context in ("first_frame", "zeros")
    )
    assert np.abs(seen - unseen).max() > 1e-3


@pytest.mark.parametrize("frames", [1, 9, 10, 30])
def test_a_clip_of_any_length_keeps_it(casper: WanCasper, frames: int) -> None:
    (found,) = frames_of(casper.remove(make_clip(frames), [[1]], SMALL), runs=1)
    assert found.shape == (frames, 32, 48, 3)
    assert np.isfinite(found).all()
    assert 0 <= found.min() < found.max() <= 1


def test_a_run_does_not_depend_on_the_others(casper: WanCasper, folder: Path) -> None:
    clip = make_clip(17)
    together = frames_of(casper.remove(clip, [[], [0], [1]], SMALL), runs=3)
    alone = WanCasper.load(folder, Placement(together=1))
    for keep, frames in zip([[], [0], [1]], together, strict=True):
        (single,) = frames_of(alone.remove(clip, [keep], SMALL), runs=1)
        assert np.abs(frames - single).max() < 1e-4


def test_the_published_window_takes_81_frames_whole(casper: WanCasper) -> None:
    seen: list[tuple[int, int, str]] = []
    sampling = Sampling(tier=Tier("one", steps=1), height=16, width=16, rule=WAN, context="zeros")
    assert sampling.rule == WAN
    (found,) = frames_of(
        casper.remove(make_clip(81, height=16, width=16), [[]], sampling, on_progress=lambda *at: seen.append(at)),
        runs=1,
    )
    assert found.shape == (81, 16, 16, 3)
    assert [at for at in seen if at[2] == "denoising"] == [(1, 1, "denoising")]
    assert seen[0] == (1, 21, "encoding")
    assert seen[-1] == (21, 21, "decoding")


def test_progress_counts_every_window_of_every_step_of_every_run(casper: WanCasper) -> None:
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int, what: str) -> None:
        if what == "denoising":
            seen.append((done, total))

    # 5 latents, windows 0-3 and 2-5; runs two at a time.
    frames_of(casper.remove(make_clip(17), [[], [0], [1]], SMALL, on_progress=note), runs=3)
    assert seen == [(done, 12) for done in (2, 4, 6, 8, 9, 10, 11, 12)]


def test_a_cancelled_run_stops_within_one_window(casper: WanCasper) -> None:
    done: list[str] = []

    def cancel(at: int, total: int, what: str) -> None:
        done.append(what)
        if done.count("denoising") == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        frames_of(casper.remove(make_clip(17), [[]], SMALL, on_progress=cancel), runs=1)
    assert done.count("denoising") == 2
    assert "decoding" not in done


@pytest.mark.parametrize("tier", [DRAFT, replace(FAST, steps=4)])
def test_every_tier_runs_and_leaves_nothing_behind(casper: WanCasper, tier: Tier) -> None:
    clip, sampling = make_clip(17), replace(SMALL, tier=tier, context="zeros")
    before = frames_of(casper.remove(clip, [[]], replace(sampling, tier=QUICK)), runs=1)
    first = frames_of(casper.remove(clip, [[], [0]], sampling), runs=2)
    again = frames_of(casper.remove(clip, [[], [0]], sampling), runs=2)
    after = frames_of(casper.remove(clip, [[]], replace(sampling, tier=QUICK)), runs=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_cache_that_never_holds_changes_nothing_and_one_that_always_holds_does(casper: WanCasper) -> None:
    clip, sampling = make_clip(17), replace(SMALL, context="zeros")
    plain, never, always = (
        frames_of(casper.remove(clip, [[1]], replace(sampling, tier=Tier("t", steps=4, cache=cache))), runs=1)[0]
        for cache in (None, 1e-9, 1e9)
    )
    assert np.abs(plain - never).max() < 1e-5
    assert np.abs(plain - always).max() > 1e-3


def test_the_adapter_is_merged_as_it_is_loaded(casper: WanCasper, tmp_path: Path) -> None:
    merged = WanCasper.load(tiny.write_tiny(tmp_path, adapter=True), Placement(), size="14b")
    clip, sampling = make_clip(5), replace(SMALL, context="zeros")
    with_adapter, without = (frames_of(c.remove(clip, [[]], sampling), runs=1)[0] for c in (merged, casper))
    assert np.abs(with_adapter - without).max() > 1e-3


def test_bfloat16_runs_with_what_needs_it_in_float32(folder: Path, casper: WanCasper) -> None:
    half = WanCasper.load(folder, Placement(dtype=torch.bfloat16))
    clip = make_clip(9)
    exact, rough = (frames_of(c.remove(clip, [[]], SMALL), runs=1)[0] for c in (casper, half))
    assert np.abs(exact - rough).max() > 0
    assert np.sqrt(np.square(exact - rough).mean()) < 0.05


@pytest.mark.parametrize("offload", ["none", "model", "group"])
def test_every_offload_mode_gives_the_same(folder: Path, casper: WanCasper, offload: Any) -> None:
    clip, sampling = make_clip(9), replace(SMALL, context="zeros")
    placed = WanCasper.load(folder, Placement(offload=offload))
    wanted, found = (frames_of(c.remove(clip, [[0]], sampling), runs=1)[0] for c in (casper, placed))
    assert np.abs(wanted - found).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "keeps", "field"),
    [
        ({"height": 40}, [[]], "size"),
        ({}, [[2]], "keep"),
        ({}, [], "keep"),
    ],
)
def test_what_is_not_possible_is_said_at_once(
    casper: WanCasper, change: dict[str, Any], keeps: list[list[int]], field: str
) -> None:
    with pytest.raises(BadOption) as caught:
        casper.remove(make_clip(5), keeps, replace(SMALL, **change))
    assert caught.value.field == field


def test_weights_in_float8_come_close(folder: Path, casper: WanCasper) -> None:
    clip = make_clip(9)
    small = WanCasper.load(folder, Placement(dtype=torch.bfloat16, fp8=True))
    exact, rough = (frames_of(c.remove(clip, [[]], SMALL), runs=1)[0] for c in (casper, small))
    assert 0 < np.sqrt(np.square(exact - rough).mean()) < 0.1


def test_a_tier_that_skips_blocks_needs_them_on_the_device(folder: Path) -> None:
    placed = WanCasper.load(folder, Placement(offload="group"))
    with pytest.raises(BadOption, match="group") as caught:
        placed.remove(make_clip(5), [[]], replace(SMALL, tier=FAST))
    assert caught.value.field == "tier"


def test_an_unknown_prompt_without_an_encoder_is_said_at_once(casper: WanCasper) -> None:
    with pytest.raises(NotFound, match=r"tokenizer.*wan\.embed"):
        casper.remove(make_clip(5), [[]], replace(SMALL, prompt="a beach"))


class Watched:
    """An array that notes how many frames are asked of it at once."""

    def __init__(self, content: NDArray[Any], seen: list[int]) -> None:
        self.shape, self._content, self._seen = content.shape, content, seen

    def __len__(self) -> int:
        return len(self._content)

    def __getitem__(self, frames: slice) -> NDArray[Any]:
        self._seen.append(len(self._content[frames]))
        return self._content[frames]


def test_a_clip_is_read_a_few_frames_at_a_time(casper: WanCasper) -> None:
    clip, seen = make_clip(40), list[int]()
    watched = BaseClip(Watched(clip.video, seen), Watched(clip.masks, seen), None)  # type: ignore[arg-type]
    sampling = replace(SMALL, tier=Tier("one", steps=1), height=16, width=16)
    (found,) = frames_of(casper.remove(watched, [[0]], sampling), runs=1)
    assert len(found) == 40
    assert max(seen) <= 16


def test_the_published_sizes_need_what_their_tensors_take() -> None:
    small, large = need_at("1.3b")(480, 832), need_at("14b")(480, 832)
    assert small.parameters == pytest.approx(1.56e9, rel=0.01)
    assert large.parameters == pytest.approx(16.4e9, rel=0.01)
    gpu = Device("cuda", "a GPU", (9, 0), 80 * 2**30)
    assert choose(gpu, need_at("1.3b"), height=480, width=832, runs=4).together == 4
    with pytest.raises(OutOfSpace, match="Wan 14B Casper"):
        choose(replace(gpu, free=8 * 2**30), need_at("14b"), height=480, width=832)
