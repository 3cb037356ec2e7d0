"""The few calls to a Kubernetes API server that the runner needs, on one namespace, and its errors in our words.

Objects are the JSON that the server sends: the client library's own classes would be built and thrown away for every
event of every pod.
Must not know: what the Jobs are for.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from services.errors import AlreadyExists, BadOption, Internal, NotFound, PermissionDenied, Unavailable

Object = Mapping[str, Any]

JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
PODS = "/api/v1/namespaces/{namespace}/pods"
EVENTS = "/api/v1/namespaces/{namespace}/events"

_CALL_SECONDS = 15.0
_WATCH_SECONDS = 240
_QUOTA = "exceeded quota"


class Outdated(Exception):
    """The server does not remember that far back: list again."""


@dataclass(frozen=True)
class Listing:
    """What there is, and from which moment on a watch says what changed."""

    items: tuple[Object, ...]
    version: str


@dataclass(frozen=True)
class Change:
    """kind: ADDED, MODIFIED, DELETED or BOOKMARK. version: from where the next watch goes on."""

    kind: str
    item: Object

    @property
    def version(self) -> str:
        return str(self.item["metadata"]["resourceVersion"])


class OnCall(Protocol):
    """Told of each call: the verb, and the status of the answer; 0 if there was none."""

    def __call__(self, verb: str, code: int) -> None: ...


@asynccontextmanager
async def connected(namespace: str, *, on_call: OnCall = lambda verb, code: None) -> AsyncIterator[Cluster]:
    """The cluster that this pod runs in or, with $KUBECONFIG, the one that it names. Raises BadOption."""
    configuration = Configuration()
    try:
        if os.environ.get("KUBECONFIG"):
            await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise BadOption(
            f"no Kubernetes cluster is configured ({error}); run in a pod with a service account, or set KUBECONFIG."
        ) from error
    async with ApiClient(configuration) as client:
        yield Cluster(client, namespace, on_call=on_call)


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, client: ApiClient, namespace: str, *, on_call: OnCall = lambda verb, code: None) -> None:
        self._client = client
        self.namespace = namespace
        self._on_call = on_call

    async def create(self, job: Object) -> Object:
        """Raises AlreadyExists if there is a Job of that name, and see `_error`."""
        return await self._json("create", "POST", JOBS, body=job)

    async def job(self, name: str) -> Object | None:
        return await self._json_or_none("get", "GET", f"{JOBS}/{name}")

    async def pod(self, name: str) -> Object | None:
        return await self._json_or_none("get", "GET", f"{PODS}/{name}")

    async def delete(self, name: str, *, uid: str) -> None:
        """Delete the Job, and its pods after it, unless it is gone or another one has its name by now."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            # Without a policy, a Job's pods would be orphaned by old API versions: always say it.
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            await self._json_or_none("delete", "DELETE", f"{JOBS}/{name}", body=body)
        except AlreadyExists:
            return

    async def list(self, path: str, *, selector: str) -> Listing:
        data = await self._json("list", "GET", path, query={"labelSelector": selector})
        return Listing(tuple(data["items"]), str(data["metadata"]["resourceVersion"]))

    async def events_about(self, kind: str, name: str) -> tuple[Object, ...]:
        """What the cluster's controllers have said about an object lately."""
        fields = f"involvedObject.kind={kind},involvedObject.name={name}"
        data = await self._json("list", "GET", EVENTS, query={"fieldSelector": fields, "limit": "20"})
        return tuple(data["items"])

    async def watch(self, path: str, *, selector: str, since: str) -> AsyncIterator[Change]:
        """What changes from version `since` on, until the server ends the stream. Raises Outdated, or see `_error`."""
        query = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        # A server that has died says nothing: its silence ends the stream, too.
        patience = aiohttp.ClientTimeout(total=None, sock_connect=_CALL_SECONDS, sock_read=_WATCH_SECONDS + 30)
        response = await self._call("watch", "GET", path, query=query, timeout=patience)
        try:
            async for line in response.content:
                data = _parsed(line)
                if data["type"] == "ERROR":
                    raise _error(int(data["object"].get("code", 500)), data["object"], f"watching {path}")
                yield Change(data["type"], data["object"])
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the watch on the Kubernetes API server broke off ({error}); it is made again."
            ) from error
        finally:
            response.close()

    async def _json_or_none(self, verb: str, method: str, path: str, **more: Any) -> Any:
        try:
            return await self._json(verb, method, path, **more)
        except NotFound:
            return None

    async def _json(self, verb: str, method: str, path: str, **more: Any) -> Any:
        response = await self._call(verb, method, path, timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS), **more)
        try:
            return _parsed(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from error
        finally:
            response.release()

    async def _call(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer, whose body is still to be read. Raises what `_error` says."""
        where = path.format(namespace=self.namespace)
        code = 0
        try:
            asked = await self._client.param_serialize(
                method,
                where,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            wrapped = await self._client.call_api(*asked, _request_timeout=timeout)
            response: aiohttp.ClientResponse = wrapped.response
            code = response.status
            if code < 400:
                return response
            try:
                answer = _parsed(await response.read())
            except Internal:
                answer = {}
            finally:
                response.release()
            raise _error(code, answer, f"{method} {where}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from error
        finally:
            self._on_call(verb, code)


def _away(error: BaseException) -> Unavailable:
    return Unavailable(
        f"the Kubernetes API server cannot be reached ({type(error).__name__} {error}); it is asked again."
    )


def _error(code: int, answer: Object, doing: str) -> Exception:
    """What an answer of 400 and above means to a user."""
    said = str(answer.get("message", "")) or f"status {code}"
    kinds: dict[int, Callable[[], Exception]] = {
        401: lambda: PermissionDenied(f"the cluster does not know the orchestrator ({said}); see its service account."),
        404: lambda: NotFound(f"the cluster has no such thing ({said}); see shards.namespace."),
        409: lambda: AlreadyExists(said),
        410: lambda: Outdated(said),
    }
    if code in kinds:
        return kinds[code]()
    if code == 403 and _QUOTA in said:
        return Unavailable(f"the namespace's quota leaves no room for a worker ({said}); it is tried again.")
    if code == 403:
        return PermissionDenied(
            f"the orchestrator may not do what it needs in the cluster ({said}); give its service account the Role of "
            "the chart."
        )
    if code == 429 or code >= 500:
        return Unavailable(f"the Kubernetes API server refuses just now ({said}); it is asked again.")
    return Internal(f"{doing}: the Kubernetes API server answered {code}: {said}; see the worker pod's template.")


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise Internal(f"the Kubernetes API server answered no JSON: {data[:200]!r}") from error
