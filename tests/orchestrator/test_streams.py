"""Bytes on their way between the event loop and a thread."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator

import pytest

from orchestrator.streams import pulled, pump
from services.errors import BadInput, OutOfSpace


async def chunks(count: int, sent: list[int] | None = None) -> AsyncIterator[bytes]:
    for i in range(count):
        if sent is not None:
            sent.append(i)
        yield bytes([i])


async def test_the_consumer_gets_every_piece_in_order() -> None:
    result = await pump(chunks(50), lambda pieces: b"".join(pieces), first=b"first", doing="x")
    assert result == b"first" + bytes(range(50))


async def test_a_slow_consumer_holds_the_producer_back() -> None:
    sent: list[int] = []
    seen: list[int] = []

    def consume(pieces: Iterator[bytes]) -> None:
        for _ in pieces:
            seen.append(len(sent))

    await pump(chunks(40, sent), consume, first=b"first", doing="x")
    assert all(ahead <= i + 8 for i, ahead in enumerate(seen))


async def test_a_consumer_that_fails_early_ends_the_transfer() -> None:
    def full(pieces: Iterator[bytes]) -> None:
        next(pieces)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutOfSpace, match=r"storing clip\.mp4"):
        await asyncio.wait_for(pump(chunks(200), full, first=b"first", doing="storing clip.mp4"), 30)


async def test_a_producer_that_fails_is_heard_by_the_consumer() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"1"
        raise BadInput("too large.")

    heard: list[Exception] = []

    def consume(pieces: Iterator[bytes]) -> None:
        try:
            list(pieces)
        except BadInput as error:
            heard.append(error)
            raise

    with pytest.raises(BadInput, match="too large"):
        await pump(broken(), consume, first=b"first", doing="x")
    assert len(heard) == 1


async def test_cancelling_lets_the_consumer_clean_up_first() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.get_running_loop().create_future()

    cleaned: list[bool] = []

    def consume(pieces: Iterator[bytes]) -> None:
        try:
            list(pieces)
        finally:
            cleaned.append(True)

    task = asyncio.create_task(pump(endless(), consume, first=b"first", doing="x"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


async def test_blocking_pieces_are_pulled_one_by_one() -> None:
    assert [piece async for piece in pulled(iter([b"a", b"b"]))] == [b"a", b"b"]
