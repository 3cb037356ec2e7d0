"""Ingesting a video: what the store holds is what the file shows."""

from fractions import Fraction

import numpy as np
import pytest

from services.artifacts import Artifact, Store
from services.errors import BadOption, BadVideo, NotFound
from services.ingest.stage import Ingest
from services.stage import Request, execute
from tests.services.clips import make_clip, moving_square

INGEST = Ingest()  # One, so that its process stays warm.


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def ingest(store: Store, data: bytes, filename: str, **params) -> Artifact:
    upload = store.upload([data], filename=filename)
    result = execute(INGEST, Request("ingest", {"kind": "video", **params}, {"upload": upload.address}), store)
    return store.get(result.address)


def test_frames_facts_and_sound_are_kept(store, tmp_path):
    clip = moving_square(24, 45, 71)
    path = make_clip(
        tmp_path / "a.mkv", clip, codec="ffv1", pixel_format="bgr0", rate=Fraction(24000, 1001), audio="aac"
    )
    video = ingest(store, path.read_bytes(), "holiday.mkv")
    assert np.array_equal(video.array("frames")[:], clip)
    meta = dict(video.meta)
    assert (meta["frames"], meta["height"], meta["width"], meta["fps"]) == (24, 45, 71, "24000/1001")
    assert (meta["sample_aspect_ratio"], meta["bit_depth"], meta["timestamps"]) == ("1/1", 8, None)
    assert meta["audio"] == {"codec": "aac", "rate": 48000, "channels": 2}
    assert meta["color"]["matrix"] == "rgb"
    assert len(video.read("audio.mka")) > 1000


def test_a_deep_clip_is_stored_with_16_bits(store, tmp_path):
    deep = (
        np.repeat(np.linspace(2000, 60000, 64).astype(np.uint16)[None, None, :, None], 3, 0).repeat(48, 1).repeat(3, 3)
    )
    path = make_clip(tmp_path / "a.mov", deep, codec="prores_ks", pixel_format="yuv444p10le")
    video = ingest(store, path.read_bytes(), "a.mov")
    frames = video.array("frames")[:]
    assert frames.dtype == np.uint16 and video.meta["bit_depth"] > 8
    assert np.abs(frames.astype(int) - deep).mean() < 300
    assert video.meta["audio"] is None


def test_a_variable_rate_keeps_its_timestamps(store, tmp_path):
    times = [0, 40, 55, 130, 131]
    path = make_clip(tmp_path / "a.mkv", moving_square(5, 32, 48), pts=times)
    meta = ingest(store, path.read_bytes(), "a.mkv").meta
    assert meta["timestamps"] == {"time_base": "1/1000", "pts": times}


def test_more_frames_than_a_chunk_arrive_in_order(store, tmp_path):
    clip = moving_square(37, 32, 48)
    path = make_clip(tmp_path / "a.mkv", clip, codec="ffv1", pixel_format="bgr0")
    assert np.array_equal(ingest(store, path.read_bytes(), "a.mkv").array("frames")[:], clip)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"hello there, " * 50, "not a video"), (b"", "empty"), (b"\0\0\0\x18ftypisom" + b"\0" * 99, "truncated")],
)
def test_a_bad_file_is_named_and_leaves_nothing(store, data, says):
    with pytest.raises(BadVideo, match=rf"^clip\.mp4: .*{says}"):
        ingest(store, data, "clip.mp4")
    assert_only_uploads(store)


def test_a_truncated_clip_leaves_nothing(store, tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving_square(60, 64, 96))
    data = path.read_bytes()
    with pytest.raises(BadVideo, match=r"^a\.mkv: it breaks off after \d+ frames"):
        ingest(store, data[: len(data) // 2], "a.mkv")
    assert_only_uploads(store)


def test_an_unknown_kind_is_refused(store):
    with pytest.raises(BadOption, match="'video' or 'mask'"):
        ingest(store, b"x", "x", kind="sound")


def test_the_real_clips_are_taken_whole(store, shared_clips):
    video = ingest(store, (shared_clips / "boys-beach" / "input_video.mp4").read_bytes(), "boys.mp4")
    assert dict(video.meta) | {"color": None} == {
        "frames": 85,
        "height": 384,
        "width": 640,
        "fps": "16/1",
        "sample_aspect_ratio": "1/1",
        "bit_depth": 8,
        "audio": None,
        "timestamps": None,
        "color": None,
    }
    with pytest.raises(NotFound):
        video.read("audio.mka")


def assert_only_uploads(store: Store) -> None:
    from pathlib import Path

    manifests = list(Path(store.url).rglob("manifest.json"))
    assert len(manifests) == 1 and '"stage":"upload"' in manifests[0].read_text()
    assert not [path for path in Path(store.url).rglob("*") if path.is_dir() and path.name == "frames"]
