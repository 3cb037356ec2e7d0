"""Codes and decodes HEVC with alpha through plain encoders and decoders, which know no layers.

Must not know: what the frames show, or how layers are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from services.errors import BadVideo
from services.video import hevc_layers

OPTIONS = {"crf": "16", "x265-params": "log-level=none:bframes=0:scenecut=0:keyint=50:min-keyint=50:open-gop=0"}
"""Both layers' pictures must be of the same kinds, so nothing may depend on what they show."""
_ALPHA_CRF = "8"
_APART = 64
"""Frames by which one layer may be ahead of the other: as far as decoders of many threads hold them back."""


class AlphaCoder:
    """Encodes frames for `stream`, whose encoder is libx265 and codes the colour; alpha has a second encoder."""

    def __init__(self, stream: VideoStream) -> None:
        """stream: with all its settings; no frame was coded."""
        self._stream = stream
        base: Any = stream.codec_context
        base.pix_fmt = "yuv420p"
        base.open()
        alpha: Any = av.CodecContext.create(base.name, "w")
        alpha.options = OPTIONS | {"crf": _ALPHA_CRF}
        for name in ("width", "height", "pix_fmt", "time_base", "framerate", "sample_aspect_ratio", "color_range",
                     "colorspace", "color_primaries", "color_trc", "flags"):  # fmt: skip
            setattr(alpha, name, getattr(base, name))
        alpha.open()
        self._base, self._alpha = base, alpha
        self._waiting: tuple[list[av.Packet[Any]], list[av.Packet[Any]]] = ([], [])
        base.extradata = hevc_layers.parameter_sets(
            bytes(base.extradata), bytes(alpha.extradata), width=base.width, height=base.height
        )

    def encode(self, frame: av.VideoFrame | None) -> list[av.Packet[Any]]:
        """Packets of both layers. frame: yuva420p; None flushes."""
        colors, alphas = self._waiting
        colors += self._base.encode(None if frame is None else _colour(frame))
        alphas += self._alpha.encode(None if frame is None else _alpha(frame))
        count = min(len(colors), len(alphas))
        done = [self._packet(colors[i], alphas[i]) for i in range(count)]
        del colors[:count], alphas[:count]
        return done

    def _packet(self, color: av.Packet[Any], alpha: av.Packet[Any]) -> av.Packet[Any]:
        packet = av.Packet(hevc_layers.merged(bytes(color), bytes(alpha), key=color.is_keyframe))
        packet.pts, packet.dts, packet.time_base = color.pts, color.dts, color.time_base
        packet.duration, packet.is_keyframe, packet.stream = color.duration, color.is_keyframe, self._stream
        return packet


def decoded(container: InputContainer, stream: VideoStream, name: str) -> Iterator[av.VideoFrame]:
    """The frames of a file that `AlphaCoder` wrote, yuva420p. Raises BadVideo naming `name`."""
    decoders = _decoder(stream), _decoder(stream)
    frames: tuple[list[av.VideoFrame], list[av.VideoFrame]] = ([], [])
    for packet in container.demux(stream):
        units = hevc_layers.separated(bytes(packet), name) if packet.size else None
        for layer, decoder in enumerate(decoders):
            frames[layer].extend(decoder.decode(_alone(units[layer], packet) if units else None))
        while all(frames):
            yield _joined(frames[0].pop(0), frames[1].pop(0))
        if max(map(len, frames)) > _APART:
            raise BadVideo(f"{name}: colour and alpha do not have the same frames; deliver it again.")


def _alone(unit: bytes, packet: av.Packet[Any]) -> av.Packet[Any]:
    """A packet of one layer's part of `packet`."""
    made = av.Packet(unit)
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    return made


def _decoder(stream: VideoStream) -> Any:
    """A decoder of one layer: the parameter sets of the file are both layers'."""
    decoder: Any = av.CodecContext.create("hevc", "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _colour(frame: av.VideoFrame) -> av.VideoFrame:
    return _like(frame, "yuv420p", [_plane(frame, i) for i in range(3)])


def _alpha(frame: av.VideoFrame) -> av.VideoFrame:
    grey = [np.full_like(_plane(frame, i), 128) for i in (1, 2)]
    return _like(frame, "yuv420p", [_plane(frame, 3), *grey])


def _joined(color: av.VideoFrame, alpha: av.VideoFrame) -> av.VideoFrame:
    return _like(color, "yuva420p", [*(_plane(color, i) for i in range(3)), _plane(alpha, 0)])


def _like(frame: av.VideoFrame, layout: str, planes: list[NDArray[np.uint8]]) -> av.VideoFrame:
    """A frame of `planes` with the time and the colours of `frame`."""
    made = av.VideoFrame(frame.width, frame.height, layout)
    for number, plane in enumerate(planes):
        _plane(made, number)[:] = plane
    made.pts, made.time_base = frame.pts, cast(Any, frame.time_base)
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    made.color_primaries, made.color_trc = frame.color_primaries, frame.color_trc
    return made


def _plane(frame: av.VideoFrame, number: int) -> NDArray[np.uint8]:
    """[h, w], a view."""
    plane: Any = frame.planes[number]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
