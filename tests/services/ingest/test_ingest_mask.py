"""Ingesting a mask: video, tar of images, or one image; and everything that does not fit its clip."""

import io
import tarfile

import numpy as np
import pytest

from services.artifacts import Artifact, Store
from services.errors import BadMask
from services.ingest.coverage import coverage
from services.ingest.images import BadImage, decode_file, stills_in_tar
from services.ingest.stage import Ingest
from services.stage import Request, execute
from services.video.limits import Limits
from tests.services.clips import make_clip, moving_square, png_bytes, tar_bytes

HEIGHT, WIDTH, FRAMES = 48, 64, 12

INGEST = Ingest()  # One, so that its process stays warm.


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def video(store, tmp_path) -> str:
    path = make_clip(tmp_path / "clip.mkv", moving_square(FRAMES, HEIGHT, WIDTH), codec="ffv1", pixel_format="bgr0")
    upload = store.upload([path.read_bytes()], filename="clip.mkv")
    return execute(INGEST, Request("ingest", {"kind": "video"}, {"upload": upload.address}), store).address


def true_masks(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    masks = np.zeros((frames, height, width), np.uint8)
    for t in range(frames):
        masks[t, 10:30, 5 + t : 25 + t] = 255
    return masks


def ingest(store: Store, video: str, data: bytes, filename: str) -> Artifact:
    upload = store.upload([data], filename=filename)
    request = Request("ingest", {"kind": "mask", "label": "vase"}, {"upload": upload.address, "video": video})
    return store.get(execute(INGEST, request, store).address)


def test_a_mask_video_is_thresholded(store, video, tmp_path):
    masks = true_masks()
    path = make_clip(tmp_path / "m.mp4", np.repeat(masks[..., None], 3, -1))
    found = ingest(store, video, path.read_bytes(), "m.mp4")
    stored = found.array("masks")[:]
    assert stored.shape == (FRAMES, HEIGHT, WIDTH, 1) and set(np.unique(stored)) == {0, 255}
    assert np.mean(stored[..., 0] != masks) < 0.01
    assert found.meta["coverage"] == pytest.approx((masks > 0).mean(), rel=0.05)


def test_a_folder_of_images_is_read_in_natural_order(store, video):
    masks = true_masks()
    names = [f"mask_{t}.png" for t in range(FRAMES)]  # mask_10 sorts before mask_2 as text
    files = {name: png_bytes(masks[t]) for t, name in enumerate(names)}
    data = tar_bytes({"._mask_0.png": b"junk", ".DS_Store": b"junk"} | dict(sorted(files.items())))
    assert np.array_equal(ingest(store, video, data, "masks.tar").array("masks")[..., 0], masks)


def test_one_image_holds_for_every_frame(store, video):
    mask = true_masks()[3]
    stored = ingest(store, video, png_bytes(mask), "m.png").array("masks")[..., 0]
    assert np.array_equal(stored, np.repeat(mask[None], FRAMES, 0))


@pytest.mark.parametrize("form", ["gray", "rgb", "red", "alpha", "palette", "16 bit", "1 bit", "opaque alpha"])
def test_every_way_to_paint_a_mask_means_the_same(store, video, form):
    from PIL import Image

    mask = true_masks()[0]
    zero = np.zeros_like(mask)
    buffer = io.BytesIO()
    image = {
        "gray": lambda: Image.fromarray(mask),
        "rgb": lambda: Image.fromarray(np.stack([mask] * 3, -1)),
        "red": lambda: Image.fromarray(np.stack([mask, zero, zero], -1)),
        "alpha": lambda: Image.fromarray(np.stack([zero + 255] * 3 + [mask], -1)),
        "opaque alpha": lambda: Image.fromarray(np.stack([mask] * 3 + [zero + 255], -1)),
        "palette": lambda: Image.fromarray(np.stack([mask // 255 * 128, zero, zero], -1)).quantize(4),
        "16 bit": lambda: Image.fromarray(mask.astype(np.uint16) * 257),
        "1 bit": lambda: Image.fromarray(mask).convert("1"),
    }[form]()
    image.save(buffer, "PNG")
    assert np.array_equal(ingest(store, video, buffer.getvalue(), "m.png").array("masks")[0, ..., 0], mask)


def test_alpha_counts_only_where_it_says_something():
    gray = np.array([[[200, 0], [10, 255]]], np.uint8)
    assert coverage(gray).tolist() == [[0, 255]]
    assert coverage(np.array([[[200, 255], [10, 255]]], np.uint8)).tolist() == [[200, 10]]


# ---- masks that do not fit


def test_another_size_names_both(store, video):
    with pytest.raises(BadMask, match=r"^the mask of 'vase' \(m\.png\) is 60x40, the video 64x48; give a mask of"):
        ingest(store, video, png_bytes(np.full((40, 60), 255, np.uint8)), "m.png")


@pytest.mark.parametrize(("frames", "word"), [(9, "9 frames"), (15, "15 frames"), (1, "1 frame")])
def test_another_length_names_both(store, video, frames, word):
    data = tar_bytes({f"{t}.png": png_bytes(mask) for t, mask in enumerate(true_masks(frames))})
    with pytest.raises(BadMask, match=rf"'vase' \(m\.tar\) has {word}, the video 12; give one mask per frame"):
        ingest(store, video, data, "m.tar")


@pytest.mark.parametrize("value", [0, 1, 127])
def test_no_mask_pixels_names_the_brightest(store, video, value):
    with pytest.raises(BadMask, match=rf"'vase' .* marks no pixel: its brightest value is {value} of 255"):
        ingest(store, video, png_bytes(np.full((HEIGHT, WIDTH), value, np.uint8)), "m.png")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty file"),
        (b"not a mask at all " * 30, "not a video that can be read"),
        (png_bytes(np.zeros((48, 64), np.uint8))[:60], "damaged or not an image"),
        (tar_bytes({"a.png": b"no png"}), "'?a.png'? is damaged or not an image"),
    ],
)
def test_an_unreadable_mask_names_its_label(store, video, data, says):
    with pytest.raises(BadMask, match=rf"^the mask of 'vase' \(m\.bin\).*{says}"):
        ingest(store, video, data, "m.bin")


def test_a_truncated_tar_is_refused(store, video):
    data = tar_bytes({f"{t}.png": png_bytes(mask) for t, mask in enumerate(true_masks())})
    with pytest.raises(BadMask, match="'vase'"):
        ingest(store, video, data[: len(data) // 2], "m.tar")


def test_links_in_a_tar_are_refused(store, video):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("0.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BadMask, match="link or a device"):
        ingest(store, video, buffer.getvalue(), "m.tar")


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(max_members=3), "more than 3 entries"),
        (Limits(max_frames=3), "more than 3 files"),
        (Limits(max_name=4), "a name in it is longer than 4"),
        (Limits(max_image_bytes=50), "'0.png' in it is larger than"),
        (Limits(max_tar_bytes=100), "its files are larger than"),
    ],
)
def test_a_tar_is_bounded_before_anything_in_it_is_decoded(limits, says):
    data = tar_bytes({f"{t}.png": b"no image" * 8 for t in range(5)})
    with pytest.raises(BadImage, match=says):
        list(stills_in_tar(io.BytesIO(data), limits=limits))


def test_sparse_files_and_strange_names_in_a_tar_are_refused_or_read(store, video):
    masks = true_masks()
    data = tar_bytes({f"²{'9' * 400}{t}.png": png_bytes(mask) for t, mask in enumerate(masks)})
    assert np.array_equal(ingest(store, video, data, "m.tar").array("masks")[..., 0], masks)
    sparse = tarfile.TarInfo("0.png")
    sparse.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"00000001000\0"  # What it claims to be when it is unpacked.
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]
    with pytest.raises(BadMask, match="sparse file"):
        ingest(store, video, bytes(header) + bytes(1024), "m.tar")


def test_an_image_file_is_bounded():
    with pytest.raises(BadImage, match=r"m\.png is larger than 0 MiB"):
        decode_file(io.BytesIO(png_bytes(true_masks()[0])), "m.png", limits=Limits(max_image_bytes=50))


def test_a_huge_image_is_refused_before_it_is_decoded(store, video):
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(BadMask, match=r"60000x60000|damaged"):
        ingest(store, video, bomb, "m.png")


def test_the_real_masks_are_taken(store, shared_clips):
    folder = shared_clips / "davis_camel"
    upload = store.upload([(folder / "input_video.mp4").read_bytes()], filename="camel.mp4")
    video = execute(INGEST, Request("ingest", {"kind": "video"}, {"upload": upload.address}), store).address
    mask = ingest(store, video, (folder / "mask_00.mp4").read_bytes(), "mask_00.mp4")
    assert mask.meta["frames"] == 90 and 0.05 < mask.meta["coverage"] < 0.3
