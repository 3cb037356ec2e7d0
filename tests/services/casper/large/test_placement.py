"""Placements: the fastest mode that fits, and an error that says what would."""

import pytest
import torch

from services.casper.large.placement import Device, Need, Placement, choose, peak_memory
from services.errors import OutOfSpace

GIB = 2**30


def need_at(height: int, width: int) -> Need:
    area = height * width / (384 * 672)
    return Need(
        name="a network",
        parameters=5_500_000_000,
        block=130_000_000,
        rest=100_000_000,
        working=int(1.5 * GIB * area),
        vae=int(5 * GIB * area),
    )


def gpu(free: float, capability: tuple[int, int] = (9, 0)) -> Device:
    return Device("cuda", "a GPU", capability, int(free * GIB))


def chosen(device: Device, *, runs: int = 1, exact: bool = False) -> Placement:
    return choose(device, need_at, height=384, width=672, runs=runs, exact=exact)


def test_modes_by_free_memory() -> None:
    modes = {free: (p.offload, p.fp8) for free in (79, 24, 14, 12, 8) for p in [chosen(gpu(free))]}
    assert modes == {
        79: ("none", False),
        24: ("none", False),
        14: ("model", False),
        12: ("none", True),
        8: ("model", True),
    }
    assert chosen(gpu(8), exact=True).offload == "group"
    assert chosen(gpu(7, (8, 6))).offload == "group"


def test_whatever_is_chosen_fits() -> None:
    for free in range(6, 80):
        for runs in (1, 4):
            p = chosen(gpu(free), runs=runs)
            assert peak_memory(need_at(384, 672), offload=p.offload, fp8=p.fp8, together=p.together) <= free * GIB


def test_runs_go_together_where_they_fit() -> None:
    assert chosen(gpu(79), runs=4).together == 4
    assert chosen(gpu(17), runs=4).together == 3
    assert chosen(gpu(79), runs=1).together == 1


def test_what_the_hardware_has() -> None:
    assert (chosen(gpu(79)).attention, chosen(gpu(79)).compiled) == ("cudnn", True)
    assert chosen(gpu(79, (8, 0))).attention == "flash"
    old = chosen(gpu(79, (7, 5)))
    assert (old.attention, old.compiled) == ("efficient", False)
    assert not chosen(gpu(12, (8, 0))).fp8
    assert chosen(gpu(24)).dtype == torch.bfloat16
    assert chosen(Device("cpu", "the CPU", (0, 0), 0)) == Placement()


def test_too_little_memory_says_what_would_fit() -> None:
    with pytest.raises(OutOfSpace, match=r"384x672 does not fit into the 4\.0 GiB.*none .* GiB.*group .*would fit"):
        chosen(gpu(4))
    with pytest.raises(OutOfSpace, match="no smaller size would fit"):
        chosen(gpu(0.5))
