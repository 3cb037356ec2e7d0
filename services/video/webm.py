"""Write a pixel aspect ratio into a finished WebM file, which the muxer below PyAV has no way to be told.

WebM says it with DisplayWidth and DisplayHeight inside the video track's header. They are inserted there, and the
muxer's padding before the header gives up as many bytes, so that nothing behind it moves.
Must not know: how the file was coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from services.errors import Internal

_SEGMENT, _SEEK_HEAD, _VOID, _TRACKS, _CLUSTER = 0x18538067, 0x114D9B74, 0xEC, 0x1654AE6B, 0x1F43B675
_SEEK, _SEEK_POSITION, _ENTRY, _VIDEO = 0x4DBB, 0x53AC, 0xAE, 0xE0
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class _Element:
    """An EBML element: its id, and where it, its size field, its content and its end lie."""

    id: int
    start: int
    size_at: int
    content: int
    end: int


def set_pixel_aspect(path: Path, aspect: Fraction, *, width: int, height: int) -> None:
    """Make players show the `width` x `height` frames of WebM file `path` with pixels of the given width over
    height."""
    wide = Fraction(width) * aspect
    shown = (round(wide), height) if wide >= 1 else (1, round(height / aspect))
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEADER_BYTES))
        insert = b"".join(
            name + b"\x84" + value.to_bytes(4, "big")
            for name, value in zip((b"\x54\xb0", b"\x54\xba"), shown, strict=True)
        )
        changed = _with_display_size(head, insert)
        file.seek(0)
        file.write(changed)


def _with_display_size(head: bytearray, insert: bytes) -> bytes:
    segment = _child(head, 0, len(head), _SEGMENT)
    level = list(_children(head, segment.content, len(head)))
    void = next((e for e in level if e.id == _VOID and e.end - e.content >= len(insert)), None)
    tracks = next((e for e in level if e.id == _TRACKS), None)
    if void is None or tracks is None or tracks.start < void.start:
        raise Internal("a WebM file has no room for its pixel aspect ratio; please report this.")
    entry = _child(head, tracks.content, tracks.end, _ENTRY)
    video = _child(head, entry.content, entry.end, _VIDEO)
    for parent in (tracks, entry, video):
        _set_size(head, parent, parent.end - parent.content + len(insert))
    _set_size(head, void, void.end - void.content - len(insert))
    for seek_head in (e for e in level if e.id == _SEEK_HEAD):
        for seek in _children(head, seek_head.content, seek_head.end):
            if seek.id == _SEEK:
                position = _child(head, seek.content, seek.end, _SEEK_POSITION)
                value = int.from_bytes(head[position.content : position.end], "big")
                if void.end <= segment.content + value <= tracks.start:
                    moved = value - len(insert)
                    head[position.content : position.end] = moved.to_bytes(position.end - position.content, "big")
    padding_end = void.end - len(insert)
    return bytes(head[:padding_end]) + bytes(head[void.end : video.end]) + insert + bytes(head[video.end :])


def _children(data: bytearray, start: int, end: int) -> Iterator[_Element]:
    """The elements of [start, end), up to the first cluster of media."""
    while start < end:
        number, size_at = _number(data, start, keep_marker=True)
        size, content = _number(data, size_at, keep_marker=False)
        yield _Element(number, start, size_at, content, content + size)
        if number == _CLUSTER:
            return
        start = content + size


def _child(data: bytearray, start: int, end: int, number: int) -> _Element:
    for element in _children(data, start, end):
        if element.id == number:
            return element
    raise Internal(f"a WebM file has no element {number:#x}; please report this.")


def _number(data: bytearray, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """The variable-length integer at `at`, and the offset behind it."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & ((1 << (7 * length)) - 1)), at + length


def _set_size(data: bytearray, element: _Element, size: int) -> None:
    length = element.content - element.size_at
    if size >= (1 << (7 * length)) - 1:
        raise Internal("a WebM header is too small for its pixel aspect ratio; please report this.")
    data[element.size_at : element.content] = (size | 1 << (7 * length)).to_bytes(length, "big")
