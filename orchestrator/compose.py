"""Edits of delivered layers: like a mask preview, something that runs beside the queue, for somebody who waits.

The result lies in the store like any other stage's, so a caller whose line broke asks again and finds it done; it stays
for the store's grace period, and no job needs it.
Must not know: gRPC, or how an edit is rendered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.keep import Keeper
from orchestrator.runners.base import Runner
from services.artifacts import Artifact, Store
from services.compose.check import check, require_harmless
from services.compose.edit import Edit
from services.compose.facts import facts_of
from services.compose.parse import parse_text, plain
from services.errors import NotFound, OmnimatteError
from services.stage import Progress, Request, Result


@dataclass(frozen=True)
class Editing:
    """An edit whose deliveries were found.

    Attributes:
        edit: what was asked for, checked against them.
        request: the stage's.
    """

    edit: Edit
    request: Request


class Editor:
    """Renders edits on the stage `compose`."""

    def __init__(self, *, runner: Runner, keeper: Keeper, store: Store) -> None:
        self._runner = runner
        self._keeper = keeper
        self._store = store

    async def prepared(
        self,
        text: str,
        *,
        layers: Artifact,
        delivered: Callable[[str], Awaitable[Artifact]],
        upload: Callable[[str], Awaitable[str]],
    ) -> Editing:
        """Check an edit before anything runs.

        Args:
            text: YAML or JSON; `from` of an insert is a job's name, a background's file an upload's digest.
            layers: the deliverables that are edited.
            delivered: a job's name -> its deliverables. upload: a digest -> the same, if it is the caller's.
        Raises:
            NotFound, BadInput, BadOption: what is wrong, with `field` naming the place in the edit.
        """
        edit = parse_text(text)
        require_harmless(edit)
        others: dict[str, Artifact] = {}
        for i, one in enumerate(edit.inserts):
            try:
                others[one.source] = await delivered(one.source)
            except OmnimatteError as error:
                error.field = f"inserts[{i}].from"
                raise
        facts = await asyncio.to_thread(facts_of, layers)
        inserted = {name: (await asyncio.to_thread(facts_of, other)).labels for name, other in others.items()}
        check(edit, labels=facts.labels, frames=facts.frames, inserted=inserted)
        inputs = {"layers": layers.address} | {f"insert/{o.address}": o.address for o in others.values()}
        if edit.background.kind in ("image", "video"):
            inputs["background"] = await upload(edit.background.value)
        addresses = {name: other.address for name, other in others.items()}
        data = _plain(text, addresses)
        return Editing(edit, Request("compose", {"edit": data}, inputs, subject="compose"))

    async def render(self, editing: Editing) -> AsyncIterator[Progress | Artifact]:
        """How far it is, again and again, and last the result. Raises what the stage raises."""
        told: asyncio.Queue[Progress] = asyncio.Queue()
        running = asyncio.ensure_future(self._runner.run(editing.request, on_progress=told.put_nowait))
        try:
            while not running.done():
                hearing = asyncio.ensure_future(told.get())
                await asyncio.wait({running, hearing}, return_when=asyncio.FIRST_COMPLETED)
                if hearing.done():
                    yield hearing.result()
                else:
                    hearing.cancel()
            result: Result = running.result()
        finally:
            running.cancel()
        if not await self._keeper.renew(result.address):
            raise NotFound("the rendered edit was removed just now; ask for it again.")
        yield await asyncio.to_thread(self._store.get, result.address)


def _plain(text: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The edit as the stage's parameter: what it names by job, by address, so that equal edits are found again."""
    data: dict[str, Any] = dict(plain(text) or {})
    data.pop("source", None)
    if data.get("inserts"):
        data["inserts"] = [{**insert, "from": addresses[insert["from"]]} for insert in data["inserts"]]
    return data
