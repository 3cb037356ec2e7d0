"""Encoded layers keep count, size, timing, aspect, alpha and sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from services.video import hevc_alpha
from services.video.audio import extract
from services.video.color import alpha_of
from services.video.encode import Form, Movie, bleed
from services.video.timing import Timeline
from tests.services import layered_hevc
from tests.services.clips import make_clip, moving_square

COLOR = (200, 60, 90)


def disc(t: int, height: int = 45, width: int = 71) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    rgba = np.empty((height, width, 4), np.uint8)
    rgba[..., :3] = COLOR
    rgba[..., 3] = np.where(np.hypot(x - 25 - t, y - 20) < 12, 255, 0)
    return rgba


def write(path: Path, frames: list[np.ndarray], form: Form, **options) -> Path:
    movie = Movie(path, form, **options)
    for frame in frames:
        movie.write(frame)
    movie.close()
    return path


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec.name != "vp9":
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own VP9 decoder drops alpha.
        packets = [packet if packet.size else None for packet in container.demux(stream)]
        return [frame for packet in packets for frame in decoder.decode(packet)]


@pytest.mark.parametrize(("family", "suffix"), [("webm", "webm"), ("prores", "mov")])
def test_alpha_colour_count_and_size_survive(tmp_path, family, suffix):
    form = Form(71, 45, Timeline(Fraction(24000, 1001)), matrix="bt709")
    frames = [disc(t) for t in range(6)]
    path = write(tmp_path / f"layer.{suffix}", frames, form, family=family, alpha=True)
    decoded = decode(path)
    assert len(decoded) == 6 and (decoded[0].width, decoded[0].height) == (71, 45)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == Fraction(24000, 1001)
    for frame, sent in zip(decoded, frames, strict=True):
        rgba = frame.reformat(format="rgba", src_colorspace=1).to_ndarray()
        assert np.abs(rgba[..., 3].astype(int) - sent[..., 3]).mean() < 2
        assert np.abs(rgba[..., :3].astype(int) - COLOR).max() <= 6


@pytest.mark.parametrize(("width", "height"), [(70, 46), (64, 64), (202, 118)])
def test_hevc_has_alpha_for_who_reads_its_layers_and_is_plain_for_who_does_not(tmp_path, width, height):
    form = Form(width, height, Timeline(Fraction(24000, 1001)), sample_aspect_ratio=Fraction(4, 3))
    frames = [disc(t, height, width) for t in range(60)]  # More than lie between two key frames.
    path = write(tmp_path / "layer.mov", frames, form, family="hevc", alpha=True)
    seen = list(layered_hevc.alphas(path))
    assert max(np.abs(a.astype(int) - b[..., 3]).mean() for a, b in zip(seen, frames, strict=True)) <= 1
    plain = decode(path)
    assert len(plain) == 60 and (plain[0].width, plain[0].height) == (width, height)
    rgb = [frame.reformat(format="rgb24", src_colorspace=1).to_ndarray() for frame in plain]
    assert np.abs(np.array(rgb[::20]).astype(int) - COLOR).max() <= 6
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.codec_tag, stream.average_rate) == ("hvc1", Fraction(24000, 1001))
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        ours = list(hevc_alpha.decoded(container, stream, "layer"))
    assert [frame.pts for frame in ours] == [frame.pts for frame in plain]
    for frame, alpha in zip(ours, seen, strict=True):
        assert np.array_equal(alpha_of(frame), alpha)


def test_prores_keeps_more_than_8_bits(tmp_path):
    ramp = np.repeat(np.linspace(20000, 20600, 64).astype(np.uint16)[None, :, None], 48, 0).repeat(3, 2)
    path = write(tmp_path / "deep.mov", [ramp], Form(64, 48, Timeline(Fraction(25))), family="prores", alpha=False)
    assert len(np.unique(decode(path)[0].reformat(format="rgb48le").to_ndarray()[..., 1])) > 6


@pytest.mark.parametrize(("family", "suffix"), [("webm", "webm"), ("prores", "mov")])
def test_a_variable_rate_keeps_its_times(tmp_path, family, suffix):
    times = (0, 40, 55, 130, 131)
    form = Form(71, 45, Timeline(Fraction(30), Fraction(1, 1000), times))
    frames = [disc(t)[..., :3] for t in range(5)]
    decoded = decode(write(tmp_path / f"vfr.{suffix}", frames, form, family=family, alpha=False))
    assert [round(float(frame.pts * frame.time_base) * 1000) for frame in decoded] == list(times)


@pytest.mark.parametrize(("family", "suffix"), [("webm", "webm"), ("prores", "mov")])
def test_pixels_keep_their_aspect(tmp_path, family, suffix):
    form = Form(71, 45, Timeline(Fraction(25)), sample_aspect_ratio=Fraction(4, 3))
    path = write(tmp_path / f"wide.{suffix}", [disc(0)] * 3, form, family=family, alpha=True)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == pytest.approx(Fraction(4, 3), rel=0.02)
    assert len(decode(path)) == 3


@pytest.mark.parametrize(
    ("codec", "family", "suffix", "expected"),
    [
        ("aac", "webm", "webm", "opus"),
        ("libopus", "webm", "webm", "opus"),
        ("aac", "prores", "mov", "aac"),
        ("libopus", "prores", "mov", "pcm_s16le"),
    ],
)
def test_sound_goes_along(tmp_path, codec, family, suffix, expected):
    clip = make_clip(tmp_path / "talk.mkv", moving_square(24, 45, 71), pixel_format="yuv444p", audio=codec)
    with clip.open("rb") as file:
        sound = extract(file, "talk.mkv", tmp_path / "audio.mka", origin=Fraction(0))
    assert sound is not None and (sound.rate, sound.channels) == (48000, 2)
    form = Form(71, 45, Timeline(Fraction(24)))
    frames = [disc(t)[..., :3] for t in range(24)]
    path = write(tmp_path / f"b.{suffix}", frames, form, family=family, alpha=False, sound=tmp_path / "audio.mka")
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec.name == expected
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == pytest.approx(48000, rel=0.06)
    assert len(decode(path)) == 24


def test_copied_sound_is_bit_identical(tmp_path):
    clip = make_clip(tmp_path / "talk.mp4", moving_square(24, 48, 64), audio="aac")
    with clip.open("rb") as file:
        extract(file, "talk.mp4", tmp_path / "audio.mka", origin=Fraction(0))

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]

    assert packets(tmp_path / "audio.mka") == packets(clip)


def test_a_silent_clip_has_no_sound(tmp_path):
    clip = make_clip(tmp_path / "mute.mp4", moving_square(3, 48, 64))
    with clip.open("rb") as file:
        assert extract(file, "mute.mp4", tmp_path / "audio.mka", origin=Fraction(0)) is None


def test_bleed_continues_colour_and_keeps_what_is_visible():
    rgba = disc(0)
    rgba[rgba[..., 3] == 0] = 0
    spread = bleed(rgba)
    visible = rgba[..., 3] > 0
    assert np.array_equal(spread[visible], rgba[visible]) and np.array_equal(spread[..., 3], rgba[..., 3])
    assert np.abs(spread[20, 40, :3].astype(int) - COLOR).max() <= 2
