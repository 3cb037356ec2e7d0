"""Decoding: every codec and shape that people send, and everything that is not a whole video."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from services.errors import BadVideo
from services.video import timing
from services.video.limits import Limits
from services.video.source import Facts, Picture, Source, open_container
from tests.services.clips import make_clip, moving_square, png_bytes

FASTSTART = {"movflags": "faststart"}


def read(path: Path, **options) -> tuple[Facts, list[Picture]]:
    with path.open("rb") as file, open_container(file, path.name) as container:
        source = Source(container, path.name, **options)
        return source.facts, list(source.pictures())


def pixels(pictures: list[Picture]) -> np.ndarray:
    return np.stack([picture.pixels for picture in pictures])


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "bits", "tolerance"),
    [
        ("a.mp4", "libx264", "yuv420p", 8, 4),
        ("a.mkv", "libx265", "yuv420p", 8, 4),
        ("deep.mp4", "libx265", "yuv420p10le", 10, 4),
        ("a.webm", "libvpx-vp9", "yuv420p", 8, 4),
        ("a.mov", "prores_ks", "yuv422p10le", 10, 3),
        ("alpha.mov", "prores_ks", "yuva444p10le", 12, 2),
        ("a.avi", "mpeg4", "yuv420p", 8, 6),
        ("a.ts", "libx264", "yuv420p", 8, 4),
        ("exact.mkv", "ffv1", "bgr0", 8, 0),
    ],
)
def test_every_codec_gives_every_frame(tmp_path, name, codec, pixel_format, bits, tolerance):
    clip = moving_square(7, 48, 64)
    quiet = (
        {"x265-params": "log-level=none:crf=12"}
        if codec == "libx265"
        else {"crf": "10", "b": "0"}
        if "vp9" in codec
        else {}
    )
    facts, pictures = read(make_clip(tmp_path / name, clip, codec=codec, pixel_format=pixel_format, options=quiet))
    assert (facts.width, facts.height, facts.bit_depth) == (64, 48, bits)
    decoded = pixels(pictures)
    assert decoded.shape == clip.shape and decoded.dtype == (np.uint8 if bits == 8 else np.uint16)
    scale = 1 if bits == 8 else 257
    assert np.abs(decoded / scale - clip).mean() <= tolerance


def test_odd_sizes_are_kept(tmp_path):
    clip = moving_square(3, 47, 63)
    facts, pictures = read(make_clip(tmp_path / "odd.mp4", clip, pixel_format="yuv444p"))
    assert (facts.width, facts.height) == (63, 47)
    assert pixels(pictures).shape == clip.shape


@pytest.mark.parametrize(("degrees", "turns"), [(-90, 3), (90, 1), (180, 2)])
def test_rotation_in_the_metadata_is_applied(tmp_path, degrees, turns):
    clip = moving_square(2, 48, 64)
    facts, pictures = read(make_clip(tmp_path / "phone.mp4", clip, rotation=degrees, aspect=Fraction(4, 3)))
    shown = np.rot90(clip, turns, axes=(1, 2))
    assert (facts.height, facts.width) == shown.shape[1:3]
    assert facts.sample_aspect_ratio == (Fraction(3, 4) if turns % 2 else Fraction(4, 3))
    assert np.abs(pixels(pictures).astype(int) - shown).mean() < 4


def test_a_variable_rate_keeps_every_frame_with_its_time(tmp_path):
    times = [0, 40, 55, 130, 131, 400]
    facts, pictures = read(make_clip(tmp_path / "vfr.mkv", moving_square(6, 32, 48), pts=times))
    timeline = timing.measure([picture.pts for picture in pictures], time_base=facts.time_base, hints=facts.rates)
    assert [round(float(timeline.seconds(i)) * 1000) for i in range(6)] == times


def test_a_single_frame_is_a_clip(tmp_path):
    _, pictures = read(make_clip(tmp_path / "one.mp4", moving_square(1, 32, 48)))
    assert len(pictures) == 1


def test_500_frames_stream_in_the_memory_of_a_few(tmp_path):
    path = make_clip(tmp_path / "long.mp4", moving_square(520, 64, 96), options={"preset": "ultrafast"})
    tracemalloc.start()
    with path.open("rb") as file, open_container(file, path.name) as container:
        count = sum(1 for _ in Source(container, path.name).pictures())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 520
    assert peak < 40 * 64 * 96 * 3


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full_range", [False, True])
def test_tagged_colour_survives_the_round_trip(tmp_path, matrix, full_range):
    clip = np.full((2, 48, 64, 3), (180, 60, 30), dtype=np.uint8)
    path = make_clip(
        tmp_path / "color.mp4", clip, pixel_format="yuv444p", matrix=matrix, full_range=full_range, options={"crf": "0"}
    )
    facts, pictures = read(path)
    assert facts.color.matrix == ("bt709" if matrix == 1 else "bt601")
    assert facts.color.full_range is full_range
    assert np.abs(pixels(pictures).astype(int) - clip).max() <= 2


# ---- what is not a whole video


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.mp4", b"These are notes, not a video.\n" * 40),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:5,\n/etc/hostname\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/hostname\n"),
        ("manifest.mpd", b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'),
        ("still.png", png_bytes(np.zeros((32, 32), np.uint8))),
        ("random.mp4", np.random.default_rng(0).bytes(5000)),
    ],
)
def test_what_is_not_a_video_is_said_to_be_none(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadVideo, match=rf"^{name}: .*not a video that can be read; send MP4"):
        read(tmp_path / name)


def test_a_playlist_never_opens_the_file_that_it_names(tmp_path):
    clip = make_clip(tmp_path / "private.mp4", moving_square(3, 32, 48))
    for name, text in {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{clip}\n#EXT-X-ENDLIST\n",
        "b.txt": f"ffconcat version 1.0\nfile '{clip}'\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadVideo):
            read(tmp_path / name)


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(BadVideo, match=r"^empty\.mp4: the file is empty"):
        read(tmp_path / "empty.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "kept", "container"),
    [
        ("index_last.mp4", "libx264", 0.6, {}),
        ("index_first.mp4", "libx264", 0.6, FASTSTART),
        ("last_bytes.mp4", "libx264", 0.97, FASTSTART),
        ("matroska.mkv", "libx264", 0.6, {}),
        ("web.webm", "libvpx-vp9", 0.6, {}),
        ("prores.mov", "prores_ks", 0.6, {}),
    ],
)
def test_a_truncated_file_is_said_to_be_truncated(tmp_path, name, codec, kept, container):
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    clip = moving_square(40, 64, 96)
    path = make_clip(tmp_path / name, clip, codec=codec, pixel_format=pixel_format, container_options=container)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BadVideo, match=rf"^{name}: .*breaks off .*truncated or damaged"):
        read(path)


def test_only_sound_is_not_a_video(tmp_path):
    import av

    from tests.services import clips

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        clips._tone(output, output.add_stream("aac", rate=48000, layout="stereo"), seconds=1)
    with pytest.raises(BadVideo, match=r"^song\.mp4: there is only audio in it"):
        read(path)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(max_pixels=1000), "larger than the limit"),
        (Limits(min_side=100), "too small"),
        (Limits(max_frames=5), "more than 5 frames"),
        (Limits(max_seconds=0.1), "cut the clip"),
    ],
)
def test_limits_are_checked_before_decoding(tmp_path, limits, says):
    path = make_clip(tmp_path / "big.mp4", moving_square(8, 48, 64))
    with path.open("rb") as file, open_container(file, path.name) as container, pytest.raises(BadVideo, match=says):
        Source(container, path.name, limits=limits)


def test_frames_are_counted_where_the_container_does_not_say(tmp_path):
    path = make_clip(tmp_path / "many.mkv", moving_square(8, 48, 64))
    with pytest.raises(BadVideo, match="more than 5 frames"):
        read(path, limits=Limits(max_frames=5))
