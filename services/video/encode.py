"""Video files: with transparency VP9 in WebM, ProRes 4444 and HEVC in QuickTime; without it H.264 in MP4.

Colour is written with straight alpha. Coded video blurs colour across the matte's edge (VP9 even at half resolution),
so callers give colour that continues beyond it; `bleed` does that.
Must not know: what the frames show.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from services.errors import BadOption
from services.video import hevc_alpha
from services.video.audio import Track
from services.video.color import ALPHA_THREADS, PRIMARIES_TAGS, TRANSFER_TAGS
from services.video.source import open_container
from services.video.timing import Timeline
from services.video.webm import set_pixel_aspect

Family = Literal["webm", "prores", "hevc", "mp4"]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Codec:
    """How a family of files is coded: muxer, encoder and its options, pixel formats without and with alpha ("": it has
    none), and whether sizes must be even."""

    muxer: str
    encoder: str
    opaque: str
    transparent: str
    options: dict[str, str]
    even: bool = False


CODECS: dict[str, Codec] = {
    "webm": Codec(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        "yuva420p",
        # Held frames would serve alternate references, which alpha forbids.
        {
            "crf": "18",
            "b": "0",
            "deadline": "good",
            "cpu-used": "4",
            "row-mt": "1",
            "auto-alt-ref": "0",
            "lag-in-frames": "0",
        },
    ),
    "prores": Codec(
        "mov",
        "prores_ks",
        "yuv444p10le",
        "yuva444p10le",
        {"profile": "4444", "vendor": "apl0", "alpha_bits": "16"},
    ),
    "hevc": Codec("mov", "libx265", "yuv420p", "yuva420p", hevc_alpha.OPTIONS, even=True),
    "mp4": Codec("mp4", "libx264", "yuv420p", "", {"crf": "10", "preset": "veryfast"}, even=True),
}
_MATRIX_TAG = {"bt601": 6, "bt709": 1, "bt2020": 9}
_MUXING = {"mp4": {"movflags": "+faststart"}}


@dataclass(frozen=True)
class Form:
    """What every file of one clip has in common.

    Attributes:
        width, height: frame size in pixels.
        timeline: when each frame is shown.
        sample_aspect_ratio: width over height of one pixel.
        matrix: colour matrix to code with, as in the source; anything but BT.601, BT.709, BT.2020 becomes BT.709.
        primaries, transfer: names of services/video/color.py, for the tags; unknown ones are tagged as BT.709.
        timecode: of the first frame, "HH:MM:SS:FF", where the container has a place for it; "" for none.
    """

    width: int
    height: int
    timeline: Timeline
    sample_aspect_ratio: Fraction = Fraction(1)
    matrix: str = "bt709"
    primaries: str = "bt709"
    transfer: str = "bt709"
    timecode: str = ""


def require(form: Form, family: Family, *, alpha: bool) -> None:
    """Raises BadOption for a movie that its codec cannot hold."""
    codec = CODECS[family]
    if alpha and not codec.transparent:
        raise BadOption(f"{family} ({codec.encoder}) has no alpha; take prores, webm, png or exr.", field="formats")
    if codec.even and (form.width % 2 or form.height % 2):
        raise BadOption(
            f"{family} has colour for every second pixel (4:2:0) and cannot be {form.width}x{form.height}; take an "
            "even size, or prores.",
            field="formats",
        )


class Movie:
    """One video file being written. `write` takes frames in order; `close` finishes it."""

    def __init__(self, path: Path, form: Form, *, family: Family, alpha: bool, sound: Path | None = None) -> None:
        """sound: a Matroska file whose audio goes into the file too, re-coded only where the format demands it.

        Raises BadOption for a size or an alpha that the codec cannot hold.
        """
        require(form, family, alpha=alpha)
        self._form = form
        self._path = path
        self._family = family
        self._codec = CODECS[family]
        self._pixels = self._codec.transparent if alpha else self._codec.opaque
        self._index = 0
        self._closing = contextlib.ExitStack()
        muxer = self._codec.muxer
        self._output = self._closing.enter_context(
            av.open(str(path), "w", format=muxer, options=_MUXING.get(muxer, {}))
        )
        stream = self._video(alpha=alpha)
        self._coder = hevc_alpha.AlphaCoder(stream) if alpha and family == "hevc" else stream
        self._sound: Track | None = None
        if sound is not None:
            source = self._closing.enter_context(open_container(self._closing.enter_context(sound.open("rb")), "sound"))
            self._sound = Track(self._output, source, family=muxer)

    def write(self, frame: Pixels) -> None:
        """Append [H, W, 3] RGB or [H, W, 4] RGBA (straight), uint8 or uint16."""
        deep = frame.dtype == np.uint16
        layout = {(3, False): "rgb24", (4, False): "rgba", (3, True): "rgb48le", (4, True): "rgba64le"}
        pixels: Any = np.ascontiguousarray(frame)
        picture = av.VideoFrame.from_ndarray(pixels, format=layout[frame.shape[2], deep]).reformat(
            format=self._pixels,
            src_color_range=int(ColorRange.JPEG),
            dst_color_range=int(ColorRange.MPEG),
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
            threads=ALPHA_THREADS,
        )
        picture.color_primaries, picture.color_trc = self._tags
        timeline = self._form.timeline
        if timeline.variable:
            picture.pts, picture.time_base = timeline.pts[self._index], timeline.time_base
        else:
            picture.pts, picture.time_base = self._index, 1 / timeline.fps
        self._index += 1
        if self._sound is not None:
            self._sound.until(picture.pts * picture.time_base)
        self._output.mux(self._coder.encode(picture))

    def close(self) -> None:
        """Flush the coders and finish the file."""
        self._output.mux(self._coder.encode(None))
        if self._sound is not None:
            self._sound.until(None)
        self._closing.close()
        form = self._form
        if self._family == "webm" and form.sample_aspect_ratio != 1:
            set_pixel_aspect(self._path, form.sample_aspect_ratio, width=form.width, height=form.height)

    @property
    def _matrix(self) -> int:
        return 5 if self._form.matrix == "bt601" else _MATRIX_TAG.get(self._form.matrix, 1)

    @property
    def _tags(self) -> tuple[int, int]:
        """Primaries and transfer, as numbers of H.273."""
        form = self._form
        return PRIMARIES_TAGS.get(form.primaries, 1), TRANSFER_TAGS.get(form.transfer, 1)

    def _video(self, *, alpha: bool) -> VideoStream:
        form, codec = self._form, self._codec
        stream = cast(
            VideoStream, self._output.add_stream(codec.encoder, rate=form.timeline.fps, options=dict(codec.options))
        )
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, self._pixels
        context = stream.codec_context
        context.time_base = form.timeline.time_base if form.timeline.variable else 1 / form.timeline.fps
        context.sample_aspect_ratio = form.sample_aspect_ratio
        context.color_range = int(ColorRange.MPEG)
        context.colorspace = _MATRIX_TAG.get(form.matrix, 1)
        context.color_primaries, context.color_trc = self._tags
        if self._family == "webm" and alpha:
            stream.metadata["alpha_mode"] = "1"
        if self._family == "hevc":
            context.codec_tag = "hvc1"  # What Apple's players look for.
        if codec.muxer == "mov" and form.timecode and not form.timeline.variable:
            stream.metadata["timecode"] = form.timecode
        return stream


def bleed(rgba: Pixels, *, radius: int = 8) -> Pixels:
    """`rgba` [H, W, 4] with the colour of the visible pixels continued into the invisible ones around them.

    Alpha and visible colour stay as they are. Where nothing visible is within about 2 x `radius` pixels, colour is 0.
    """
    hidden = rgba[..., 3] == 0
    if not hidden.any() or hidden.all():
        return rgba
    result = rgba.copy()
    result[hidden] = 0
    x, y, width, height = cv2.boundingRect((~hidden).astype(np.uint8))
    reach = 2 * radius
    rows, columns = slice(max(0, y - reach), y + height + reach), slice(max(0, x - reach), x + width + reach)
    near = hidden[rows, columns]
    weight = (~near).astype(np.float32)
    color = rgba[rows, columns, :3].astype(np.float32) * weight[..., None]
    window = (4 * radius + 1, 4 * radius + 1)
    # Beyond the crop lies nothing visible, or the frame's own edge.
    spread: NDArray[Any] = cv2.GaussianBlur(color, window, radius)
    total: NDArray[Any] = cv2.GaussianBlur(weight, window, radius)
    spread /= np.maximum(total, 1e-6)[..., None]
    part = result[rows, columns, :3]
    part[near] = np.rint(spread[near]).astype(rgba.dtype)
    return result
