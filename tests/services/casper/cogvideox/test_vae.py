"""The VAE in pieces: frame counts of the release, and the same numbers as on a whole clip."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.casper.cogvideox.tiny import tiny_vae
from services.casper.cogvideox.vae import decode, decode_spans, decoded_frames, encode, encode_spans


def made() -> object:
    torch.manual_seed(0)
    return tiny_vae().eval()


def clip(frames: int, seed: int = 1) -> Tensor:
    return torch.randn(1, 3, frames, 16, 24, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


@pytest.mark.parametrize("latents", [1, 2, 3, 4, 6, 7, 22, 50])
def test_pieces_to_decode(latents: int) -> None:
    spans = decode_spans(latents)
    assert spans[0] == (0, 1) and spans[-1][1] == latents
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert all(stop - start == 2 for start, stop in spans[1:-1])


@pytest.mark.parametrize("frames, spans", [(5, [(0, 5)]), (13, [(0, 13)]), (29, [(0, 13), (13, 21), (21, 29)])])
def test_pieces_to_encode(frames: int, spans: list[tuple[int, int]]) -> None:
    assert encode_spans(frames) == spans


@pytest.mark.parametrize("latents, frames", [(3, 9), (4, 13), (6, 21), (22, 85)])
def test_every_latent_but_the_first_gives_four_frames(latents: int, frames: int) -> None:
    given = torch.randn(1, 16, latents, 2, 2, generator=torch.Generator().manual_seed(0))
    parts = list(decode(made(), given))
    assert [first for first, _ in parts] == [0, *range(1, frames, 8)]
    assert sum(part.shape[2] for _, part in parts) == frames == decoded_frames(latents)
    assert all(part.shape[3:] == (16, 16) for _, part in parts)


class Released(nn.Module):
    """Upsampling of the release: a clip's first latent stays one frame, every later one is doubled."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.first = layer, True

    def forward(self, x: Tensor) -> Tensor:
        if self.layer.compress_time and not self.first:
            x = x.repeat_interleave(2, dim=2)
        x = F.interpolate(x, scale_factor=(1, 2, 2))
        return torch.stack([self.layer.conv(x[:, :, t]) for t in range(x.shape[2])], dim=2)


@pytest.mark.parametrize("latents", [3, 4, 6])
@torch.inference_mode()
def test_decoding_is_the_releases_loop(latents: int) -> None:
    given = torch.randn(2, 16, latents, 2, 3, generator=torch.Generator().manual_seed(latents))
    found = torch.cat([part for _, part in decode(made(), given)], dim=2)

    plain = made()
    ups = []
    for block in plain.decoder.up_blocks:
        for i, layer in enumerate(block.upsamplers or []):
            block.upsamplers[i] = Released(layer)
            ups.append(block.upsamplers[i])
    wanted, cache, start = [], None, 0
    while start < latents:
        stop = 1 if start == 0 else min(start + 2, latents)
        for up in ups:
            up.first = start == 0
        part, cache = plain.decoder(given[:, :, start:stop] / 0.7, conv_cache=cache)
        wanted.append(part)
        start = stop
    assert torch.allclose(found, torch.cat(wanted, dim=2), atol=1e-6)


def test_decoding_leaves_the_vae_as_it_was() -> None:
    vae = made()
    given = torch.randn(1, 16, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    first = torch.cat([part for _, part in decode(vae, given)], dim=2)
    stopped = decode(vae, given)
    next(stopped), next(stopped)
    stopped.close()
    assert all("forward" not in vars(up) for block in vae.decoder.up_blocks for up in block.upsamplers or [])
    assert torch.equal(torch.cat([part for _, part in decode(vae, given)], dim=2), first)


@pytest.mark.parametrize("frames", [5, 13, 21, 37])
@torch.inference_mode()
def test_encoding_in_pieces_is_encoding_the_whole_clip(frames: int) -> None:
    vae, video, read = made(), clip(frames), []

    def part(start: int, stop: int) -> Tensor:
        read.append((start, stop))
        return video[:, :, start:stop]

    found = torch.cat(list(encode(vae, part, frames=frames)), dim=2)
    assert torch.equal(found, vae.encode(video).latent_dist.mode() * 0.7)
    assert read == encode_spans(frames) and found.shape[2] == (frames - 1) // 4 + 1


def test_inverted_scaling_in_a_configuration_is_ignored() -> None:
    vae = made()
    wanted = torch.cat(list(encode(vae, lambda a, b: clip(5)[:, :, a:b], frames=5)), dim=2)
    vae.register_to_config(invert_scale_latents=True, scaling_factor=1.0)
    assert torch.equal(torch.cat(list(encode(vae, lambda a, b: clip(5)[:, :, a:b], frames=5)), dim=2), wanted)
