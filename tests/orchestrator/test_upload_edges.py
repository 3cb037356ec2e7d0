"""Uploads where two things happen at once, where the store is nearly full, and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import uploads as module
from orchestrator.collect import Collector, Kind
from orchestrator.db import Database
from orchestrator.fsck import Checker
from orchestrator.hygiene import Hygiene
from orchestrator.keep import Keeper
from orchestrator.observe.metrics import Metrics
from orchestrator.references import References
from orchestrator.spec import File
from orchestrator.upload_sessions import Session, Sessions
from orchestrator.uploads import Incoming, Uploads
from services.artifacts import Store
from services.errors import BadInput, Busy, Conflict, NotFound, OmnimatteError, OutOfSpace
from tests import s3

DATA = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@dataclass
class Place:
    """A store, its database, and the uploads of one replica."""

    database: Database
    store: Store
    references: References
    keeper: Keeper
    uploads: Uploads

    def replica(self) -> Uploads:
        """The uploads of another."""
        return make_uploads(self.database, self.store, self.keeper)


def make_uploads(database: Database, store: Store, keeper: Keeper) -> Uploads:
    return Uploads(
        database=database,
        sessions=Sessions(database.engine, grace=86400.0),
        store=store,
        keeper=keeper,
        metrics=Metrics(),
        max_bytes=10**8,
    )


def make_place(database_url: str, url: str, *, limit: int = 0) -> Place:
    database, store = Database(database_url), Store(url)
    references = References(database.engine)
    keeper = Keeper(store, references, limit_bytes=limit)
    return Place(database, store, references, keeper, make_uploads(database, store, keeper))


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[Place]:
    made = make_place(database_url, str(tmp_path / "store"))
    yield made
    made.database.close()


async def pieces(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def begin(uploads: Uploads, data: bytes = DATA, *, tenant: str = "a") -> Session:
    digest = hashlib.sha256(data).hexdigest()
    return await uploads.start(filename="clip.mp4", size=len(data), digest=digest, tenant=tenant)


async def send(uploads: Uploads, session: Session, data: bytes, *, offset: int = 0) -> tuple[File, int]:
    return await uploads.receive(Incoming(session=session.id, offset=offset), pieces(data), tenant="a")


async def test_two_streams_that_both_end_an_upload_both_get_its_file(place: Place) -> None:
    """A connection breaks unnoticed while the file is put together; the client comes back and asks for the end."""
    session = await begin(place.uploads)
    store, entered, go = place.store, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = store.upload

    class Slow(Store):
        def upload(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(20)
            return real(*args, **kwargs)  # type: ignore[arg-type]

    slow = make_uploads(place.database, place.store, place.keeper)
    first = asyncio.create_task(send(place.uploads, session, DATA))
    assert await first == (File(DIGEST, "clip.mp4"), len(DATA))
    other = await begin(slow, DATA + b"x")
    whole = DATA + b"x"
    slow._store = Slow(store.url)
    late = asyncio.create_task(send(slow, other, whole))
    await asyncio.wait_for(entered.wait(), 20)
    again = await send(place.replica(), other, b"", offset=len(whole))
    go.set()
    expected = File(hashlib.sha256(whole).hexdigest(), "clip.mp4")
    assert again == (expected, len(whole))
    # The first one finds that it was done for it; it is no error, and it takes nothing away.
    assert await late == again
    found = await place.uploads.get(other.id, tenant="a")
    assert found.complete and store.get(expected.digest).read("data") == whole
    assert [path for path, _, _ in store.listed("staging")] == []


async def test_an_upload_that_another_stream_ends_meanwhile_is_no_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pieces go while a second stream, which has seen that all are there, begins to read them."""
    monkeypatch.setattr(module, "_PIECE_BYTES", 50_000)
    session = await begin(place.uploads)
    late = place.replica()
    loop, real = asyncio.get_running_loop(), late._sessions.pieces

    def pieces_at_last(found: Session) -> list[tuple[str, int]]:
        listed = real(found)
        asyncio.run_coroutine_threadsafe(send(place.replica(), session, b"", offset=len(DATA)), loop).result(20)
        return listed

    monkeypatch.setattr(late._sessions, "pieces", pieces_at_last)
    assert await send(late, session, DATA) == (File(DIGEST, "clip.mp4"), len(DATA))
    assert (await place.uploads.get(session.id, tenant="a")).complete


async def test_pieces_are_counted_once(database_url: str, tmp_path: Path) -> None:
    """What a collection has seen of an upload under way does not keep the rest of it out."""
    place = make_place(database_url, str(tmp_path / "store"), limit=300_000)
    session = await begin(place.uploads)

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:200_000]
        raise module.Cancelled("the connection broke")

    with pytest.raises(OmnimatteError):
        await place.uploads.receive(Incoming(session=session.id), broken(), tenant="a")
    collector = Collector(
        store=place.store,
        database=place.database,
        references=place.references,
        keeper=place.keeper,
        hygiene=Hygiene(limit_bytes=300_000),
    )
    collector.own()
    assert collector.collect().kept == 200_000
    assert (await send(place.uploads, session, DATA[200_000:], offset=200_000))[0].digest == DIGEST
    place.database.close()


async def test_pieces_do_not_fill_the_store_beyond_its_limit(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions that each fit when they begin do not fit together."""
    monkeypatch.setattr(module, "_PIECE_BYTES", 100_000)
    place = make_place(database_url, str(tmp_path / "store"), limit=400_000)
    one, two = await begin(place.uploads), await begin(place.uploads, DATA + b"x")
    await send(place.uploads, one, DATA)
    with pytest.raises(OutOfSpace):
        await send(place.uploads, two, DATA + b"x")
    assert sum(size for _, size, _ in place.store.listed("staging")) == 0
    place.database.close()


async def test_uploads_begun_at_the_same_moment_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPEN_SESSIONS", 4)
    answers = await asyncio.gather(
        *(begin(place.replica(), DATA + bytes([i])) for i in range(16)), return_exceptions=True
    )
    assert sum(isinstance(answer, Session) for answer in answers) == 4
    assert all(isinstance(answer, Session | Busy) for answer in answers)


async def test_the_same_upload_begun_twice_at_once_is_one(place: Place) -> None:
    answers = await asyncio.gather(*(begin(place.replica()) for _ in range(8)))
    assert len({answer.id for answer in answers}) == 1


async def test_a_known_file_asked_for_again_and_again_makes_one_row(place: Place) -> None:
    await send(place.uploads, await begin(place.uploads), DATA)
    ids = {(await begin(place.uploads)).id for _ in range(5)}
    assert len(ids) == 1 and (await begin(place.uploads)).complete


async def test_a_stream_that_begins_wrongly_disturbs_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 50_000)
    session = await begin(place.uploads)
    half, go = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield DATA[:50_000]
        half.set()
        await go.wait()
        yield DATA[50_000:]

    good = asyncio.create_task(place.uploads.receive(Incoming(session=session.id), slowly(), tenant="a"))
    await half.wait()
    for wrong in (Incoming(session=session.id, offset=7), Incoming(session=session.id, digest="0" * 64)):
        with pytest.raises((Conflict, BadInput)):
            await place.replica().receive(wrong, pieces(DATA), tenant="a")
    go.set()
    assert await good == (File(DIGEST, "clip.mp4"), len(DATA))


async def test_many_streams_at_once_leave_the_file_as_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loses is told so; the bytes are the file's, whoever wins."""
    monkeypatch.setattr(module, "_PIECE_BYTES", 50_000)
    session = await begin(place.uploads)
    answers = await asyncio.gather(*(send(place.replica(), session, DATA) for _ in range(6)), return_exceptions=True)
    assert all(isinstance(one, tuple | Conflict) for one in answers), answers
    now = await place.uploads.get(session.id, tenant="a")
    if not now.complete:
        await send(place.uploads, session, DATA[now.received :], offset=now.received)
    assert place.store.get(DIGEST).read("data") == DATA


@pytest.mark.parametrize("moment", ["room", "add"])
async def test_a_call_that_is_cancelled_keeps_the_piece_at_hand(
    place: Place, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """So a broken connection ends a call: at any moment, also while the limit is asked or the piece is written."""
    monkeypatch.setattr(module, "_PIECE_BYTES", 50_000)
    held: tuple[Any, str] = (place.keeper, "require_room") if moment == "room" else (place.uploads._sessions, "add")
    real = getattr(*held)
    session = await begin(place.uploads)
    loop, entered, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slowly(*args: Any, **kwargs: Any) -> Any:
        loop.call_soon_threadsafe(entered.set)
        assert go.wait(20)
        return real(*args, **kwargs)

    monkeypatch.setattr(*held, slowly)
    call = asyncio.create_task(send(place.uploads, session, DATA))
    await asyncio.wait_for(entered.wait(), 20)
    call.cancel()
    await asyncio.sleep(0.05)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await place.uploads.get(session.id, tenant="a")).received == 50_000


async def test_collection_and_check_leave_a_live_upload_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 50_000)
    session = await begin(place.uploads)

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:120_000]
        raise module.Cancelled("the connection broke")

    with pytest.raises(OmnimatteError):
        await place.uploads.receive(Incoming(session=session.id), broken(), tenant="a")

    def collect(after: float) -> list[Kind]:
        gone: list[Kind] = []
        collector = Collector(
            store=place.store,
            database=place.database,
            references=place.references,
            keeper=place.keeper,
            hygiene=Hygiene(),
            on_removed=lambda removed: gone.append(removed.kind),
            clock=lambda: time.time() + after,
        )
        collector.own()
        collector.collect()
        return gone

    checker = Checker(store=place.store, references=place.references, keeper=place.keeper, grace=86400.0)
    assert list(checker.check()) == []
    assert collect(session.expires - time.time() - 60) == []
    found = await place.uploads.get(session.id, tenant="a")
    assert found.received == 120_000
    assert await asyncio.to_thread(lambda: collect(86400.0 + 60)) == [Kind.UPLOAD]
    assert [path for path, _, _ in place.store.listed("staging")] == []


async def test_an_upload_whose_pieces_are_gone_begins_anew(place: Place) -> None:
    """Somebody emptied the staging area by hand."""
    session = await begin(place.uploads)

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:120_000]
        raise module.Cancelled("the connection broke")

    with pytest.raises(OmnimatteError):
        await place.uploads.receive(Incoming(session=session.id), broken(), tenant="a")
    place.store.remove(session.prefix)
    with pytest.raises(OmnimatteError) as caught:
        await send(place.uploads, session, DATA[120_000:], offset=120_000)
    assert "Errno" not in caught.value.message
    with pytest.raises(NotFound):
        await place.uploads.get(session.id, tenant="a")
    assert await send(place.uploads, await begin(place.uploads), DATA) == (File(DIGEST, "clip.mp4"), len(DATA))


async def test_an_upload_into_a_bucket_goes_on_in_another_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 60_000)
    with s3.serving() as url:
        for name, value in s3.environment(url).items():
            monkeypatch.setenv(name, value)
        place = make_place(f"sqlite:///{tmp_path / 'db.sqlite'}", s3.new_bucket(url))
        session = await begin(place.uploads)

        async def broken() -> AsyncIterator[bytes]:
            yield DATA[:130_000]
            raise module.Cancelled("the connection broke")

        with pytest.raises(OmnimatteError):
            await place.uploads.receive(Incoming(session=session.id), broken(), tenant="a")
        offset = (await place.replica().get(session.id, tenant="a")).received
        assert offset == 130_000
        assert (await send(place.replica(), session, DATA[offset:], offset=offset))[0].digest == DIGEST
        assert place.store.get(DIGEST).read("data") == DATA
        assert [path for path, _, _ in place.store.listed("staging")] == []
        place.database.close()


def test_takeovers_from_many_threads_count_every_byte_once(database_url: str, tmp_path: Path) -> None:
    database, store = Database(database_url), Store(str(tmp_path / "store"))
    sessions = Sessions(database.engine, grace=86400.0)
    data = bytes(range(60))
    made = sessions.create(tenant="a", filename="", digest=DIGEST, size=len(data), complete=False)

    def sender(_: int) -> None:
        while (now := sessions.take(made.id, tenant="a")).received < len(data):
            try:
                sessions.add(now, store, offset=now.received, data=data[now.received : now.received + 3])
            except Conflict:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sender, range(4)))
    kept = sessions.pieces(made)
    assert b"".join(store.read(path) or b"" for path, _ in kept) == data
    # What was refused is not left lying about.
    assert sorted(path for path, _, _ in store.listed("staging")) == sorted(path for path, _ in kept)
    database.close()
