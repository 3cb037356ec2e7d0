"""Networks and schedule from a folder: strict, in the released configuration."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.casper.cogvideox import model
from services.casper.cogvideox.model import make_schedule, need_at, read_denoiser, read_vae
from services.casper.large.placement import Placement
from services.errors import BadOption, NotFound


@pytest.fixture
def copy(weights: Path, tmp_path: Path) -> Path:
    shutil.copytree(weights, tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, **changed: torch.Tensor | None) -> None:
    state = load_file(folder / "casper.safetensors")
    for name, value in changed.items():
        state.pop(name, None)
        if value is not None:
            state[name] = value
    save_file(state, folder / "casper.safetensors")


def test_every_tensor_of_the_file_arrives(weights: Path) -> None:
    network = read_denoiser(weights, Placement())
    stored = load_file(weights / "casper.safetensors")
    assert set(network.state_dict()) == set(stored)
    assert all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())
    assert network.config.in_channels == 33 and network.ofs_embedding is None and not network.training
    assert not any(value.requires_grad for value in network.parameters())


def test_weights_become_the_placements_type(weights: Path) -> None:
    assert read_denoiser(weights, Placement(dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert read_vae(weights, Placement(dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_another_networks_checkpoint_is_refused_by_the_tensors_name(copy: Path) -> None:
    change(copy, **{"patch_embed.proj.weight": torch.zeros(32, 256)})
    with pytest.raises(BadOption, match=r"'patch_embed\.proj\.weight' .* \[32, 256\], the network needs \[32, 264\]"):
        read_denoiser(copy, Placement())


def test_missing_and_unknown_tensors_are_named(copy: Path) -> None:
    change(copy, **{"ofs_embedding.linear_1.weight": torch.zeros(4, 4)})
    with pytest.raises(BadOption, match=r"'ofs_embedding\.linear_1\.weight' \[4, 4\]"):
        read_denoiser(copy, Placement())
    change(copy, **{"ofs_embedding.linear_1.weight": None, "norm_out.linear.bias": None})
    with pytest.raises(BadOption, match=r"no tensor 'norm_out\.linear\.bias'"):
        read_denoiser(copy, Placement())


def test_a_base_of_another_kind_is_refused(copy: Path) -> None:
    file = copy / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"patch_size_t": None}))
    with pytest.raises(BadOption, match=r"no CogVideoX 1\.5"):
        read_denoiser(copy, Placement())
    file.write_text("{")
    with pytest.raises(BadOption, match=r"config\.json is no JSON"):
        read_denoiser(copy, Placement())


def test_a_missing_checkpoint_says_so(copy: Path) -> None:
    (copy / "casper.safetensors").unlink()
    with pytest.raises(NotFound, match=r"no checkpoint .*casper\.safetensors"):
        read_denoiser(copy, Placement())


def test_the_released_size_is_what_placement_counts_with() -> None:
    with torch.device("meta"):
        network = model._models.CogVideoXTransformer3DModel(**model.PUBLISHED, **model._ALWAYS)
    count = lambda module: sum(value.numel() for value in module.parameters())  # noqa: E731
    need = need_at(384, 672)
    assert count(network) == pytest.approx(need.parameters, rel=0.01)
    assert count(network.transformer_blocks[0]) == pytest.approx(need.block, rel=0.01)
    assert count(network) - count(network.transformer_blocks) <= need.rest
    norms = sum(value.numel() for name, value in network.named_parameters() if "norm" in name or "patch_embed" in name)
    assert norms == pytest.approx(need.whole, rel=0.02)
    assert network.patch_embed.proj.in_features == 264


def test_timesteps_of_the_release() -> None:
    schedule = make_schedule()
    schedule.set_timesteps(50)
    assert schedule.timesteps.tolist() == list(range(999, 18, -20))
    schedule.set_timesteps(4)
    assert schedule.timesteps.tolist() == [999, 749, 499, 249]


def test_a_step_is_plain_ddim_on_a_schedule_that_ends_in_pure_noise() -> None:
    """Betas scaled-linear, square roots of the products shifted and scaled so that the last is 0; v-prediction."""
    low, high = math.sqrt(0.00085), math.sqrt(0.012)
    roots, product = [], 1.0
    for i in range(1000):
        product *= 1 - (low + (high - low) * i / 999) ** 2
        roots.append(math.sqrt(product))
    signal = [(root - roots[-1]) * roots[0] / (roots[0] - roots[-1]) for root in roots]

    schedule = make_schedule()
    schedule.set_timesteps(4)
    noisy = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    velocity = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    for t, following in ((999, 749), (749, 499), (499, 249), (249, None)):
        a, s = signal[t], math.sqrt(1 - signal[t] ** 2)
        b = 1.0 if following is None else signal[following]
        clean, noise = a * noisy - s * velocity, a * velocity + s * noisy
        wanted = b * clean + math.sqrt(1 - b**2) * noise
        found = schedule.step(velocity, t, noisy, return_dict=False)[0]
        assert torch.allclose(found, wanted, atol=2e-5), t
    assert signal[999] == 0 and schedule.alphas_cumprod[999] == 0


def test_the_shift_of_a_schedules_configuration_is_ignored(copy: Path) -> None:
    (copy / "scheduler").mkdir()
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({"_class_name": "CogVideoXDDIMScheduler", "snr_shift_scale": 3.0}))
    assert torch.equal(make_schedule(copy).alphas_cumprod, make_schedule().alphas_cumprod)
