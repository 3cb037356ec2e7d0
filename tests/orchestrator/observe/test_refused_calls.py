"""Calls that reach no method are counted too."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from conftest import Background

from orchestrator.access.settings import Access
from orchestrator.client import Client
from services.errors import Unauthenticated
from tests.orchestrator.observe.figures import Figures


def test_a_refused_call_and_a_method_that_there_is_not_are_counted(tmp_path: Path) -> None:
    with Background(tmp_path, access=Access(api_keys=True)) as server:
        with Client(server.server.address) as client, pytest.raises(Unauthenticated):
            client.get("jobs/" + "0" * 22)
        with grpc.insecure_channel(server.server.address) as channel:
            call = channel.unary_unary("/omnimatte.v1.Omnimatte/Invented", bytes, bytes)
            with pytest.raises(grpc.RpcError):
                call(b"", timeout=10)
        told = Figures(server)
    assert told("omnimatte_api_calls_total", method="GetJob", code="UNAUTHENTICATED") == 1
    assert told("omnimatte_api_calls_total", method="(unknown)", code="UNIMPLEMENTED") == 1
    assert not any("Invented" in str(family.samples) for family in told.families)
