"""Opening and decoding an untrusted video file.

Only the given bytes are ever read: the file comes as an open file object, the demuxers are a short list that
contains no playlist or concatenation format, no protocol is allowed, and a demuxer that asks for another file
is refused.
Must not know: where the bytes came from, or what becomes of the frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, NoReturn

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from services.errors import BadVideo
from services.video import color as colors
from services.video.limits import LIMITS, Limits, check_length, check_size, check_streams

# Whitelisted by name. Each reads one file; none of them can name another (HLS, DASH, concat and image
# patterns can).
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mxf,ogg,flv,asf,ivf"
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_TRUNCATED = "it breaks off {where}; the file is truncated or damaged, so copy or export the whole video again."


@dataclass(frozen=True)
class Picture:
    """One decoded frame.

    Attributes:
        pixels: [H, W, 3] RGB, uint8 or uint16.
        pts: its timestamp in ticks of the stream; None where unknown.
        alpha: [H, W] uint8, when it was asked for and the format has it.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    pts: int | None
    alpha: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before its frames are read.

    Attributes:
        width, height: of the picture as it is shown, that is, after the rotation in the metadata.
        bit_depth: 8, or the source's depth where it is larger (frames are then uint16).
        sample_aspect_ratio: width over height of one pixel, as shown.
        frames: number of frames that the container claims; 0 when it does not say.
        time_base: seconds per tick of a picture's `pts`.
        rates: frame rates that the container claims, the most trusted first.
    """

    width: int
    height: int
    bit_depth: int
    sample_aspect_ratio: Fraction
    color: colors.Color
    frames: int
    time_base: Fraction
    rates: tuple[Fraction | None, ...]


@contextlib.contextmanager
def open_container(file: BinaryIO, name: str) -> Iterator[InputContainer]:
    """The container in `file`, opened without access to anything else. Raises BadVideo naming `name`."""
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if not head:
        raise BadVideo(f"{name}: the file is empty; send the video again.")
    pixels = str(4 * LIMITS.max_pixels)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none", "max_pixels": pixels}
    try:
        container = av.open(file, "r", options=options, io_open=_refuse, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        if head[4:8] in _MOV_BOXES or head.startswith(b"\x1aE\xdf\xa3") or head.startswith(b"RIFF"):
            raise BadVideo(f"{name}: {_TRUNCATED.format(where='before its index')}") from error
        raise BadVideo(
            f"{name}: this is not a video that can be read; send MP4, MOV, MKV, WebM, AVI, MXF or MPEG-TS."
        ) from error
    with container:
        yield container


class Source:
    """An opened clip: `facts`, then `pictures()` once."""

    def __init__(self, container: InputContainer, name: str, *, limits: Limits = LIMITS, alpha: bool = False) -> None:
        """Find the video stream, check the limits, and decode the first frame. Raises BadVideo."""
        self.name = name
        self._limits = limits
        self._alpha = alpha
        self._container = container
        self._decoded = 0
        self._ends: dict[int, Fraction] = {}  # stream index -> seconds
        self._last_duration_missing = 0
        check_streams(name, len(container.streams), limits=limits)
        self._stream = _video_stream(container, name)
        check_size(name, width=self._stream.width, height=self._stream.height, limits=limits)
        seconds = (container.duration or 0) / av.time_base
        check_length(name, frames=self._stream.frames, seconds=seconds, limits=limits)
        self._stream.thread_type = ThreadType.AUTO
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise BadVideo(f"{name}: no frame of it can be decoded; {_TRUNCATED.format(where='at once')}")
        self._size = (self._first.width, self._first.height)
        check_size(name, width=self._size[0], height=self._size[1], limits=limits)
        self._turns = round(self._first.rotation / 90) % 4
        self.facts = self._facts(self._first)

    def pictures(self) -> Iterator[Picture]:
        """Every frame in display order. Raises BadVideo when it breaks off, changes its size, or is too long."""
        frame = self._first
        self._first = None
        count = 0
        while frame is not None:
            count += 1
            check_length(self.name, frames=count, limits=self._limits)
            if (frame.width, frame.height) != self._size:
                raise BadVideo(
                    f"{self.name}: frame {count - 1} is {frame.width}x{frame.height}, the ones before"
                    f" {self._size[0]}x{self._size[1]}; export the video with one frame size."
                )
            alpha = colors.alpha_of(frame) if self._alpha and colors.has_alpha(frame) else None
            yield Picture(
                pixels=self._upright(colors.to_rgb(frame, self.facts.color)),
                pts=frame.pts,
                alpha=None if alpha is None else self._upright(alpha),
            )
            frame = next(self._frames, None)

    def _upright(self, image: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.rot90(image, self._turns)) if self._turns else image

    def _facts(self, first: av.VideoFrame) -> Facts:
        stream = self._stream
        aspect = stream.sample_aspect_ratio or Fraction(1)
        sideways = self._turns % 2 == 1
        bits = colors.depth_of(first.format)
        return Facts(
            width=first.height if sideways else first.width,
            height=first.width if sideways else first.height,
            bit_depth=bits if bits > 8 else 8,
            sample_aspect_ratio=1 / aspect if sideways else aspect,
            color=colors.describe(first),
            frames=stream.frames,
            time_base=stream.time_base or Fraction(1, 1000),
            rates=(stream.average_rate, stream.guessed_rate, stream.base_rate),
        )

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Frames of the stream, then a look at whether the file ended where it says."""
        for packet in self._packets():
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError as error:
                if self._decoded == 0 and packet is not None:
                    continue  # A recording may begin between key frames; those packets show nothing.
                self._broken(error)
            for frame in frames:
                if frame.is_corrupt:
                    self._broken()
                self._decoded += 1
                yield frame
        if self._decoded and self._is_short():
            self._broken()

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        """The video's packets, then None to flush. All streams are read: a file is as long as its longest one."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                self._broken(error)
            if not packet.size:
                continue
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._ends[packet.stream_index] = max(end, self._ends.get(packet.stream_index, end))
                self._last_duration_missing = int(not packet.duration)
            if packet.stream_index == self._stream.index:
                if packet.is_corrupt:
                    self._broken()
                yield packet
        yield None

    def _is_short(self) -> bool:
        """Whether the streams end before the container says that they do."""
        stream = self._stream
        tolerance = self._last_duration_missing + Fraction(9, 10)
        tolerance = tolerance / (stream.average_rate or Fraction(25)) + Fraction(1, 500)
        if stream.duration is not None and stream.time_base is not None:
            end = ((stream.start_time or 0) + stream.duration) * stream.time_base
            return end - self._ends.get(stream.index, Fraction(0)) > tolerance
        if self._container.duration is None:
            return False
        start = Fraction(self._container.start_time or 0, av.time_base)
        end = start + Fraction(self._container.duration, av.time_base)
        return end - max(self._ends.values(), default=Fraction(0)) > tolerance

    def _broken(self, cause: Exception | None = None) -> NoReturn:
        raise BadVideo(f"{self.name}: {_TRUNCATED.format(where=f'after {self._decoded} frames')}") from cause


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    for stream in container.streams.video:
        # The cover of a music file is a "video" stream of one picture.
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None or not stream.width or not stream.height:
                raise BadVideo(f"{name}: its video stream cannot be decoded; export it as H.264 in an MP4 file.")
            return stream
    found = "only audio" if container.streams.audio else "no video stream"
    raise BadVideo(f"{name}: there is {found} in it; send a file with moving pictures.")


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a video may not open another file ({url})")
