"""HEVC with an alpha layer, made of two streams of one plain encoder, and taken apart again.

The encoder codes colour and alpha (as luma, with grey chroma) with the same settings, so that both need the same
parameter sets. Here the alpha pictures become layer 1 of the colour's stream: their units get that number, the video
parameter set says what the layer is (ITU-T H.265, F.7.3.2.1.1), and a message tells what its values mean (F.14.2.8).
Layer 1 depends on nothing, and refers to the base layer's sequence and picture parameter sets.
Must not know: encoders, decoders or containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.errors import BadVideo, Internal

_START = b"\0\0\0\1"
_VPS, _FIRST_NOT_PICTURE = 32, 32
_AUXILIARY = 1 << (15 - 3)
_ALPHA = "1"
# A prefix SEI message of layer 1: alpha_channel_info, straight, 8 bit, 0 transparent, 255 opaque.
_ALPHA_INFO = bytes([0x4E, 0x09, 0xA5, 0x04, 0x00, 0x00, 0x7F, 0x90, 0x80])


def parameter_sets(base: bytes, alpha: bytes, *, width: int, height: int) -> bytes:
    """The parameter sets of both layers, of those that the encoder gives for either; Annex B.

    width, height: of the pictures, even.
    Raises Internal if the encoder's sets are not the same, or unlike anything known.
    """
    sets, others = list(_units(base)), list(_units(alpha))
    if [unit for unit in sets if _kind(unit) < 35] != [unit for unit in others if _kind(unit) < 35]:
        raise Internal("the encoder gave other parameter sets for alpha than for colour; please report this.")
    found = [_extended(unit, width, height) if _kind(unit) == _VPS else unit for unit in sets if _kind(unit) < 35]
    return b"".join(_START + unit for unit in found)


def merged(base: bytes, alpha: bytes, *, key: bool) -> bytes:
    """One access unit with both layers, of the same picture's units; Annex B. key: whether it can be begun with."""
    message = [_ALPHA_INFO] if key else []
    pictures = [bytes([unit[0], unit[1] | 1 << 3]) + unit[2:] for unit in _pictures(alpha)]
    return b"".join(_START + unit for unit in [*_pictures(base), *message, *pictures])


def separated(unit: bytes, name: str) -> tuple[bytes, bytes]:
    """Base and alpha pictures of an access unit, each as a stream of one layer. All as in a QuickTime file: four bytes
    of length before each part. Raises BadVideo naming `name`."""
    layers = (bytearray(), bytearray())
    at = 0
    while at < len(unit):
        end = at + 4 + int.from_bytes(unit[at : at + 4])
        part = unit[at + 4 : end]
        if end > len(unit) or len(part) < 2:
            raise BadVideo(f"{name}: a picture is damaged; deliver it again.")
        layer = (part[0] & 1) << 5 | part[1] >> 3
        if layer < 2 and _kind(part) < _FIRST_NOT_PICTURE:
            layers[layer].extend(unit[at : at + 4] + bytes([part[0] & 0xFE, part[1] & 7]) + part[2:])
        at = end
    return bytes(layers[0]), bytes(layers[1])


def _units(stream: bytes) -> Iterator[bytes]:
    return filter(None, re.split(rb"\x00?\x00\x00\x01", stream))


def _pictures(stream: bytes) -> list[bytes]:
    return [unit for unit in _units(stream) if _kind(unit) < _FIRST_NOT_PICTURE]


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _extended(unit: bytes, width: int, height: int) -> bytes:
    """A video parameter set of one layer, as that of two of which the second is alpha."""
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    head, _layers, sublayers = bits.take(6), bits.take(6), bits.take(3)
    rest, tier = bits.take(1 + 16), bits.take(96)
    ordering = bits.take(1)
    buffering, reorder, latency = (bits.number() for _ in range(3))
    _highest, sets, timing = bits.take(6), bits.number(), bits.take(1)
    if sublayers != "000" or sets != 0 or timing != "0":
        raise Internal("the encoder's video parameter set is unlike what is known of it; please report this.")
    sizes = _number(buffering) + _number(reorder) + _number(latency)
    # Two layers; the second layer set holds both.
    text = head + f"{1:06b}" + sublayers + rest + tier + ordering + sizes + f"{1:06b}" + _number(1) + "11" + timing
    text += "1"  # vps_extension_flag
    text += "1" * (-len(text) % 8)
    text += tier[-8:]  # The second profile is the first one's, and so is its level.
    text += "0" + f"{_AUXILIARY:016b}" + "000" + "0" + _ALPHA  # One scalability dimension, of one bit.
    text += "0000" + "0" + _number(0)  # No views; layer 1 depends on nothing; no further layer sets.
    text += "0" + "0" + "0" + _number(1)
    text += _number(0) + "00" + "0" + "1"  # All layers are put out; layer 0 has the first profile, layer 1 the second.
    text += _number(0) + _representation(width, height)
    text += "1" + "0" + "1"  # Pictures of layer 1 that begin anew carry no order count, as those of layer 0.
    text += "0" + _number(buffering) + sizes
    text += _number(0) + "0" + _number(0) + "0" + "0"  # No dependencies, no further data, no VUI, no more extensions.
    text += "1"
    text += "0" * (-len(text) % 8)
    return unit[:2] + _escaped(int(text, 2).to_bytes(len(text) // 8))


def _representation(width: int, height: int) -> str:
    """Size of the coded pictures (multiples of 8), 4:2:0 of 8 bits, and what of them is shown."""
    right, bottom = -width % 8, -height % 8
    text = f"{width + right:016b}{height + bottom:016b}" + "1" + "01" + "0000" + "0000"
    if not right and not bottom:
        return text + "0"
    return text + "1" + _number(0) + _number(right // 2) + _number(0) + _number(bottom // 2)


class _Bits:
    """Reads bits, as text, from the front."""

    def __init__(self, data: bytes) -> None:
        self._text = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> str:
        self._at += count
        return self._text[self._at - count : self._at]

    def number(self) -> int:
        """ue(v)."""
        zeros = self._text.find("1", self._at) - self._at
        return int(self.take(zeros) + self.take(zeros + 1), 2) - 1


def _number(value: int) -> str:
    """ue(v)."""
    text = f"{value + 1:b}"
    return "0" * (len(text) - 1) + text


def _escaped(data: bytes) -> bytes:
    """With emulation prevention."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", data)
