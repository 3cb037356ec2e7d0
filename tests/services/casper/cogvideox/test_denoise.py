"""The denoising loop: the release's multidiffusion written out, tiers, and a cache that windows do not share."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from torch import Tensor

from services.casper.cogvideox.denoise import Told, denoise
from services.casper.cogvideox.model import make_schedule, read_denoiser
from services.casper.large.placement import Placement
from services.casper.large.tiers import DRAFT, FAST, FULL, Tier, tier
from services.casper.large.windows import Rule
from services.errors import BadOption, Cancelled

RULE = Rule(window=6, overlap=2, last="short")


@pytest.fixture(scope="module")
def network(weights: Path) -> Any:
    return read_denoiser(weights, Placement())


def told(latents: int, *, runs: int = 1) -> Told:
    draw = torch.Generator().manual_seed(latents)
    return Told(
        noise=torch.randn(1, 16, latents, 4, 6, generator=draw),
        masks=torch.randint(0, 3, (runs, 1, latents, 4, 6), generator=draw) * 0.35,
        video=torch.randn(1, 16, latents, 4, 6, generator=draw),
        text=torch.randn(1, 8, 16, generator=draw),
    )


def quiet(done: int, total: int) -> None:
    pass


@torch.inference_mode()
def written_out(network: Any, given: Told, *, steps: int, spans: list[tuple[int, int]]) -> Tensor:
    """Windows of `spans` with an overlap of 2 (ramps 1/3, 2/3), plain DDIM, blended in every step."""
    alphas = make_schedule().alphas_cumprod.double()
    state = given.noise.clone()
    times = [1000 - 1 - i * (1000 // steps) for i in range(steps)]
    for i, t in enumerate(times):
        value, weight = torch.zeros_like(state), torch.zeros(state.shape[2])
        for number, (a, b) in enumerate(spans):
            stacked = torch.cat([state[:, :, a:b], given.masks[:, :, a:b], given.video[:, :, a:b]], dim=1)
            velocity = network(
                hidden_states=stacked.permute(0, 2, 1, 3, 4),
                encoder_hidden_states=given.text,
                timestep=torch.tensor([t]),
                image_rotary_emb=get_3d_rotary_pos_embed(
                    16, None, (2, 3), (b - a) // 2, grid_type="slice", max_size=(32, 32)
                ),
            ).sample.permute(0, 2, 1, 3, 4)
            x = state[:, :, a:b]
            now, after = alphas[t], alphas[times[i + 1]] if i + 1 < steps else torch.tensor(1.0).double()
            clean = now.sqrt() * x - (1 - now).sqrt() * velocity
            noise = now.sqrt() * velocity + (1 - now).sqrt() * x
            ramp = torch.ones(b - a)
            if number > 0:
                ramp[:2] = torch.tensor([1 / 3, 2 / 3])
            if number + 1 < len(spans):
                ramp[-2:] = torch.tensor([2 / 3, 1 / 3])
            result = (after.sqrt() * clean + (1 - after).sqrt() * noise).float()
            value[:, :, a:b] += result * ramp[:, None, None]
            weight[a:b] += ramp
        state = value / weight[:, None, None]
    return state


@pytest.mark.parametrize(
    "latents, spans", [(4, [(0, 4)]), (6, [(0, 6)]), (8, [(0, 6), (4, 8)]), (12, [(0, 6), (4, 10), (8, 12)])]
)
def test_the_loop_is_the_releases(network: Any, latents: int, spans: list[tuple[int, int]]) -> None:
    given = told(latents)
    found = denoise(network, make_schedule(), given, tier=DRAFT, rule=RULE, on_window=quiet)
    wanted = written_out(network, given, steps=4, spans=spans)
    assert torch.allclose(found, wanted, atol=2e-5), (found - wanted).abs().max()


def test_runs_together_give_what_each_gives_alone(network: Any) -> None:
    given = told(8, runs=3)
    together = denoise(network, make_schedule(), given, tier=DRAFT, rule=RULE, on_window=quiet)
    for run in range(3):
        one = Told(noise=given.noise, masks=given.masks[run : run + 1], video=given.video, text=given.text)
        alone = denoise(network, make_schedule(), one, tier=DRAFT, rule=RULE, on_window=quiet)
        assert torch.allclose(together[run : run + 1], alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_every_window_of_every_step_is_reported_and_can_stop(network: Any) -> None:
    seen: list[tuple[int, int]] = []
    denoise(network, make_schedule(), told(8), tier=DRAFT, rule=RULE, on_window=lambda *at: seen.append(at))
    assert seen == [(i, 8) for i in range(1, 9)]

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        denoise(network, make_schedule(), told(8), tier=DRAFT, rule=RULE, on_window=stop)


def test_arithmetic_between_steps_is_float32_whatever_the_network_is(weights: Path) -> None:
    half = read_denoiser(weights, Placement(dtype=torch.bfloat16))
    types: list[torch.dtype] = []
    schedule = make_schedule()
    plain = schedule.step

    def step(velocity: Tensor, t: Tensor, noisy: Tensor, **options: Any) -> Any:
        types.extend([velocity.dtype, noisy.dtype])
        return plain(velocity, t, noisy, **options)

    schedule.step = step
    given = told(8)
    given = Told(noise=given.noise.bfloat16(), masks=given.masks, video=given.video, text=given.text)
    found = denoise(half, schedule, given, tier=DRAFT, rule=RULE, on_window=quiet)
    assert found.dtype == torch.bfloat16 and set(types) == {torch.float32}


def deep_calls(network: Any) -> SimpleNamespace:
    """Counts how often the last block really computes."""
    calls = SimpleNamespace(count=0)

    def count(*_: Any) -> None:
        calls.count += 1

    calls.handle = network.transformer_blocks[-1].ff.register_forward_hook(count)
    return calls


def test_the_cache_saves_work_and_leaves_nothing_behind(network: Any) -> None:
    given = told(8)
    before = denoise(network, make_schedule(), given, tier=DRAFT, rule=RULE, on_window=quiet)
    calls = deep_calls(network)
    denoise(network, make_schedule(), given, tier=Tier("t", 4, cache=1e9), rule=RULE, on_window=quiet)
    calls.handle.remove()
    # Two windows, each computed once, at the first step. With a shared memory the second would not have been.
    assert calls.count == 2
    assert not network.is_cache_enabled
    after = denoise(network, make_schedule(), given, tier=DRAFT, rule=RULE, on_window=quiet)
    assert torch.equal(before, after)


def test_a_cache_that_never_applies_changes_nothing(network: Any) -> None:
    plain = denoise(network, make_schedule(), told(8), tier=DRAFT, rule=RULE, on_window=quiet)
    cached = denoise(network, make_schedule(), told(8), tier=Tier("t", 4, cache=0.0), rule=RULE, on_window=quiet)
    assert torch.equal(plain, cached)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 1e9])
def test_windows_share_no_cache(network: Any, threshold: float) -> None:
    """Without overlap windows do not meet: each must come out as if it were a clip of its own."""
    apart = Rule(window=4, overlap=0, last="short")
    cached = Tier("t", 6, cache=threshold)
    given = told(8)
    whole = denoise(network, make_schedule(), given, tier=cached, rule=apart, on_window=quiet)
    for part in (slice(0, 4), slice(4, 8)):
        one = Told(
            noise=given.noise[:, :, part],
            masks=given.masks[:, :, part],
            video=given.video[:, :, part],
            text=given.text,
        )
        alone = denoise(network, make_schedule(), one, tier=cached, rule=apart, on_window=quiet)
        assert torch.equal(whole[:, :, part], alone)


def test_the_cache_goes_when_a_run_is_stopped(network: Any) -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        denoise(network, make_schedule(), told(4), tier=FAST, rule=RULE, on_window=stop)
    assert not network.is_cache_enabled


def test_tiers_by_name() -> None:
    assert [tier(name).steps for name in ("draft", "fast", "full")] == [4, 50, 50]
    assert tier("full") == FULL and FULL.cache is None and DRAFT.cache is None and tier("fast").cache
    with pytest.raises(BadOption, match="no quality tier 'best'; use one of draft, fast, full"):
        tier("best")
