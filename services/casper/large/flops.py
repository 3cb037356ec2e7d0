"""How many operations the published denoisers need: linear layers and attention, two for a multiply and an add.

A transformer of L layers and width d on n tokens, in one forward:

    CogVideoX   L (24 d^2 n + 4 d n^2): text and video in one sequence; four projections, and a feed-forward of width 4d
    Wan         L (2 n (6 d^2 + 2 d f) + 4 d^2 c + 4 d n^2 + 4 d n c): feed-forward of width f; c tokens of text and
                picture, which only cross-attention sees

Embeddings, norms and the last layer are left out (under 1 %). Pure functions. Must not know: any device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.casper.large.windows import COGVIDEOX, WAN, Rule, plan_windows

_TOKEN = 16
"""In height and width: 8 in a latent, 2 latents in a token."""


@dataclass(frozen=True)
class Shape:
    """What the formulas need of a denoiser.

    Attributes:
        rule: its windows.
        latents_per_token: in time.
        layers: of the published denoiser.
        even: whether clips are padded to an even number of latents.
        forward: operations of one forward on a number of video tokens.
    """

    rule: Rule
    latents_per_token: int
    layers: int
    even: bool
    forward: Callable[[int], float]


def cogvideox(tokens: int, *, layers: int = 42, width: int = 3072, text: int = 226) -> float:
    """Operations of one forward of CogVideoX on `tokens` tokens of video."""
    n = tokens + text
    return layers * (24.0 * width**2 * n + 4.0 * width * n**2)


def wan(tokens: int, *, layers: int, width: int, hidden: int, context: int = 512 + 257) -> float:
    """Operations of one forward of Wan on `tokens` tokens of video."""
    linear = 2.0 * tokens * (6 * width**2 + 2 * width * hidden) + 4.0 * context * width**2
    return layers * (linear + 4.0 * width * tokens**2 + 4.0 * width * tokens * context)


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "cogvideox": Shape(COGVIDEOX, 2, 42, True, cogvideox),
        "wan-1.3b": Shape(WAN, 1, 30, False, lambda n: wan(n, layers=30, width=1536, hidden=8960)),
        "wan-14b": Shape(WAN, 1, 40, False, lambda n: wan(n, layers=40, width=5120, hidden=13824)),
    }
)


def of_run(shape: Shape, *, latents: int, height: int, width: int, steps: int, share: float = 1.0) -> float:
    """Operations of one run over a clip of `latents` latents, `height` x `width` pixels; the VAE is not included.

    share: of the layers, if the denoiser was made with fewer.
    """
    per_latent = (height // _TOKEN) * (width // _TOKEN)
    windows = plan_windows(latents, shape.rule)
    lengths = [window.stop - window.start for window in windows]
    return share * steps * sum(shape.forward(length // shape.latents_per_token * per_latent) for length in lengths)
