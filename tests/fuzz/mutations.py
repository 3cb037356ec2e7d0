"""Seeded damage to files: each mutation takes bytes and gives other bytes.

Must not know: what happens to them then.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

_LIMIT = 2 << 20
_ATOMS = (
    b"moov mdat stsd stts stsz stco stss ctts elst tkhd mvhd mdhd trak avc1 avcC hvc1 colr tref meta edts IHDR IDAT"
    b" PLTE tRNS zTXt iCCP acTL ustar VP8X ANIM RIFF fmt  LIST idx1"
).split()
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0x1000000)

Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], bytearray]


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """`data` after one to four mutations; `others` are files to splice in."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if result:
            result = rng.choice(_MUTATIONS)(result, rng, others)[:_LIMIT]
    return bytes(result)


def _flip_bits(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    for _ in range(rng.choice((1, 3, 10, 50, len(data) // 100 + 1))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _flip_header(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    for _ in range(rng.choice((1, 2, 5))):
        data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
    return data


def _cut_end(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    return data[: rng.randrange(len(data))]


def _cut_start(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    return data[rng.randrange(min(len(data), 600)) :]


def _remove(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 4, 64, 512, 4096))]
    return data


def _repeat(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 8, 512, 5000))]
    return data[:start] + piece * rng.choice((2, 3, 50)) + data[start:]


def _splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    at = rng.randrange(len(data))
    piece = other[start : start + rng.choice((16, 512, 5000, len(other)))]
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def _overwrite(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    start, length = rng.randrange(len(data)), rng.choice((4, 100, 2000))
    fill = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    data[start : start + length] = fill[: len(data) - start]
    return data


def _number(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    """Some length, count or offset, wherever it may be."""
    _write_number(data, rng, rng.randrange(len(data)))
    return data


def _number_near_atom(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    """A length or a count in a structure that is known by name."""
    places = [place for atom in _ATOMS if (place := data.find(atom)) >= 0]
    at = (rng.choice(places) if places else 0) + rng.choice((-4, 4, 8, 12, 16, 20, 24, 28, 32, 36))
    _write_number(data, rng, max(0, min(at, len(data) - 1)))
    return data


def _write_number(data: bytearray, rng: random.Random, at: int) -> None:
    size, order = rng.choice(((1, ">B"), (2, ">H"), (4, ">I"), (4, "<I"), (2, "<H")))
    data[at : at + size] = struct.pack(order, rng.choice(_NUMBERS) & ((1 << (8 * size)) - 1))


def _rename(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    first, second = rng.sample(_ATOMS, 2)
    return data.replace(first, second[: len(first)].ljust(len(first)), 1)


def _swap(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    a, b = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:a] + data[b:] + data[a:b]


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _flip_header,
    _cut_end,
    _cut_start,
    _remove,
    _repeat,
    _splice,
    _overwrite,
    _number,
    _number,
    _number_near_atom,
    _number_near_atom,
    _rename,
    _swap,
)
