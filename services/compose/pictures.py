"""Frames of one element, whichever way it was delivered: PNGs, a layer of EXRs, a movie, a still.

All give straight codes [H, W, 3 or 4] of the clip's colour space, uint8 or uint16. Sequences are read at random; a
movie is decoded once into a temporary folder, because an edit may run it backwards.
Must not know: what an edit does with them.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from services.colorspace import Conversion
from services.compose.files import Files, read
from services.errors import BadInput, BadVideo
from services.stills import png, read_exr, read_png
from services.video import hevc_alpha
from services.video.color import ALPHA_THREADS
from services.video.limits import check_length, check_size
from services.video.source import open_container

Integers = NDArray[Any]  # uint8 or uint16
_SWS_MATRIX = {"bt601": 5, "bt709": 1, "bt2020": 9}


class Pictures(Protocol):
    """`frames`: how many there are. `read` may be called by several threads."""

    @property
    def frames(self) -> int: ...

    def read(self, index: int) -> Integers: ...


@dataclass(frozen=True)
class PngSequence:
    """Files named by `pattern`, whose %05d is the frame's number, from `start`."""

    files: Files
    pattern: str
    start: int
    frames: int

    def read(self, index: int) -> Integers:
        path = numbered(self.pattern, self.start + index)
        image = read_png(read(self.files, path), path)
        return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


@dataclass(frozen=True)
class ExrSequence:
    """One layer of EXRs, premultiplied and scene-linear; `convert` leads from the clip's space to theirs."""

    files: Files
    pattern: str
    start: int
    frames: int
    layer: str
    convert: Conversion
    peak: int

    def read(self, index: int) -> Integers:
        path = numbered(self.pattern, self.start + index)
        layers = read_exr(read(self.files, path), path)
        if self.layer not in layers:
            raise BadInput(f"{path} has no layer {self.layer!r}; deliver it again.")
        pixels = layers[self.layer]
        alpha = pixels[..., 3:] if pixels.shape[2] == 4 else np.ones_like(pixels[..., :1])
        color = self.convert.inverse(pixels[..., :3] / np.maximum(alpha, np.float32(1e-4)))
        straight = np.concatenate([color, alpha], axis=-1) if self.layer != "RGBA" else color
        codes = np.rint(np.clip(straight, 0, 1) * np.float32(self.peak))
        return codes.astype(np.uint8 if self.peak == 255 else np.uint16)


@dataclass
class MovieFile:
    """A movie, decoded when it is first read."""

    files: Files
    path: str
    frames: int
    alpha: bool
    matrix: str
    peak: int
    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _unpacked: list[Path] = field(default_factory=list)

    def read(self, index: int) -> Integers:
        with self._lock:
            if not self._unpacked:
                self._unpacked = self._decoded()
        path = self._unpacked[min(index, len(self._unpacked) - 1)]
        return read_png(path.read_bytes(), self.path)

    def _decoded(self) -> list[Path]:
        layout = {(False, 255): "rgb24", (True, 255): "rgba", (False, 65535): "rgb48le", (True, 65535): "rgba64le"}
        target = Path(tempfile.mkdtemp(dir=self.folder))
        paths: list[Path] = []
        with spooled(self.files, self.path, folder=self.folder) as file:
            for frame in decoded(file, self.path, alpha=self.alpha):
                pixels = frame.reformat(
                    format=layout[self.alpha, self.peak],
                    src_colorspace=_SWS_MATRIX.get(self.matrix, 1),
                    threads=ALPHA_THREADS,
                ).to_ndarray()
                paths.append(target / f"{len(paths):05d}.png")
                paths[-1].write_bytes(png(pixels))
        if len(paths) < self.frames:
            raise BadInput(f"{self.path} has {len(paths)} frames, not {self.frames}; deliver it again.")
        return paths


@dataclass(frozen=True)
class Recoded:
    """Pictures of another clip, straight RGBA, in the colour space of this one. `source` and `target` go from either
    clip's codes to the same linear space; `peak` is that of the pictures."""

    inner: Pictures
    source: Conversion
    target: Conversion
    peak: int

    @property
    def frames(self) -> int:
        return self.inner.frames

    def read(self, index: int) -> Integers:
        image = self.inner.read(index)
        result = image.copy()
        values = self.target.inverse(self.source.values(image, peak=self.peak))
        result[..., :3] = np.rint(np.clip(values, 0, 1) * np.float32(self.peak)).astype(image.dtype)
        return result


@dataclass(frozen=True)
class Still:
    """The same picture in all frames."""

    image: Integers
    frames: int

    def read(self, index: int) -> Integers:
        return self.image


def numbered(pattern: str, number: int) -> str:
    """The file of a sequence: %05d, or %04d, is its number."""
    for width in (5, 4):
        pattern = pattern.replace(f"%0{width}d", f"{number:0{width}d}")
    return pattern


@contextlib.contextmanager
def spooled(files: Files, path: str, *, folder: Path) -> Iterator[BinaryIO]:
    """The file's bytes as an open file in `folder`, without a name."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in files.chunks(path):
            file.write(piece)
        file.seek(0)
        yield cast(BinaryIO, file)


def decoded(file: BinaryIO, name: str, *, alpha: bool) -> Iterator[av.VideoFrame]:
    """The frames of a movie, limits checked before decoding. Raises BadVideo."""
    with open_container(file, name) as container:
        stream = container.streams.video[0]
        check_size(name, width=stream.width, height=stream.height)
        check_length(name, frames=stream.frames)
        try:
            if alpha and stream.codec.name == "hevc":
                yield from hevc_alpha.decoded(container, stream, name)
            elif alpha and stream.codec.name == "vp9":
                yield from _decoded_vp9(container, stream)
            else:
                yield from container.decode(stream)
        except av.FFmpegError as error:
            raise BadVideo(f"{name}: a frame is damaged; deliver it again.") from error


def _decoded_vp9(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    decoder: Any = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own VP9 decoder drops alpha.
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)
