"""Serves the files of signed addresses over HTTP: for browsers, and for machines that shall hold no key.

    GET /files/{job}/{path}?expires=...&signature=...

Nothing of a request is ever a path on a disk: job and path are looked up among what the job has made, after the
signature over them was checked. A part of a file can be asked for with Range, so that players can seek.
Must not know: gRPC, or tenants; who has a signed address may read.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import web

from orchestrator.access.settings import endpoint
from orchestrator.access.transport import server_context
from orchestrator.db import Database
from orchestrator.file_settings import Files
from orchestrator.signing import Served, Signer, served
from orchestrator.streams import pulled
from services.artifacts import Store
from services.errors import NotFound, OmnimatteError, PermissionDenied, Unavailable

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_STATUS: dict[type[OmnimatteError], int] = {PermissionDenied: 403, NotFound: 404}
# A page among the results runs its own scripts, and nobody else's; it can reach nothing else.
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'self' 'unsafe-inline' data: blob:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@asynccontextmanager
async def serving_files(
    files: Files, *, signer: Callable[[str], Signer], database: Database, store: Store
) -> AsyncIterator[Signer]:
    """Serve files for the length of the block; yields what signs their addresses. `signer(base_url)` makes it.

    Raises:
        Unavailable: the port is in use.
    """
    if files.port is None:
        yield signer(files.signing.base_url)
        return
    app = web.Application(client_max_size=1024)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=15, handle_signals=False)
    made: list[Signer] = []
    find = _finder(database, store)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await _answer(request, made[0], find)

    app.router.add_get("/files/{job}/{path:.+}", answer, allow_head=True)
    await runner.setup()
    context = server_context(files.tls) if files.tls is not None else None
    try:
        site = web.TCPSite(runner, files.host, files.port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise Unavailable(
                f"port {files.port} on {files.host} is in use by another program; stop that program or choose another "
                "port with --files-port."
            ) from error
        port = int(runner.addresses[0][1])
        scheme = "https" if context else "http"
        made.append(signer(files.signing.base_url or f"{scheme}://{endpoint(files.host, port)}"))
        yield made[0]
    finally:
        await runner.cleanup()


Find = Callable[[str, str], Awaitable[Served]]


def _finder(database: Database, store: Store) -> Find:
    def find(job: str, path: str) -> Served:
        result = database.get(job).result
        return served(store.find(result) if result else None, path)

    async def found(job: str, path: str) -> Served:
        return await asyncio.to_thread(find, job, path)

    return found


async def _answer(request: web.Request, signer: Signer, find: Find) -> web.StreamResponse:
    job, path = request.match_info["job"], request.match_info["path"]
    try:
        signer.check(job, path, expires=request.query.get("expires", ""), signature=request.query.get("signature", ""))
        file = await find(job, path)
    except OmnimatteError as error:
        return web.Response(status=_STATUS.get(type(error), 503), text=f"{error.message}\n", headers=_HEADERS)
    part = _part(request.headers.get("Range", ""), file.size)
    whole = part is None
    start, end = part or (0, file.size)
    if not whole and start >= end:
        return web.Response(status=416, headers={**_HEADERS, "Content-Range": f"bytes */{file.size}"})
    response = web.StreamResponse(status=200 if whole else 206, headers=_HEADERS)
    response.content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    response.content_length = end - start
    # Pages and clips are looked at where they are; who saves one saves it under its name.
    name = path.rpartition("/")[2]
    response.headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(name, safe='')}"
    if not whole:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    await response.prepare(request)
    if request.method != "HEAD":
        await _send(response, file, start, end)
    await response.write_eof()
    return response


async def _send(response: web.StreamResponse, file: Served, start: int, end: int) -> None:
    left = end - start
    async for piece in pulled(file.artifact.chunks(file.path, start=start)):
        await response.write(piece[:left])
        left -= len(piece)
        if left <= 0:
            return


def _part(text: str, size: int) -> tuple[int, int] | None:
    """[start, end) of what a Range header asks for, empty if that is outside of the file; None, for the whole file, if
    there is none or it is of a kind that is not served, such as several parts at once."""
    match = _RANGE.fullmatch(text)
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    if match[2] and int(match[2]) < int(match[1]):
        return None
    return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
