"""Bridges between the event loop and blocking code that reads or gives bytes piece by piece.

Both hold a few pieces at most: a slow disk slows the network down, not the memory up.
Must not know: what the bytes are.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from services.errors import Cancelled, from_exception

T = TypeVar("T")
_AHEAD = 4


async def pump(chunks: AsyncIterator[bytes], consume: Callable[[Iterator[bytes]], T], *, first: bytes, doing: str) -> T:
    """`consume(pieces)` in a thread, where `pieces` are `first` and then what comes from `chunks`.

    When `chunks` fails or this task is cancelled, the iteration in the thread fails too, so that `consume` can clean
    up; it has ended when this returns.

    Raises:
        OmnimatteError: what `chunks` or `consume` raised.
    """
    loop = asyncio.get_running_loop()
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue()
    room = asyncio.Semaphore(_AHEAD)

    def drained() -> Iterator[bytes]:
        while True:
            piece = pieces.get()
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            loop.call_soon_threadsafe(room.release)

    consumer = asyncio.ensure_future(asyncio.to_thread(consume, drained()))
    # A consumer that fails early must not leave the producer waiting for room.
    consumer.add_done_callback(lambda _: room.release())
    try:
        pieces.put(first)
        async for piece in chunks:
            await room.acquire()
            if consumer.done():
                break
            pieces.put(piece)
        pieces.put(None)
    except BaseException as error:
        stopped = Cancelled("the upload was broken off; send the file again.")
        pieces.put(error if isinstance(error, Exception) else stopped)
        await asyncio.wait([consumer])
        consumer.exception()
        raise
    try:
        return await consumer
    except Exception as error:
        raise from_exception(error, doing=doing) from error


async def pulled(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """`pieces`, each fetched in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
