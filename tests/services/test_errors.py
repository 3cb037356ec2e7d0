"""Errors keep their class, words and field across a process boundary."""

import pytest

from services import errors
from services.errors import BadMask, Internal, OmnimatteError, OutOfSpace, decode, encode, from_exception, tree


@pytest.mark.parametrize("cls", sorted(tree().values(), key=lambda c: c.__name__))
def test_an_error_survives_the_wire(cls: type[OmnimatteError]) -> None:
    back = decode(
        "[request id: 7] " + encode(cls('mask "a" is empty; paint it.', field="objects[0].mask")) + " (trailer)"
    )
    assert type(back) is cls
    assert back.message == 'mask "a" is empty; paint it.'
    assert back.field == "objects[0].mask"


def test_foreign_words_become_an_internal_error() -> None:
    assert isinstance(decode("Socket closed"), Internal)
    assert decode("Socket closed").message == "Socket closed"
    assert isinstance(decode('{"reason": "NO_SUCH_REASON", "message": "x"}'), Internal)


def test_a_full_disk_is_recognised_however_deep_it_lies() -> None:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as cause:
            raise RuntimeError("chunk could not be written") from cause
    except RuntimeError as error:
        assert isinstance(from_exception(error, doing="casper/background"), OutOfSpace)


def test_members_of_the_tree_pass_unchanged() -> None:
    error = BadMask("x")
    assert from_exception(error, doing="ingest") is error


def test_every_class_answers_with_a_status_and_an_exit_code() -> None:
    for cls in tree().values():
        assert cls.status.isupper()
        assert 0 < cls.exit_code < 256
    assert errors.BadVideo.exit_code == 2
