"""The client's own half: what it packs, what it writes, and what it does not believe."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from orchestrator import masks
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api import omnimatte_pb2_grpc
from orchestrator.client import Client, safe_path
from services.errors import BadMask, BadOption, Internal, NotFound


class Evil(omnimatte_pb2_grpc.OmnimatteServicer):
    """A server that sends what a test tells it to, as the files of any job."""

    def __init__(self) -> None:
        self.pieces: list[pb.DownloadResponse] = []

    def Download(self, request: pb.DownloadRequest, context: grpc.ServicerContext) -> Iterator[pb.DownloadResponse]:
        yield from self.pieces


@pytest.fixture
def evil() -> Iterator[tuple[Evil, Client]]:
    servicer = Evil()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    omnimatte_pb2_grpc.add_OmnimatteServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as client:
        yield servicer, client
    server.stop(None)


def piece(path: str, chunk: bytes = b"x", *, size: int = 1, offset: int = 0) -> pb.DownloadResponse:
    return pb.DownloadResponse(path=path, size_bytes=size, offset=offset, chunk=chunk)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "..", "", "a\\..\\x", "c:/x", "a\0b"])
def test_paths_that_lead_out_of_the_folder_are_refused(evil: tuple[Evil, Client], path: str, tmp_path: Path) -> None:
    servicer, client = evil
    servicer.pieces = [piece("fine.txt"), piece(path)]
    with pytest.raises(Internal, match="unsafe path"):
        client.download("jobs/x", tmp_path / "deep" / "out")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []
    assert not (tmp_path / "deep" / "out").exists()


@pytest.mark.parametrize(
    "pieces",
    [
        [piece("a", b"xx", size=3)],
        [piece("a", b"x", size=2), piece("a", b"x", size=2, offset=0)],
        [piece("a", b"x", size=3), piece("a", b"x", size=3, offset=2)],
    ],
)
def test_a_download_that_is_not_whole_leaves_nothing(
    evil: tuple[Evil, Client], pieces: list[pb.DownloadResponse], tmp_path: Path
) -> None:
    servicer, client = evil
    servicer.pieces = pieces
    with pytest.raises(Internal, match="nothing was written"):
        client.download("jobs/x", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_download_does_not_touch_a_folder_with_content(evil: tuple[Evil, Client], tmp_path: Path) -> None:
    _, client = evil
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadOption, match="not empty"):
        client.download("jobs/x", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_download_fills_an_empty_folder(evil: tuple[Evil, Client], tmp_path: Path) -> None:
    servicer, client = evil
    servicer.pieces = [piece("b/a.txt", b"he", size=5), piece("b/a.txt", b"llo", size=5, offset=2)]
    (tmp_path / "out").mkdir()
    client.download("jobs/x", tmp_path / "out")
    assert (tmp_path / "out/b/a.txt").read_text() == "hello"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_safe_paths_stay_below_the_folder() -> None:
    assert safe_path(Path("/out"), "layers/vase/00000.png") == Path("/out/layers/vase/00000.png")


def test_a_missing_file_is_not_sent(evil: tuple[Evil, Client], tmp_path: Path) -> None:
    _, client = evil
    with pytest.raises(NotFound, match=r"no\.mp4"):
        client.upload(tmp_path / "no.mp4")


def folder_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "vase"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def test_mask_images_are_packed_in_natural_order(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "10.png", "9.png", "1.PNG", "notes.txt", ".hidden.png")
    with tarfile.open(fileobj=io.BytesIO(b"".join(masks.packed(folder)))) as tar:
        assert tar.getnames() == ["1.PNG", "9.png", "10.png"]
        extracted = tar.extractfile("9.png")
        assert extracted is not None and extracted.read() == b"9.png" * 100


def test_the_same_images_pack_into_the_same_bytes(tmp_path: Path) -> None:
    import os

    folder = folder_of(tmp_path, "a" * 150 + ".png", "b.png")
    first = b"".join(masks.packed(folder))
    os.utime(folder / "b.png", (1, 1))
    (folder / "b.png").chmod(0o600)
    assert b"".join(masks.packed(folder)) == first


def test_a_folder_without_images_is_no_mask(tmp_path: Path) -> None:
    with pytest.raises(BadMask, match="no images"):
        masks.images(folder_of(tmp_path, "notes.txt"))
