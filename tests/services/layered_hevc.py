"""Decodes HEVC with alpha by FFmpeg's own reading of the layers.

FFmpeg gives alpha only to programs that ask for it while the decoder opens (`get_format`), which PyAV does not; so the
libraries that PyAV carries are called here by themselves.
"""

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_int32, c_uint8, c_void_p
from pathlib import Path

import av
import numpy as np

_PACKET_DATA, _FRAME_DATA, _FRAME_LINES, _FRAME_WIDTH, _FRAME_FORMAT = 24, 0, 64, 104, 116
_AGAIN = (-11, -541478725)  # EAGAIN, end of file


def alphas(path: Path) -> Iterator[np.ndarray]:
    """The alpha plane of every frame, [H, W] uint8; fails if FFmpeg sees none."""
    codec, util = _library("libavcodec"), _library("libavutil")
    decoder = codec.avcodec_find_decoder_by_name(b"hevc")
    context = codec.avcodec_alloc_context3(decoder)
    choose = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_int32))(lambda _, offered: offered[0])
    _field(context, ctypes.cast(codec.avcodec_default_get_format, c_void_p).value).value = ctypes.cast(
        choose, c_void_p
    ).value
    assert codec.avcodec_open2(context, decoder, None) == 0
    packet, frame = codec.av_packet_alloc(), util.av_frame_alloc()
    wanted = util.av_get_pix_fmt(b"yuva420p")
    for data in [*_annex_b(path), b""]:
        if data:
            assert codec.av_new_packet(packet, len(data)) == 0
            ctypes.memmove(c_void_p.from_address(packet + _PACKET_DATA).value, data, len(data))
        assert codec.avcodec_send_packet(context, packet if data else None) == 0
        codec.av_packet_unref(packet)
        while (done := codec.avcodec_receive_frame(context, frame)) == 0:
            assert c_int32.from_address(frame + _FRAME_FORMAT).value == wanted
            yield _plane(frame, 3)
        assert done in _AGAIN


def _annex_b(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        plain = av.BitStreamFilterContext("hevc_mp4toannexb", stream)
        return [bytes(out) for packet in container.demux(stream) if packet.size for out in plain.filter(packet)]


def _plane(frame: int, number: int) -> np.ndarray:
    width, height = (c_int32.from_address(frame + _FRAME_WIDTH + at).value for at in (0, 4))
    line = c_int32.from_address(frame + _FRAME_LINES + 4 * number).value
    data = c_void_p.from_address(frame + _FRAME_DATA + 8 * number).value
    assert data
    return (
        np.frombuffer((c_uint8 * (line * height)).from_address(data), np.uint8).reshape(height, line)[:, :width].copy()
    )


def _field(context: int, value: int | None) -> c_void_p:
    """The field of the decoder's context that holds `value`."""
    for offset in range(0, 1024, 8):
        field = c_void_p.from_address(context + offset)
        if field.value == value:
            return field
    raise AssertionError("the decoder's context has no such field")


def _library(name: str) -> ctypes.CDLL:
    folder = Path(av.__file__).parent.parent / "av.libs"
    library = ctypes.CDLL(str(next(folder.glob(f"{name}-*"), None) or next(folder.glob(f"{name}.*"))))
    for function, result, arguments in (
        ("avcodec_find_decoder_by_name", c_void_p, [c_char_p]),
        ("avcodec_alloc_context3", c_void_p, [c_void_p]),
        ("avcodec_open2", c_int, [c_void_p, c_void_p, c_void_p]),
        ("av_packet_alloc", c_void_p, []),
        ("av_new_packet", c_int, [c_void_p, c_int]),
        ("av_packet_unref", None, [c_void_p]),
        ("avcodec_send_packet", c_int, [c_void_p, c_void_p]),
        ("avcodec_receive_frame", c_int, [c_void_p, c_void_p]),
        ("av_frame_alloc", c_void_p, []),
        ("av_get_pix_fmt", c_int, [c_char_p]),
    ):
        if hasattr(library, function):
            getattr(library, function).restype, getattr(library, function).argtypes = result, arguments
    return library
