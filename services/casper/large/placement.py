"""How a large Casper is put on the device that is there: a pure decision from capability and free memory.

    none    everything stays on the device
    model   the denoiser and the VAE take turns on the device
    group   the denoiser's blocks visit the device one after the other, the next one travelling while one computes

Must not know: any network (a family states its `Need`), nor how a placement is carried out (`placing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from services.errors import OutOfSpace

Offload = Literal["none", "model", "group"]
Attention = Literal["cudnn", "flash", "efficient", "math"]
NeedAt = Callable[[int, int], "Need"]
"""What a family needs at a height and a width."""

_GIB = 2**30
SPARE = _GIB // 2
"""Left alone for the CUDA context's growth and fragmentation."""


@dataclass(frozen=True)
class Device:
    """What there is. kind: "cpu" or "cuda". capability: CUDA's (major, minor), (0, 0) on a CPU. free: bytes."""

    kind: str
    name: str
    capability: tuple[int, int]
    free: int


@dataclass(frozen=True)
class Need:
    """What a family needs at one size, in bytes unless said otherwise.

    name: for messages. parameters: of the denoiser, a count. block: parameters of its largest block.
    rest: parameters outside of the blocks. working: activations of one window of one run. vae: the VAE with what it
    needs to encode or decode one chunk. whole: parameters that fp8 leaves as they are (norms, embeddings).
    """

    name: str
    parameters: int
    block: int
    rest: int
    working: int
    vae: int
    whole: int = 0


@dataclass(frozen=True)
class Placement:
    """Where and how a large Casper runs.

    device: of torch. dtype: of weights and activations. offload: see above.
    fp8: weights of the denoiser's linear layers are kept in float8_e4m3 and cast per call; results change slightly.
    attention: the fastest implementation that the device has. compiled: torch.compile of the blocks.
    together: runs of one clip in one forward.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    offload: Offload = "none"
    fp8: bool = False
    attention: Attention = "math"
    compiled: bool = False
    together: int = 1


def seen_device(index: int = 0) -> Device:
    """The CUDA device `index` as it is now, or the CPU if there is none."""
    if not torch.cuda.is_available():
        return Device("cpu", "the CPU", (0, 0), 0)
    free, _ = torch.cuda.mem_get_info(index)
    return Device("cuda", torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index), free)


def choose(
    device: Device, need_at: NeedAt, *, height: int, width: int, runs: int = 1, exact: bool = False
) -> Placement:
    """The fastest placement that fits, with as many of `runs` together as fit.

    exact: no fp8. Raises OutOfSpace if nothing fits; the message says what each mode needs and which size would fit.
    """
    if device.kind == "cpu":
        return Placement()
    need = need_at(height, width)
    for offload, fp8 in _modes(device, exact=exact):
        together = max((n for n in range(1, runs + 1) if _fits(device, need, offload, fp8, n)), default=0)
        if together:
            return Placement(
                device="cuda",
                dtype=torch.bfloat16,
                offload=offload,
                fp8=fp8,
                attention=best_attention(device.capability),
                # Hooks that move or cast weights around a block break its graph: nothing would be won.
                compiled=offload != "group" and not fp8 and device.capability >= (8, 0),
                together=together,
            )
    raise OutOfSpace(_what_would_fit(device, need_at, height=height, width=width, exact=exact))


def peak_memory(need: Need, *, offload: Offload, fp8: bool, together: int = 1) -> int:
    """Bytes of device memory that `need` takes in a mode: an estimate, on the safe side."""
    weights = need.parameters + need.whole if fp8 else 2 * need.parameters
    working = need.working * together
    if offload == "none":
        return weights + max(working, need.vae) + need.vae // 8
    if offload == "model":
        return max(weights + working, need.vae)
    return max(2 * need.rest + 2 * 2 * need.block + working, need.vae)


def best_attention(capability: tuple[int, int]) -> Attention:
    """cuDNN's kernels are the fastest from Hopper on, flash attention needs Ampere."""
    if capability >= (9, 0):
        return "cudnn"
    return "flash" if capability >= (8, 0) else "efficient"


def has_fp8(capability: tuple[int, int]) -> bool:
    """Whether the hardware converts 8-bit floats itself (Ada, Hopper and later)."""
    return capability >= (8, 9)


def _modes(device: Device, *, exact: bool) -> Iterator[tuple[Offload, bool]]:
    yield "none", False
    yield "model", False
    if has_fp8(device.capability) and not exact:
        yield "none", True
        yield "model", True
    yield "group", False


def _fits(device: Device, need: Need, offload: Offload, fp8: bool, together: int) -> bool:
    return peak_memory(need, offload=offload, fp8=fp8, together=together) + SPARE <= device.free


def _what_would_fit(device: Device, need_at: NeedAt, *, height: int, width: int, exact: bool) -> str:
    need = need_at(height, width)
    modes = ", ".join(
        f"{offload}{' with fp8 weights' if fp8 else ''} {_gib(peak_memory(need, offload=offload, fp8=fp8) + SPARE)}"
        for offload, fp8 in _modes(device, exact=exact)
    )
    smaller = next((size for size in _smaller(height, width) if _fits(device, need_at(*size), "group", False, 1)), None)
    advice = f"{smaller[0]}x{smaller[1]} would fit" if smaller else "no smaller size would fit"
    return (
        f"{need.name} at {height}x{width} does not fit into the {_gib(device.free)} that are free on {device.name} "
        f"(needed per offload mode: {modes}); {advice}, or free memory, or use a larger GPU."
    )


def _smaller(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Sizes of about the same aspect, multiples of 16, from just smaller down to a short side of 128."""
    for sixteenths in range(min(height, width) // 16 - 1, 7, -1):
        scale = 16 * sixteenths / min(height, width)
        yield round(height * scale / 16) * 16, round(width * scale / 16) * 16


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
