"""Errors across the wire."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from orchestrator.api.status import from_status, to_status
from services.errors import Internal, NotFound, OmnimatteError, Unavailable, tree


@pytest.mark.parametrize("cls", sorted(tree().values(), key=lambda cls: cls.reason))
def test_every_error_comes_back_as_its_class(cls: type[OmnimatteError]) -> None:
    status = to_status(cls("clip.mp4 is odd; send another.", field="objects[1].mask"))
    assert code_pb2.Code.Name(status.code) == cls.status
    error = from_status(status_pb2.Status.FromString(status.SerializeToString()))
    assert type(error) is cls
    assert (error.message, error.field) == ("clip.mp4 is odd; send another.", "objects[1].mask")


def test_other_clients_can_read_reason_and_field() -> None:
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    details = to_status(Unavailable("down.", field="name")).details
    assert details[0].Unpack(info) and details[1].Unpack(request)
    assert (info.reason, info.domain, info.metadata["retryable"]) == ("UNAVAILABLE", "omnimatte", "true")
    assert request.field_violations[0].field == "name"


def test_a_status_of_another_service_is_judged_by_its_code() -> None:
    assert type(from_status(status_pb2.Status(code=code_pb2.NOT_FOUND, message="gone"))) is NotFound
    assert type(from_status(status_pb2.Status(code=code_pb2.DATA_LOSS, message="lost"))) is Internal


def test_an_unknown_reason_of_a_newer_server_is_judged_by_its_code() -> None:
    status = to_status(NotFound("gone."))
    info = error_details_pb2.ErrorInfo(reason="BRAND_NEW", domain="omnimatte")
    status.details[0].Pack(info)
    assert type(from_status(status)) is NotFound
