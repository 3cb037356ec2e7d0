"""What the runner itself has no right to: the calls that a kubelet, a controller and an administrator make."""

from __future__ import annotations

from typing import Any

import aiohttp

from orchestrator.runners.kubernetes.api import JOBS, PODS, Cluster
from services.errors import AlreadyExists, NotFound, Unavailable

EVERYTHING = ""


class Hands(Cluster):
    async def create_pod(self, pod: dict[str, Any]) -> Any:
        return await self._json("create", "POST", PODS, body=pod)

    async def patch_status(self, path: str, name: str, status: dict[str, Any]) -> Any:
        """None if the object is gone."""
        try:
            return await self._patched(f"{path}/{name}/status", {"status": status})
        except (NotFound, AlreadyExists):
            return None

    async def remove_pod(self, name: str, *, grace: int | None = None) -> None:
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self._json_or_none("delete", "DELETE", f"{PODS}/{name}", body=body)

    async def jobs(self) -> list[Any]:
        return list((await self.list(JOBS, selector=EVERYTHING)).items)

    async def pods(self) -> list[Any]:
        return list((await self.list(PODS, selector=EVERYTHING)).items)

    async def _patched(self, path: str, body: dict[str, Any]) -> Any:
        where = path.format(namespace=self.namespace)
        headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
        asked = await self._client.param_serialize(
            "PATCH", where, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            wrapped = await self._client.call_api(*asked, _request_timeout=aiohttp.ClientTimeout(total=15))
            response = wrapped.response
            if response.status == 404:
                raise NotFound(where)
            if response.status == 409:
                raise AlreadyExists(where)
            assert response.status < 400, await response.text()
            return await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the API server is away: {error}") from error
