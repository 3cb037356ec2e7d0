"""Between the stage and its decoders: a decoder that dies, hangs, or says what cannot be."""

import io
from collections.abc import Iterator

import numpy as np
import pytest

from services.artifacts import Store
from services.errors import BadMask, BadVideo, Cancelled, OutOfSpace
from services.ingest import decoders
from services.ingest.stage import Ingest
from services.sandbox.running import Broken
from services.sandbox.wire import Piece
from services.stage import Request, execute
from tests.services.clips import make_clip, moving_square

COLOR = {"matrix": "bt709", "range": "full", "primaries": "unknown", "transfer": "unknown", "tagged": True}
OPENING = {"frames": 2, "height": 32, "width": 48, "bit_depth": 8, "sample_aspect_ratio": "1/1", "color": COLOR}
ENDING = {"fps": "24/1", "timestamps": None, "audio": None}
FRAME = np.zeros((32, 48, 3), np.uint8)


class Fake:
    """In place of the sandbox: answers with what it was given, exceptions included."""

    def __init__(self, *answers) -> None:
        self._answers = answers

    def run(self, job, files, params, *, check) -> Iterator[Piece]:
        for answer in self._answers:
            if isinstance(answer, Exception):
                raise answer
            yield Piece(answer) if isinstance(answer, dict) else Piece(array=answer)


class Here:
    """In place of the sandbox: the decoders in this process."""

    def run(self, job, files, params, *, check) -> Iterator[Piece]:
        return getattr(decoders, job.partition(":")[2])(files, **params)


def ingest(store: Store, stage: Ingest, data: bytes = b"x" * 600, name: str = "a.mp4"):
    upload = store.upload([data], filename=name)
    return store.get(execute(stage, Request("ingest", {"kind": "video"}, {"upload": upload.address}), store).address)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_fake_decoder_is_believed_when_it_makes_sense(store):
    video = ingest(store, Ingest(Fake(OPENING, FRAME, FRAME, ENDING)))
    assert video.meta["frames"] == 2 and video.meta["fps"] == "24/1"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("crashed", "its decoder crashed on it"),
        ("slow", "takes too long"),
        ("memory", "takes more memory than one file may use"),
        ("nonsense", "gives nothing that makes sense"),
        ("failed", "cannot be decoded"),
    ],
)
def test_a_broken_decoder_is_the_files_fault(store, how, says):
    with pytest.raises(BadVideo, match=rf"^a\.mp4: .*{says}.*export it again") as caught:
        ingest(store, Ingest(Fake(OPENING, FRAME, Broken(how, "detail"))))
    assert "detail" not in caught.value.message


def test_a_decoder_that_the_system_ended_is_not_the_files_fault(store):
    with pytest.raises(OutOfSpace, match=r"a\.mp4: the system ended its decoder"):
        ingest(store, Ingest(Fake(OPENING, Broken("killed", "SIGKILL"))))


def test_a_broken_decoder_of_a_mask_names_the_mask(store):
    video = ingest(store, Ingest(Fake(OPENING, FRAME, FRAME, ENDING))).address
    upload = store.upload([b"y" * 600], filename="m.png").address
    request = Request("ingest", {"kind": "mask", "label": "vase"}, {"upload": upload, "video": video})
    for answers in [(Broken("crashed", "SIGSEGV"),), (FRAME,), (FRAME[..., 0].astype(np.uint16),), ({},)]:
        with pytest.raises(BadMask, match=r"^the mask of 'vase' \(m\.png\) cannot be read: .*export it again\.$"):
            execute(Ingest(Fake(*answers)), request, store)


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (FRAME,),
        ({},),
        (OPENING,),
        (OPENING, FRAME),
        (OPENING, FRAME, FRAME),
        (OPENING, ENDING),
        (OPENING | {"width": "48"}, FRAME, ENDING),
        (OPENING | {"width": 64}, FRAME, ENDING),
        (OPENING | {"height": True}, FRAME, ENDING),
        (OPENING | {"frames": 10**9}, FRAME, ENDING),
        (OPENING | {"bit_depth": 16}, FRAME, ENDING),
        (OPENING | {"color": {"matrix": ["x"]}}, FRAME, ENDING),
        (OPENING | {"sample_aspect_ratio": "1/0"}, FRAME, ENDING),
        (OPENING, FRAME, FRAME[:, :20], ENDING),
        (OPENING, FRAME, ENDING | {"fps": 24}),
        (OPENING, FRAME, ENDING | {"timestamps": {"time_base": "1/1000", "pts": [0, 1]}}),
        (OPENING, FRAME, ENDING | {"timestamps": [0]}),
        (OPENING, FRAME, ENDING | {"audio": {"codec": "a" * 1000, "rate": 1, "channels": 1}}),
        (OPENING, FRAME, ENDING | {"audio": {"codec": "aac", "rate": -1, "channels": 1}}),
    ],
)
def test_a_decoder_that_was_taken_over_cannot_say_anything_it_likes(store, answers):
    with pytest.raises(BadVideo, match=r"^a\.mp4: .*nothing that makes sense"):
        ingest(store, Ingest(Fake(*answers)))


def test_too_many_frames_are_refused_on_this_side_too(store):
    small = OPENING | {"height": 16, "width": 16, "frames": 0}
    with pytest.raises(BadVideo, match="more than 5000 frames"):
        ingest(store, Ingest(Fake(small, *[FRAME[:16, :16]] * 5001)))


def test_cancelling_ends_the_decoder(store, tmp_path):
    data = make_clip(tmp_path / "a.mkv", moving_square(60, 64, 96)).read_bytes()
    upload = store.upload([data], filename="a.mkv").address
    asked = iter([False])
    with pytest.raises(Cancelled):
        execute(
            Ingest(),
            Request("ingest", {"kind": "video"}, {"upload": upload}),
            store,
            cancelled=lambda: next(asked, True),
        )


@pytest.mark.parametrize(
    "form",
    [
        {"codec": "ffv1", "pixel_format": "bgr0", "audio": "aac"},
        {"codec": "prores_ks", "pixel_format": "yuv444p10le"},
        {"rotation": 90, "pts": [0, 40, 55, 130, 131]},
    ],
)
def test_a_confined_decoder_gives_what_it_gives_in_this_process(tmp_path, form):
    form = dict(form)
    suffix = "mov" if "rotation" in form or form.get("codec") == "prores_ks" else "mkv"
    data = make_clip(tmp_path / f"a.{suffix}", moving_square(5, 48, 64), **form).read_bytes()
    here, there = (
        ingest(Store(str(tmp_path / name)), stage, data, f"a.{suffix}")
        for name, stage in (("here", Ingest(Here())), ("there", Ingest()))
    )
    assert dict(here.meta) == dict(there.meta)
    assert np.array_equal(here.array("frames")[:], there.array("frames")[:])
    if here.meta["audio"]:
        assert packets(here.read("audio.mka")) == packets(there.read("audio.mka"))


def test_the_sample_clip_is_the_same_either_way(tmp_path, sample_clip):
    data = (sample_clip / "input.mp4").read_bytes()
    here = ingest(Store(str(tmp_path / "here")), Ingest(Here()), data)
    there = ingest(Store(str(tmp_path / "there")), Ingest(), data)
    assert dict(here.meta) == dict(there.meta)
    assert np.array_equal(here.array("frames")[:], there.array("frames")[:])
    assert packets(here.read("audio.mka")) == packets(there.read("audio.mka"))


def packets(data: bytes) -> list[tuple[int | None, bytes]]:
    """The sound itself; the file around it has a random id."""
    import av

    with av.open(io.BytesIO(data)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux() if packet.size]
