"""A small Kubernetes API server: the protocol as clients see it, over HTTP, with nothing behind it.

It has uids, resource versions, conflicts, watches with bookmarks and their 410, label and field selectors, status
subresources, preconditions and propagation of deletes, quota and permissions. It can be stopped and started on the same
port, keeping what it has; it can forget its history, answer errors and answer late.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/(?P<version>[^/]+))/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status))?"
)
_KINDS = {"jobs": ("batch/v1", "Job"), "pods": ("v1", "Pod"), "events": ("v1", "Event")}
_KINDS["statefulsets"] = ("apps/v1", "StatefulSet")

Key = tuple[str, str, str]


class ApiServer:
    """See the module. Belongs to one event loop."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.watches = 0
        self.refuse: Callable[[str, str, dict[str, Any]], tuple[int, str] | None] = lambda verb, plural, body: None
        self.lose_answers = 0
        self._history: list[tuple[int, str, str, dict[str, Any]]] = []
        self._oldest = 0
        self._version = 1
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        self._tell()
        await self._runner.cleanup()
        self._runner = None

    def forget(self) -> None:
        """Compact the history, as etcd does: who watches from before must list again."""
        self._version += 1
        self._oldest = self._version
        self._history.clear()

    def put(self, plural: str, namespace: str, item: dict[str, Any]) -> dict[str, Any]:
        """An object that is simply there."""
        item = copy.deepcopy(item)
        item["metadata"].setdefault("uid", str(uuid.uuid4()))
        item["metadata"].setdefault("creationTimestamp", _now())
        return self._save((plural, namespace, item["metadata"]["name"]), item, "ADDED")

    def of(self, plural: str) -> list[dict[str, Any]]:
        return [item for (kind, _, _), item in sorted(self.objects.items()) if kind == plural]

    # ------------------------------------------------------------------ requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        match = _PATH.fullmatch(request.path)
        if match is None or match["plural"] not in _KINDS:
            return _status(404, "NotFound", f"the server could not find {request.path}")
        plural, namespace, name = match["plural"], match["namespace"], match["name"]
        verb = {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}.get(request.method, "update")
        verb = "watch" if request.query.get("watch") == "true" else verb
        self.calls[verb, plural] += 1
        body = json.loads(await request.read() or b"{}")
        refused = self.refuse(verb, plural, body)
        if refused is not None:
            code, text = refused
            return _status(code, "Forbidden" if code == 403 else "Error", text)
        if verb == "watch":
            return await self._watch(request, plural, namespace)
        if verb == "list":
            found = [one for one in self.of(plural) if one["metadata"]["namespace"] == namespace]
            return web.json_response(self._list(plural, [one for one in found if _selected(one, request.query)]))
        if verb == "create":
            answer = self._create(plural, namespace, body)
        elif verb == "get":
            answer = self._get((plural, namespace, name))
        elif verb == "delete":
            answer = self._delete((plural, namespace, name), body)
        else:
            answer = self._update((plural, namespace, name), body, match["sub"], request.content_type)
        if self.lose_answers and verb == "create":
            # It has happened, and the caller never learns of it.
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return answer

    def _get(self, key: Key) -> web.Response:
        if key not in self.objects:
            return _status(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return web.json_response(self.objects[key])

    def _create(self, plural: str, namespace: str, body: dict[str, Any]) -> web.Response:
        api, kind = _KINDS[plural]
        if body.get("apiVersion") != api or body.get("kind") != kind:
            return _status(400, "BadRequest", f"the object is no {api} {kind}")
        metadata = body["metadata"]
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if (plural, namespace, metadata["name"]) in self.objects:
            return _status(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
        body["metadata"] = {**metadata, "namespace": namespace, "generation": 1}
        body.setdefault("status", {"phase": "Pending"} if plural == "pods" else {})
        return web.json_response(self.put(plural, namespace, body), status=201)

    def _delete(self, key: Key, options: dict[str, Any]) -> web.Response:
        if key not in self.objects:
            return _status(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        item = self.objects[key]
        wanted = options.get("preconditions", {}).get("uid")
        if wanted and wanted != item["metadata"]["uid"]:
            return _status(409, "Conflict", f"the UID in the precondition ({wanted}) does not match")
        if key[0] == "jobs" and "propagationPolicy" not in options:
            return _status(400, "BadRequest", "this server does not let Jobs be deleted without a policy")
        if key[0] == "pods" and options.get("gracePeriodSeconds") != 0 and item["status"].get("phase") == "Running":
            # Its kubelet stops it, and then deletes it for good.
            return web.json_response(
                self._save(key, _with(item, {"metadata": {"deletionTimestamp": _now()}}), "MODIFIED")
            )
        del self.objects[key]
        self._record("DELETED", key[0], _with(item, {"metadata": {"resourceVersion": str(self._next())}}))
        return web.json_response(item)

    def _update(self, key: Key, body: dict[str, Any], sub: str | None, content: str) -> web.Response:
        if key not in self.objects:
            return _status(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        item = self.objects[key]
        version = body.get("metadata", {}).get("resourceVersion")
        if version and version != item["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified; please apply your changes to the latest")
        if sub == "status":
            body = {"status": body.get("status", {})}
        merged = _with(item, body) if "patch" in content else {**item, **body, "metadata": item["metadata"]}
        return web.json_response(self._save(key, merged, "MODIFIED"))

    async def _watch(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion") or self._version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.watches += 1
        loop = asyncio.get_running_loop()
        until = loop.time() + float(request.query.get("timeoutSeconds", 300))
        runner = self._runner
        try:
            while loop.time() < until and self._runner is runner:
                if since < self._oldest:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    await response.write(_line("ERROR", gone))
                    return response
                for version, kind, of, item in list(self._history):
                    mine = of == plural and item["metadata"]["namespace"] == namespace
                    if version > since and mine and _selected(item, request.query):
                        await response.write(_line(kind, item))
                since = self._version
                changed = self._changed
                try:
                    await asyncio.wait_for(changed.wait(), min(1.0, max(0.01, until - loop.time())))
                except TimeoutError:
                    if request.query.get("allowWatchBookmarks") == "true":
                        bookmark = {"metadata": {"resourceVersion": str(since)}}
                        await response.write(_line("BOOKMARK", bookmark))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.watches -= 1
        return response

    # ------------------------------------------------------------------ objects

    def _list(self, plural: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        api, kind = _KINDS[plural]
        return {
            "apiVersion": api,
            "kind": f"{kind}List",
            "metadata": {"resourceVersion": str(self._version)},
            "items": items,
        }

    def _save(self, key: Key, item: dict[str, Any], kind: str) -> dict[str, Any]:
        item = _with(item, {"metadata": {"resourceVersion": str(self._next()), "namespace": key[1]}})
        self.objects[key] = item
        self._record(kind, key[0], item)
        return item

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _record(self, kind: str, plural: str, item: dict[str, Any]) -> None:
        self._history.append((self._version, kind, plural, item))
        if len(self._history) > 5000:
            self._oldest = self._history[1000][0]
            del self._history[:1000]
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _with(item: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7386)."""
    merged = dict(item)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _with(merged[name] if isinstance(merged.get(name), dict) else {}, value)
        else:
            merged[name] = value
    return merged


def _selected(item: dict[str, Any], query: Any) -> bool:
    labels = item["metadata"].get("labels", {})
    for part in filter(None, query.get("labelSelector", "").split(",")):
        name, equals, value = part.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = part.partition("=")
        found: Any = item
        for step in path.split("."):
            found = found.get(step, {}) if isinstance(found, dict) else {}
        if found != value:
            return False
    return True


def _line(kind: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**body, "message": message}, status=code)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
